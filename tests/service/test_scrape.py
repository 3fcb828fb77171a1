"""A scrape: its deadline, several scrapes at once, and the requests to PBS."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Result
from pbs_exporter.collectors.host import HostCollector
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.config import ExporterSettings
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.exposition.self_metrics import ApiMetrics
from pbs_exporter.pbs.snapshots import schedule
from pbs_exporter.scrape.target import asking_seconds
from pbs_exporter.simulator import Fault, World
from pbs_exporter.web.app import TARGETS, create_app
from tests.support.exporter import Exporter, exporting, make_settings
from tests.support.metrics_page import facts, failed, listed_at, without
from tests.support.running import GROUPS, NAMESPACES, NOW, SNAPSHOTS, Setup, running, simulated, small_world
from tests.support.waiting import Gate, Stopwatch, eventually

if TYPE_CHECKING:
    from tests.support.metrics_page import Scraped

HOST = {metric.name for metric in HostCollector.metrics}
ONCE_A_SCRAPE = {
    "/version": 1,
    "/nodes/{node}/status": 1,
    "/admin/datastore": 1,
    "/status/datastore-usage": 1,
    "/nodes/{node}/tasks": 2,
    "/admin/gc": 1,
    "/tape/drive": 1,
    "/admin/sync": 1,
    "/admin/verify": 1,
    "/admin/prune": 1,
    "/tape/backup": 1,
    "/status/metrics": 1,
    "/tape/media/list": 1,
}

ONCE_AN_INTERVAL = {
    "/nodes/{node}/subscription": 1,
    "/nodes/{node}/apt/update": 1,
    "/nodes/{node}/services": 1,
    "/access/permissions": 1,
    "/access/users": 1,
    "/admin/datastore": 1,
    NAMESPACES: 2,
    GROUPS: 4,
}
"""The endpoints of the slow collectors that are on by default."""


@pytest.fixture
def quick_pbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count every answered listing as quick, however busy this machine is."""
    monkeypatch.setattr(schedule, "SLOW_SECONDS", math.inf)


@pytest.mark.parametrize("endpoint", ["/version", "/nodes/localhost/status", "/admin/datastore", NAMESPACES])
async def test_a_page_comes_before_the_deadline(endpoint: str) -> None:
    """An endpoint that never answers removes only its own samples. The page comes within Prometheus's timeout."""
    costs = {
        "/version": set[str](),
        "/nodes/localhost/status": {"host"},
        # These collectors wait for it until their time is up.
        "/admin/datastore": {"datastores", "snapshots", "s3"},
        # The newest finished listing counts, and it succeeded.
        NAMESPACES: set[str](),
    }[endpoint]
    async with running(timeout_seconds=60.0) as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(endpoint, Fault.stall())
        watch = Stopwatch()
        page = await setup.scrape(4)
        assert watch.seconds < 4
        assert failed(page) == costs
        assert page.value("pbs_up") == (endpoint != "/version")
        lost = {metric.name for c in COLLECTORS if c.name in costs for metric in c.metrics}
        # The previous listings are shown.
        gone = lost - {metric.name for metric in SnapshotsCollector.metrics}
        if endpoint == "/version":
            gone |= {"pbs_version", "pbs_up"}
        assert without(facts(page), *gone) == without(facts(whole), *gone)


async def test_a_stalled_version_on_the_first_scrape_leaves_the_page_in_time() -> None:
    """If the first request to /version never answers, the page still comes in time, with pbs_up 0."""
    async with running() as setup:
        setup.pbs.faults.add("/version", Fault.stall())
        page = await setup.scrape(3)
        assert page.value("pbs_up") == 0
        assert page.value("pbs_version") is None
        setup.pbs.faults.clear()
        assert failed(await setup.scrape()) == set()


class DawdlingCollector(Collector[None]):
    """A collector whose samples take time. Its only one is the time that it had for asking PBS."""

    name = "dawdling"
    help = "Samples that take time."
    LEFT = Metric("pbs_time_for_asking_seconds", "Time that was left.")
    metrics = (LEFT,)
    SECONDS = 0.25

    def __init__(self) -> None:
        self._left = 0.0

    async def fetch(self, request: CollectorRequest) -> Result[None]:
        self._left = request.until - asyncio.get_running_loop().time()
        return Result(None)

    def samples(self, _answer: None, _context: Context) -> Iterator[Sample]:
        time.sleep(self.SECONDS)
        yield from self.LEFT(self._left)


