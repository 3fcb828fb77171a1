"""Asking only for what has changed, when something goes wrong in between: what the next looks make of it."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from pbs_exporter.pbs.snapshots.fingerprints import BATCH
from pbs_exporter.simulator import Fault
from pbs_exporter.simulator.exchange import Exchange
from tests.support.backup_history import Group, History, Place, Snapshot
from tests.support.incremental_listing import DNS, WEB, FullListings, changing, landed, look, of, small_history
from tests.support.page_facts import failed, failed_datastores, listed_at

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


def sync(history: History, place: Place, *snapshots: Snapshot) -> None:
    """Bring a group that no backup task tells of."""
    history.stores[place.store].namespaces[place.namespace][place.group] = Group(snapshots=list(snapshots))


def sync_many(history: History) -> list[Place]:
    """Bring so many groups that a full listing is cheaper."""
    places = [Place("main", "", ("vm", str(1000 + number))) for number in range(30)]
    for place in places:
        sync(history, place, Snapshot(history.now, 5))
    return places


async def test_many_changes_whose_full_listing_fails() -> None:
    """Where many groups have changed and the full listing fails, the next scrape lists the groups by themselves."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        began = setup.clock.time
        places = sync_many(history)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(VANISHED))
        setup.clock.advance(10)
        page = (await look(setup)).page
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page)["main"] == began
        setup.clock.advance(10)
        page = (await look(setup)).page
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page)["main"] == setup.clock.time
        assert [of(page, "count", place) for place in places] == [1] * len(places)
        setup.pbs.faults.clear()
        setup.clock.advance(60)
        await look(setup)
        page = (await look(setup)).page
        assert of(page, "count", places[0]) == 1
        assert failed(page) == set()


async def test_many_changes_while_pbs_is_still_at_it() -> None:
    """After a full listing that hit its limit no other is begun before the same time has passed."""
    history = small_history()
    async with changing(history, listing_timeout_seconds=0.3, listing_refresh_seconds=2.0) as setup:
        await look(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(Fault.stall()))
        setup.clock.advance(3)
        assert ("main", "") in (await look(setup)).listed_in_full
        sync_many(history)
        assert ("main", "") not in (await look(setup)).listed_in_full


async def test_more_changes_than_a_batch_while_full_listings_are_blocked() -> None:
    """The groups with the newest backups come first, the others with the next scrapes; until then success is 0."""
    history = small_history()
    async with changing(history, listing_timeout_seconds=0.3, listing_refresh_seconds=2.0) as setup:
        await look(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_all(Fault.stall()))
        setup.clock.advance(3)
        await look(setup)
        places = [Place("main", "", ("vm", str(1000 + number))) for number in range(BATCH + 10)]
        for age, place in enumerate(places):
            sync(history, place, Snapshot(history.now - age, 5))
        page = (await look(setup)).page
        counted = [of(page, "count", place) for place in places]
        assert counted == [1] * BATCH + [None] * 10
        assert failed_datastores(page) == {("snapshots", "main")}
        page = (await look(setup)).page
        assert [of(page, "count", place) for place in places] == [1] * len(places)
        assert listed_at(page)["main"] == setup.clock.time


async def test_a_group_that_seemed_to_be_gone() -> None:
    """A group whose own listing was empty, though it is there, is listed again."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.own(WEB, "alice@pbs")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, Fault.json([]), times=1)
        await look(setup)
        assert of((await look(setup)).page, "count", WEB) == 3


async def test_a_full_listing_does_not_undo_a_look_that_failed_in_part() -> None:
    """What a look has listed stays, although another group failed, and a full listing of before lands after it."""
    history, gate = small_history(), FullListings(read=True)
    async with changing(history) as setup:
        await look(setup)
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
        await landed()
        setup.pbs.faults.clear()
        page = (await look(setup)).page
        assert (of(page, "count", WEB), of(page, "count", NEW)) == (1, 1)
        assert failed(page) == set()


async def test_what_came_and_went_while_all_was_listed() -> None:
    """A snapshot that a full listing has read, and no look has, is off the page with the next look."""
    history, gate = small_history(), FullListings()
    async with changing(history, listing_refresh_seconds=100.0) as setup:
        await look(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, gate.fault)
        setup.clock.advance(101)
        await setup.scrape()
        await gate.settled(setup.pbs)
        passing = Snapshot(history.now + 1, None)
        history.at(WEB).snapshots.append(passing)
        gate.open()
        await landed()
        history.at(WEB).snapshots.remove(passing)
        page = (await look(setup)).page
        assert (of(page, "count", WEB), of(page, "unfinished", WEB)) == (3, 0)


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
    async with changing(history) as setup:
        await look(setup)
        setup.pbs.faults.add(path, fault)
        history.own(DNS, "alice@pbs")
        await look(setup)
        history.verify("main")
        listed = []
        for _ in range(5):
            setup.clock.advance(10)
            listed += (await look(setup)).listed_in_full
        assert listed.count(("main", "")) == 1


async def test_a_bad_row_does_not_age_the_others() -> None:
    """A row that can't be read costs the success; what the page says of the others is as new as the look."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, bad_size_of(DNS))
        history.own(DNS, "alice@pbs")
        for _ in range(2):
            setup.clock.advance(10)
            page = (await look(setup)).page
            assert failed_datastores(page) == {("snapshots", "main")}
            assert listed_at(page)["main"] == setup.clock.time


async def test_a_verified_group_whose_listing_failed() -> None:
    """A group that a task has named is listed again where its listing failed, also if tasks fail meanwhile."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.verify_group(WEB, "failed")
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, VANISHED), times=1)
        assert failed_datastores((await look(setup)).page) == {("snapshots", "main")}
        setup.pbs.faults.add("/nodes/localhost/tasks", Fault.status(500, "busy"))
        assert of((await look(setup)).page, "verification", WEB, state="failed") == 3


async def test_a_listing_that_hit_its_limit_behind_another_error() -> None:
    """A group's listing that hit its limit isn't asked for again at once, whatever else has failed."""
    history = small_history()
    async with changing(history, listing_timeout_seconds=0.3) as setup:
        await look(setup)
        setup.pbs.faults.add(GROUPS_OF_MAIN, Fault.rows(lambda rows: [*rows, 7]))
        setup.pbs.faults.add(SNAPSHOTS_OF_MAIN, of_group(WEB, Fault.stall()))
        history.own(WEB, "alice@pbs")
        assert [len((await look(setup)).listed) for _ in range(3)] == [1, 0, 0]
