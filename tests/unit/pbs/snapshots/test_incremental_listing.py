"""Asking only for what has changed: what is asked for when, and what a page shows meanwhile."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots, GroupId
from pbs_exporter.simulator import Fault
from tests.support.backup_history import Group, History, Place, Snapshot
from tests.support.clock import FakeClock
from tests.support.incremental_listing import (
    DEEP,
    DNS,
    GROUPS,
    OTHER,
    WEB,
    FullListings,
    Look,
    changing,
    landed,
    look,
    of,
    small_history,
)
from tests.support.metrics_page import Scraped
from tests.support.page_facts import LISTING_TIMES, facts, failed, failed_datastores, listed_at, without
from tests.support.small_pbs import NAMESPACES, SNAPSHOTS
from tests.support.waiting import Gate, eventually

ALL_NAMESPACES = [("main", ""), ("main", "a"), ("main", "a/b"), ("mirror", "")]
OF_MAIN = ALL_NAMESPACES[:3]

TASKS = "/nodes/{node}/tasks"


def fully_listed_at(page: Scraped) -> dict[str, float]:
    """Give the time of each datastore's full listing on the page."""
    return page.by("pbs_snapshot_full_listing_timestamp_seconds", "datastore")


def places(page: Scraped) -> set[Place]:
    """Give the groups on the page."""
    return {
        Place(labels["datastore"], labels["namespace"], (labels["backup_type"], labels["backup_id"]))
        for labels, _ in page.series("pbs_snapshot_count")
    }


def asked_for_changes_only(seen: Look) -> bool:
    """Tell whether each namespace was asked for its groups once, and nothing was listed in full."""
    asked = sorted((place.store, place.namespace) for place in seen.groups)
    return asked == ALL_NAMESPACES and seen.listed_in_full == []


# --- what is asked


async def test_the_first_scrape_lists_in_full() -> None:
    """At first all is listed, and the scrape waits for it."""
    async with changing(small_history()) as setup:
        seen = await look(setup)
        assert seen.listed_in_full == ALL_NAMESPACES
        assert not seen.listed
        assert not seen.groups
        assert failed(seen.page) == set()
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert listed_at(seen.page) == fully_listed_at(seen.page) == dict.fromkeys(("main", "mirror"), setup.clock.time)


async def test_what_has_not_changed_is_not_listed() -> None:
    """Where nothing has changed each namespace is asked for its groups, and no snapshot is listed."""
    async with changing(small_history()) as setup:
        first = await look(setup)
        for _ in range(3):
            setup.clock.advance(60)
            seen = await look(setup)
            assert asked_for_changes_only(seen)
            assert not seen.listed
            assert failed(seen.page) == set()
            assert without(facts(seen.page), *LISTING_TIMES) == without(facts(first.page), *LISTING_TIMES)


async def test_both_ages_are_told() -> None:
    """One time says how old counts and times are, the other how old what only a full listing shows."""
    async with changing(small_history(), listing_refresh_seconds=900.0) as setup:
        began = setup.clock.time
        await look(setup)
        setup.clock.advance(60)
        page = (await look(setup)).page
        assert listed_at(page) == {"main": began + 60, "mirror": began + 60}
        assert fully_listed_at(page) == {"main": began, "mirror": began}
        setup.clock.advance(840)
        await look(setup)
        setup.clock.advance(1)
        page = (await look(setup)).page
        assert listed_at(page) == {"main": began + 901, "mirror": began + 901}
        assert fully_listed_at(page) == {"main": began + 900, "mirror": began + 900}


