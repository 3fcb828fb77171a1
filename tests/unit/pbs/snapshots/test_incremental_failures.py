"""Asking only for what has changed, when something goes wrong in between: what the next looks make of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from pbs_exporter.simulator import Fault
from pbs_exporter.simulator.exchange import Exchange
from tests.support.backup_history import BackupHistory, Group, Place, Snapshot
from tests.support.incremental_listing import (
    DEEP,
    DNS,
    GROUPS,
    OF_MAIN,
    OTHER,
    TASKS,
    WEB,
    FullListings,
    asked_for_changes_only,
    full_listings_done,
    fully_listed_at,
    group_value,
    listing_changes,
    observe,
    places,
    small_history,
)
from tests.support.metrics_page import failed, failed_datastores, listed_at
from tests.support.running import NAMESPACES, SNAPSHOTS
from tests.support.waiting import Gate, eventually

SNAPSHOTS_OF_MAIN = "/admin/datastore/main/snapshots"
GROUPS_OF_MAIN = "/admin/datastore/main/groups"
NEW = Place("main", "", ("vm", "7"))
VANISHED = Fault.status(400, "unable to read manifest")


def where(asked: Callable[[str], bool], fault: Fault) -> Fault:
    """Make a fault of those requests whose query is so; the others get their usual answer."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if asked(exchange.log.query):
            return await fault.act(exchange)
        return await exchange.send(await exchange.answer())

    return Fault(act)


def of_all(fault: Fault) -> Fault:
    """Make a fault of full listings."""
    return where(lambda query: "backup-id" not in query, fault)


def of_group(place: Place, fault: Fault) -> Fault:
    """Make a fault of one group's listings."""
    return where(lambda query: f"backup-id={place.group[1]}" in query, fault)


def bad_size_of(place: Place) -> Fault:
    """Make a fault that spoils the first row of a group."""

    def spoil(rows: Any) -> object:
        first = next((row for row in rows if row["backup-id"] == place.group[1]), None)
        if first is not None:
            first["size"] = "big"
        return rows

    return Fault.rows(spoil)


def sync(history: BackupHistory, place: Place, *snapshots: Snapshot) -> None:
    """Bring a group that no backup task tells of."""
    history.stores[place.store].namespaces[place.namespace][place.group] = Group(snapshots=list(snapshots))


def sync_many(history: BackupHistory) -> list[Place]:
    """Bring so many groups that a full listing is cheaper."""
    places = [Place("main", "", ("vm", str(1000 + number))) for number in range(30)]
    for place in places:
        sync(history, place, Snapshot(history.now, 5))
    return places


async def test_many_changes_whose_full_listing_fails() -> None:
    """Where many groups have changed and the full listing fails, the page is as old as it says, until one lands."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        began = setup.clock.time
        places = sync_many(history)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(VANISHED))
        for _ in range(3):
            setup.clock.advance(10)
            page = (await observe(setup)).page
            assert failed_datastores(page) == {("snapshots", "main")}
            assert listed_at(page)["main"] == began
        setup.pbs.faults.clear()
        page = (await observe(setup)).page
        assert group_value(page, "count", places[0]) == 1
        assert failed(page) == set()


async def test_many_changes_while_pbs_is_still_at_it() -> None:
    """After a full listing that hit its limit no other is begun before the same time has passed."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=0.3, listing_refresh_seconds=2.0) as setup:
        await observe(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(Fault.stall()))
        setup.clock.advance(3)
        assert ("main", "") in (await observe(setup)).listed_in_full
        sync_many(history)
        assert ("main", "") not in (await observe(setup)).listed_in_full


