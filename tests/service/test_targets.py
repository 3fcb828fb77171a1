"""Many PBS behind one exporter: `/probe`, `collect[]`, `/sd`, `/-/ready`, `/-/reload` and the overview."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import ExporterSettings, Settings, TargetConfig
from pbs_exporter.config.network import external_url
from pbs_exporter.config.values import RawValue
from pbs_exporter.errors import ConfigError
from pbs_exporter.pbs.http import connector
from pbs_exporter.simulator import Fault, SimulatedPbs, World
from pbs_exporter.web.app import READINESS, RELOADER, TARGETS, create_app
from tests.support.exporter import Client, FakeClock, main_of, make_settings
from tests.support.metrics_page import Scraped, failed
from tests.support.own_port import ALICE
from tests.support.program import closed_port, deaf
from tests.support.running import NOW, simulated, small_world
from tests.support.status_page import Page
from tests.support.waiting import Gate, eventually

NAMES_ALONE = "targets are names from the settings, never addresses\n"
EXPORTER = ExporterSettings(process_metrics=False)


def config(pbs: SimulatedPbs, labels: Mapping[str, str] | None = None, **target: Any) -> TargetConfig:
    """Return the settings of a target for a simulated PBS."""
    return replace(main_of(make_settings(pbs, **target)), labels=labels or {})


class Fleet:
    """An exporter of several PBS. `settings` are what a reload reads; an error is what it raises."""

    def __init__(self, pbs: dict[str, SimulatedPbs], settings: Settings) -> None:
        self.pbs = pbs
        self.settings: Settings | ConfigError = settings
        self.app = create_app(settings, COLLECTORS, FakeClock(NOW).clock, load=self._load)
        self.client: Client

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of an answer."""
        async with self.client.get(path, headers=headers) as response:
            return response.status, await response.text()

    async def page(self, path: str) -> Scraped:
        """Scrape; the answer must be a 200."""
        status, text = await self.get(path)
        assert status == 200, text
        return Scraped(text)

    async def reload(self, **changes: Any) -> list[str]:
        """Reload with changed settings. Return what was wrong with them."""
        assert isinstance(self.settings, Settings)
        self.settings = replace(self.settings, **changes)
        return await self.app[RELOADER].reload()

    def _load(self) -> tuple[Settings, list[str]]:
        if isinstance(self.settings, ConfigError):
            raise self.settings
        return self.settings, []


@asynccontextmanager
async def fleet(
    names: Iterable[str] = ("one", "two"),
    *,
    main: bool = True,
    exporter: ExporterSettings = EXPORTER,
    namespaces: int = 2,
    **target: Any,
) -> AsyncIterator[Fleet]:
    """Run an exporter with these targets, and with a PBS of `/metrics` unless told otherwise."""
    async with AsyncExitStack() as stack:
        pbs = {
            name: await stack.enter_async_context(simulated(small_world(2, namespaces)))
            for name in (["main"] if main else []) + [*names]
        }
        targets = {name: config(pbs[name], {"site": f"site-{name}"}, **target) for name in names}
        found = Fleet(pbs, Settings(exporter=exporter, main=config(pbs["main"]) if main else None, targets=targets))
        found.client = await stack.enter_async_context(TestClient[web.Request, web.Application](TestServer(found.app)))
        yield found


async def test_each_target_has_its_own_page() -> None:
    """`/probe` asks only that target, and has its page with its own counters, without metrics of the process."""
    async with fleet(exporter=ExporterSettings()) as many:
        page = await many.page("/probe?target=one")
        assert page.value("pbs_up") == 1
        assert failed(page) == set()
        assert (len(many.pbs["two"].requests), len(many.pbs["main"].requests)) == (0, 0)
        assert many.pbs["one"].requests
        assert page.value("pbs_exporter_api_requests_total", endpoint="/version", code="200") == 1
        assert page.series("pbs_exporter_build_info")
        for name in ("process_cpu_seconds_total", "python_info", "pbs_exporter_config_last_reload_successful"):
            assert page.series(name) == []
        main = await many.page("/metrics")
        assert main.value("pbs_exporter_api_requests_total", endpoint="/version", code="200") == 1
        assert main.value("pbs_exporter_config_last_reload_successful") == 1
        assert main.series("process_cpu_seconds_total")


