"""Listings of snapshots are shared by scrapes: one at a time, longer than a deadline, and kept for a while."""

import asyncio
import gc
import logging
import time
from collections import Counter
from collections.abc import Collection

import pytest

from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.pbs.snapshots import runner
from pbs_exporter.pbs.snapshots.concurrently import MOST, concurrently, failures, first_failure, results
from pbs_exporter.simulator import Answer, Call, Fault, Replay
from pbs_exporter.web.app import TARGETS
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped, facts, failed, failed_datastores, listed_at
from tests.support.paths import recorded_time, recording_file
from tests.support.running import GROUPS, NAMESPACES, NOW, SNAPSHOTS, Setup, running, simulated, small_world
from tests.support.status_page import status_page
from tests.support.waiting import Gate, eventually

MAIN = "/admin/datastore/main/snapshots"


async def landed(setup: Setup) -> None:
    """Wait until PBS has answered all requests, and the answers have been processed."""
    await Gate().settled(setup.pbs)


async def test_many_scrapes_wait_for_one_listing() -> None:
    """Each datastore is listed once for any number of waiting scrapes, and all of them show the result."""
    gate = Gate()
    async with running(collectors={"groups": False}) as setup:
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        scrapes = [asyncio.create_task(setup.scrape()) for _ in range(5)]
        await eventually(lambda: setup.asked("/tape/drive") == 5 and len(gate.waiting) == 4)
        await gate.settled(setup.pbs)
        gate.open()
        pages = await asyncio.gather(*scrapes)
        assert [failed(page) for page in pages] == [set()] * 5
        assert len({frozenset(facts(page).items()) for page in pages}) == 1
        assert setup.asked(NAMESPACES) == 2
        assert setup.asked(SNAPSHOTS) == 4


async def test_a_listing_goes_on_past_the_deadline() -> None:
    """A listing that isn't finished by the deadline continues, isn't started twice, and a later scrape shows it."""
    gate = Gate()
    async with running() as setup:
        armed = setup.pbs.faults.add(MAIN, gate.fault)
        for _ in range(2):
            page = await setup.scrape(3)
            assert listed_at(page) == {"archive": NOW}
            assert failed(page) == {"snapshots"}
            # No listing has succeeded yet.
            assert failed_datastores(page) == {("snapshots", "main")}
        assert setup.asked(MAIN) == 2
        assert setup.asked("/admin/datastore/archive/snapshots") == 4
        setup.clock.advance(100)
        gate.open()
        await landed(setup)
        armed.remove()
        setup.pbs.faults.add(SNAPSHOTS, Gate().fault)
        page = await setup.scrape(3)
        assert listed_at(page) == {"main": NOW + 100, "archive": NOW}
        assert failed(page) == set()


async def test_a_slow_listing_leaves_the_one_before_it() -> None:
    """While a listing is running a page shows the previous one, its success and its time."""
    gate = Gate()
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        setup.clock.advance(60)
        page = await setup.scrape(3)
        assert facts(page) == facts(whole)
        assert failed(page) == set()
        gate.open()
        page = await setup.scrape()
        assert set(listed_at(page).values()) == {NOW + 60}


