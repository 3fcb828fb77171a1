import asyncio
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from pbs_exporter import __version__
from pbs_exporter.simulator import Fault, Replay, SimulatedPbs
from tests.support import Scraped, recording_file
from tests.test_names import FIXED

PROGRAM = Path(sys.executable).with_name("pbs-exporter")
REPLAY = recording_file("pbs-4.2.3")
DEMO_LOGIN = Path(__file__).parent.parent / "deploy" / "compose" / "simulated-pbs.env"
WAIT = 30.0
"""No process takes so long unless it hangs; the machine may be busy."""


class Ended(NamedTuple):
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr."""
        return self.stderr.splitlines()


class Running:
    """A process of the installed program, whose stderr is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stderr that holds `pattern`."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"no line with {pattern} in {self.lines}")

    async def end(self, number: signal.Signals | None = None) -> Ended:
        """Wait for its end, after a signal where one is given."""
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(WAIT):
            stdout, stderr = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, stdout.decode(), "".join(self.lines) + stderr.decode())


def environment(**variables: str) -> dict[str, str]:
    """Give this process's environment with these variables, and none else that the program or its log obeys."""
    ours = ("PBS_EXPORTER", "RUST_LOG", "NO_COLOR", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables


def settings(pbs: SimulatedPbs, **more: str) -> dict[str, str]:
    """Give the variables for an exporter of this PBS on a port that the system chooses."""
    return {
        "PBS_EXPORTER__PBS__ENDPOINT": pbs.endpoint,
        "PBS_EXPORTER__PBS__TOKEN_ID": pbs.token_id,
        "PBS_EXPORTER__PBS__TOKEN_SECRET": pbs.secret,
        "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0",
    } | more


@asynccontextmanager
async def started(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    """Start the program; it doesn't outlive the block."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        env=environment(**(env or {})),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run the program to its end."""
    async with started(*arguments, env=env) as running:
        return await running.end()


async def serving(running: Running) -> str:
    """Wait until it serves; gives its address with a scheme."""
    found = await running.line(r"msg=started .*listen_address=(\S+:[1-9]\d*) ")
    return f"http://{found[1]}"


async def get(url: str) -> tuple[int, str]:
    """Give status and body."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def asked(pbs: SimulatedPbs) -> None:
    """Wait until the PBS has been asked."""
    async with asyncio.timeout(WAIT):
        while not pbs.requests:  # noqa: ASYNC110 - its log is a plain list
            await asyncio.sleep(0.01)


def inside(folder: Path) -> list[str]:
    """Give the names of all that is in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
async def pbs() -> AsyncIterator[SimulatedPbs]:
    """Run a recorded PBS over TLS."""
    async with SimulatedPbs(Replay(REPLAY), login_delay=0, forbidden_delay=0) as simulated:
        yield simulated


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """Listen on a loopback port, take connections and never answer; gives the port."""
    held: list[asyncio.StreamWriter] = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in held:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


def closed_port() -> int:
    """Give a loopback port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


# serve


@pytest.mark.parametrize("arguments", [(), ("serve",)], ids=["default", "serve"])
async def test_serves_until_sigterm(pbs: SimulatedPbs, arguments: tuple[str, ...]) -> None:
    """With or without the word `serve` it serves pages, health and the status page, and SIGTERM is exit 0."""
    async with started(*arguments, env=settings(pbs)) as running:
        address = await serving(running)
        status, text = await get(f"{address}/metrics")
        assert status == 200
        page = Scraped(text)
        assert page.value("pbs_up") == 1
        assert page.series("process_start_time_seconds")
        assert await get(f"{address}/health") == (200, "ok\n")
        status, html = await get(f"{address}/")
        ended = await running.end(signal.SIGTERM)
    assert status == 200
    assert pbs.endpoint in html
    assert (ended.code, ended.stdout) == (0, "")
    assert "msg=stopping" in ended.lines[-1]
    assert pbs.secret not in text + html + ended.stderr
    assert all(line.startswith("ts=") for line in ended.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_in_the_middle_of_a_scrape(pbs: SimulatedPbs, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with exit 0 within 5 s also while PBS doesn't answer a scrape."""
    pbs.faults.add("*", Fault.stall())
    async with started(env=settings(pbs, PBS_EXPORTER__PBS__TIMEOUT_SECONDS="300")) as running:
        address = await serving(running)
        scrape = asyncio.create_task(get(f"{address}/metrics"))
        await asked(pbs)
        begun = time.monotonic()
        ended = await running.end(number)
        seconds = time.monotonic() - begun
        with pytest.raises(aiohttp.ClientError):
            await scrape
    assert ended.code == 0
    assert seconds < 5
    for sign in ("Traceback", "Task was destroyed", "never retrieved"):
        assert sign not in ended.stderr


async def test_signal_while_listings_are_under_way(pbs: SimulatedPbs) -> None:
    """A listing that goes on after its scrape doesn't hold up the end."""
    pbs.faults.add("/admin/datastore/{store}/snapshots", Fault.stall())
    async with started(env=settings(pbs, PBS_EXPORTER__PBS__SCRAPE_TIMEOUT_SECONDS="1.5")) as running:
        address = await serving(running)
        _, text = await get(f"{address}/metrics")
        begun = time.monotonic()
        ended = await running.end(signal.SIGTERM)
    page = Scraped(text)
    assert page.value("pbs_scrape_collector_success", collector="snapshots") == 0
    assert page.value("pbs_scrape_collector_success", collector="host") == 1
    assert ended.code == 0
    assert time.monotonic() - begun < 5
    assert "Traceback" not in ended.stderr
    assert "Task was destroyed" not in ended.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_taken_port(pbs: SimulatedPbs, command: str) -> None:
    """A listen address that is taken is one line on stderr and exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        ended = await run(command, env=settings(pbs, PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS=address))
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.lines == [
        f"pbs-exporter: can't listen on {address}: address already in use; [exporter] listen_address says where"
    ]


@pytest.mark.parametrize("command", ["serve", "check", "once"])
async def test_wrong_settings(pbs: SimulatedPbs, command: str) -> None:
    """Every wrong setting is a line on stderr, all at once, with exit 1 and neither traceback nor secret."""
    wrong = settings(
        pbs,
        PBS_EXPORTER__PBS__ENDPOINT="pbs.example.com",
        PBS_EXPORTER__PBS__TOKEN_ID=f"{pbs.token_id}:{pbs.secret}",
        PBS_EXPORTER__PBS__TIMEOUT_SECONDS="five",
        PBS_EXPORTER__PBS__TIMEOUT="5",
    )
    ended = await run(command, env=wrong)
    assert (ended.code, ended.stdout) == (1, "")
    assert sorted(line.partition(": ")[2].partition(":")[0] for line in ended.lines) == [
        "PBS_EXPORTER__PBS__ENDPOINT",
        "PBS_EXPORTER__PBS__TIMEOUT",
        "PBS_EXPORTER__PBS__TIMEOUT_SECONDS",
        "PBS_EXPORTER__PBS__TOKEN_ID",
    ]
    assert all(line.startswith("pbs-exporter: ") for line in ended.lines)
    assert pbs.secret not in ended.stderr


async def test_no_settings_at_all() -> None:
    """Without any setting, each of the three that are needed is named in a line, and the exit code is 1."""
    ended = await run()
    assert (ended.code, ended.stdout) == (1, "")
    assert [re.findall(r"PBS_EXPORTER__PBS__\w+", line) for line in ended.lines] == [
        ["PBS_EXPORTER__PBS__ENDPOINT"],
        ["PBS_EXPORTER__PBS__TOKEN_ID"],
        ["PBS_EXPORTER__PBS__TOKEN_SECRET"],
    ]


async def test_variables_of_kubernetes_are_harmless(pbs: SimulatedPbs) -> None:
    """What Kubernetes injects for a Service of our name changes nothing and is worth no line."""
    service = {
        "PBS_EXPORTER_PORT": "tcp://10.0.0.7:9101",
        "PBS_EXPORTER_SERVICE_HOST": "10.0.0.7",
        "PBS_EXPORTER_SERVICE_PORT": "9101",
        "PBS_EXPORTER_SERVICE_PORT_METRICS": "9101",
        "PBS_EXPORTER_PORT_9101_TCP": "tcp://10.0.0.7:9101",
        "PBS_EXPORTER_PORT_9101_TCP_PROTO": "tcp",
        "PBS_EXPORTER_PORT_9101_TCP_PORT": "9101",
        "PBS_EXPORTER_PORT_9101_TCP_ADDR": "10.0.0.7",
    }
    async with started(env=settings(pbs) | service) as running:
        status, _ = await get(f"{await serving(running)}/health")
        ended = await running.end(signal.SIGTERM)
    assert (status, ended.code) == (200, 0)
    assert [line for line in ended.lines if "PBS_EXPORTER_" in line] == []


async def test_settings_file_of_the_rust_exporter(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """An old `config/default.toml` works unchanged with `--config`, and RUST_LOG gets one hint."""
    file = tmp_path / "default.toml"
    file.write_text(f"""\
[pbs]
endpoint = "{pbs.endpoint}"
token_id = "{pbs.token_id}"
token_secret = "{pbs.secret}"
verify_tls = false
timeout_seconds = 5
snapshot_history_limit = 1

[exporter]
listen_address = "127.0.0.1:0"
log_level = "info"
""")
    async with started("--config", str(file), env={"RUST_LOG": "debug"}) as running:
        _, text = await get(f"{await serving(running)}/metrics")
        ended = await running.end(signal.SIGTERM)
    page = Scraped(text)
    assert page.value("pbs_up") == 1
    group = ("datastore", "namespace", "backup_type", "backup_id")
    shown = [tuple(labels[key] for key in group) for labels, _ in page.series("pbs_snapshot_info")]
    assert shown
    assert len(shown) == len(set(shown)), "the file's limit is one snapshot per group"
    assert ended.code == 0
    hints = [line for line in ended.lines if "RUST_LOG" in line]
    assert len(hints) == 1
    assert "PBS_EXPORTER__EXPORTER__LOG_LEVEL" in hints[0]
    assert pbs.secret not in text + ended.stderr


async def test_secret_stays_secret_at_debug(pbs: SimulatedPbs) -> None:
    """At the finest log level, with a wrong token and broken answers, the output never holds the secret."""
    pbs.faults.add("/nodes/localhost/status", Fault.status(500, f"failed for {pbs.secret}"))
    variables = settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="debug", PBS_EXPORTER__EXPORTER__LOG_FORMAT="json")
    async with started(env=variables) as running:
        address = (await running.line(r'"listen_address": ?"([^"]+)"'))[1]
        _, good = await get(f"http://{address}/metrics")
        right, pbs.secret = pbs.secret, "another"
        _, refused = await get(f"http://{address}/metrics")
        _, html = await get(f"http://{address}/")
        ended = await running.end(signal.SIGTERM)
    assert Scraped(good).value("pbs_up") == 1
    assert Scraped(refused).value("pbs_up") == 0
    assert '"path": "/metrics"' in ended.stderr.replace('":"', '": "')
    assert right not in good + refused + html + ended.stderr


# once


async def test_once_writes_a_page(pbs: SimulatedPbs) -> None:
    """`once` writes one page to standard output, without the metrics of its own short life."""
    ended = await run("once", env=settings(pbs))
    assert ended.code == 0
    page = Scraped(ended.stdout)
    assert page.value("pbs_up") == 1
    assert page.series("pbs_snapshot_info")
    assert not page.series("process_start_time_seconds")


async def test_once_writes_a_page_of_a_dead_pbs() -> None:
    """`once` with a PBS that is down still writes a page, which says so, with exit 0."""
    variables = {
        "PBS_EXPORTER__PBS__ENDPOINT": f"https://127.0.0.1:{closed_port()}",
        "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
        "PBS_EXPORTER__PBS__TOKEN_SECRET": "secret",
    }
    ended = await run("once", env=variables)
    assert ended.code == 0
    assert Scraped(ended.stdout).value("pbs_up") == 0


async def test_once_replaces_the_output_file(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """`once --output` puts a whole new file in place of the old one, readable for all, and leaves nothing beside."""
    file = tmp_path / "pbs.prom"
    file.write_text("old")
    with file.open() as reader:
        ended = await run("once", "--output", str(file), env=settings(pbs))
        # Who has the old file open goes on reading the old text: it was replaced, not written over.
        assert reader.read() == "old"
    assert (ended.code, ended.stdout) == (0, "")
    assert Scraped(file.read_text()).value("pbs_up") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert inside(tmp_path) == ["pbs.prom"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [("missing/pbs.prom", "no such file or directory"), ("file/pbs.prom", "not a directory"), ("", "is a directory")],
    ids=["no folder", "folder is a file", "is a folder"],
)
async def test_once_with_a_folder_that_cannot_be_written(
    pbs: SimulatedPbs, tmp_path: Path, output: str, reason: str
) -> None:
    """An output file that can't be written is one line on stderr with the reason, exit 1, and nothing left behind."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").touch()
    path = folder / output
    ended = await run("once", "--output", str(path), env=settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error"))
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.lines == [f"pbs-exporter: can't write {path}: {reason}"]
    assert inside(tmp_path) == ["out", "out/file"]


async def test_once_writes_through_a_link(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """Where the output file is a symbolic link, the file that it leads to is written, and the link stays."""
    file, link = tmp_path / "pbs.prom", tmp_path / "link.prom"
    link.symlink_to(file)
    ended = await run("once", "--output", str(link), env=settings(pbs))
    assert ended.code == 0
    assert link.readlink() == file
    assert Scraped(file.read_text()).value("pbs_up") == 1


async def test_once_replaces_no_device(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """An output that is no regular file, such as a pipe or a device, is one line on stderr, and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = await run("once", "--output", str(pipe), env=settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error"))
    assert (ended.code, ended.lines) == (1, [f"pbs-exporter: can't write {pipe}: it is no regular file"])
    assert pipe.is_fifo()


# healthcheck


async def test_healthcheck_of_a_running_exporter(pbs: SimulatedPbs) -> None:
    """`healthcheck` is exit 0 without a word beside an exporter that runs, also where PBS is down."""
    pbs.faults.add("*", Fault.reset())
    async with started(env=settings(pbs)) as running:
        address = (await serving(running)).removeprefix("http://")
        ended = await run("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": address})
    assert ended == Ended(0, "", "")
    assert pbs.requests == []


@asynccontextmanager
async def answering(answer: bytes, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Listen on a port and give every request the same answer; gives the port."""

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
    """A wildcard listen address means the loopback address, and no setting of PBS is needed."""
    async with answering(OK) as port:
        ended = await run("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": form.format(port)})
    assert ended == Ended(0, "", "")


@pytest.mark.parametrize("form", ["[::]:{}", "[::1]:{}"])
async def test_healthcheck_over_ipv6(form: str) -> None:
    """`[::]` and `[::1]` mean the IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with answering(OK, "::1") as port:
        ended = await run("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": form.format(port)})
    assert ended == Ended(0, "", "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"", "status 0"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "status 0"),
        (b"HTTP/1.1 abc\r\n\r\n", "no answer"),
    ],
)
async def test_healthcheck_of_something_else(answer: bytes, said: str) -> None:
    """Anything but a 200 is exit 1 and one line."""
    async with answering(answer) as port:
        ended = await run("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}"})
    assert (ended.code, ended.stdout) == (1, "")
    assert len(ended.lines) == 1
    assert said in ended.lines[0]
    assert f"127.0.0.1:{port}" in ended.lines[0]


async def test_healthcheck_gives_up_within_three_seconds() -> None:
    """A port that takes connections and never answers is exit 1 and one line within 3 s, and so is a closed one."""
    refused = {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{closed_port()}"}
    begun = time.monotonic()
    closed = await run("healthcheck", env=refused)
    start = time.monotonic() - begun
    async with deaf() as port:
        begun = time.monotonic()
        silent = await run("healthcheck", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": f"127.0.0.1:{port}"})
        seconds = time.monotonic() - begun
    for ended in (closed, silent):
        assert (ended.code, ended.stdout, len(ended.lines)) == (1, "", 1)
    assert "timeout" in silent.stderr
    # How long Python takes to start on a busy machine isn't what is measured.
    assert seconds - start < 3


@pytest.mark.parametrize("way", ["before", "behind", "variable"])
async def test_healthcheck_reads_the_settings_file(tmp_path: Path, way: str) -> None:
    """The listen address may be in the file of --config or PBS_EXPORTER_CONFIG, whose other values may be wrong."""
    file = tmp_path / "settings.toml"
    async with answering(OK) as port:
        file.write_text(f'[pbs]\nendpoint = 5\n[exporter]\nlisten_address = "0.0.0.0:{port}"\nlog_level = "loud"\n')
        arguments, env = {
            "before": (["--config", str(file), "healthcheck"], {}),
            "behind": (["healthcheck", "--config", str(file)], {}),
            "variable": (["healthcheck"], {"PBS_EXPORTER_CONFIG": str(file)}),
        }[way]
        ended = await run(*arguments, env=env)
    assert ended == Ended(0, "", "")


# demo


async def test_demo_shows_all_fixed_families_at_once() -> None:
    """`demo` prints the address to open, whose very first page has all 33 fixed families, and SIGINT is exit 0."""
    async with started("demo", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0"}) as running:
        address = (await running.line(r"(http://127\.0\.0\.1:[1-9]\d*/metrics)"))[1]
        # It prints the address just before it serves.
        await running.line("msg=started")
        status, text = await get(address)
        ended = await running.end(signal.SIGINT)
    assert status == 200
    page = Scraped(text)
    assert [name for name in FIXED if not page.series(name)] == []
    assert page.value("pbs_up") == 1
    assert {value for _, value in page.series("pbs_scrape_collector_success")} == {1.0}
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("way", ["file", "short variable"])
async def test_demo_listens_where_it_is_told(tmp_path: Path, way: str) -> None:
    """The listen address of a demo can come from a file or a short variable, as in any other run."""
    port = closed_port()
    file = tmp_path / "settings.toml"
    file.write_text(f'[exporter]\nlisten_address = "127.0.0.1:{port}"\n')
    arguments, env = {
        "file": (["demo", "--config", str(file)], {}),
        "short variable": (["demo"], {"PBS_EXPORTER_EXPORTER_LISTEN_ADDRESS": f"127.0.0.1:{port}"}),
    }[way]
    async with started(*arguments, env=env) as running:
        assert (await serving(running)) == f"http://127.0.0.1:{port}"
        assert (await running.end(signal.SIGTERM)).code == 0


async def test_demo_can_let_others_ask_its_pbs() -> None:
    """With `--pbs-port` the simulated PBS listens on that port, and takes the login that deploy/compose/ has."""
    port = closed_port()
    variables = dict(line.split("=", 1) for line in DEMO_LOGIN.read_text().splitlines() if line.startswith("PBS_"))
    variables["PBS_EXPORTER__PBS__ENDPOINT"] = f"https://127.0.0.1:{port}"
    env = {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0"}
    async with started("demo", "--pbs-port", str(port), env=env) as running:
        await running.line("msg=started")
        ended = await run("once", env=environment(**variables))
    assert Scraped(ended.stdout).value("pbs_up") == 1


async def test_demo_without_its_pbs_port() -> None:
    """A port for the simulated PBS that is taken is one line on stderr and exit 1."""
    with socket.create_server(("", 0)) as listening:
        port = listening.getsockname()[1]
        env = environment(PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS="127.0.0.1:0")
        ended = await run("demo", "--pbs-port", str(port), env=env)
    assert (ended.code, len(ended.lines)) == (1, 1)
    assert "address already in use" in ended.lines[0]


# the command line itself


async def test_version() -> None:
    """`--version` prints the name and the version."""
    assert await run("--version") == Ended(0, f"pbs-exporter {__version__}\n", "")


async def test_runs_as_a_module() -> None:
    """`python -m pbs_exporter` is the same program, with the same exit codes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pbs_exporter", "srve", env=environment(), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT):
        _, stderr = await process.communicate()
    assert process.returncode == 2
    assert stderr.decode().startswith("usage: pbs-exporter ")


async def test_help_has_commands_and_examples() -> None:
    """`--help` lists every command and has examples."""
    ended = await run("--help")
    assert (ended.code, ended.stderr) == (0, "")
    commands = re.findall(r"^ {4}([a-z]+) ", ended.stdout, re.MULTILINE)
    assert commands == ["serve", "check", "once", "healthcheck", "demo"]
    assert len(re.findall(r"^  pbs-exporter ", ended.stdout, re.MULTILINE)) >= 3


@pytest.mark.parametrize(
    "arguments",
    [["srve"], ["--confg", "x"], ["--conf", "x"], ["check", "--output", "x"], ["--config"], ["once", "--out", "x"]],
    ids=" ".join,
)
async def test_wrong_command_line(arguments: list[str]) -> None:
    """An unknown command or option is exit 2, one line of usage and one that says what is wrong."""
    ended = await run(*arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert [line.partition(":")[0] for line in ended.lines][:1] == ["usage"]
    assert len([line for line in ended.lines if line.startswith("usage:")]) == 1
    assert re.match(r"pbs-exporter( [a-z]+)?: error: ", ended.lines[-1])