async def test_metrics_without_a_pbs() -> None:
    """Without a PBS of `[pbs]`, `/metrics` has the program's own metrics alone."""
    async with fleet(main=False, exporter=ExporterSettings()) as many:
        page = await many.page("/metrics")
        assert page.series("pbs_up") == []
        assert page.series("pbs_exporter_build_info")
        assert page.series("process_cpu_seconds_total")
        assert await many.get("/metrics?collect[]=host") == (
            400,
            "collect[] needs a PBS, and [pbs] has none; write /probe?target=NAME\n",
        )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/probe", f"write one target, as in /probe?target=NAME; {NAMES_ALONE}"),
        ("/probe?target=", f"write one target, as in /probe?target=NAME; {NAMES_ALONE}"),
        ("/probe?target=one&target=two", f"write one target, as in /probe?target=NAME; {NAMES_ALONE}"),
        ("/probe?target=three", f"there is no such target; {NAMES_ALONE}"),
        ("/probe?target=ONE", f"there is no such target; {NAMES_ALONE}"),
        ("/probe?target=https://127.0.0.1:8007", f"there is no such target; {NAMES_ALONE}"),
        ("/probe?target=one&collect[]=x", "collect[]: there is no such collector; there are "),
        ("/probe?target=one&collect[]=", "collect[]: there is no such collector; there are "),
        ("/probe?target=one&collect[]=host&collect[]=disks", "collect[]: the collector is disabled in the settings\n"),
        ("/metrics?target=one", "/metrics has the PBS of [pbs]; write /probe?target=NAME for another one\n"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_queries_that_are_refused(path: str, text: str, method: str) -> None:
    """A query for no target, several, an unknown one or an address gets a line, and asks nobody anything."""
    async with fleet() as many:
        async with many.client.request(method, path) as response:
            assert response.status == 400
            assert (await response.text()).startswith(text if method == "GET" else "")
        assert not any(pbs.requests for pbs in many.pbs.values())


async def test_other_parameters_are_ignored() -> None:
    """A parameter that other exporters have changes nothing."""
    async with fleet() as many:
        assert (await many.page("/probe?target=one&module=default")).value("pbs_up") == 1
        assert (await many.page("/metrics?module=x")).value("pbs_up") == 1


@pytest.mark.parametrize("path", ["/metrics?", "/probe?target=one&"])
async def test_some_collectors(path: str) -> None:
    """`collect[]` runs these collectors alone, and says nothing of the others."""
    async with fleet() as many:
        page = await many.page(f"{path}collect[]=host&collect[]=gc")
        ran = {labels["collector"] for labels, _ in page.series("pbs_scrape_collector_success")}
        assert ran == {"host", "gc"}
        assert page.series("pbs_snapshot_count") == []
        assert page.series("pbs_host_uptime_seconds")
        assert page.value("pbs_up") == 1


async def test_comments_of_tasks_stay() -> None:
    """Tasks have the same labels in a scrape without the snapshots as in one with them."""
    async with fleet(namespaces=1) as many:
        whole = await many.page("/probe?target=one")
        alone = await many.page("/probe?target=one&collect[]=tasks")
        assert alone.series("pbs_task_total") == whole.series("pbs_task_total")
        assert any(labels["comment"] for labels, _ in whole.series("pbs_task_total"))


async def test_the_overview_keeps_what_other_collectors_did() -> None:
    """A scrape of some collectors doesn't hide the failures of others."""
    async with fleet() as many:
        many.pbs["one"].faults.add("/admin/gc", Fault.status(500, "worker panicked"))
        await many.page("/probe?target=one")
        await many.page("/probe?target=one&collect[]=host")
        assert "gc" in (await many.get("/"))[1]


async def test_discovery() -> None:
    """`/sd` has one group for each target at the address of the request, with its name as `instance` and its labels."""
    async with fleet() as many:
        async with many.client.get("/sd") as response:
            groups = await response.json()
            assert response.headers["Cache-Control"] == "no-store"
        address = f"{many.client.host}:{many.client.port}"
        assert groups == [
            {
                "targets": [address],
                "labels": {
                    "__metrics_path__": "/probe",
                    "__param_target": name,
                    "instance": name,
                    "site": f"site-{name}",
                },
            }
            for name in ("one", "two")
        ]


async def test_discovery_without_targets() -> None:
    """Without targets, the list is empty: the PBS of `/metrics` isn't one."""
    async with fleet(()) as many:
        assert await many.get("/sd") == (200, "[]")


async def test_discovery_behind_a_proxy() -> None:
    """`external_url` gives scheme, address and path; headers of a proxy are ignored."""
    url = external_url(RawValue("x", "https://metrics.example.com:9443/pbs/", typed=True))
    async with fleet(exporter=ExporterSettings(external_url=url)) as many:
        groups = json.loads((await many.get("/sd"))[1])
    assert groups[0]["targets"] == ["metrics.example.com:9443"]
    assert groups[0]["labels"]["__scheme__"] == "https"
    assert groups[0]["labels"]["__metrics_path__"] == "/pbs/probe"
    async with fleet() as many:
        forwarded = {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "https", "Forwarded": "host=evil"}
        groups = json.loads((await many.get("/sd", **forwarded))[1])
        assert groups[0]["targets"] == [f"{many.client.host}:{many.client.port}"]
        assert "__scheme__" not in groups[0]["labels"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("pbs-exporter:9101", 200),
        ("pbs_exporter", 200),
        ("10.0.0.1:9101", 200),
        ("[fd00::1]:9101", 200),
        ("a b", 400),
        ("a/b", 400),
        ("a@b", 400),
        ("a:0", 400),
        ("a:65536", 400),
        ("[fd00::1", 400),
        ("[fe80::1%eth0]:9101", 400),
        ("[::1%<a b>]", 400),
        ("[::1%ü]", 400),
        ("[::1%?x=y]:9101", 400),
        (".".join(["a" * 63] * 4), 400),
        ("", 400),
    ],
)
async def test_hosts(host: str, status: int) -> None:
    """A `Host` that is no host is refused: it would become an address that Prometheus scrapes."""
    async with fleet() as many:
        answered, text = await many.get("/sd", Host=host)
        assert answered == status
        if status == 200:
            assert json.loads(text)[0]["targets"] == [host]


