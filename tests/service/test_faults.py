"""Faults of PBS, of single datastores and of the exporter itself: the missing samples, and the log."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.simulator import Fault
from tests.support.fault_effects import METRICS, SLOW, STAY, STORES, comparable, counted, lines, up
from tests.support.metrics_page import Facts, Scraped, facts, failed, failed_datastores, listed_at, without
from tests.support.running import NOW, STATUS, Setup, running, small_world


async def test_a_failure_that_lasts_is_said_every_ten_minutes() -> None:
    """A lasting failure is logged at its start, every 10 minutes with PBS's reason, and at its end."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "no such\tdisk\nsecond line"))
        said = []
        with capture_logs() as logs:
            for _ in range(25):
                await setup.scrape()
                said.append(len([line for line in logs if line["event"] == "failing"]))
                setup.clock.advance(60)
        assert said == [1] * 10 + [2] * 10 + [3] * 5
        assert {(line["log_level"], line["collector"], line["reason"]) for line in logs} == {
            ("warning", "gc", "500 no suchdisk")
        }
        setup.pbs.faults.clear()
        with capture_logs() as logs:
            await setup.scrape()
            await setup.scrape()
        assert [(line["event"], line["log_level"], line["failed_for_seconds"]) for line in logs] == [
            ("recovered", "info", 25 * 60.0)
        ]


async def test_a_failure_that_comes_back_is_said_again_at_once() -> None:
    """A failure after a recovery is logged at once, however short the time between them."""
    async with running() as setup:
        await setup.scrape()
        with capture_logs() as logs:
            for _ in range(3):
                armed = setup.pbs.faults.add("/tape/drive", Fault.status(500, "no"))
                await setup.scrape()
                armed.remove()
                await setup.scrape()
        assert [line["event"] for line in logs] == ["failing", "recovered"] * 3


async def test_a_slow_answer_within_its_time_costs_nothing() -> None:
    """A slow answer within the timeout counts as a success."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("*", Fault.slow(0.05))
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        assert failed(page) == set()


async def test_a_connection_that_pbs_closed_costs_nothing() -> None:
    """If PBS closes a kept connection before it answers, the request is repeated, and counted once as a success."""
    async with running(max_concurrent_requests=1) as setup:
        whole = await setup.scrape()
        dropped = setup.pbs.faults.add("*", Fault.drop_kept())
        page = await setup.scrape()
        assert dropped.hits > 0
        assert facts(page) == facts(whole)
        assert failed(page) == set()
        assert {labels["code"] for labels, _ in page.series("pbs_exporter_api_requests_total")} == {"200"}


async def test_a_new_connection_that_is_reset_is_not_tried_again() -> None:
    """Only a kept connection gets a second attempt. A new connection that is reset is a failure."""
    async with running(collectors={"snapshots": False}) as setup:
        setup.pbs.faults.add("*", Fault.reset())
        page = await setup.scrape()
        assert up(facts(page)) == 0
        assert setup.asked("/version") == 1


async def test_a_pbs_that_is_away_costs_all_but_the_page() -> None:
    """While nothing listens, the page is a 200 with pbs_up 0 and the known listings. Later everything returns."""
    async with running() as setup:
        whole = await setup.scrape()
        port = int(setup.pbs.endpoint.rpartition(":")[2])
        await setup.pbs.stop()
        page = await setup.scrape()
        assert up(facts(page)) == 0
        # The certificate is known from before.
        assert failed(page) == {collector.name for collector in COLLECTORS if collector.default} - SLOW - {
            "certificate"
        }
        assert counted(page, "/version") == {"200": 1, "connect": 1}
        assert {name for name, _ in facts(page)} - {"pbs_up"} == {name for name, _ in facts(whole) if name in STAY}
        await setup.pbs.start(port)
        assert facts(await setup.scrape()) == facts(whole)


async def test_a_bug_in_a_collector_costs_that_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error sets one collector's success to 0, is logged with a traceback, and isn't on any page."""
    async with running() as setup:
        whole = await setup.scrape()
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr("pbs_exporter.collectors.tape.TapeCollector.AVAILABLE", staticmethod(fail))
            page = await setup.scrape()
            async with setup.exporter.client.get("/") as response:
                landing = await response.text()
        assert failed(page) == {"tape"}
        assert facts(page) == without(facts(whole), *METRICS["tape"])
        assert [(line["log_level"], line["collector"], type(line["exc_info"])) for line in logs] == [
            ("error", "tape", ZeroDivisionError)
        ]
        assert "no text for a page" not in landing
        assert facts(await setup.scrape()) == facts(whole)