async def test_a_busy_exporter_still_shows_the_last_good_listing() -> None:
    """The previous listing is shown even if the event loop is blocked past the deadline."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(SNAPSHOTS, Fault.stall())
        asyncio.get_running_loop().call_later(0.35, time.sleep, 0.4)
        page = await setup.scrape(3)
        assert listed_at(page) == listed_at(whole)
        assert page.series("pbs_snapshot_count") == whole.series("pbs_snapshot_count")


async def test_the_last_good_listing_has_an_age_limit() -> None:
    """A listing is shown up to listing_max_age_seconds, and all its series are gone after that."""
    async with running(listing_max_age_seconds=1000.0) as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(MAIN, Fault.status(400, "no such snapshot"))
        counts = [labels for labels, _ in whole.series("pbs_snapshot_count")]
        for passed, shown in ((999, True), (1, True), (1, False), (5000, False)):
            setup.clock.advance(passed)
            page = await setup.scrape()
            assert failed_datastores(page) == {("snapshots", "main")}
            assert listed_at(page)["archive"] == setup.clock.time
            assert listed_at(page).get("main") == (NOW if shown else None)
            expected = [labels for labels in counts if shown or labels["datastore"] != "main"]
            assert [labels for labels, _ in page.series("pbs_snapshot_count")] == expected
        setup.pbs.faults.clear()
        page = await setup.scrape()
        assert listed_at(page) == dict.fromkeys(("main", "archive"), setup.clock.time)


async def test_a_younger_listing_spares_pbs() -> None:
    """With listing_interval_seconds, a younger listing is used without a new one."""
    async with running(listing_interval_seconds=300.0) as setup:
        asked, times = [], []
        for _ in range(5):
            page = await setup.scrape()
            assert failed(page) == set()
            asked.append(setup.asked(SNAPSHOTS))
            times.append(listed_at(page)["main"] - NOW)
            setup.clock.advance(150)
        assert asked == [4, 4, 8, 8, 12]
        assert times == [0, 0, 300, 300, 600]


async def test_an_interval_does_not_delay_the_next_try_after_a_failure() -> None:
    """A failed listing is repeated at the next scrape: the interval applies only to successful ones."""
    async with running(listing_interval_seconds=300.0) as setup:
        setup.pbs.faults.add(MAIN, Fault.status(500, "no"), times=2)
        assert failed(await setup.scrape()) == {"snapshots"}
        assert failed(await setup.scrape()) == set()
        assert setup.asked("/admin/datastore/archive/snapshots") == 2


async def test_a_listing_that_hit_its_limit_is_not_started_again_at_once() -> None:
    """After listing_timeout_seconds PBS is still reading: the next listing begins only after the same time again."""
    async with running(listing_timeout_seconds=0.3, collectors={"groups": False}) as setup:
        setup.pbs.faults.add(MAIN, Fault.stall())
        page = await setup.scrape()
        assert failed_datastores(page) == {("snapshots", "main")}
        asked = setup.asked(MAIN)
        assert asked > 0
        setup.pbs.faults.clear()
        setup.clock.advance(0.2)
        page = await setup.scrape()
        assert failed_datastores(page) == {("snapshots", "main")}
        assert setup.asked(MAIN) == asked
        assert setup.asked("/admin/datastore/main/namespace") == 1
        setup.clock.advance(0.2)
        page = await setup.scrape()
        assert "main" in listed_at(page)
        assert setup.asked("/admin/datastore/main/namespace") == 2


async def test_a_namespace_that_fails_costs_itself_alone() -> None:
    """A namespace that fails keeps its groups with their time until they are too old; the others stay."""
    async with running(listing_max_age_seconds=100.0) as setup:
        whole = await setup.scrape()
        (namespace,) = {labels["namespace"] for labels, _ in whole.series("pbs_snapshot_count")} - {""}
        _fail_namespace(setup, namespace)
        setup.clock.advance(60)
        page = await setup.scrape()
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == {"main": NOW, "archive": NOW + 60}
        assert page.series("pbs_snapshot_count") == whole.series("pbs_snapshot_count")
        setup.clock.advance(60)
        page = await setup.scrape()
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == {"main": NOW + 120, "archive": NOW + 120}
        others = _without(whole, namespace)
        assert page.series("pbs_snapshot_count") == others


async def test_a_namespace_that_fails_from_the_start() -> None:
    """After a start the other namespaces are shown, and the status page names the one that fails."""
    async with running() as setup:
        whole = await setup.scrape()
    (namespace,) = {labels["namespace"] for labels, _ in whole.series("pbs_snapshot_count")} - {""}
    async with running() as setup:
        _fail_namespace(setup, namespace)
        page = await setup.scrape()
        status = (await status_page(setup.exporter.client)).text
    others = _without(whole, namespace)
    assert page.series("pbs_snapshot_count") == others
    assert failed_datastores(page) == {("snapshots", "main")}
    assert f"namespace {namespace}: 400 unable to open namespace" in status


def _without(page: Scraped, namespace: str) -> list[tuple[dict[str, str], float]]:
    """Return the counts of a page without those of a namespace of `main`."""
    gone = ("main", namespace)
    counts = page.series("pbs_snapshot_count")
    return [(labels, count) for labels, count in counts if (labels["datastore"], labels["namespace"]) != gone]


def _fail_namespace(setup: Setup, namespace: str) -> None:
    source = setup.pbs.source
    answer = source.answer

    def failing(call: Call) -> Answer:
        if call.path == MAIN and ("ns", namespace) in call.query:
            return Answer(400, b"unable to open namespace")
        return answer(call)

    source.answer = failing  # type: ignore[method-assign]


async def test_an_old_listing_that_failed_and_a_good_one_after_it() -> None:
    """A snapshot that vanishes during a listing fails it: its series stay, and the next listing is complete."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(MAIN, Fault.status(400, "unable to read manifest: No such file"), times=2)
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        assert failed(page) == {"snapshots"}
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        assert failed(page) == set()