async def test_readiness() -> None:
    """`/-/ready` says when the program ends; `/-/healthy` doesn't."""
    async with fleet() as many:
        assert await many.get("/-/ready") == (200, "ok\n")
        many.app[READINESS].is_ending = True
        assert await many.get("/-/ready") == (503, "ending\n")
        assert await many.get("/-/healthy") == (200, "ok\n")


async def test_reload_keeps_what_has_not_changed() -> None:
    """After a reload, unchanged targets keep their listings and their login; changed and new ones start anew."""
    async with fleet(listing_interval_seconds=3600.0) as many, simulated() as third:
        for name in ("one", "two"):
            await many.page(f"/probe?target={name}")
        before = dict(many.app[TARGETS].by_name)
        assert isinstance(many.settings, Settings)
        one = replace(many.settings.targets["one"], labels={"site": "elsewhere"})
        two = config(many.pbs["two"], snapshot_history_limit=1)
        assert await many.reload(targets={"one": one, "two": two, "three": config(third)}) == []
        now = many.app[TARGETS].by_name
        assert now["one"] is before["one"]
        assert now["two"] is not before["two"]
        listed = len([request for request in many.pbs["one"].requests if request.path.endswith("/snapshots")])
        await many.page("/probe?target=one")
        again = [request for request in many.pbs["one"].requests if request.path.endswith("/snapshots")]
        assert len(again) == listed
        assert (await many.page("/probe?target=three")).value("pbs_up") == 1
        assert json.loads((await many.get("/sd"))[1])[0]["labels"]["site"] == "elsewhere"


async def test_a_target_that_is_gone_ends_after_its_scrapes() -> None:
    """A scrape under way is answered although its target is gone; the next one is refused."""
    gate = Gate()
    async with fleet() as many:
        many.pbs["one"].faults.add("/nodes/localhost/status", gate.fault)
        scrape = asyncio.create_task(many.page("/probe?target=one"))
        await eventually(lambda: len(gate.waiting) == 1)
        await many.reload(targets={})
        assert (await many.get("/probe?target=one"))[0] == 400
        gate.open()
        page = await scrape
        assert page.value("pbs_up") == 1
        assert failed(page) == set()