async def test_the_page_is_made_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """PBS has less time by what it took to make the last page; the duration and the status page count the making."""
    collect = ApiMetrics.collect

    def dawdle(own: ApiMetrics) -> object:
        time.sleep(DawdlingCollector.SECONDS)
        return collect(own)

    monkeypatch.setattr(ApiMetrics, "collect", dawdle)
    making = 2 * DawdlingCollector.SECONDS
    async with simulated() as pbs:
        app = create_app(make_settings(pbs, collectors={"dawdling": True}), [DawdlingCollector()])
        async with TestClient(TestServer(app)) as client:
            exporter = Exporter(client)
            first, second = [await exporter.scrape(timeout_seconds=10) for _ in range(2)]
            served = app[TARGETS].main
    assert served is not None
    last = served.target.last_scrape
    left = [page.value("pbs_time_for_asking_seconds") for page in (first, second)]
    assert left[0] is not None
    assert left[1] is not None
    assert left[1] < 9.5 - making
    for page in (first, second):
        assert (page.value("pbs_exporter_scrape_duration_seconds") or 0) >= making
    assert last is not None
    assert last.seconds >= making


@pytest.mark.parametrize(("header", "budget"), [(None, 25.0), ("10", 9.5), ("0.8", 0.4), ("60", 25.0)])
async def test_the_page_shows_how_long_the_scrape_may_take(header: str | None, budget: float) -> None:
    """The budget is Prometheus's timeout less the margin, at most `scrape_timeout_seconds`, in each scrape anew."""
    async with running(scrape_timeout_seconds=25.0) as setup:
        await setup.scrape(5)
        page = await setup.scrape(header)
    assert page.value("pbs_exporter_scrape_budget_seconds") == budget


@pytest.mark.parametrize(
    ("seconds", "making", "asking"), [(9.5, 0.0, 9.5), (9.5, 0.5, 9.0), (9.5, 4.75, 4.75), (9.5, 60.0, 4.75)]
)
def test_the_time_for_asking(seconds: float, making: float, asking: float) -> None:
    """The last making's time is left over, but PBS has at least half of the time."""
    assert asking_seconds(seconds, making) == asking


async def test_two_scrapes_have_their_own_deadlines() -> None:
    """Of two simultaneous scrapes, only the one with the longer deadline has the slow answer."""
    gate = Gate()
    async with running(timeout_seconds=60.0) as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/nodes/localhost/status", gate.fault)
        long = asyncio.create_task(setup.scrape(50))
        short = await setup.scrape(4)
        assert failed(short) == {"host"}
        assert facts(short) == {k: v for k, v in facts(whole).items() if k[0] not in HOST}
        gate.open()
        assert facts(await long) == facts(whole)


async def test_twenty_scrapes_share_one_listing() -> None:
    """20 simultaneous scrapes of a slow PBS get 20 complete pages from one listing of each datastore."""
    gate = Gate()
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.requests.clear()
        setup.pbs.latency = 0.01
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        scrapes = [asyncio.create_task(setup.scrape()) for _ in range(20)]
        # Every scrape gets its list of datastores before the first listing ends.
        await eventually(lambda: setup.asked("/nodes/localhost/tasks") == 40 and setup.pbs.in_flight == 4)
        gate.open()
        pages = await asyncio.gather(*scrapes)
        assert all(facts(page) == facts(whole) for page in pages)
        assert all(failed(page) == set() for page in pages)
        asked = Counter(request.template for request in setup.pbs.requests)
        assert asked == {
            **{template: 20 * times for template, times in ONCE_A_SCRAPE.items()},
            NAMESPACES: 2,
            SNAPSHOTS: 4,
        }


async def test_twenty_first_scrapes_at_once_are_whole() -> None:
    """If the first scrapes of the program come at once, all their pages are complete."""
    async with running() as well:
        whole = await well.scrape()
    async with running() as setup:
        setup.pbs.latency = 0.01
        pages = await asyncio.gather(*(setup.scrape() for _ in range(20)))
        assert all(facts(page) == facts(whole) for page in pages)


