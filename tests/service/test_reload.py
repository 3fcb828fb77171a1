"""Settings that change while the program runs, as a process with a settings file."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.commands import serve
from pbs_exporter.config import ExporterSettings, Settings
from pbs_exporter.errors import ConfigError
from pbs_exporter.simulator import SimulatedPbs
from pbs_exporter.web.app import create_app
from pbs_exporter.web.reload import Load
from tests.support.exporter import make_settings
from tests.support.metrics_page import Scraped, failed
from tests.support.program import WAIT, Running, get, serving, started
from tests.support.running import simulated
from tests.support.waiting import Gate, eventually

CHANGES = 50
SCRAPES_A_SECOND = 20
AT_ONCE = 10
"""The most scrapes under way. On a busy machine, more and more of them would be waiting otherwise."""


def settings_text(targets: Mapping[str, SimulatedPbs], limits: Mapping[str, int] | None = None) -> str:
    """Return a settings file with these targets. `limits` are their `snapshot_history_limit`."""
    head = '[exporter]\nlisten_address = "127.0.0.1:0"\nlifecycle = true\n'
    parts = [
        f'[targets.{name}]\nendpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
        f"listing_interval_seconds = 3600\nsnapshot_history_limit = {(limits or {}).get(name, 0)}\n"
        for name, pbs in targets.items()
    ]
    return "\n".join([head, *parts])


def replaced(file: Path, text: str) -> None:
    """Replace a file as the documentation says: write a new one and rename it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def descriptors(running: Running) -> int:
    return sum(1 for _ in Path(f"/proc/{running.process.pid}/fd").iterdir())


def listings(targets: Iterable[SimulatedPbs]) -> int:
    return sum(request.path.endswith("/snapshots") for pbs in targets for request in pbs.requests)


async def test_reload_under_load(tmp_path: Path) -> None:
    """While the file changes fifty times, no scrape fails, unchanged targets list nothing anew, and nothing is left."""
    file = tmp_path / "settings.toml"
    async with AsyncExitStack() as stack:
        targets = {f"t{number}": await stack.enter_async_context(simulated()) for number in range(10)}
        replaced(file, settings_text(targets))
        running = await stack.enter_async_context(started("--config", str(file)))
        address = await serving(running)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        pages: dict[str, list[tuple[int, str]]] = {name: [] for name in targets}

        async def scrape(name: str) -> None:
            async with session.get(f"{address}/probe", params={"target": name}) as response:
                pages[name].append((response.status, await response.text()))

        await asyncio.gather(*map(scrape, targets))
        asked, opened = listings(list(targets.values())[1:]), descriptors(running)
        done = asyncio.Event()

        async def load() -> None:
            under_way: set[asyncio.Task[None]] = set()
            number = 0
            while not done.is_set():
                task = asyncio.create_task(scrape(f"t{number % 10}"))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
                await asyncio.sleep(1 / SCRAPES_A_SECOND)
                while len(under_way) >= AT_ONCE:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*under_way)

        loading = asyncio.create_task(load())
        for change in range(CHANGES):
            good = settings_text(targets, {"t0": change})
            match change % 5:
                case 1:
                    replaced(file, good.replace("token_id", "token_di", 1))
                case 2:
                    replaced(file, good[: good.rindex('"')])
                case 3:
                    file.unlink()
                case _:
                    replaced(file, good)
            async with session.post(f"{address}/-/reload") as response:
                assert response.status == (200 if change % 5 in (0, 4) else 500), await response.text()
        done.set()
        await loading
        assert {status for found in pages.values() for status, _ in found} == {200}
        last = {name: Scraped(found[-1][1]) for name, found in pages.items()}
        assert all(page.value("pbs_up") == 1 and failed(page) == set() for page in last.values())
        # Only the target that changed has been listed again.
        assert listings(list(targets.values())[1:]) == asked
        await eventually(lambda: descriptors(running) <= opened + 2)
        ended = await running.end(signal.SIGTERM)
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


