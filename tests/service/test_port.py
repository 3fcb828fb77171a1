"""The port under clients that misbehave: large bodies, silence, slow reading, half-closed and too many connections."""

import asyncio
import gzip
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pbs_exporter.aiohttp_internals import HEAD_BYTES
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Result
from pbs_exporter.commands import serve
from pbs_exporter.config import ExporterSettings
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.open_connections import ConnectionLimits
from pbs_exporter.simulator import Fault, SimulatedPbs
from pbs_exporter.web import app, unsent
from tests.support.exporter import make_settings
from tests.support.metrics_page import Scraped
from tests.support.program import PROGRAM, WAIT, Running, get, program_environment, serving, settings, started

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


# --- clients that don't read


class LargeCollector(Collector[None]):
    """A collector that makes the page 20 MiB large: more than any system holds for one connection.

    With `changes` no two pages have an equal part.
    """

    name = "large"
    help = "A large page."
    LARGE = Metric("pbs_large", "Nothing.", ("text", "number"))
    metrics = (LARGE,)

    def __init__(self, *, changes: bool) -> None:
        self._changes = changes
        self._pages = 0

    async def fetch(self, _request: CollectorRequest) -> Result[None]:
        return Result(None)

    def samples(self, _answer: None, _context: Context) -> Iterator[Sample]:
        self._pages += self._changes
        for number in range(21_000):
            yield from self.LARGE(self._pages, "x" * 1000, str(number))


