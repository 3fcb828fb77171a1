"""`serve`: how the program starts, runs and exits."""

import asyncio
import os
import re
import resource
import signal
import socket
import sys
import time
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import aiohttp
import pytest

from pbs_exporter.simulator import Certificate, Fault, Replay, SimulatedPbs
from tests.support.metrics_page import Scraped
from tests.support.paths import recording_file
from tests.support.program import PROGRAM, WAIT, Running, get, run_program, serving, settings, started


async def asked(pbs: SimulatedPbs) -> None:
    """Wait until the PBS has received a request."""
    async with asyncio.timeout(WAIT):
        while not pbs.requests:  # noqa: ASYNC110 - its log is a plain list
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("arguments", [(), ("serve",)], ids=["default", "serve"])
async def test_serves_until_sigterm(pbs: SimulatedPbs, arguments: tuple[str, ...]) -> None:
    """With or without `serve`, the program serves metrics, health and the status page, and exits with 0 on SIGTERM."""
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


_AND_TELL = """
import ssl, sys
from pbs_exporter.__main__ import main
code = main(sys.argv[1:])
print(*sys.modules)
import aiohttp.connector
for context in (aiohttp.connector._SSL_CONTEXT_VERIFIED, ssl.create_default_context()):
    print(context.cert_store_stats()["x509"])
sys.exit(code)
"""
"""The program, which then prints its modules, and the CAs that aiohttp and others have loaded."""


