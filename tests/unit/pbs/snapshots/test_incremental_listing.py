"""What an incremental listing asks PBS for, and what a page then shows."""

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
    OTHER,
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
from tests.support.page_facts import LISTING_TIMES, facts, failed, listed_at, without
from tests.support.waiting import Gate


async def test_the_first_scrape_lists_in_full() -> None:
    """At first all is listed, and the scrape waits for it."""
    async with listing_changes(small_history()) as setup:
        seen = await observe(setup)
        assert seen.listed_in_full == ALL_NAMESPACES
        assert not seen.listed
        assert not seen.groups
        assert failed(seen.page) == set()
        assert places(seen.page) == {WEB, DNS, DEEP, OTHER}
        assert listed_at(seen.page) == fully_listed_at(seen.page) == dict.fromkeys(("main", "mirror"), setup.clock.time)


async def test_what_has_not_changed_is_not_listed() -> None:
    """Where nothing has changed each namespace is asked for its groups, and no snapshot is listed."""
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
    """One time says how old counts and times are, the other how old what only a full listing shows."""
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
    """A group that isn't what it was is listed alone and once, and the page shows it as it is."""
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
    """A group is listed too when its own note has changed since the list of groups was last seen."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        await observe(setup)
        history.note_group(WEB, "the web")
        assert (await observe(setup)).listed == {WEB}
        assert not (await observe(setup)).listed


async def test_a_new_group_is_listed() -> None:
    """A group that wasn't there, in a namespace that wasn't there, is shown with the next scrape."""
    history, new = small_history(), Place("mirror", "fresh", ("host", "web.example.org"))
    async with listing_changes(history) as setup:
        await observe(setup)
        history.backup(new, 70)
        seen = await observe(setup)
        assert seen.listed == {new}
        assert group_value(seen.page, "size_bytes", new) == 70
        assert seen.page.value("pbs_datastore_namespaces", datastore="mirror") == 2


async def test_what_is_gone_takes_its_series_with_it() -> None:
    """Groups and namespaces that are gone have no series any more, and cost no listing."""
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
    """The groups of a namespace with a new name are shown under that one, and no more under the old one."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.rename_namespace("main", "a/b", "c")
        seen = await observe(setup)
        assert seen.listed == {Place("main", "c", DEEP.group)}
        assert places(seen.page) == {WEB, DNS, Place("main", "c", DEEP.group), OTHER}


async def test_a_group_that_has_lost_its_last_snapshot() -> None:
    """An empty group is a group without snapshots: nothing is left of it on the page."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.prune(WEB, 0)
        assert history.at(WEB).snapshots == []
        seen = await observe(setup)
        assert places(seen.page) == {DNS, DEEP, OTHER}
        assert not (await observe(setup)).listed


async def test_a_group_that_is_gone_when_it_is_listed() -> None:
    """A group whose listing says that there is nothing any more is no failure, and isn't shown."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.backup(WEB)
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.json([]), times=1)
        page = (await observe(setup)).page
        assert failed(page) == set()
        assert places(page) == {DNS, DEEP, OTHER}


async def test_two_lists_of_groups_at_a_time() -> None:
    """At most two lists of groups are asked for at once: each blocks a thread of PBS."""
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
    """Where more than a tenth of the groups differ, and more than 20, all are listed at once, and the scrape waits."""
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