async def test_a_group_that_seemed_to_be_gone() -> None:
    """A group whose own listing was empty, though it is there, is listed again."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.own(WEB, "alice@pbs")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, Fault.json([]), times=1)
        await observe(setup)
        assert group_value((await observe(setup)).page, "count", WEB) == 3


async def test_a_full_listing_does_not_undo_a_look_that_failed_in_part() -> None:
    """What a look has listed stays, although another group failed, and a full listing of before lands after it."""
    history, gate = small_history(), FullListings(read=True)
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify("main")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, gate.fault)
        await setup.scrape()
        await gate.settled(setup.pbs)
        assert len(gate.waiting) == 3
        history.prune(WEB, 1)
        sync(history, NEW, Snapshot(history.now, 5))
        history.own(DNS, "alice@pbs")
        setup.pbs.faults.clear()
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(DNS, VANISHED))
        assert failed_datastores(await setup.scrape()) == {("snapshots", "main")}
        gate.open()
        await full_listings_done()
        setup.pbs.faults.clear()
        page = (await observe(setup)).page
        assert (group_value(page, "count", WEB), group_value(page, "count", NEW)) == (1, 1)
        assert failed(page) == set()


async def test_what_came_and_went_while_all_was_listed() -> None:
    """A snapshot that a full listing has read, and no look has, is off the page with the next look."""
    history, gate = small_history(), FullListings()
    async with listing_changes(history, listing_refresh_seconds=100.0) as setup:
        await observe(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, gate.fault)
        setup.clock.advance(101)
        await setup.scrape()
        await gate.settled(setup.pbs)
        passing = Snapshot(history.now + 1, None)
        history.at(WEB).snapshots.append(passing)
        gate.open()
        await full_listings_done()
        history.at(WEB).snapshots.remove(passing)
        page = (await observe(setup)).page
        assert (group_value(page, "count", WEB), group_value(page, "unfinished", WEB)) == (3, 0)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        pytest.param(SNAPSHOTS_OF_MAIN, bad_size_of(DNS), id="a row that can't be read"),
        pytest.param(GROUPS_OF_MAIN, Fault.status(500, "no"), id="no list of groups"),
    ],
)
async def test_one_verification_is_one_full_listing(path: str, fault: Fault) -> None:
    """A verification of many has all listed once, also where something fails at each look."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        setup.pbs.faults.add(path, fault)
        history.own(DNS, "alice@pbs")
        await observe(setup)
        history.verify("main")
        listed = []
        for _ in range(5):
            setup.clock.advance(10)
            listed += (await observe(setup)).listed_in_full
        assert listed.count(("main", "")) == 1


async def test_a_bad_row_does_not_age_the_others() -> None:
    """A row that can't be read costs the success; what the page says of the others is as new as the look."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, bad_size_of(DNS))
        history.own(DNS, "alice@pbs")
        for _ in range(2):
            setup.clock.advance(10)
            page = (await observe(setup)).page
            assert failed_datastores(page) == {("snapshots", "main")}
            assert listed_at(page)["main"] == setup.clock.time


async def test_a_verified_group_whose_listing_failed() -> None:
    """A group that a task has named is listed again where its listing failed, also if tasks fail meanwhile."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify_group(WEB, "failed")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, VANISHED), times=1)
        assert failed_datastores((await observe(setup)).page) == {("snapshots", "main")}
        setup.pbs.faults.add("/nodes/localhost/tasks", Fault.status(500, "busy"))
        assert group_value((await observe(setup)).page, "verification", WEB, state="failed") == 3


async def test_a_listing_that_hit_its_limit_behind_another_error() -> None:
    """A group's listing that hit its limit isn't asked for again at once, whatever else has failed."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=0.3) as setup:
        await observe(setup)
        setup.pbs.faults.add(GROUPS_OF_MAIN, Fault.rows(lambda rows: [*rows, 7]))
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, Fault.stall()))
        history.own(WEB, "alice@pbs")
        assert [len((await observe(setup)).listed) for _ in range(3)] == [1, 0, 0]


async def test_a_group_that_can_not_be_listed() -> None:
    """A group's failed listing costs its datastore's success, and nothing that was known; then it is listed again."""
    history = small_history()
    async with listing_changes(history) as setup:
        first = await observe(setup)
        began = setup.clock.time
        history.backup(WEB)
        history.backup(DNS)
        history.backup(OTHER)
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        for _ in range(2):
            seen = await observe(setup)
            assert failed_datastores(seen.page) == {("snapshots", "main")}
            assert listed_at(seen.page) == {"main": began, "mirror": setup.clock.time}
            assert group_value(seen.page, "count", WEB) == group_value(first.page, "count", WEB) == 3
            assert group_value(seen.page, "count", OTHER) == 4
        setup.pbs.faults.clear()
        seen = await observe(setup)
        assert seen.listed == {WEB, DNS}
        assert failed(seen.page) == set()
        assert group_value(seen.page, "count", WEB) == 4
        assert listed_at(seen.page)["main"] == setup.clock.time


@pytest.mark.parametrize("template", [NAMESPACES, GROUPS])
async def test_groups_that_can_not_be_asked(template: str) -> None:
    """A list of groups, or of namespaces, that fails costs its datastore's success, and nothing that was known."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        began = setup.clock.time
        history.backup(WEB)
        history.backup(OTHER)
        setup.pbs.faults.add(template.format(store="main"), Fault.status(500, "no"))
        seen = await observe(setup)
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        assert listed_at(seen.page) == {"main": began, "mirror": setup.clock.time}
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert (group_value(seen.page, "count", WEB), group_value(seen.page, "count", OTHER)) == (3, 4)
        setup.pbs.faults.clear()
        seen = await observe(setup)
        assert failed(seen.page) == set()
        assert group_value(seen.page, "count", WEB) == 4