@asynccontextmanager
async def large_pages(
    pbs: SimulatedPbs,
    monkeypatch: pytest.MonkeyPatch,
    *,
    max_requests: int = 40,
    changes: bool = False,
    **limits: float,
) -> AsyncIterator[str]:
    """Serve large pages, and nothing else, with these limits for connections."""
    monkeypatch.setattr(serve, "COLLECTORS", [LargeCollector(changes=changes)])
    exporter = ExporterSettings(process_metrics=False, max_requests=max_requests)
    settings = make_settings(pbs, exporter=exporter, collectors={"large": True})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with serve._serving(settings, [listening], ConnectionLimits(**limits)):  # type: ignore[arg-type]
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def ask_and_wait(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a page, and read no more of it than its status line."""
    reader, writer = await connect(address)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(WAIT):
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    return reader, writer


async def test_a_reader_holds_its_place_until_it_has_all(pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that doesn't read its page counts against max_requests; when it has read all there is room again."""
    async with large_pages(pbs, monkeypatch, max_requests=1) as address:
        reader, writer = await ask_and_wait(address)
        status, text = await get(f"{address}/metrics")
        assert (status, "max_requests" in text) == (503, True)
        async with asyncio.timeout(WAIT):
            assert len(await reader.read()) > 20 * MIB
        writer.close()
        assert (await get(f"{address}/metrics"))[0] == 200


@pytest.mark.parametrize("reads", [False, True])
async def test_a_reader_that_takes_nothing_is_cut_off(
    pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    """A client that takes nothing of its page for too long loses its connection and its place; a slow one doesn't."""
    async with large_pages(pbs, monkeypatch, max_requests=1, stalled_seconds=1.0) as address:
        reader, writer = await ask_and_wait(address)
        size = 0
        async with asyncio.timeout(WAIT):
            if reads:
                while got := await reader.read(64 * 1024):
                    size += len(got)
                    await asyncio.sleep(0.01)
            else:
                while (await get(f"{address}/metrics"))[0] == 503:  # noqa: ASYNC110 - the program has no event for this
                    await asyncio.sleep(0.1)
                with suppress(ConnectionError):
                    size = len(await reader.read())
        assert (size > 20 * MIB) == reads
        writer.close()


async def test_a_reader_that_takes_little_is_cut_off(pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes its page bit by bit loses its connection and its place when the time for it is over."""
    async with large_pages(pbs, monkeypatch, max_requests=1, response_seconds=1.0) as address:
        reader, writer = await ask_and_wait(address)
        size = 0
        async with asyncio.timeout(WAIT):
            with suppress(ConnectionError):
                while (await get(f"{address}/metrics"))[0] == 503:
                    size += len(await reader.read(16 * 1024))
                    await asyncio.sleep(0.1)
                # What the kernel still has of it.
                while got := await reader.read(MIB):
                    size += len(got)
            while (await get(f"{address}/metrics"))[0] == 503:  # noqa: ASYNC110 - the program has no event for this
                await asyncio.sleep(0.1)
        assert 0 < size < 20 * MIB
        writer.close()


async def test_equal_pages_are_kept_once(pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with the same content take the memory of one, and the last one gives it back to the system."""
    returned = asyncio.Event()
    monkeypatch.setattr(unsent, "return_free_memory", returned.set)
    monkeypatch.setattr(app, "limit_of_unsent", lambda: 30 * MIB)
    async with large_pages(pbs, monkeypatch) as address:
        streams = [await ask_and_wait(address) for _ in range(4)]
        async with asyncio.timeout(WAIT):
            texts = [(await reader.read()).partition(b"\r\n\r\n")[2].decode() for reader, _ in streams]
            await returned.wait()
        for _, writer in streams:
            writer.close()
    for text in texts:
        scraped = Scraped(text)
        assert (len(scraped.series("pbs_large")), scraped.value("pbs_up")) == (21_000, 1)


async def test_all_unsent_pages_have_a_bound(pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the pages that nobody reads take too much memory together, a scrape is a 503, until they are read."""
    monkeypatch.setattr(app, "limit_of_unsent", lambda: 30 * MIB)
    async with large_pages(pbs, monkeypatch, changes=True) as address:
        reader, writer = await ask_and_wait(address)
        other, other_writer = await connect(address)
        other_writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(WAIT):
            answer = (await other.read()).decode()
            await reader.read()
        assert answer.startswith("HTTP/1.1 503 Service Unavailable\r\n")
        assert "Limit of 30 MiB for responses that clients don't read" in answer
        for stream in (writer, other_writer, (await ask_and_wait(address))[1]):
            stream.close()


CGROUPS = {
    "none": ({}, "0::/a/b\n", 512 * MIB),
    "own": ({"a/b/memory.max": "104857600"}, "0::/a/b\n", 25 * MIB),
    "around": ({"a/memory.max": "104857600\n", "a/b/memory.max": "max\n"}, "0::/a/b\n", 25 * MIB),
    "container": ({"memory.max": "104857600"}, "0::/\n", 25 * MIB),
    "hidden path": ({"memory.max": "104857600"}, "0::/../../x\n", 25 * MIB),
    "large": ({"memory.max": str(8 * 1024 * MIB)}, "0::/\n", 512 * MIB),
    "version 1": ({"memory/a/memory.limit_in_bytes": "104857600"}, "5:cpu:/\n7:memory:/a\n", 25 * MIB),
    "other controller": ({"memory/a/memory.limit_in_bytes": "104857600"}, "7:cpu:/a\n", 512 * MIB),
}


@pytest.mark.parametrize(("files", "own", "limit"), CGROUPS.values(), ids=CGROUPS)
def test_the_bound_of_unsent_pages(tmp_path: Path, files: dict[str, str], own: str, limit: int) -> None:
    """Unsent pages take at most 512 MiB, and a quarter of the memory limit of the cgroup or one around it."""
    for name, text in files.items():
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert unsent.limit_of_unsent(tmp_path / "top", tmp_path / "own") == limit


# --- connections that cost more than they should


@asynccontextmanager
async def limited(pbs: SimulatedPbs, **limits: float) -> AsyncIterator[str]:
    """Serve in this process, with these limits for connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with serve._serving(make_settings(pbs), [listening], ConnectionLimits(**limits)):  # type: ignore[arg-type]
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Ask for `/health` on an open connection, and return the first line of the answer."""
    writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(WAIT):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(3)
    return head.split(b"\r\n")[0]


@pytest.mark.parametrize("answered_before", [False, True])
@pytest.mark.parametrize("drips", [False, True])
async def test_a_head_that_does_not_come_ends_the_connection(
    pbs: SimulatedPbs, *, drips: bool, answered_before: bool
) -> None:
    """A connection without a whole head in time is closed, also if a byte comes now and then; others stay."""
    async with limited(pbs, request_seconds=0.2) as address:
        other, (reader, writer) = await connect(address), await connect(address)
        assert await ask(*other) == b"HTTP/1.1 200 OK"
        if answered_before:
            assert await ask(reader, writer) == b"HTTP/1.1 200 OK"
        writer.write(b"GET /health HTTP/1.1\r\nX: ")
        async with asyncio.timeout(WAIT):
            while drips and not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(0.02)
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert await ask(*other) == b"HTTP/1.1 200 OK"
        for stream in (writer, other[1]):
            stream.close()


HEADERS = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 8000) for number in range(50))
"""Headers of which aiohttp would refuse none, and that are too many together."""


@pytest.mark.parametrize("answered_before", [False, True])
async def test_a_large_head_is_refused(pbs: SimulatedPbs, *, answered_before: bool) -> None:
    """A head that is too large gets a 431 before it is whole, and the connection ends; the one below that is fine."""
    async with limited(pbs) as address, asyncio.timeout(WAIT):
        reader, writer = await connect(address)
        if answered_before:
            assert await ask(reader, writer) == b"HTTP/1.1 200 OK"
        head = b"GET /health HTTP/1.1\r\nHost: a\r\n" + HEADERS
        writer.write(head[: HEAD_BYTES - 2] + b"\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(head[: HEAD_BYTES + 1])
        assert (await reader.read()).startswith(b"HTTP/1.0 431 Request Header Fields Too Large\r\n")
        writer.close()


async def test_requests_that_wait_take_little_memory(pbs: SimulatedPbs) -> None:
    """Clients that go on sending requests with large heads, and read nothing, cost little memory."""
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + HEADERS[:24_000].rpartition(b"\r\n")[0] + b"\r\n\r\n"
    async with started(env=settings(pbs)) as running:
        address = await serving(running)
        await get(f"{address}/metrics")
        before = memory(running)
        pbs.faults.add("*", Fault.stall())
        connections = [await connect(address) for _ in range(100)]
        for _, writer in connections:
            writer.write(request * 40)
        for _ in range(50):
            assert await get(f"{address}/health") == (200, "ok\n")
        used = memory(running) - before
        for _, writer in connections:
            writer.transport.abort()
        assert (await running.end(signal.SIGTERM)).code == 0
    assert used < 60 * MIB


async def test_silence_ends_a_connection(pbs: SimulatedPbs) -> None:
    """A connection that never sends anything is closed, and one that has been answered after its own limit."""
    async with limited(pbs, request_seconds=0.2, idle_seconds=1.0) as address, asyncio.timeout(WAIT):
        for is_first in (True, False):
            reader, writer = await connect(address)
            if not is_first:
                await ask(reader, writer)
            assert await reader.read() == b""
            writer.close()


async def test_a_new_connection_ends_the_longest_idle(pbs: SimulatedPbs) -> None:
    """Where all connections are used up, a new one is served, and the one that was idle for longest is closed."""
    async with limited(pbs, number=3) as address:
        first, second, third = [await connect(address) for _ in range(3)]
        for connection in (second, third, first):
            assert await ask(*connection) == b"HTTP/1.1 200 OK"
        fourth = await connect(address)
        assert await ask(*fourth) == b"HTTP/1.1 200 OK"
        async with asyncio.timeout(WAIT):
            assert await second[0].read() == b""
        for connection in (first, third, fourth):
            assert await ask(*connection) == b"HTTP/1.1 200 OK"
        for _, writer in (first, second, third, fourth):
            writer.close()


async def test_a_flood_of_connections(pbs: SimulatedPbs) -> None:
    """With few descriptors, many more idle connections than these cost neither an answer nor many log lines."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        f"ulimit -n 128; exec {PROGRAM}",
        env=program_environment(**settings(pbs)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running, opened = Running(process), []
    try:
        address = await serving(running)
        for _ in range(4):
            opened += await asyncio.gather(*(connect(address) for _ in range(100)))
            assert await get(f"{address}/health") == (200, "ok\n")
        status, text = await get(f"{address}/metrics")
        assert (status, Scraped(text).value("pbs_up")) == (200, 1)
        ended = await running.end(signal.SIGTERM)
    finally:
        for _, writer in opened:
            writer.close()
        if process.returncode is None:
            process.kill()
    assert "max_connections" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.lines if "connections" in line]) == 1


async def test_a_half_closed_client_gets_its_page(pbs: SimulatedPbs) -> None:
    """A client that ends its side after the requests, as `nc -N` does, gets all answers, and the connection ends."""
    async with started(env=settings(pbs)) as running:
        reader, writer = await connect(await serving(running))
        request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        writer.write(request + request.replace(b"metrics", b"health"))
        writer.write_eof()
        async with asyncio.timeout(WAIT):
            page, health = re.split(rb"(?=HTTP/1.1 200 OK)", await reader.read())[1:]
        writer.close()
    assert Scraped(page.partition(b"\r\n\r\n")[2].decode()).value("pbs_up") == 1
    assert health.endswith(b"\r\n\r\nok\n")


async def test_half_closed_clients_get_the_only_answer(pbs: SimulatedPbs) -> None:
    """A client that sends one request and ends its side at once gets the answer, each time."""
    async with started(env=settings(pbs)) as running:
        url = await serving(running)
        for _ in range(10):
            reader, writer = await connect(url)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            writer.write_eof()
            async with asyncio.timeout(WAIT):
                assert (await reader.read()).endswith(b"\r\n\r\nok\n")
            writer.close()