CHANGES: list[Callable[[History], None]] = [
    lambda history: history.backup(WEB),
    lambda history: history.prune(WEB, 1),
    lambda history: history.remove(WEB, history.at(WEB).oldest_first()[0]),
    lambda history: history.remove(WEB, history.at(WEB).oldest_first()[1]),
    lambda history: history.remove(WEB, history.at(WEB).oldest_first()[2]),
    lambda history: history.own(WEB, "alice@pbs"),
    lambda history: history.remake_group(WEB),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("looks", [1, 3])
async def test_only_the_changed_group_is_listed(change: Callable[[History], None], looks: int) -> None:
    """A group that isn't what it was is listed alone and once, and the page shows it as it is."""
    history = small_history()
    async with changing(history) as setup:
        for _ in range(looks):
            await look(setup)
        change(history)
        seen = await look(setup)
        assert asked_for_changes_only(seen)
        assert seen.listed == {WEB}
        group = history.at(WEB)
        assert of(seen.page, "count", WEB) == len(group.snapshots)
        assert of(seen.page, "last_timestamp_seconds", WEB) == group.finished()[-1].time
        assert {row["owner"] for row, _ in seen.page.series("pbs_snapshot_info") if row["backup_id"] == "100"} == {
            group.owner,
            history.at(OTHER).owner,
        }
        assert not (await look(setup)).listed


async def test_a_note_on_a_group() -> None:
    """A group is listed too when its own note has changed since the list of groups was last seen."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        await look(setup)
        history.note_group(WEB, "the web")
        assert (await look(setup)).listed == {WEB}
        assert not (await look(setup)).listed


async def test_a_new_group_is_listed() -> None:
    """A group that wasn't there, in a namespace that wasn't there, is shown with the next scrape."""
    history, new = small_history(), Place("mirror", "fresh", ("host", "web.example.org"))
    async with changing(history) as setup:
        await look(setup)
        history.backup(new, 70)
        seen = await look(setup)
        assert seen.listed == {new}
        assert of(seen.page, "size_bytes", new) == 70
        assert seen.page.value("pbs_datastore_namespaces", datastore="mirror") == 2


async def test_what_is_gone_takes_its_series_with_it() -> None:
    """Groups and namespaces that are gone have no series any more, and cost no listing."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.remove_group(WEB)
        seen = await look(setup)
        assert not seen.listed
        assert places(seen.page) == {DNS, DEEP, OTHER}
        history.remove_namespace("main", "a/b")
        seen = await look(setup)
        assert not seen.listed
        assert places(seen.page) == {DNS, OTHER}
        assert seen.page.value("pbs_datastore_namespaces", datastore="main") == 2


async def test_a_renamed_namespace() -> None:
    """The groups of a namespace with a new name are shown under that one, and no more under the old one."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.rename_namespace("main", "a/b", "c")
        seen = await look(setup)
        assert seen.listed == {Place("main", "c", DEEP.group)}
        assert places(seen.page) == {WEB, DNS, Place("main", "c", DEEP.group), OTHER}


async def test_a_group_that_has_lost_its_last_snapshot() -> None:
    """An empty group is a group without snapshots: nothing is left of it on the page."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.prune(WEB, 0)
        assert history.at(WEB).snapshots == []
        seen = await look(setup)
        assert places(seen.page) == {DNS, DEEP, OTHER}
        assert not (await look(setup)).listed


async def test_a_group_that_is_gone_when_it_is_listed() -> None:
    """A group whose listing says that there is nothing any more is no failure, and isn't shown."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.backup(WEB)
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.json([]), times=1)
        page = (await look(setup)).page
        assert failed(page) == set()
        assert places(page) == {DNS, DEEP, OTHER}


# --- tasks


async def test_a_running_backup() -> None:
    """The group of a running backup is listed at each scrape, once more when it has ended, and then not."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.start_backup(WEB)
        for _ in range(3):
            seen = await look(setup)
            assert seen.listed == {WEB}
            assert (of(seen.page, "count", WEB), of(seen.page, "unfinished", WEB)) == (4, 1)
        history.finish_backup(WEB, 77)
        seen = await look(setup)
        assert seen.listed == {WEB}
        assert (of(seen.page, "unfinished", WEB), of(seen.page, "size_bytes", WEB)) == (0, 77)
        assert not (await look(setup)).listed


async def test_an_aborted_backup() -> None:
    """A backup that ended between two scrapes has its group listed, although the list of groups looks the same."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.remove(WEB, history.at(WEB).oldest_first()[0])
        history.start_backup(WEB)
        history.abort_backup(WEB)
        seen = await look(setup)
        assert seen.listed == {WEB}
        assert (of(seen.page, "count", WEB), of(seen.page, "unfinished", WEB)) == (3, 1)
        assert not (await look(setup)).listed


async def test_a_backup_does_not_tell_its_namespace() -> None:
    """A backup's task names the group of each namespace of its datastore, and of no other datastore."""
    history, twin = small_history(), Place("main", "a", WEB.group)
    history.backup(twin)
    async with changing(history) as setup:
        await look(setup)
        history.start_backup(twin)
        assert (await look(setup)).listed == {WEB, twin}


@pytest.mark.parametrize("place", [WEB, DEEP, OTHER])
@pytest.mark.parametrize("whole_group", [True, False])
async def test_a_verified_group_is_listed(place: Place, whole_group: bool) -> None:  # noqa: FBT001
    """What a task verified of one group is shown with the next scrape."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        if whole_group:
            history.verify_group(place, "failed")
        else:
            history.verify_snapshot(place, history.at(place).oldest_first()[1], "failed")
        seen = await look(setup)
        assert asked_for_changes_only(seen)
        assert seen.listed == {place}
        assert of(seen.page, "verification", place, state="failed") == (3 if whole_group else 1)
        assert not (await look(setup)).listed


async def test_a_group_that_is_being_verified() -> None:
    """A group is listed at each scrape while it is verified, and once more after that."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        task = history.begin("verify_group", "main:ns/a/ns/b/vm/102")
        assert (await look(setup)).listed == {DEEP}
        assert (await look(setup)).listed == {DEEP}
        history.end(task)
        assert (await look(setup)).listed == {DEEP}
        assert not (await look(setup)).listed


@pytest.mark.parametrize("worker_type", ["verify_group", "verify_snapshot"])
@pytest.mark.parametrize("worker_id", ["main", "main:", "main:what", "main:ns/a", "main:a/b/c/d/e"])
async def test_a_task_that_can_not_be_read(worker_type: str, worker_id: str) -> None:
    """Where a task doesn't tell which group it verified, its datastore is listed in full in the background."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.run(worker_type, worker_id)
        seen = await look(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        assert (await look(setup)).listed_in_full == []


@pytest.mark.parametrize("worker_type", ["verificationjob", "verify"])
async def test_a_verification_of_many(worker_type: str) -> None:
    """A verified datastore is listed in full in the background; the scrape after that shows what was found."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.verify("main", worker_type, "failed")
        seen = await look(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        seen = await look(setup)
        assert seen.listed_in_full == []
        assert [of(seen.page, "verification", place, state="failed") for place in (WEB, DEEP, OTHER)] == [3, 3, 0]


async def test_a_verification_of_many_that_runs() -> None:
    """As long as a datastore is being verified it isn't listed in full for that."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        task = history.begin("verificationjob", "main:daily")
        assert [(await look(setup)).listed_in_full for _ in range(2)] == [[], []]
        history.end(task)
        assert (await look(setup)).listed_in_full == OF_MAIN


async def test_tasks_that_come_late() -> None:
    """Where PBS fails to say its tasks, groups are compared all the same; what ended meanwhile is seen later."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.verify_group(WEB)
        history.prune(DNS, 1)
        armed = setup.pbs.faults.add(TASKS, Fault.status(500, "no"))
        seen = await look(setup)
        assert failed(seen.page) == {"tasks"}
        assert seen.listed == {DNS}
        armed.remove()
        seen = await look(setup)
        assert seen.listed == {WEB}
        assert of(seen.page, "verification", WEB, state="ok") == 3


# --- how much at once


async def test_two_lists_of_groups_at_a_time() -> None:
    """At most two lists of groups are asked for at once: each blocks a thread of PBS."""
    history, gate = small_history(), Gate()
    for name in ("b", "c", "d"):
        history.add_namespace("mirror", name)
    async with changing(history) as setup:
        await look(setup)
        setup.pbs.faults.add(GROUPS, gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        await gate.settled(setup.pbs)
        assert len(gate.waiting) == 2
        gate.open()
        assert failed(await scrape) == set()
        assert len(gate.most_waiting) == 2
        assert setup.asked(GROUPS) == 7


def many_groups(number: int) -> History:
    """Make a datastore of so many groups with a snapshot each, in two namespaces."""
    history = History(FakeClock(1_795_000_000.0), "main")
    history.add_namespace("main", "a")
    for index in range(number):
        name = ("", "a")[index % 2]
        history.stores["main"].namespaces[name]["vm", str(index)] = Group(snapshots=[Snapshot(history.now - 500, 10)])
    return history


@pytest.mark.parametrize(
    ("groups", "changed", "in_full"),
    [
        pytest.param(22, 20, False, id="not more than 20"),
        pytest.param(22, 21, True, id="more than 20"),
        pytest.param(220, 22, False, id="a tenth"),
        pytest.param(220, 23, True, id="more than a tenth"),
    ],
)
async def test_many_changes(groups: int, changed: int, in_full: bool) -> None:  # noqa: FBT001
    """Where more than a tenth of the groups differ, and more than 20, all are listed at once, and the scrape waits."""
    history = many_groups(groups)
    async with changing(history) as setup:
        await look(setup)
        for place in list(history.places())[:changed]:
            history.own(place, "alice@pbs")
        seen = await look(setup)
        assert seen.listed_in_full == ([("main", ""), ("main", "a")] if in_full else [])
        assert len(seen.listed) == (0 if in_full else changed)
        owners = [row["owner"] for row, _ in seen.page.series("pbs_snapshot_info")]
        assert owners.count("alice@pbs") == changed
        assert failed(seen.page) == set()
        seen = await look(setup)
        assert (seen.listed, seen.listed_in_full) == (set(), [])


# --- the background


async def test_a_full_listing_in_the_background_holds_no_scrape_up() -> None:
    """While a full listing is under way scrapes show what they know, and changes; it isn't begun twice."""
    history, gate = small_history(), FullListings()
    async with changing(history) as setup:
        await look(setup)
        history.verify("main")
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        for count in (4, 5):
            history.backup(WEB)
            page = await setup.scrape()
            assert failed(page) == set()
            assert of(page, "count", WEB) == count
            assert of(page, "verification", DNS, state="ok") == 0
            await gate.settled(setup.pbs)
            assert len(gate.waiting) == 3
        gate.open()
        seen = await look(setup)
        assert seen.listed_in_full == []
        assert of(seen.page, "verification", DNS, state="ok") == 3
        assert of(seen.page, "count", WEB) == 5


async def test_a_full_listing_does_not_undo_what_came_after_it() -> None:
    """What a group's own listing has shown stays, although a full one that had begun before lands after it."""
    history, gate = small_history(), FullListings(read=True)
    async with changing(history) as setup:
        await look(setup)
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        history.verify("main")
        await setup.scrape()
        await gate.settled(setup.pbs)
        assert len(gate.waiting) == 3
        new = Place("main", "new", ("vm", "7"))
        history.backup(WEB)
        history.remove_group(DNS)
        history.backup(new)
        assert places(await setup.scrape()) == {WEB, DEEP, OTHER, new}
        gate.open()
        await landed()
        for _ in range(2):
            seen = await look(setup)
            assert places(seen.page) == {WEB, DEEP, OTHER, new}
            assert of(seen.page, "count", WEB) == 4
            assert of(seen.page, "verification", DEEP, state="ok") == 3


async def test_the_refresh() -> None:
    """Each datastore is listed in full when 0.8 to 1.0 of listing_refresh_seconds have passed since it was."""
    history = small_history()
    async with changing(history, listing_refresh_seconds=1000.0) as setup:
        await look(setup)
        for _ in range(3):
            setup.clock.advance(799)
            seen = await look(setup)
            assert (seen.listed, seen.listed_in_full) == (set(), [])
            setup.clock.advance(201)
            seen = await look(setup)
            assert asked_for_changes_only(seen) is False
            assert (seen.listed, seen.listed_in_full) == (set(), ALL_NAMESPACES)


async def test_a_full_listing_for_a_task_counts_as_a_refresh() -> None:
    """The time of the refresh begins with the last full listing, whatever that was for."""
    history = small_history()
    async with changing(history, listing_refresh_seconds=1000.0) as setup:
        await look(setup)
        setup.clock.advance(700)
        history.verify("main")
        assert (await look(setup)).listed_in_full == OF_MAIN
        setup.clock.advance(790)
        assert (await look(setup)).listed_in_full == [("mirror", "")]


async def test_refreshes_are_spread() -> None:
    """Datastores that were listed at the same time aren't listed at the same time again."""
    history = History(FakeClock(1_795_000_000.0), *(f"store{number}" for number in range(20)))
    async with changing(history, listing_refresh_seconds=1000.0) as setup:
        await look(setup)
        setup.clock.advance(800)
        listed = []
        for _ in range(8):
            listed.append(len((await look(setup)).listed_in_full))
            setup.clock.advance(25)
        listed.append(len((await look(setup)).listed_in_full))
        assert sum(listed) == 20
        assert len([number for number in listed if number]) > 1


async def test_the_refresh_needs_no_scrape() -> None:
    """A target that was scraped not long ago is refreshed by itself."""
    history = small_history()
    async with changing(history, listing_refresh_seconds=1.0) as setup:
        await look(setup)
        setup.clock.advance(10)
        await eventually(lambda: setup.asked(SNAPSHOTS) == 8)


async def test_what_nobody_scrapes_is_not_refreshed() -> None:
    """Nothing is asked in the background of a target that nobody has scraped for listing_max_age_seconds."""
    history = small_history()
    async with changing(history, listing_refresh_seconds=1.0, listing_max_age_seconds=100.0) as setup:
        await look(setup)
        setup.clock.advance(101)
        asked = len(setup.pbs.requests)
        # Longer than any refresh takes to come: too short a time would hide a fault, and not make one.
        await asyncio.sleep(1.2)
        assert len(setup.pbs.requests) == asked
        seen = await look(setup)
        assert failed(seen.page) == set()


# --- failures


async def test_a_group_that_can_not_be_listed() -> None:
    """A group's failed listing costs its datastore's success, and nothing that was known; then it is listed again."""
    history = small_history()
    async with changing(history) as setup:
        first = await look(setup)
        began = setup.clock.time
        history.backup(WEB)
        history.backup(DNS)
        history.backup(OTHER)
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        for _ in range(2):
            seen = await look(setup)
            assert failed_datastores(seen.page) == {("snapshots", "main")}
            assert listed_at(seen.page) == {"main": began, "mirror": setup.clock.time}
            assert of(seen.page, "count", WEB) == of(first.page, "count", WEB) == 3
            assert of(seen.page, "count", OTHER) == 4
        setup.pbs.faults.clear()
        seen = await look(setup)
        assert seen.listed == {WEB, DNS}
        assert failed(seen.page) == set()
        assert of(seen.page, "count", WEB) == 4
        assert listed_at(seen.page)["main"] == setup.clock.time


@pytest.mark.parametrize("template", [NAMESPACES, GROUPS])
async def test_groups_that_can_not_be_asked(template: str) -> None:
    """A list of groups, or of namespaces, that fails costs its datastore's success, and nothing that was known."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        began = setup.clock.time
        history.backup(WEB)
        history.backup(OTHER)
        setup.pbs.faults.add(template.format(store="main"), Fault.status(500, "no"))
        seen = await look(setup)
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        assert listed_at(seen.page) == {"main": began, "mirror": setup.clock.time}
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert (of(seen.page, "count", WEB), of(seen.page, "count", OTHER)) == (3, 4)
        setup.pbs.faults.clear()
        seen = await look(setup)
        assert failed(seen.page) == set()
        assert of(seen.page, "count", WEB) == 4


async def test_a_failed_full_listing_in_the_background() -> None:
    """A full listing that fails in the background costs the success, and what was known stays."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        began = setup.clock.time
        history.verify("main")
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        await look(setup)
        seen = await look(setup)
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert fully_listed_at(seen.page)["main"] == began


@pytest.mark.parametrize(("refresh", "seconds"), [(900.0, 60), (30.0, 30)])
async def test_a_failed_full_listing_is_tried_again_soon(refresh: float, seconds: float) -> None:
    """A full listing that failed in the background is tried again a minute later, not a whole refresh."""
    history = small_history()
    async with changing(history, listing_refresh_seconds=refresh) as setup:
        await look(setup)
        history.verify("main")
        vanished = setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "unable to read manifest"))
        await look(setup)
        vanished.remove()
        setup.clock.advance(seconds * 0.7)
        assert ("main", "") not in (await look(setup)).listed_in_full
        setup.clock.advance(seconds * 0.4)
        assert ("main", "") in (await look(setup)).listed_in_full
        page = (await look(setup)).page
        assert failed(page) == set()
        assert of(page, "verification", WEB, state="ok") == 3


async def test_groups_that_hit_the_limit_are_not_asked_again_at_once() -> None:
    """After listing_timeout_seconds PBS is still reading groups: the same time passes before the next look."""
    history = small_history()
    async with changing(history, listing_timeout_seconds=0.3) as setup:
        await look(setup)
        history.backup(WEB)
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.stall())
        assert failed_datastores((await look(setup)).page) == {("snapshots", "main")}
        setup.pbs.faults.clear()
        setup.clock.advance(0.2)
        seen = await look(setup)
        assert {place.store for place in seen.groups} == {"mirror"}
        assert failed_datastores(seen.page) == {("snapshots", "main")}
        setup.clock.advance(0.2)
        seen = await look(setup)
        assert asked_for_changes_only(seen)
        assert of(seen.page, "count", WEB) == 4
        assert failed(seen.page) == set()