def fail(_value: object) -> None:
    raise ZeroDivisionError("no text for a page")


async def test_the_status_page_says_what_failed(setup_with_faults: Setup) -> None:
    """The status page names each collector that failed in the last scrape, with PBS's error text."""
    await setup_with_faults.scrape()
    async with setup_with_faults.exporter.client.get("/") as response:
        text = await response.text()
    assert "500 disk &lt;away&gt;" in text
    assert "snapshots: 400 no" in text


@pytest.fixture
async def setup_with_faults() -> Any:
    async with running() as setup:
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "disk <away>"))
        setup.pbs.faults.add("/admin/datastore/archive/snapshots", Fault.status(400, "no"))
        yield setup


@pytest.mark.parametrize(
    "row",
    [
        {"backup-type": "vm", "backup-id": "9", "backup-time": NOW, "size": "big"},
        {"backup-type": "vm", "backup-id": "9"},
        {"backup-type": "vm", "backup-id": "9", "backup-time": 1, "files": "none"},
        "a text",
        None,
    ],
)
async def test_a_bad_snapshot_fails_its_datastore_and_leaves_the_others(row: object) -> None:
    """An unreadable snapshot is left out of a fresh listing, and its datastore's success is 0."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.rows(lambda rows: [*rows, row]))
        setup.clock.advance(7)
        page = await setup.scrape()
        assert comparable(page) == comparable(whole)
        assert failed(page) == {"snapshots"}
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == dict.fromkeys(STORES, NOW + 7)


@pytest.mark.parametrize("row", [{}, {"ns": 1}, "lab", None])
async def test_a_bad_namespace_fails_the_listing(row: object) -> None:
    """If a namespace can't be read, the previous listing stays with its time, because snapshots may be hidden."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore/main/namespace", Fault.rows(lambda rows: [*rows, row]))
        setup.clock.advance(7)
        page = await setup.scrape()
        assert comparable(page) == comparable(whole)
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == {"main": NOW, "archive": NOW + 7}


async def test_the_usage_that_fails_is_asked_of_each_datastore() -> None:
    """If the request for all usage returns 400, each status is requested, and only the failing datastore is missing."""
    async with running() as setup:
        whole = await setup.scrape()
        assert setup.asked(STATUS) == 0
        setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "unable to open chunk store 'main'"))
        setup.pbs.faults.add("/admin/datastore/main/status", Fault.status(400, "unable to open chunk store 'main'"))
        page = await setup.scrape()
        assert setup.asked(STATUS) == len(STORES)
        assert failed(page) == {"datastores"}
        assert page.by("pbs_datastore_readable", "datastore") == {"main": 0, "archive": 1}
        for name in ("pbs_datastore_total_bytes", "pbs_datastore_used_bytes", "pbs_datastore_available_bytes"):
            assert page.by(name, "datastore") == {"archive": whole.value(name, datastore="archive")}
        success = page.series("pbs_scrape_datastore_success")
        assert [(labels, value) for labels, value in success if labels["collector"] == "datastores"] == [
            ({"collector": "datastores", "datastore": "main"}, 0),
            ({"collector": "datastores", "datastore": "archive"}, 1),
        ]


@pytest.mark.parametrize(
    ("fault", "readable"),
    [
        (Fault.status(403, "permission check failed"), None),
        (Fault.status(500, "worker panicked"), None),
        (Fault.json({"total": 0, "used": 0, "avail": 0}), None),
        (Fault.json([]), None),
        (Fault.status(400, "datastore 'main' is not mounted"), 0),
    ],
    ids=["403", "500", "zeros", "no object", "400"],
)
async def test_a_status_says_unreadable_only_where_pbs_says_so(fault: Fault, readable: float | None) -> None:
    """Only a 400 for a datastore's own status marks it as unreadable."""
    async with running() as setup:
        setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.faults.add("/admin/datastore/main/status", fault)
        page = await setup.scrape()
        assert page.value("pbs_datastore_readable", datastore="main") == readable
        assert page.value("pbs_datastore_total_bytes", datastore="main") is None
        assert page.value("pbs_datastore_readable", datastore="archive") == 1


