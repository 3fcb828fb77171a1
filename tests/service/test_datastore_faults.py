"""Datastores that fail, are in maintenance, or are gone: what a page shows of them and of the others."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.simulator import Fault
from tests.support.fault_effects import METRICS, STORES, comparable, lines
from tests.support.metrics_page import Scraped
from tests.support.page_facts import Facts, facts, failed, failed_datastores, listed_at, without
from tests.support.running import running
from tests.support.small_pbs import NOW, STATUS, small_world


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
    """A snapshot that can't be read costs itself: the rest of a fresh listing is shown, its datastore is 0."""
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
    """A namespace that can't be read may hide snapshots: the listing before it stays, with its time."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore/main/namespace", Fault.rows(lambda rows: [*rows, row]))
        setup.clock.advance(7)
        page = await setup.scrape()
        assert comparable(page) == comparable(whole)
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == {"main": NOW, "archive": NOW + 7}


async def test_the_usage_that_fails_is_asked_of_each_datastore() -> None:
    """Where the usage is 400 as a whole each status is asked, and only the datastore that fails is missing."""
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
    """Of all that a datastore's own status can be, a 400 alone says that PBS can't read it."""
    async with running() as setup:
        setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.faults.add("/admin/datastore/main/status", fault)
        page = await setup.scrape()
        assert page.value("pbs_datastore_readable", datastore="main") == readable
        assert page.value("pbs_datastore_total_bytes", datastore="main") is None
        assert page.value("pbs_datastore_readable", datastore="archive") == 1


async def test_a_datastore_that_failed_recovers_in_the_log_with_the_usage() -> None:
    """A datastore whose own status failed is well again when the usage answers for all, and the log says so."""
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
    """In maintenance or not mounted: PBS isn't asked for it, it isn't readable, and its snapshots vanish at once."""
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
    """Read-only is the one maintenance mode in which PBS answers, so nothing is missing."""
    world = small_world()
    async with running(world) as setup:
        whole = await setup.scrape()
        world.stores[0].maintenance = mode
        page = await setup.scrape()
        assert without(facts(page), "pbs_datastore_maintenance") == facts(whole)
        assert page.value("pbs_datastore_maintenance", datastore="main", mode="read-only") == 1


async def test_a_datastore_that_is_gone_vanishes_at_once() -> None:
    """All of a datastore's series are gone with its row in PBS's list, and nothing has failed."""
    world = small_world()
    async with running(world) as setup:
        await setup.scrape()
        world.stores.pop(0)
        page = await setup.scrape()
        assert failed(page) == set()
        assert not [key for key in facts(page) if ("datastore", "main") in key[1]]
        assert listed_at(page).keys() == {"archive"}


async def test_without_the_list_the_last_known_datastores_are_shown() -> None:
    """Where PBS's list of datastores fails, the listings of the last good list stay, and none is asked."""
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
    """Whether the snapshots' series are those of `whole` without that datastore's."""

    def snapshots(scraped: Scraped) -> Facts:
        return {key: value for key, value in facts(scraped).items() if key[0] in METRICS["snapshots"]}

    expected = {key: value for key, value in snapshots(whole).items() if ("datastore", store) not in key[1]}
    return snapshots(page) == expected