async def test_a_partial_token_counts_what_its_list_names() -> None:
    """A token that may see a namespace but not the root above it has a complete listing of what it may see."""
    recording = "pbs-4.2.3-partial"
    clock = FakeClock(recorded_time(recording))
    async with (
        simulated(Replay(recording_file(recording))) as pbs,
        exporting(make_settings(pbs), clock.clock) as exporter,
    ):
        page = await exporter.scrape()
        named = {labels["namespace"] for labels, _ in page.series("pbs_snapshot_count")}
        assert named
        assert "" not in named
        success = page.value("pbs_scrape_datastore_success", collector="snapshots", datastore="main")
        assert success == 1
        assert page.value("pbs_datastore_namespaces", datastore="main") == len(
            {request.query for request in pbs.requests_to(MAIN)}
        )
        assert "ns=" not in {request.query for request in pbs.requests_to(MAIN)}


async def test_a_root_that_the_list_leaves_out_is_not_asked() -> None:
    """If the namespace list doesn't contain the root, the root's refusal can't fail the listing."""
    async with running() as setup:
        setup.pbs.faults.add(
            "/admin/datastore/main/namespace", Fault.rows(lambda rows: [row for row in rows if row["ns"]])
        )
        page = await setup.scrape()
        assert failed(page) == set()
        assert {row["namespace"] for row, _ in page.series("pbs_snapshot_count") if row["datastore"] == "main"} != {""}
        assert page.value("pbs_datastore_namespaces", datastore="main") == 1


async def test_a_datastore_that_goes_while_it_is_listed() -> None:
    """The flight of a removed datastore is cancelled; when the datastore returns, it is listed from scratch."""
    world, gate = small_world(), Gate()
    async with running(world) as setup:
        await setup.scrape()
        armed = setup.pbs.faults.add(MAIN, gate.fault)
        await setup.scrape(3)
        assert len(gate.waiting) == 2
        store = world.stores.pop(0)
        page = await setup.scrape()
        assert listed_at(page).keys() == {"archive"}
        await eventually(lambda: not gate.waiting)
        armed.remove()
        world.stores.insert(0, store)
        setup.clock.advance(60)
        page = await setup.scrape()
        assert listed_at(page) == dict.fromkeys(("main", "archive"), NOW + 60)


