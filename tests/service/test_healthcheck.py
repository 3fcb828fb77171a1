"""`healthcheck`: whether the exporter on the same machine answers."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pbs_exporter.simulator import Fault, SimulatedPbs
from tests.support.program import Ended, closed_port, deaf, run_program, serving, settings, started


async def test_healthcheck_of_a_running_exporter(pbs: SimulatedPbs) -> None:
    """`healthcheck` exits with 0 and without output if the exporter runs, even if PBS is down."""
    pbs.faults.add("*", Fault.reset())
    async with started(env=settings(pbs)) as running:
        address = (await serving(running)).removeprefix("http://")
        ended = await run_program("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": address})
    assert ended == Ended(0, "", "")
    assert pbs.requests == []


@asynccontextmanager
async def answering(answer: bytes, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Listen on a port, and send the same answer to every request. Yield the port."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer if head.startswith(b"GET /health HTTP/1.1\r\n") else b"HTTP/1.1 404 Not Found\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "0.0.0.0:{}", ":{}", "localhost:{}"])
async def test_healthcheck_asks_the_loopback_for_a_wildcard(form: str) -> None:
    """For a wildcard listen address, the loopback address is checked. No setting of PBS is needed."""
    async with answering(OK) as port:
        ended = await run_program("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": form.format(port)})
    assert ended == Ended(0, "", "")


@pytest.mark.parametrize("form", ["[::]:{}", "[::1]:{}"])
async def test_healthcheck_over_ipv6(form: str) -> None:
    """For `[::]` and `[::1]`, the IPv6 loopback address is checked."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with answering(OK, "::1") as port:
        ended = await run_program("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": form.format(port)})
    assert ended == Ended(0, "", "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"", "status 0"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "status 0"),
        (b"HTTP/1.1 abc\r\n\r\n", "no answer"),
        (b"HTTP/1.1 2_00 OK\r\n\r\n", "that is HTTP"),
        (b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n", "that is HTTP"),
        (b"x" * 200_000, "that is HTTP"),
    ],
)
async def test_healthcheck_of_something_else(answer: bytes, said: str) -> None:
    """Any status except 200 causes one line, and exit code 1."""
    async with answering(answer) as port:
        ended = await run_program("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}"})
    assert (ended.code, ended.stdout) == (1, "")
    assert len(ended.lines) == 1
    assert said in ended.lines[0]
    assert f"127.0.0.1:{port}" in ended.lines[0]


async def test_healthcheck_gives_up_within_three_seconds() -> None:
    """A port that is closed or never answers causes one line, and exit code 1, within 3 s."""
    refused = {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{closed_port()}"}
    begun = time.monotonic()
    closed = await run_program("healthcheck", env=refused)
    start = time.monotonic() - begun
    async with deaf() as port:
        begun = time.monotonic()
        silent = await run_program("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}"})
        seconds = time.monotonic() - begun
    for ended in (closed, silent):
        assert (ended.code, ended.stdout, len(ended.lines)) == (1, "", 1)
    assert "timeout" in silent.stderr
    # The limit doesn't include Python's start, which is slow on a busy machine.
    assert seconds - start < 3


@pytest.mark.parametrize("way", ["before", "behind", "variable"])
async def test_healthcheck_reads_the_settings_file(tmp_path: Path, way: str) -> None:
    """The listen address can come from the file of --config or PBS_EXPORTER_CONFIG, even if other values are wrong."""
    file = tmp_path / "settings.toml"
    async with answering(OK) as port:
        file.write_text(f'[pbs]\nendpoint = 5\n[exporter]\nlisten_address = "0.0.0.0:{port}"\nlog_level = "loud"\n')
        arguments, env = {
            "before": (["--config", str(file), "healthcheck"], {}),
            "behind": (["healthcheck", "--config", str(file)], {}),
            "variable": (["healthcheck"], {"PBS_EXPORTER_CONFIG": str(file)}),
        }[way]
        ended = await run_program(*arguments, env=env)
    assert ended == Ended(0, "", "")