async def test_a_group_with_a_bad_row_is_listed_again() -> None:
    """A bad row of a group costs the success; the other rows show, and the group is listed until it is good."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        # No task names it.
        history.own(WEB, "alice@pbs")
        setup.pbs.faults.add(SNAPSHOTS, Fault.rows(lambda rows: [{**rows[0], "size": "big"}, *rows[1:]]))
        for _ in range(2):
            seen = await look(setup)
            assert seen.listed == {WEB}
            assert failed_datastores(seen.page) == {("snapshots", "main")}
            assert of(seen.page, "count", WEB) == 2
        setup.pbs.faults.clear()
        seen = await look(setup)
        assert seen.listed == {WEB}
        assert of(seen.page, "count", WEB) == 3
        assert failed(seen.page) == set()
        assert (await look(setup)).listed == set()


async def test_changed_groups_do_not_wait_for_tasks() -> None:
    """A group that its row shows to have changed is listed while the task list is still awaited."""
    history, gate = small_history(), Gate()
    async with changing(history) as setup:
        await look(setup)
        history.backup(WEB)
        setup.pbs.faults.add(TASKS, gate.fault)
        setup.pbs.requests.clear()
        page = asyncio.create_task(setup.scrape())
        await eventually(lambda: any(request.template == SNAPSHOTS for request in setup.pbs.requests))
        assert not page.done()
        gate.open()
        assert of(await page, "count", WEB) == 4


async def test_changes_have_an_age_limit_too() -> None:
    """Where looks for changes fail for listing_max_age_seconds, the datastore's series are gone."""
    history = small_history()
    async with changing(history, listing_max_age_seconds=1000.0, listing_refresh_seconds=5000.0) as setup:
        await look(setup)
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.status(500, "no"))
        setup.clock.advance(1000)
        assert places((await look(setup)).page) == {WEB, DNS, DEEP, OTHER}
        setup.clock.advance(1)
        assert places((await look(setup)).page) == {OTHER}