async def test_the_end_closes_targets_that_are_gone() -> None:
    """What runs in the background for a target that is gone ends with the program, though a scrape never ended."""
    gate = Gate()
    async with fleet() as many:
        for path in ("/access/permissions", "/nodes/localhost/status"):
            many.pbs["one"].faults.add(path, gate.fault)
        scrape = asyncio.create_task(many.get("/probe?target=one"))
        await eventually(lambda: len(gate.waiting) >= 2)
        await many.reload(targets={})
        await many.app[TARGETS].close()
        left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("slow collector")]
        scrape.cancel()
        gate.open()
    assert left == []


async def test_wrong_settings_change_nothing() -> None:
    """Settings that can't be used are told, in the answer, the log and a metric; all goes on as before."""
    async with fleet(exporter=replace(EXPORTER, lifecycle=True)) as many:
        good, many.settings = many.settings, ConfigError(["[targets.one] x: there is no such setting"])
        with capture_logs() as logs:
            async with many.client.post("/-/reload") as response:
                assert (response.status, await response.text()) == (500, "[targets.one] x: there is no such setting\n")
        assert [entry["problem"] for entry in logs] == ["[targets.one] x: there is no such setting"]
        assert (await many.page("/probe?target=one")).value("pbs_up") == 1
        assert (await many.page("/metrics")).value("pbs_exporter_config_last_reload_successful") == 0
        many.settings = good
        async with many.client.put("/-/reload") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        assert (await many.page("/metrics")).value("pbs_exporter_config_last_reload_successful") == 1


async def test_a_file_that_vanishes_while_the_settings_are_read(tmp_path: Path) -> None:
    """Settings whose CA file goes after it was checked change nothing either, whatever else they have."""
    async with fleet() as many, simulated() as third:
        assert isinstance(many.settings, Settings)
        before = many.app[TARGETS].all()
        gone = config(third, ca_file=tmp_path / "gone.pem", verify_tls=True)
        good = many.settings
        assert await many.reload(targets={"one": config(third), "three": gone}) == [
            "target three: ca_file can't be read any more (No such file or directory)"
        ]
        assert many.app[TARGETS].all() == before
        assert (await many.page("/metrics")).value("pbs_exporter_config_last_reload_successful") == 0
        many.settings = good
        wrong = replace(EXPORTER, web_config_file=tmp_path / "gone.yml")
        assert len(await many.reload(targets={"one": config(third)}, exporter=wrong)) == 1
        assert many.app[TARGETS].all() == before
        await eventually(lambda: not [task for task in asyncio.all_tasks() if "end of target" in task.get_name()])


async def test_a_reload_that_ends_the_login(tmp_path: Path) -> None:
    """Settings without the file with the users are told to leave the port without a login: half a file has none."""
    file = tmp_path / "web.yml"
    file.write_text(ALICE)
    async with fleet() as many:
        await many.reload(exporter=replace(EXPORTER, web_config_file=file))
        assert (await many.get("/metrics"))[0] == 401
        with capture_logs() as logs:
            await many.reload(exporter=EXPORTER)
        assert (await many.get("/metrics"))[0] == 200
        (entry,) = [entry for entry in logs if entry["log_level"] == "warning"]
        assert entry["event"] == "[exporter] web_config_file: the port has no login any more"


async def test_reload_needs_permission_and_a_method() -> None:
    """Without `lifecycle` a request reloads nothing, and no other method does."""
    async with fleet() as many:
        async with many.client.post("/-/reload") as response:
            assert response.status == 403
        async with many.client.get("/-/reload") as response:
            assert response.status == 405


async def test_what_is_only_read_at_start() -> None:
    """A listen address or a limit of connections is told to need a restart while it isn't that of the start."""
    async with fleet() as many:
        for number, is_told in ((7, True), (7, True), (EXPORTER.max_connections, False)):
            with capture_logs() as logs:
                await many.reload(exporter=replace(EXPORTER, max_connections=number))
            told = any("max_connections: is only read at start" in str(entry["event"]) for entry in logs)
            assert told == is_told