async def test_each_scrape_asks_each_endpoint_once() -> None:
    """A scrape requests each endpoint once, even for several collectors: 14 requests, and those of the listings."""
    async with running() as setup:
        for scrapes in (1, 2, 3):
            await setup.scrape()
            asked = Counter(request.template for request in setup.pbs.requests)
            expected = {**ONCE_A_SCRAPE, NAMESPACES: 2, SNAPSHOTS: 4}
            often = {template: scrapes * times for template, times in expected.items()}
            assert asked == Counter(often) + Counter(ONCE_AN_INTERVAL)
        queries = {(request.template, request.query) for request in setup.pbs.requests}
        since = int(NOW) - 86_400 - 172_800
        assert {query for template, query in queries if template == "/nodes/{node}/tasks"} == {
            f"limit=0&since={since}",
            "running=1&limit=0",
        }
        assert {query for template, query in queries if template == "/tape/drive"} == {"query-activity=0"}


async def test_a_collector_that_is_off_asks_nothing() -> None:
    """A disabled collector has neither samples nor a success, and sends no request to PBS."""
    off = dict.fromkeys(DEFAULTS, False) | {"host": True}
    async with running(collectors=off) as setup:
        page = await setup.scrape()
        assert page.by("pbs_scrape_collector_success", "collector") == {"host": 1}
        assert {name for name, _ in facts(page) if not name.startswith("pbs_host_")} == {"pbs_up", "pbs_version"}
        assert [request.template for request in setup.pbs.requests] == ["/version", "/nodes/{node}/status"]