async def test_a_datastore_that_comes_back() -> None:
    """A datastore in maintenance has no series and isn't asked; when it is back it is listed in full at once."""
    history = small_history()
    async with changing(history) as setup:
        await look(setup)
        history.close_store("main")
        seen = await look(setup)
        assert places(seen.page) == {OTHER}
        assert {place.store for place in seen.groups} == {"mirror"}
        history.open_store("main")
        seen = await look(setup)
        assert seen.listed_in_full == OF_MAIN
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}


async def test_an_interval_spares_pbs_the_groups_too() -> None:
    """With listing_interval_seconds what is younger is used as it is, and nothing is asked."""
    history = small_history()
    async with changing(history, listing_interval_seconds=300.0) as setup:
        await look(setup)
        setup.clock.advance(299)
        seen = await look(setup)
        assert (seen.groups, seen.listed, seen.listed_in_full) == ([], set(), [])
        setup.clock.advance(1)
        assert asked_for_changes_only(await look(setup))


# --- choosing by itself


async def test_full_never_asks_for_groups() -> None:
    """The mode `full` lists all at each scrape."""
    async with changing(small_history(), "full") as setup:
        for _ in range(2):
            seen = await look(setup)
            assert (seen.groups, seen.listed, seen.listed_in_full) == ([], set(), ALL_NAMESPACES)


