"""Failures during incremental listings, and their effect on the next ones."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from pbs_exporter.pbs.snapshots.fingerprints import BATCH
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
    """Make a fault for requests with this query; the others get their usual answer."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if asked(exchange.log.query):
            return await fault.act(exchange)
        return await exchange.send(await exchange.answer())

    return Fault(act)


def of_all(fault: Fault) -> Fault:
    """Make a fault for full listings."""
    return where(lambda query: "backup-id" not in query, fault)


def of_group(place: Place, fault: Fault) -> Fault:
    """Make a fault for one group's listings."""
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
    """Add a group without a backup task."""
    history.stores[place.store].namespaces[place.namespace][place.group] = Group(snapshots=list(snapshots))


def sync_many(history: BackupHistory) -> list[Place]:
    """Add enough groups to make a full listing cheaper."""
    places = [Place("main", "", ("vm", str(1000 + number))) for number in range(30)]
    for place in places:
        sync(history, place, Snapshot(history.now, 5))
    return places


async def test_many_changes_whose_full_listing_fails() -> None:
    """Where many groups have changed and the full listing fails, the next scrape lists the groups by themselves."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        began = setup.clock.time
        places = sync_many(history)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(VANISHED))
        setup.clock.advance(10)
        page = (await observe(setup)).page
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page)["main"] == began
        setup.clock.advance(10)
        page = (await observe(setup)).page
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page)["main"] == setup.clock.time
        assert [group_value(page, "count", place) for place in places] == [1] * len(places)
        setup.pbs.faults.clear()
        setup.clock.advance(60)
        await observe(setup)
        page = (await observe(setup)).page
        assert group_value(page, "count", places[0]) == 1
        assert failed(page) == set()


async def test_many_changes_while_pbs_is_still_at_it() -> None:
    """After a full listing that timed out, no other begins before the same time has passed."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=0.3, listing_refresh_seconds=2.0) as setup:
        await observe(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(Fault.stall()))
        setup.clock.advance(3)
        assert ("main", "") in (await observe(setup)).listed_in_full
        sync_many(history)
        assert ("main", "") not in (await observe(setup)).listed_in_full


async def test_more_changes_than_a_batch_while_full_listings_are_blocked() -> None:
    """The groups with the newest backups come first, the others with the next scrapes; until then success is 0."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=2.0, listing_refresh_seconds=2.0) as setup:
        await observe(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(Fault.stall()))
        setup.clock.advance(3)
        await observe(setup)
        places = [Place("main", "", ("vm", str(1000 + number))) for number in range(BATCH + 10)]
        for age, place in enumerate(places):
            sync(history, place, Snapshot(history.now - age, 5))
        page = (await observe(setup)).page
        counted = [group_value(page, "count", place) for place in places]
        assert counted == [1] * BATCH + [None] * 10
        assert failed_datastores(page) == {("snapshots", "main")}
        page = (await observe(setup)).page
        assert [group_value(page, "count", place) for place in places] == [1] * len(places)
        assert listed_at(page)["main"] == setup.clock.time


async def test_a_group_that_seemed_to_be_gone() -> None:
    """A group whose own listing was empty is listed again if it still exists."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.own(WEB, "alice@pbs")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, Fault.json([]), times=1)
        await observe(setup)
        assert group_value((await observe(setup)).page, "count", WEB) == 3


async def test_a_full_listing_does_not_undo_a_look_that_failed_in_part() -> None:
    """Groups from an incremental listing stay, although another group failed and an earlier full listing ends later."""
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
    """A snapshot that only a full listing has read disappears with the next incremental listing."""
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
    """A bulk verification causes one full listing, even if every incremental listing fails in part."""
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
    """An unreadable row fails the datastore; the other groups are as new as the incremental listing."""
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
    """A group from a task hint is listed again if its listing failed, even if the task list fails meanwhile."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify_group(WEB, "failed")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, VANISHED), times=1)
        assert failed_datastores((await observe(setup)).page) == {("snapshots", "main")}
        setup.pbs.faults.add("/nodes/localhost/tasks", Fault.status(500, "busy"))
        assert group_value((await observe(setup)).page, "verification", WEB, state="failed") == 3


async def test_a_listing_that_hit_its_limit_behind_another_error() -> None:
    """A group whose listing timed out isn't asked for again at once, even if other requests fail too."""
    history = small_history()
    async with listing_changes(history, listing_timeout_seconds=0.3) as setup:
        await observe(setup)
        setup.pbs.faults.add(GROUPS_OF_MAIN, Fault.rows(lambda rows: [*rows, 7]))
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, Fault.stall()))
        history.own(WEB, "alice@pbs")
        assert [len((await observe(setup)).listed) for _ in range(3)] == [1, 0, 0]


async def test_a_group_that_can_not_be_listed() -> None:
    """A group's failed listing fails its datastore and loses no known data; the group is listed again."""
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
    """A failed list of groups or namespaces fails its datastore and loses no known data."""
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
    """A full listing that fails in the background fails the datastore and loses no known data."""
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
    """A full listing that failed in the background is repeated after a minute, not after a whole refresh interval."""
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
    """After listing_timeout_seconds PBS is still reading groups: the next listing waits for the same time again."""
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
    """A bad row of a group fails the datastore; the other rows are shown, and the group is listed until it is good."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        # No task names this group.
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
    """A group whose row has changed is listed while the task list is still pending."""
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
    """If incremental listings fail for listing_max_age_seconds, the datastore's series are gone."""
    history = small_history()
    async with listing_changes(history, listing_max_age_seconds=1000.0, listing_refresh_seconds=5000.0) as setup:
        await observe(setup)
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.status(500, "no"))
        setup.clock.advance(1000)
        assert places((await observe(setup)).page) == {WEB, DNS, DEEP, OTHER}
        setup.clock.advance(1)
        assert places((await observe(setup)).page) == {OTHER}


async def test_a_datastore_that_comes_back() -> None:
    """A datastore in maintenance has no series and isn't asked; after that it is listed in full at once."""
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
    """With listing_interval_seconds, a younger listing is used, and nothing is asked."""
    history = small_history()
    async with listing_changes(history, listing_interval_seconds=300.0) as setup:
        await observe(setup)
        setup.clock.advance(299)
        seen = await observe(setup)
        assert (seen.groups, seen.listed, seen.listed_in_full) == ([], set(), [])
        setup.clock.advance(1)
        assert asked_for_changes_only(await observe(setup))