async def test_what_it_does_not_need_takes_no_memory(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """With settings in a file and in variables, a service that has been scraped has loaded nothing that it can spare.

    That is the simulated PBS, the other commands, and libraries for what its settings don't have: dynaconf for keys
    that are set twice, PyYAML and bcrypt for a web configuration, the system's CAs for a PBS that is verified.
    """
    (tmp_path / "ca.pem").write_bytes(Certificate.make().pem)
    (tmp_path / "settings.toml").write_text('[pbs]\ntimeout_seconds = 60\n[exporter]\nlog_level = "info"\n')
    arguments = ("-c", _AND_TELL, "--config", str(tmp_path / "settings.toml"))
    # Coverage has modules of its own.
    uncovered = {name: "" for name in os.environ if name.startswith("COV")}
    variables = settings(pbs, SSL_CERT_FILE=str(tmp_path / "ca.pem"), **uncovered)
    async with started(*arguments, env=variables, program=sys.executable) as running:
        status, text = await get(f"{await serving(running)}/metrics")
        ended = await running.end(signal.SIGTERM)
    modules, of_aiohttp, of_others = ended.stdout.splitlines()
    assert (status, Scraped(text).value("pbs_up"), ended.code) == (200, 1, 0)
    packages = {".".join(name.split(".")[:2]) for name in modules.split()}
    assert packages.isdisjoint(
        {"bcrypt", "dynaconf", "multiprocessing", "pbs_exporter.simulator", "sqlite3", "unittest", "xml", "yaml"}
    )
    commands = {name for name in modules.split() if name.startswith("pbs_exporter.commands.")}
    assert commands == {"pbs_exporter.commands.interpreter", "pbs_exporter.commands.serve"}
    assert (of_aiohttp, of_others) == ("0", "1")


async def test_scrapes_leave_nothing_to_the_garbage_collector(pbs: SimulatedPbs) -> None:
    """What a scrape makes is free at its end, and Python looks less than once in ten scrapes for what isn't."""

    def of_newest(page: Scraped, name: str) -> float:
        return page.by(name, "generation")["0"]

    async with started(env=settings(pbs)) as running:
        address = await serving(running)
        pages = [Scraped((await get(f"{address}/metrics"))[1]) for _ in range(25)]
    _, first, *_, last = pages
    looked, found = "python_gc_collections_total", "python_gc_objects_collected_total"
    assert of_newest(last, looked) - of_newest(first, looked) <= 2
    assert of_newest(last, found) - of_newest(first, found) < 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_in_the_middle_of_a_scrape(pbs: SimulatedPbs, number: signal.Signals) -> None:
    """On SIGTERM and SIGINT it exits with 0 within 5 s, even while PBS doesn't answer a scrape."""
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_while_it_ends(pbs: SimulatedPbs, number: signal.Signals) -> None:
    """Signals that follow the one that ends the program, until it has exited, don't change its exit code."""
    async with started(env=settings(pbs)) as running:
        await serving(running)
        running.process.send_signal(signal.SIGTERM)
        await running.line("msg=stopping")
        while running.process.returncode is None:
            # asyncio's own way takes the exit code away.
            with suppress(ProcessLookupError):
                os.kill(running.process.pid, number)
            await asyncio.sleep(0.001)
        ended = await running.end()
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


async def test_signal_while_listings_are_under_way(pbs: SimulatedPbs) -> None:
    """A listing that continues after its scrape doesn't delay the exit."""
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
    """If the listen address is in use, the program writes one line to stderr, and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        ended = await run_program(command, env=settings(pbs, PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS=address))
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.lines == [
        f"pbs-exporter: can't listen on {address}: address already in use; [exporter] listen_address says where"
    ]


@pytest.mark.parametrize("command", ["serve", "check", "once"])
async def test_wrong_settings(pbs: SimulatedPbs, command: str) -> None:
    """All wrong settings are reported at once, each in a line on stderr, with exit code 1 and without the secret."""
    wrong = settings(
        pbs,
        PBS_EXPORTER__PBS__ENDPOINT="pbs.example.com",
        PBS_EXPORTER__PBS__TOKEN_ID=f"{pbs.token_id}:{pbs.secret}",
        PBS_EXPORTER__PBS__TIMEOUT_SECONDS="five",
        PBS_EXPORTER__PBS__TIMEOUT="5",
    )
    ended = await run_program(command, env=wrong)
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
    """Without any settings, each of the three required ones is named in a line, and the exit code is 1."""
    ended = await run_program()
    assert (ended.code, ended.stdout) == (1, "")
    assert [re.findall(r"PBS_EXPORTER__PBS__\w+", line) for line in ended.lines] == [
        ["PBS_EXPORTER__PBS__ENDPOINT"],
        ["PBS_EXPORTER__PBS__TOKEN_ID"],
        ["PBS_EXPORTER__PBS__TOKEN_SECRET"],
    ]


async def test_variables_of_kubernetes_are_harmless(pbs: SimulatedPbs) -> None:
    """The variables that Kubernetes injects for a Service of the exporter's name change nothing, and aren't logged."""
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
    """The Rust exporter's `config/default.toml` works unchanged with `--config`, and RUST_LOG causes one hint."""
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


NATRONTECH = {
    "PBS_ENDPOINT": "https://theirs:8007",
    "PBS_USERNAME": "theirs@pbs",
    "PBS_API_TOKEN_NAME": "theirs",
    "PBS_API_TOKEN": "11111111-theirs",
}


async def test_variables_of_natrontechs_exporter_are_told_once(pbs: SimulatedPbs) -> None:
    """The start logs one line with the variables of natrontech's exporter and their names here, and no value."""
    async with started(env=settings(pbs) | NATRONTECH) as running:
        await serving(running)
        ended = await running.end(signal.SIGTERM)
    (line,) = (line for line in ended.lines if "another exporter" in line)
    assert "PBS_API_TOKEN (here PBS_EXPORTER__PBS__TOKEN_SECRET)" in line
    assert all(f"{name} (here PBS_EXPORTER__PBS__" in line for name in NATRONTECH)
    assert "theirs" not in ended.stderr


async def test_start_with_the_variables_of_natrontechs_exporter_alone() -> None:
    """With these variables and none of ours, it exits with 1, and the same line stands below what is missing."""
    ended = await run_program(env=NATRONTECH)
    assert ended.code == 1
    *missing, hint = ended.lines
    assert all("is missing" in line for line in missing)
    assert len(missing) == 3
    assert "PBS_ENDPOINT (here PBS_EXPORTER__PBS__ENDPOINT)" in hint
    assert "theirs" not in ended.stderr


async def test_secret_stays_secret_at_debug(pbs: SimulatedPbs) -> None:
    """At log level debug, with a wrong token and broken answers, the output doesn't contain the secret."""
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


NO_THREADS = """\
import sys, threading
def start(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
from pbs_exporter.__main__ import main
sys.exit(main())
"""

NAME_THAT_HANGS = """\
import socket, sys, time
lookup = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if host == "hangs.example":
        time.sleep(3600)
    return lookup(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
from pbs_exporter.__main__ import main
sys.exit(main())
"""


def threads_of(pid: int) -> int:
    """Return the number of a process's threads."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def changed(program: str, environment: dict[str, str]) -> AbstractAsyncContextManager[Running]:
    """Run the program with a change to Python's library."""
    return started("-c", program, env=environment, program=sys.executable)


async def test_a_limit_of_threads_is_no_end(pbs: SimulatedPbs) -> None:
    """Where no thread can be started, names can't be looked up, and everything else goes on: pages, log, end."""
    async with changed(NO_THREADS, settings(pbs, PBS_EXPORTER__PBS__ENDPOINT="https://localhost:8007")) as running:
        address = await serving(running)
        for path in ("/metrics", "/"):
            status, text = await get(f"{address}{path}")
            assert status == 200
            assert path == "/" or Scraped(text).value("pbs_up") == 0
        ended = await running.end(signal.SIGTERM)
    assert ended.code == 0
    assert all(line.startswith("ts=") for line in ended.lines)
    assert [line for line in ended.lines if "PBS unreachable" in line and "no thread can be started" in line]


async def test_the_limit_of_open_files_is_raised(pbs: SimulatedPbs) -> None:
    """The soft limit of open files, which shells set for all programs, becomes the hard one."""
    shell = ("-c", f"ulimit -Sn 256; exec {PROGRAM}")
    async with started(*shell, env=settings(pbs), program="/bin/sh") as running:
        await serving(running)
        soft, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard != 256


@pytest.mark.parametrize("zone", ["%25", "%"])
async def test_an_address_with_a_zone(zone: str) -> None:
    """PBS is reached by an IPv6 address with a zone, which is written after `%25` or `%`."""
    pbs = SimulatedPbs(Replay(recording_file("pbs-4.2.3")), login_delay=0)
    await pbs.start(host="::1")
    try:
        port, index = pbs.endpoint.rpartition(":")[2], socket.if_nametoindex("lo")
        endpoint = {
            "PBS_EXPORTER__PBS__ENDPOINT": f"https://[::1{zone}{index}]:{port}",
            "PBS_EXPORTER__PBS__FINGERPRINT": pbs.fingerprint,
        }
        async with started(env=settings(pbs, **endpoint)) as running:
            _, text = await get(f"{await serving(running)}/metrics")
    finally:
        await pbs.stop()
    assert Scraped(text).value("pbs_up") == 1


async def test_sigterm_waits_for_no_name_server(pbs: SimulatedPbs) -> None:
    """Where the name of PBS is looked up for ever, scrapes end in time, and SIGTERM ends the program at once."""
    environment = settings(pbs, PBS_EXPORTER__PBS__ENDPOINT="https://hangs.example:8007")
    async with changed(NAME_THAT_HANGS, environment) as running:
        address = await serving(running)
        async with aiohttp.ClientSession(headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"}) as session:
            for _ in range(3):
                async with session.get(f"{address}/metrics") as response:
                    assert "pbs_up 0" in await response.text()
        threads = threads_of(running.process.pid)
        # The wait for its end is shorter than the lookup.
        assert (await running.end(signal.SIGTERM)).code == 0
    assert threads < 10