async def test_auto_lists_changes_where_pbs_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A datastore whose answers are slow together is asked for changes; each choice is one line of the log."""
    history, seconds = small_history(), {"main": 0.2, "mirror": 0.4}
    ask = DatastoreClient.snapshots

    async def timed(
        self: DatastoreClient, namespace: str, group: GroupId | None = None, lane: Lane = Lane.LISTING
    ) -> Timed[GroupedSnapshots]:
        return Timed((await ask(self, namespace, group, lane)).value, seconds[self.store])

    monkeypatch.setattr(DatastoreClient, "snapshots", timed)
    with capture_logs() as logs:
        async with changing(history, "auto") as setup:
            # The first datastore has three namespaces, the other one.
            assert (await look(setup)).listed_in_full == ALL_NAMESPACES
            for _ in range(3):
                seen = await look(setup)
                assert {place.store for place in seen.groups} == {"main"}
                assert (seen.listed, seen.listed_in_full) == (set(), [("mirror", "")])
            assert chosen(logs) == [("main", "changes"), ("mirror", "full")]
            # Between the two limits what was chosen stays.
            seconds["main"] = 0.1
            setup.clock.advance(900)
            assert (await look(setup)).listed_in_full == ALL_NAMESPACES
            assert {place.store for place in (await look(setup)).groups} == {"main"}
            seconds["main"] = 0.08
            setup.clock.advance(900)
            assert (await look(setup)).listed_in_full == ALL_NAMESPACES
            for _ in range(2):
                seen = await look(setup)
                assert (seen.groups, seen.listed_in_full) == ([], ALL_NAMESPACES)
            assert chosen(logs) == [("main", "changes"), ("main", "full"), ("mirror", "full")]


def chosen(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Give the choices in the log: datastores and modes."""
    return sorted((line["datastore"], line["mode"]) for line in logs if "mode" in line)