async def test_sighup_reloads(tmp_path: Path) -> None:
    """SIGHUP reads the settings again: a new target is there, and wrong ones are told."""
    file = tmp_path / "settings.toml"
    async with simulated() as one, simulated() as two:
        replaced(file, settings_text({"one": one}))
        async with started("--config", str(file)) as running:
            address = await serving(running)
            assert (await get(f"{address}/probe?target=two"))[0] == 400
            replaced(file, settings_text({"one": one, "two": two}))
            running.process.send_signal(signal.SIGHUP)
            await running.line(r"settings reloaded.* targets=2")
            assert Scraped((await get(f"{address}/probe?target=two"))[1]).value("pbs_up") == 1
            replaced(file, "[targets]\n")
            running.process.send_signal(signal.SIGHUP)
            await running.line(r"settings not reloaded.* has no target")
            assert (await get(f"{address}/probe?target=two"))[0] == 200
            metrics = Scraped((await get(f"{address}/metrics"))[1])
            assert metrics.value("pbs_exporter_config_last_reload_successful") == 0
            ended = await running.end(signal.SIGTERM)
    assert ended.code == 0


@asynccontextmanager
async def served_here(pbs: SimulatedPbs, load: Load) -> AsyncIterator[tuple[asyncio.Task[None], str]]:
    """Serve in this process until a signal. Yield what ends then, and the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        service = asyncio.create_task(serve.serve_until_stopped(make_settings(pbs), [listening], load))
        try:
            await eventually(lambda: signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL)
            yield service, address
        finally:
            service.cancel()
            await asyncio.gather(service, return_exceptions=True)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)


async def test_a_reload_ends_with_the_program(pbs: SimulatedPbs) -> None:
    """A reload that is under way at SIGTERM is given up: it starts no target that nobody would end."""
    reading, read = threading.Event(), threading.Event()

    def load() -> tuple[Settings, list[str]]:
        reading.set()
        read.wait(WAIT)
        return make_settings(pbs), []

    async with served_here(pbs, load) as (service, _):
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            await eventually(reading.is_set)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(service, WAIT)
            assert [task for task in asyncio.all_tasks() if task.get_name() == "reload"] == []
        finally:
            read.set()


async def test_a_reload_goes_on_without_its_client(pbs: SimulatedPbs) -> None:
    """A reload ends as it would have if the client that asked for it had waited."""
    reading, read = threading.Event(), threading.Event()
    settings = make_settings(pbs, exporter=ExporterSettings(process_metrics=False, lifecycle=True))

    def load() -> tuple[Settings, list[str]]:
        reading.set()
        read.wait(WAIT)
        raise ConfigError(["wrong"])

    async with TestClient(TestServer(create_app(settings, COLLECTORS, load=load))) as client:
        asking = asyncio.create_task(client.post("/-/reload"))
        await eventually(reading.is_set)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        # The server has noticed.
        await eventually(lambda: not client.server.handler.connections)
        with capture_logs() as logs:
            read.set()
            await eventually(lambda: [entry["event"] for entry in logs] == ["settings not reloaded"])


async def test_readiness_while_the_program_ends(pbs: SimulatedPbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a scrape under way keeps the program from ending, `/-/ready` answers 503."""
    monkeypatch.setattr(serve, "QUIET_SECONDS", WAIT)
    gate = Gate()
    pbs.faults.add("/nodes/localhost/status", gate.fault)
    async with served_here(pbs, lambda: (make_settings(pbs), [])) as (service, address):
        scrape = asyncio.create_task(get(f"{address}/metrics"))
        await eventually(lambda: len(gate.waiting) > 0)
        assert await get(f"{address}/-/ready") == (200, "ok\n")
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
        assert await get(f"{address}/-/ready") == (503, "ending\n")
        gate.open()
        status, text = await scrape
        await asyncio.wait_for(service, WAIT)
    assert (status, Scraped(text).value("pbs_up")) == (200, 1)