@pytest.mark.parametrize("fault", ["stall", "stall_body", "reset", "status"])
async def test_no_listing_outlives_the_app(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Flights end with the app: no task is left, and none is reported as destroyed or never retrieved."""
    faults = {
        "stall": Fault.stall(),
        "stall_body": Fault.stall_body(),
        "reset": Fault.reset(),
        "status": Fault.status(500, "no"),
    }
    caplog.set_level(logging.DEBUG)
    async with simulated(small_world(6, 2)) as pbs:
        before = asyncio.all_tasks()
        async with exporting(make_settings(pbs), FakeClock(NOW).clock) as exporter:
            pbs.faults.add(SNAPSHOTS, faults[fault])
            page = await exporter.scrape(3)
            assert page.value("pbs_up") == 1
            flights = [task for task in asyncio.all_tasks() if task.get_name().startswith("listing of ")]
            assert bool(flights) == fault.startswith("stall")
        gc.collect()
        await asyncio.sleep(0)
        left = {task for task in asyncio.all_tasks() - before if not _of_the_server(task)}
        assert left == set()
    gc.collect()
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert texts == []


def _of_the_server(task: "asyncio.Task[object]") -> bool:
    """Return whether the task is the simulated PBS's own: it may still be closing the exporter's connections."""
    return "RequestHandler" in repr(task.get_coro())


async def test_the_app_may_end_right_after_a_datastore_has_gone() -> None:
    """A flight that is abandoned while the app shuts down leaves nothing behind either."""
    world = small_world()
    async with simulated(world) as pbs:
        before = asyncio.all_tasks()
        async with exporting(make_settings(pbs), FakeClock(NOW).clock) as exporter:
            pbs.faults.add(MAIN, Fault.stall())
            await exporter.scrape(3)
            world.stores.pop(0)
            await exporter.scrape()
        assert {task for task in asyncio.all_tasks() - before if not _of_the_server(task)} == set()


async def test_listings_have_their_own_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing may take listing_timeout_seconds, other requests timeout_seconds, and /version at least 4 s."""
    allowed: dict[str, float] = {}
    get = Transport.get

    async def noting(transport: Transport, template: str, decode: object, **options: object) -> object:
        allowed[template] = float(str(options["timeout_seconds"]))
        return await get(transport, template, decode, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Transport, "get", noting)
    async with running(timeout_seconds=2.5, listing_timeout_seconds=77.0) as setup:
        await setup.scrape()
    assert Counter(allowed.values()) == {2.5: len(allowed) - 3, 77.0: 2, 4.0: 1}
    assert allowed[GROUPS] == 77
    assert allowed[SNAPSHOTS] == 77
    assert allowed["/version"] == 4


async def test_too_many_namespaces_cost_their_datastore() -> None:
    """A datastore with more than ten thousand namespaces isn't listed, which its error tells."""
    async with running() as setup:
        rows = [{"ns": f"n{number}"} for number in range(10_001)]
        setup.pbs.faults.add("/admin/datastore/main/namespace", Fault.json(rows))
        page = await setup.scrape()
        assert failed_datastores(page) == {("snapshots", "main"), ("groups", "main")}
        assert listed_at(page).keys() == {"archive"}
        assert "10001 namespaces: at most 10000 can be listed" in (await status_page(setup.exporter.client)).text
        assert setup.asked("/admin/datastore/main/snapshots") <= 1


async def test_calls_run_at_once_but_not_all() -> None:
    """Calls for many items begin in their order, a bounded number at once, and all are waited for."""
    gate = asyncio.Event()
    begun: list[int] = []

    async def call(item: int) -> None:
        begun.append(item)
        await gate.wait()

    calls = asyncio.create_task(concurrently(call, range(3 * MOST)))
    await eventually(lambda: len(begun) >= MOST)
    assert begun == list(range(MOST))
    gate.set()
    await calls
    assert begun == list(range(3 * MOST))


async def test_failed_calls_cost_themselves_and_keep_no_frames() -> None:
    """Each call has its result or its error, in the order of the items; a failure of PBS is kept without frames."""

    async def call(item: int) -> int:
        await asyncio.sleep(0)
        if item == 1:
            raise PbsTimeout("no answer")
        if item == 2:
            raise ZeroDivisionError
        return item * 10

    outcomes = await concurrently(call, range(4))
    assert list(outcomes) == [0, 1, 2, 3]
    assert results(outcomes) == {0: 0, 3: 30}
    errors = failures(outcomes)
    assert {item: type(error) for item, error in errors.items()} == {1: PbsTimeout, 2: ZeroDivisionError}
    assert errors[1].__traceback__ is None
    # What isn't PBS's is a fault of the program, whose traceback the log shows.
    assert errors[2].__traceback__ is not None


async def test_cancelled_calls_are_waited_for() -> None:
    """Who cancels calls goes on when all have ended: nothing is asked after a target is closed."""
    begun: list[int] = []
    ended: list[int] = []

    async def call(item: int) -> None:
        begun.append(item)
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(item):
                await asyncio.sleep(0)
            ended.append(item)

    calls = asyncio.create_task(concurrently(call, range(5)))
    await eventually(lambda: len(begun) == 5)
    calls.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_a_fault_of_the_program_is_told_before_those_of_pbs() -> None:
    """Of several failures, one that isn't PBS's is told, or else the first."""
    first, second, fault = PbsTimeout("one"), PbsTimeout("two"), KeyError("fault")
    assert first_failure([first, fault, second]) is fault
    assert first_failure([first, second]) is first
    assert first_failure([]) is None


async def test_what_nobody_scrapes_is_forgotten() -> None:
    """Listings that nobody has asked for in `listing_max_age_seconds` are forgotten, and nothing is asked for them."""
    async with running(listing_max_age_seconds=0.1) as setup:
        await setup.scrape()
        asked = len(setup.pbs.requests)
        assert set(_known_listings(setup)) == {"main", "archive"}
        setup.clock.advance(1)
        await eventually(lambda: not _known_listings(setup))
        assert len(setup.pbs.requests) == asked
        page = await setup.scrape()
        assert listed_at(page).keys() == {"main", "archive"}


def _known_listings(setup: Setup) -> Collection[str]:
    served = setup.exporter.client.app[TARGETS].main
    assert served is not None
    return served.target.listings()


async def test_an_unexpected_error_blocks_no_later_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while a datastore is listed costs that listing alone: the next scrape lists it again."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with running() as setup:
        monkeypatch.setattr(runner, "list_in_full", broken)
        assert failed_datastores(await setup.scrape()) == {("snapshots", "archive"), ("snapshots", "main")}
        monkeypatch.undo()
        setup.clock.advance(60)
        page = await setup.scrape()
    assert failed(page) == set()
    assert listed_at(page) == dict.fromkeys(("archive", "main"), NOW + 60)
