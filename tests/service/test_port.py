"""The port under clients that misbehave: large bodies, silence, slow reading, half-closed and too many connections."""

import asyncio
import gzip
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from pbs_exporter.simulator import SimulatedPbs
from tests.support.program import WAIT, Running, get, serving, settings, started

MIB = 1024 * 1024


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the program's address."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


def memory(running: Running, key: str = "VmHWM") -> int:
    """Return a line of the process's memory status, in bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(rf"{key}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


# --- bodies of requests


@pytest.mark.parametrize("body", [gzip.compress(bytes(200 * MIB), 9), b"no gzip" * 1000], ids=["bomb", "broken"])
async def test_a_body_is_not_inflated(pbs: SimulatedPbs, body: bytes) -> None:
    """A compressed body of a request is never inflated: it costs no memory, and nobody finds out that it is broken."""
    head = f"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    async with started(env=settings(pbs)) as running:
        address = await serving(running)
        before = memory(running)
        reader, writer = await connect(address)
        writer.write(head.encode() + body)
        async with asyncio.timeout(WAIT):
            answer = await reader.readline()
        writer.close()
        assert answer == b"HTTP/1.1 405 Method Not Allowed\r\n"
        assert await get(f"{address}/health") == (200, "ok\n")
        assert memory(running) - before < 50 * MIB
        ended = await running.end(signal.SIGTERM)
    assert "level=error" not in ended.stderr


async def test_a_body_is_not_read_on(pbs: SimulatedPbs) -> None:
    """A request is answered before its body has come, and the connection ends without reading the rest."""
    sent = 0
    async with started(env=settings(pbs)) as running:
        reader, writer = await connect(await serving(running))
        writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        async with asyncio.timeout(WAIT):
            head = await reader.readuntil(b"\r\n\r\n")
            with suppress(ConnectionError):
                while sent < 100 * MIB:
                    writer.write(bytes(MIB))
                    await writer.drain()
                    sent += MIB
        writer.close()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert sent < 50 * MIB