async def test_a_datastore_that_failed_recovers_in_the_log_with_the_usage() -> None:
    """A datastore whose own status failed recovers when the request for all usage succeeds, and the log says so."""
    async with running() as setup:
        usage = setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.faults.add("/admin/datastore/main/status", Fault.status(500, "no"))
        with capture_logs() as logs:
            await setup.scrape()
        assert lines(logs, "failing") == [("warning", "datastores"), ("warning", "datastores", "main")]
        usage.remove()
        setup.clock.advance(30)
        with capture_logs() as logs:
            await setup.scrape()
        assert lines(logs, "recovered") == [("info", "datastores"), ("info", "datastores", "main")]
        assert {line["failed_for_seconds"] for line in logs} == {30.0}


@pytest.mark.parametrize(
    "away",
    [
        {"maintenance": "offline,message=new disk"},
        {"maintenance": "delete"},
        {"maintenance": "unmount"},
        {"maintenance": "s3-refresh"},
        {"removable": True, "mounted": False},
    ],
    ids=["offline", "delete", "unmount", "s3-refresh", "not mounted"],
)
@pytest.mark.parametrize("usage_fails", [False, True])
async def test_a_datastore_that_is_away_is_not_asked(away: dict[str, Any], *, usage_fails: bool) -> None:
    """A datastore in maintenance or not mounted isn't queried, isn't readable, and loses its snapshots at once."""
    world = small_world()
    async with running(world) as setup:
        whole = await setup.scrape()
        for name, value in away.items():
            setattr(world.stores[0], name, value)
        if usage_fails:
            setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.requests.clear()
        page = await setup.scrape()
        assert setup.asked("/admin/datastore/main/*") == 0
        assert setup.asked("/admin/datastore/archive/snapshots") > 0
        assert failed(page) == ({"datastores"} if usage_fails else set())
        assert page.value("pbs_datastore_readable", datastore="main") == 0
        assert page.value("pbs_datastore_total_bytes", datastore="main") is None
        assert listed_at(page).keys() == {"archive"}
        assert failed_datastores(page) == set()
        assert without_store(page, whole, "main")


@pytest.mark.parametrize("mode", ["read-only", "read-only,message=being moved"])
async def test_a_read_only_datastore_is_asked_as_ever(mode: str) -> None:
    """A read-only datastore is queried, because PBS answers in this maintenance mode, so nothing is missing."""
    world = small_world()
    async with running(world) as setup:
        whole = await setup.scrape()
        world.stores[0].maintenance = mode
        page = await setup.scrape()
        assert without(facts(page), "pbs_datastore_maintenance") == facts(whole)
        assert page.value("pbs_datastore_maintenance", datastore="main", mode="read-only") == 1


async def test_a_datastore_that_is_gone_vanishes_at_once() -> None:
    """When a datastore leaves PBS's list, all its series disappear, and nothing fails."""
    world = small_world()
    async with running(world) as setup:
        await setup.scrape()
        world.stores.pop(0)
        page = await setup.scrape()
        assert failed(page) == set()
        assert not [key for key in facts(page) if ("datastore", "main") in key[1]]
        assert listed_at(page).keys() == {"archive"}


async def test_without_the_list_the_last_known_datastores_are_shown() -> None:
    """If PBS's list of datastores fails, the listings of the last good list stay, and no datastore is queried."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore", Fault.status(500, "no"))
        setup.pbs.requests.clear()
        setup.clock.advance(30)
        page = await setup.scrape()
        assert listed_at(page) == dict.fromkeys(STORES, NOW)
        assert failed(page) == {"datastores", "snapshots", "s3"}
        assert setup.asked("/admin/datastore/*") == 0
        of_snapshots = {key: value for key, value in facts(whole).items() if key[0] in METRICS["snapshots"]}
        assert {key: value for key, value in facts(page).items() if key[0] in METRICS["snapshots"]} == of_snapshots


def without_store(page: Scraped, whole: Scraped, store: str) -> bool:
    """Whether the series of snapshots are those of `whole` without that datastore's."""

    def snapshots(scraped: Scraped) -> Facts:
        return {key: value for key, value in facts(scraped).items() if key[0] in METRICS["snapshots"]}

    expected = {key: value for key, value in snapshots(whole).items() if ("datastore", store) not in key[1]}
    return snapshots(page) == expected