async def test_sick_targets_cost_the_others_nothing() -> None:
    """A target that hangs, refuses the token or isn't there fails alone; the others' pages are whole meanwhile."""
    gate = Gate()
    async with fleet(("well", "hangs", "refuses")) as many:
        many.pbs["hangs"].faults.add("*", gate.fault)
        many.pbs["refuses"].faults.add("*", Fault.status(401, "authentication failed"))
        assert isinstance(many.settings, Settings)
        dead = replace(many.settings.targets["well"].pbs, endpoint=f"http://127.0.0.1:{closed_port()}")
        targets = {**many.settings.targets, "dead": replace(many.settings.targets["well"], pbs=dead)}
        await many.reload(targets=targets)
        hanging = [asyncio.create_task(many.page("/probe?target=hangs")) for _ in range(10)]
        await eventually(lambda: len(gate.waiting) > 0)
        for name in ("dead", "refuses"):
            assert (await many.page(f"/probe?target={name}")).value("pbs_up") == 0
        page = await many.page("/probe?target=well")
        assert page.value("pbs_up") == 1
        assert failed(page) == set()
        for scrape in hanging:
            scrape.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        gate.open()


@contextmanager
def full_port() -> Iterator[int]:
    """Listen on a port whose queue is full: connecting to it hangs."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        port: int = listening.getsockname()[1]
        yield port


async def test_targets_that_hang_anywhere_cost_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that hang in DNS, connect, TLS or the body, beside a large one, leave a well one's pages whole."""
    resolve, released = connector._resolve, threading.Event()

    def slowly(host: str, port: int, family: int) -> Any:
        return released.wait(60) if host == "hangs.invalid" else resolve(host, port, family)

    monkeypatch.setattr(connector, "_resolve", slowly)
    async with (
        fleet(("well", "body")) as many,
        simulated(World(1, 1, 500, 20, seed=1, now=lambda: NOW)) as large,
        deaf() as silent,
    ):
        many.pbs["body"].faults.add("*", Fault.stall_body())
        assert isinstance(many.settings, Settings)
        well = many.settings.targets["well"]

        def at(endpoint: str) -> TargetConfig:
            return replace(well, pbs=replace(well.pbs, endpoint=endpoint))

        with full_port() as full:
            sick = {
                "dns": at("http://hangs.invalid:8007"),
                "connect": at(f"http://127.0.0.1:{full}"),
                "tls": at(f"https://127.0.0.1:{silent}"),
                "large": config(large),
            }
            await many.reload(targets={**many.settings.targets, **sick})
            names = [name for name in ("dns", "connect", "tls", "body", "large") for _ in range(8)]
            scrapes = [asyncio.create_task(many.page(f"/probe?target={name}")) for name in names]
            # They are under way when the first page of the well one is there.
            for _ in range(3):
                page = await many.page("/probe?target=well")
                assert (page.value("pbs_up"), failed(page)) == (1, set())
                assert not any(scrape.done() for name, scrape in zip(names, scrapes, strict=True) if name != "large")
            done = await asyncio.gather(*(one for name, one in zip(names, scrapes, strict=True) if name == "large"))
            assert all(len(page.series("pbs_snapshot_info")) == 10_000 for page in done)
            released.set()
            for scrape in scrapes:
                scrape.cancel()
            await asyncio.gather(*scrapes, return_exceptions=True)


async def test_log_lines_name_the_target() -> None:
    """What is logged about a target names it."""
    async with fleet() as many:
        many.pbs["one"].faults.add("/admin/gc", Fault.status(500, "worker panicked"))
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            await many.page("/probe?target=one")
        assert [(entry["collector"], entry.get("target")) for entry in logs] == [("gc", "one")]


async def test_overview() -> None:
    """With targets, `/` has a row for each PBS, failures first, which links to its own page."""
    async with fleet() as many:
        many.pbs["two"].faults.add("/version", Fault.status(500, "worker panicked"))
        await many.page("/probe?target=one")
        await many.page("/probe?target=two")
        status, text = await many.get("/")
        assert status == 200
        page = Page(text)
        assert page.open == []
        (table,) = page.tables.values()
        assert [row[0] for row in table.rows] == ["two", "[pbs]", "one"]
        assert table.rows[0][1].startswith("failed: 500 worker panicked")
        assert page.headings[1] == ("h2", "1 of 3 PBS servers with failures")
        assert 'href="?target=two"' in text
        own = await many.get("/?target=two")
        assert "PBS is down" in own[1]
        assert 'href="probe?target=two"' in own[1]
        assert (await many.get("/?target="))[0] == 200
        assert await many.get("/?target=three") == (404, "404 Not Found\n")