async def test_a_failed_full_listing_in_the_background() -> None:
    """A full listing that fails in the background costs the success, and what was known stays."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        began = setup.clock.time
        history.verify("main")
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        await observe(setup)
        seen = await observe(setup)
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert fully_listed_at(seen.page)["main"] == began


@pytest.mark.parametrize(("refresh", "seconds"), [(900.0, 60), (30.0, 30)])
async def test_a_failed_full_listing_is_tried_again_soon(refresh: float, seconds: float) -> None:
    """A full listing that failed in the background is tried again a minute later, not a whole refresh."""
    history = small_history()
    async with listing_changes(history, listing_refresh_seconds=refresh) as setup:
        await observe(setup)
        history.verify("main")
        vanished = setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        await observe(setup)
        vanished.remove()
        setup.clock.advance(seconds * 0.7)
        assert ("main", "") not in (await observe(setup)).listed_in_full
        setup.clock.advance(seconds * 0.4)
        assert ("main", "") in (await observe(setup)).listed_in_full
        page = (await observe(setup)).page
        assert failed(page) == set()
        assert group_value(page, "verification", WEB, state="ok") == 3


async def test_groups_that_hit_the_limit_are_not_asked_again_at_once() -> None:
    """After listing_timeout_seconds PBS is still reading groups: the same time passes before the next look."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=0.3) as setup:
        await observe(setup)
        history.backup(WEB)
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.stall())
        assert failed_datastores((await observe(setup)).page) == {("snapshots", "main")}
        setup.pbs.faults.clear()
        setup.clock.advance(0.2)
        seen = await observe(setup)
        assert {place.store for place in seen.groups} == {"mirror"}
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        setup.clock.advance(0.2)
        seen = await observe(setup)
        assert asked_for_changes_only(seen)
        assert group_value(seen.page, "count", WEB) == 4
        assert failed(seen.page) == set()


async def test_a_group_with_a_bad_row_is_listed_again() -> None:
    """A bad row of a group costs the success; the other rows show, and the group is listed until it is good."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        # No task names it.
        history.own(WEB, "alice@pbs")
        setup.pbs.faults.add(SNAPSHOTS, Fault.rows(lambda rows: [{**rows[0], "size": "big"}, *rows[1:]]))
        for _ in range(2):
            seen = await observe(setup)
            assert seen.listed == {WEB}
            assert failed_datastores(seen.page) == {("snapshots", "main")}
            assert group_value(seen.page, "count", WEB) == 2
        setup.pbs.faults.clear()
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert group_value(seen.page, "count", WEB) == 3
        assert failed(seen.page) == set()
        assert (await observe(setup)).listed == set()


async def test_changed_groups_do_not_wait_for_tasks() -> None:
    """A group that its row shows to have changed is listed while the task list is still awaited."""
    history, gate = small_history(), Gate()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.backup(WEB)
        setup.pbs.faults.add(TASKS, gate.fault)
        setup.pbs.requests.clear()
        page = asyncio.create_task(setup.scrape())
        await eventually(lambda: any(request.template == SNAPSHOTS for request in setup.pbs.requests))
        assert not page.done()
        gate.open()
        assert group_value(await page, "count", WEB) == 4


async def test_changes_have_an_age_limit_too() -> None:
    """Where looks for changes fail for listing_max_age_seconds, the datastore's series are gone."""
    history = small_history()
    async with listing_changes(history, listing_max_age_seconds=1000.0, listing_refresh_seconds=5000.0) as setup:
        await observe(setup)
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.status(500, "no"))
        setup.clock.advance(1000)
        assert places((await observe(setup)).page) == {WEB, DNS, DEEP, OTHER}
        setup.clock.advance(1)
        assert places((await observe(setup)).page) == {OTHER}


async def test_a_datastore_that_comes_back() -> None:
    """A datastore in maintenance has no series and isn't asked; when it is back it is listed in full at once."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.close_store("main")
        seen = await observe(setup)
        assert places(seen.page) == {OTHER}
        assert {place.store for place in seen.groups} == {"mirror"}
        history.open_store("main")
        seen = await observe(setup)
        assert seen.listed_in_full == OF_MAIN
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}


async def test_an_interval_spares_pbs_the_groups_too() -> None:
    """With listing_interval_seconds what is younger is used as it is, and nothing is asked."""
    history = small_history()
    async with listing_changes(history, listing_interval_seconds=300.0) as setup:
        await observe(setup)
        setup.clock.advance(299)
        seen = await observe(setup)
        assert (seen.groups, seen.listed, seen.listed_in_full) == ([], set(), [])
        setup.clock.advance(1)
        assert asked_for_changes_only(await observe(setup))