async def test_the_limit_of_scrapes() -> None:
    """A scrape beyond max_requests gets a 503 at once. After another one ends, a scrape is accepted again."""
    gate = Gate()
    limited = ExporterSettings(process_metrics=False, max_requests=3)
    async with running(exporter=limited) as setup:
        armed = setup.pbs.faults.add("/version", gate.fault)
        scrapes = [asyncio.create_task(setup.scrape()) for _ in range(3)]
        await eventually(lambda: len(gate.waiting) == 3)
        async with setup.exporter.client.get("/metrics") as response:
            assert response.status == 503
            assert "max_requests" in await response.text()
        async with setup.exporter.client.get("/health") as response:
            assert response.status == 200
        assert setup.asked("*") == 3
        gate.open()
        assert [failed(page) for page in await asyncio.gather(*scrapes)] == [set()] * 3
        armed.remove()
        assert failed(await setup.scrape()) == set()


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    """A scrape whose client disconnects no longer counts against max_requests."""
    gate = Gate()
    limited = ExporterSettings(process_metrics=False, max_requests=1)
    async with running(exporter=limited) as setup:
        setup.pbs.faults.add("/version", gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        await eventually(lambda: len(gate.waiting) == 1)
        scrape.cancel()
        await asyncio.gather(scrape, return_exceptions=True)
        gate.open()

        async def status() -> int:
            async with setup.exporter.client.get("/metrics") as response:
                return response.status

        for _ in range(200):
            if await status() == 200:
                break
            await asyncio.sleep(0.01)
        assert await status() == 200


async def test_head_asks_nothing() -> None:
    """HEAD returns the headers of a page, without a request to PBS."""
    async with running() as setup:
        async with setup.exporter.client.head("/metrics") as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/plain")
        assert setup.pbs.requests == []


async def test_health_and_landing_ask_nothing() -> None:
    """Neither the health check nor the status page sends a request to PBS."""
    async with running() as setup:
        for path in ("/health", "/-/healthy", "/"):
            async with setup.exporter.client.get(path) as response:
                assert response.status == 200
        assert setup.pbs.requests == []


async def first_alone(setup: Setup, scrape: "asyncio.Task[Scraped]", gate: Gate) -> None:
    """Check that no request but one to /version comes until PBS has answered it."""
    await eventually(lambda: len(gate.waiting) == 1)
    await gate.settled(setup.pbs)
    assert [request.template for request in setup.pbs.requests] == ["/version"]
    gate.open()
    await scrape


async def test_version_goes_first_and_alone_on_the_first_scrape() -> None:
    """Until PBS has accepted the token once, a scrape waits for /version before all other requests."""
    gate = Gate()
    async with running() as setup:
        setup.pbs.faults.add("*", gate.fault)
        await first_alone(setup, asyncio.create_task(setup.scrape()), gate)
        assert setup.asked("*") > 8


async def test_version_goes_first_and_alone_after_a_refused_login() -> None:
    """After a refused login, /version is requested first and alone again."""
    gate = Gate()
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("/version", Fault.status(401, "authentication failed"), times=1)
        await setup.scrape()
        setup.pbs.requests.clear()
        setup.pbs.faults.add("*", gate.fault)
        await first_alone(setup, asyncio.create_task(setup.scrape()), gate)


async def test_all_go_at_once_on_later_scrapes() -> None:
    """After PBS has accepted the token, all independent requests start at once, including /version."""
    gate = Gate()
    async with running(max_concurrent_requests=20) as setup:
        await setup.scrape()
        setup.pbs.faults.add("*", gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        await eventually(lambda: len(gate.waiting) == sum(ONCE_A_SCRAPE.values()))
        assert Counter(request.template for request in gate.waiting) == ONCE_A_SCRAPE
        gate.open()
        assert failed(await scrape) == set()


@pytest.mark.parametrize(("limit", "listings"), [(2, 1), (3, 1), (4, 2), (8, 6)])
@pytest.mark.usefixtures("quick_pbs")
async def test_the_requests_at_once(limit: int, listings: int) -> None:
    """At most max_concurrent_requests run at once. Listings may use all but two of them, and at least one."""
    everything, of_listings = Gate(), Gate()
    world = small_world(7, 1)
    async with running(world, max_concurrent_requests=limit, timeout_seconds=60.0) as setup:
        whole = await setup.scrape()

        setup.pbs.faults.add("*", everything.fault)
        scrape = asyncio.create_task(setup.scrape())
        for _ in range(200):
            await everything.settled(setup.pbs)
            if scrape.done():
                break
            everything.release()
        assert facts(await scrape) == facts(whole)
        assert len(everything.most_waiting) == limit

        setup.pbs.faults.clear()
        setup.pbs.faults.add(SNAPSHOTS, of_listings.fault)
        scrape = asyncio.create_task(setup.scrape())
        for _ in range(200):
            await of_listings.settled(setup.pbs)
            if scrape.done():
                break
            of_listings.release()
        assert facts(await scrape) == facts(whole)
        assert len(of_listings.most_waiting) == listings


@pytest.mark.parametrize("limit", [2, 3, 8])
async def test_listings_that_hang_starve_nobody(limit: int) -> None:
    """While the listings of ten datastores hang, each scrape has pbs_up 1, and the other collectors are complete."""
    async with running(small_world(10, 1), max_concurrent_requests=limit) as setup:
        setup.pbs.faults.add(SNAPSHOTS, Fault.stall())
        setup.pbs.faults.add(NAMESPACES, Fault.stall())
        for _ in range(2):
            page = await setup.scrape(5)
            assert page.value("pbs_up") == 1
            assert failed(page) == {"snapshots", "groups"}
            assert len(page.series("pbs_datastore_total_bytes")) == 10
            assert len(page.series("pbs_gc_last_run_timestamp")) == 10
            assert listed_at(page) == {}


@pytest.mark.parametrize(("namespaces", "slow", "rounds"), [(1, False, 5), (1, True, 7), (3, False, 9), (3, True, 9)])
@pytest.mark.usefixtures("quick_pbs")
async def test_the_rounds_of_answers(namespaces: int, rounds: int, *, slow: bool) -> None:
    """A scrape of 20 datastores takes a fixed number of rounds, if all answers take the same time.

    It makes 54 requests, or 94 for three namespaces each, and up to twelve at once. The slow collectors, including
    `disks`, make seven more, one after the other. `groups` has a limit of its own for its requests.
    """
    gate = Gate()
    collectors = {"disks": True, "groups": False}
    options = {"slow_interval_seconds": 0.0 if slow else 300.0, "collectors": collectors}
    async with running(small_world(20, namespaces), listing_mode="full", **options) as setup:
        whole = await setup.scrape()
        setup.pbs.requests.clear()
        setup.pbs.faults.add("*", gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        seen = 0
        while seen < 50:
            await gate.settled(setup.pbs)
            if scrape.done():
                break
            seen += 1
            gate.release()
        assert facts(await scrape) == facts(whole)
        assert len(setup.pbs.requests) == 14 + 20 * (1 + namespaces) + (7 if slow else 0)
        assert len(gate.most_waiting) == 12
        assert seen == rounds


@pytest.mark.parametrize("world", [small_world(1, 1), small_world(7, 3)], ids=["small", "larger"])
async def test_a_scrape_of_an_idle_pbs_is_fourteen_requests(world: World) -> None:
    """While nothing happens, what a scrape asks for doesn't depend on what PBS has."""
    async with running(world, listing_mode="changes") as setup:
        setup.pbs.faults.add("/nodes/{node}/tasks", Fault.rows(ended))
        for _ in range(2):
            await setup.scrape()
            setup.clock.advance(60)
        for _ in range(3):
            setup.pbs.requests.clear()
            page = await setup.scrape()
            assert set(page.by("pbs_datastore_idle", "datastore").values()) == {1}
            assert Counter(request.template for request in setup.pbs.requests) == ONCE_A_SCRAPE
            setup.clock.advance(60)


def ended(tasks: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the tasks that aren't running."""
    return [task for task in tasks if "endtime" in task]


@pytest.mark.parametrize(
    ("path", "is_known", "slow_seconds", "most"),
    [
        (NAMESPACES, True, math.inf, 6),
        (SNAPSHOTS, False, math.inf, 6),
        (SNAPSHOTS, True, 0.0, 6),
        (SNAPSHOTS, True, math.inf, 10),
    ],
    ids=["namespaces", "unknown listings", "slow listings", "quick listings"],
)
async def test_what_costs_pbs_much_gets_half_of_the_slots(
    path: str, most: int, slow_seconds: float, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    """Lists of namespaces, and listings that are slow or not known yet, hold half of the slots at most."""
    monkeypatch.setattr(schedule, "SLOW_SECONDS", slow_seconds)
    gate = Gate()
    async with running(small_world(14, 1), listing_mode="full") as setup:
        if is_known:
            await setup.scrape()
        setup.pbs.faults.add(path, gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        await eventually(lambda: len(gate.waiting) == most)
        await gate.settled(setup.pbs)
        gate.open()
        assert failed(await scrape) == set()
        assert len(gate.most_waiting) == most


@pytest.mark.usefixtures("quick_pbs")
async def test_datastores_that_hang_leave_slots_to_quick_ones() -> None:
    """A datastore that answers is listed at each scrape while others, of which there are more than slots, hang."""
    async with running(small_world(14, 1), listing_mode="full", timeout_seconds=60.0) as setup:
        quick, *others = listed_at(await setup.scrape())
        for fault in (Fault.status(400, "EIO: I/O error"), Fault.stall()):
            setup.pbs.faults.clear()
            for store in others:
                setup.pbs.faults.add(SNAPSHOTS.format(store=store), fault)
            for _ in range(2):
                setup.clock.advance(60)
                page = await setup.scrape(5)
                assert listed_at(page)[quick] == setup.clock.time
                assert page.value("pbs_up") == 1


async def test_scrapes_that_follow_each_other_share_connections() -> None:
    """Scrapes reuse connections: there are never more than the allowed number of simultaneous requests."""
    async with running() as setup:
        for _ in range(4):
            await setup.scrape()
        assert max(request.connection for request in setup.pbs.requests) <= 12


async def test_an_hour_of_scrapes_shares_connections() -> None:
    """For an hour, scrapes reuse at most twelve connections. After an hour of rest, all connections are new."""
    async with running() as setup:
        for _ in range(60):
            await setup.scrape()
            setup.clock.advance(59)
        first_hour = {request.connection for request in setup.pbs.requests}
        assert len(first_hour) <= 12
        setup.clock.advance(3600)
        setup.pbs.requests.clear()
        assert failed(await setup.scrape()) == set()
        assert first_hour.isdisjoint(request.connection for request in setup.pbs.requests)


async def test_a_scrape_without_a_clock_of_its_own_runs() -> None:
    """Without a clock of its own, an exporter uses the system's: listings have the current time."""
    async with simulated() as pbs, exporting(make_settings(pbs)) as exporter:
        before = time.time()
        page = await Exporter(exporter.client).scrape()
        times = listed_at(page).values()
        assert before <= min(times)
        assert max(times) <= time.time()
