"""Incremental listings: their requests, the hints of tasks, and the resulting page."""

import asyncio
from collections.abc import Callable

import pytest

from pbs_exporter.simulator import Fault
from tests.support.backup_history import BackupHistory, Place
from tests.support.incremental_listing import (
    ALL_NAMESPACES,
    DEEP,
    DNS,
    GROUPS,
    OF_MAIN,
    OTHER,
    TASKS,
    WEB,
    asked_for_changes_only,
    fully_listed_at,
    group_value,
    listing_changes,
    many_groups,
    observe,
    places,
    small_history,
)
from tests.support.metrics_page import LISTING_TIMES, facts, failed, listed_at, without
from tests.support.waiting import Gate


async def test_the_first_scrape_lists_in_full() -> None:
    """The first listing is a full one, and the scrape waits for it."""
    async with listing_changes(small_history()) as setup:
        seen = await observe(setup)
        assert seen.listed_in_full == ALL_NAMESPACES
        assert not seen.listed
        assert not seen.groups
        assert failed(seen.page) == set()
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert listed_at(seen.page) == fully_listed_at(seen.page) == dict.fromkeys(("main", "mirror"), setup.clock.time)


async def test_what_has_not_changed_is_not_listed() -> None:
    """If nothing has changed, each namespace is asked for its groups, and no snapshot is listed."""
    async with listing_changes(small_history()) as setup:
        first = await observe(setup)
        for _ in range(3):
            setup.clock.advance(60)
            seen = await observe(setup)
            assert asked_for_changes_only(seen)
            assert not seen.listed
            assert failed(seen.page) == set()
            assert without(facts(seen.page), *LISTING_TIMES) == without(facts(first.page), *LISTING_TIMES)


async def test_both_ages_are_told() -> None:
    """One time is the age of counts and times, the other the age of values that only a full listing updates."""
    async with listing_changes(small_history(), listing_refresh_seconds=900.0) as setup:
        began = setup.clock.time
        await observe(setup)
        setup.clock.advance(60)
        page = (await observe(setup)).page
        assert listed_at(page) == {"main": began + 60, "mirror": began + 60}
        assert fully_listed_at(page) == {"main": began, "mirror": began}
        setup.clock.advance(840)
        await observe(setup)
        setup.clock.advance(1)
        page = (await observe(setup)).page
        assert listed_at(page) == {"main": began + 901, "mirror": began + 901}
        assert fully_listed_at(page) == {"main": began + 900, "mirror": began + 900}


CHANGES: list[Callable[[BackupHistory], None]] = [
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
async def test_only_the_changed_group_is_listed(change: Callable[[BackupHistory], None], looks: int) -> None:
    """A changed group is listed alone and once, and the page shows its new state."""
    history = small_history()
    async with listing_changes(history) as setup:
        for _ in range(looks):
            await observe(setup)
        change(history)
        seen = await observe(setup)
        assert asked_for_changes_only(seen)
        assert seen.listed == {WEB}
        group = history.at(WEB)
        assert group_value(seen.page, "count", WEB) == len(group.snapshots)
        assert group_value(seen.page, "last_timestamp_seconds", WEB) == group.finished()[-1].time
        assert {row["owner"] for row, _ in seen.page.series("pbs_snapshot_info") if row["backup_id"] == "100"} == {
            group.owner,
            history.at(OTHER).owner,
        }
        assert not (await observe(setup)).listed


async def test_a_note_on_a_group() -> None:
    """A group is also listed if its own note has changed since the last list of groups."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        await observe(setup)
        history.note_group(WEB, "the web")
        assert (await observe(setup)).listed == {WEB}
        assert not (await observe(setup)).listed


async def test_a_new_group_is_listed() -> None:
    """A new group in a new namespace is shown with the next scrape."""
    history, new = small_history(), Place("mirror", "fresh", ("host", "web.example.org"))
    async with listing_changes(history) as setup:
        await observe(setup)
        history.backup(new, 70)
        seen = await observe(setup)
        assert seen.listed == {new}
        assert group_value(seen.page, "size_bytes", new) == 70
        assert seen.page.value("pbs_datastore_namespaces", datastore="mirror") == 2


async def test_what_is_gone_takes_its_series_with_it() -> None:
    """Removed groups and namespaces have no series any more, and cost no listing."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.remove_group(WEB)
        seen = await observe(setup)
        assert not seen.listed
        assert places(seen.page) == {DNS, DEEP, OTHER}
        history.remove_namespace("main", "a/b")
        seen = await observe(setup)
        assert not seen.listed
        assert places(seen.page) == {DNS, OTHER}
        assert seen.page.value("pbs_datastore_namespaces", datastore="main") == 2


async def test_a_renamed_namespace() -> None:
    """The groups of a renamed namespace are shown under the new name only."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.rename_namespace("main", "a/b", "c")
        seen = await observe(setup)
        assert seen.listed == {Place("main", "c", DEEP.group)}
        assert places(seen.page) == {WEB, DNS, Place("main", "c", DEEP.group), OTHER}


async def test_a_group_that_has_lost_its_last_snapshot() -> None:
    """An empty group has no snapshots, and no series on the page."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.prune(WEB, 0)
        assert history.at(WEB).snapshots == []
        seen = await observe(setup)
        assert places(seen.page) == {DNS, DEEP, OTHER}
        assert not (await observe(setup)).listed


async def test_a_group_that_is_gone_when_it_is_listed() -> None:
    """A group whose listing is empty is no failure, and isn't shown."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.backup(WEB)
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.json([]), times=1)
        page = (await observe(setup)).page
        assert failed(page) == set()
        assert places(page) == {DNS, DEEP, OTHER}


async def test_two_lists_of_groups_at_a_time() -> None:
    """At most two lists of groups are requested at once, because each blocks a thread of PBS."""
    history, gate = small_history(), Gate()
    for name in ("b", "c", "d"):
        history.add_namespace("mirror", name)
    async with listing_changes(history) as setup:
        await observe(setup)
        setup.pbs.faults.add(GROUPS, gate.fault)
        scrape = asyncio.create_task(setup.scrape())
        await gate.settled(setup.pbs)
        assert len(gate.waiting) == 2
        gate.open()
        assert failed(await scrape) == set()
        assert len(gate.most_waiting) == 2
        assert setup.asked(GROUPS) == 7


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
    """If more than a tenth of the groups and more than 20 differ, all are listed at once, and the scrape waits."""
    history = many_groups(groups)
    async with listing_changes(history) as setup:
        await observe(setup)
        for place in list(history.places())[:changed]:
            history.own(place, "alice@pbs")
        seen = await observe(setup)
        assert seen.listed_in_full == ([("main", ""), ("main", "a")] if in_full else [])
        assert len(seen.listed) == (0 if in_full else changed)
        owners = [row["owner"] for row, _ in seen.page.series("pbs_snapshot_info")]
        assert owners.count("alice@pbs") == changed
        assert failed(seen.page) == set()
        seen = await observe(setup)
        assert (seen.listed, seen.listed_in_full) == (set(), [])


async def test_a_running_backup() -> None:
    """The group of a running backup is listed at each scrape, once more after its end, and not again."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.start_backup(WEB)
        for _ in range(3):
            seen = await observe(setup)
            assert seen.listed == {WEB}
            assert (group_value(seen.page, "count", WEB), group_value(seen.page, "unfinished", WEB)) == (4, 1)
        history.finish_backup(WEB, 77)
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert (group_value(seen.page, "unfinished", WEB), group_value(seen.page, "size_bytes", WEB)) == (0, 77)
        assert not (await observe(setup)).listed


async def test_an_aborted_backup() -> None:
    """The group of a backup that ended between two scrapes is listed, even if the list of groups is the same."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.remove(WEB, history.at(WEB).oldest_first()[0])
        history.start_backup(WEB)
        history.abort_backup(WEB)
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert (group_value(seen.page, "count", WEB), group_value(seen.page, "unfinished", WEB)) == (3, 1)
        assert not (await observe(setup)).listed


async def test_a_backup_does_not_tell_its_namespace() -> None:
    """A backup's task refers to the group in each namespace of its datastore, and to no other datastore."""
    history, twin = small_history(), Place("main", "a", WEB.group)
    history.backup(twin)
    async with listing_changes(history) as setup:
        await observe(setup)
        history.start_backup(twin)
        assert (await observe(setup)).listed == {WEB, twin}


@pytest.mark.parametrize("place", [WEB, DEEP, OTHER])
@pytest.mark.parametrize("whole_group", [True, False])
async def test_a_verified_group_is_listed(place: Place, whole_group: bool) -> None:  # noqa: FBT001
    """The result of verifying one group is shown with the next scrape."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        if whole_group:
            history.verify_group(place, "failed")
        else:
            history.verify_snapshot(place, history.at(place).oldest_first()[1], "failed")
        seen = await observe(setup)
        assert asked_for_changes_only(seen)
        assert seen.listed == {place}
        assert group_value(seen.page, "verification", place, state="failed") == (3 if whole_group else 1)
        assert not (await observe(setup)).listed


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
async def test_the_clock_of_pbs_may_be_another(ahead: float) -> None:
    """Tasks are compared with PBS's own clock: what ended after the full listing is new, what ended before isn't."""
    history = small_history()
    history.verify_group(DNS)
    history.clock.advance(60)
    async with listing_changes(history, ahead=ahead) as setup:
        await observe(setup)
        history.clock.advance(60)
        history.verify_group(WEB, "failed")
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert group_value(seen.page, "verification", WEB, state="failed") == 3


async def test_a_group_that_is_being_verified() -> None:
    """A group is listed at each scrape while it is verified, and once more after that."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        task = history.begin("verify_group", "main:ns/a/ns/b/vm/102")
        assert (await observe(setup)).listed == {DEEP}
        assert (await observe(setup)).listed == {DEEP}
        history.end(task)
        assert (await observe(setup)).listed == {DEEP}
        assert not (await observe(setup)).listed


@pytest.mark.parametrize("worker_type", ["verify_group", "verify_snapshot"])
@pytest.mark.parametrize("worker_id", ["main", "main:", "main:what", "main:ns/a", "main:a/b/c/d/e"])
async def test_a_task_that_can_not_be_read(worker_type: str, worker_id: str) -> None:
    """If a verification task doesn't name its group, its datastore is listed in full in the background."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.run(worker_type, worker_id)
        seen = await observe(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        assert (await observe(setup)).listed_in_full == []


@pytest.mark.parametrize("worker_type", ["verificationjob", "verify"])
async def test_a_verification_of_many(worker_type: str) -> None:
    """A verified datastore is listed in full in the background; the scrape after that shows the results."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify("main", worker_type, "failed")
        seen = await observe(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        seen = await observe(setup)
        assert seen.listed_in_full == []
        assert [group_value(seen.page, "verification", place, state="failed") for place in (WEB, DEEP, OTHER)] == [
            3,
            3,
            0,
        ]


async def test_a_verification_of_many_that_runs() -> None:
    """A running verification of a datastore causes no full listing."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        task = history.begin("verificationjob", "main:daily")
        assert [(await observe(setup)).listed_in_full for _ in range(2)] == [[], []]
        history.end(task)
        assert (await observe(setup)).listed_in_full == OF_MAIN


async def test_tasks_that_come_late() -> None:
    """If the task list fails, groups are compared all the same; tasks that ended meanwhile are seen later."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify_group(WEB)
        history.prune(DNS, 1)
        armed = setup.pbs.faults.add(TASKS, Fault.status(500, "no"))
        seen = await observe(setup)
        assert failed(seen.page) == {"tasks"}
        assert seen.listed == {DNS}
        armed.remove()
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert group_value(seen.page, "verification", WEB, state="ok") == 3
