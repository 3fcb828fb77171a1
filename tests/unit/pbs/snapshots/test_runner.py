"""Full listings in the background: start, distribution over time, and the mode `auto`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots, GroupId
from tests.support.backup_history import BackupHistory, Place
from tests.support.exporter import FakeClock
from tests.support.incremental_listing import (
    ALL_NAMESPACES,
    DEEP,
    DNS,
    OF_MAIN,
    OTHER,
    WEB,
    FullListings,
    asked_for_changes_only,
    full_listings_done,
    group_value,
    listing_changes,
    observe,
    places,
    small_history,
)
from tests.support.metrics_page import failed
from tests.support.running import SNAPSHOTS
from tests.support.waiting import eventually


async def test_a_full_listing_in_the_background_holds_no_scrape_up() -> None:
    """During a full listing, scrapes show known data and changes; it isn't started twice."""
    history, gate = small_history(), FullListings()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify("main")
        setup.pbs.faults.add(SNAPSHOTS, gate.fault)
        for count in (4, 5):
            history.backup(WEB)
            page = await setup.scrape()
            assert failed(page) == set()
            assert group_value(page, "count", WEB) == count
            assert group_value(page, "verification", DNS, state="ok") == 0
            await gate.settled(setup.pbs)
            assert len(gate.waiting) == 3
        gate.open()
        seen = await observe(setup)
        assert seen.listed_in_full == []
        assert group_value(seen.page, "verification", DNS, state="ok") == 3
        assert group_value(seen.page, "count", WEB) == 5


async def test_a_full_listing_does_not_undo_what_came_after_it() -> None:
    """The result of a group's own listing stays, although an earlier full listing ends later."""
    history, gate = small_history(), FullListings(read=True)
    async with listing_changes(history) as setup:
        await observe(setup)
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
        await full_listings_done()
        for _ in range(2):
            seen = await observe(setup)
            assert places(seen.page) == {WEB, DEEP, OTHER, new}
            assert group_value(seen.page, "count", WEB) == 4
            assert group_value(seen.page, "verification", DEEP, state="ok") == 3


async def test_the_refresh() -> None:
    """Each datastore is listed in full 0.8 to 1.0 of listing_refresh_seconds after its last full listing."""
    history = small_history()
    async with listing_changes(history, listing_refresh_seconds=1000.0) as setup:
        await observe(setup)
        for _ in range(3):
            setup.clock.advance(799)
            seen = await observe(setup)
            assert (seen.listed, seen.listed_in_full) == (set(), [])
            setup.clock.advance(201)
            seen = await observe(setup)
            assert asked_for_changes_only(seen) is False
            assert (seen.listed, seen.listed_in_full) == (set(), ALL_NAMESPACES)


async def test_a_full_listing_for_a_task_counts_as_a_refresh() -> None:
    """The refresh interval begins with the last full listing, whatever its reason."""
    history = small_history()
    async with listing_changes(history, listing_refresh_seconds=1000.0) as setup:
        await observe(setup)
        setup.clock.advance(700)
        history.verify("main")
        assert (await observe(setup)).listed_in_full == OF_MAIN
        setup.clock.advance(790)
        assert (await observe(setup)).listed_in_full == [("mirror", "")]


async def test_refreshes_are_spread() -> None:
    """Datastores that were listed at the same time aren't listed at the same time again."""
    history = BackupHistory(FakeClock(1_795_000_000.0), *(f"store{number}" for number in range(20)))
    async with listing_changes(history, listing_refresh_seconds=1000.0) as setup:
        await observe(setup)
        setup.clock.advance(800)
        listed = []
        for _ in range(8):
            listed.append(len((await observe(setup)).listed_in_full))
            setup.clock.advance(25)
        listed.append(len((await observe(setup)).listed_in_full))
        assert sum(listed) == 20
        assert len([number for number in listed if number]) > 1


async def test_the_refresh_needs_no_scrape() -> None:
    """A target that was scraped recently is refreshed without a scrape."""
    history = small_history()
    async with listing_changes(history, listing_refresh_seconds=1.0) as setup:
        await observe(setup)
        setup.clock.advance(10)
        await eventually(lambda: setup.asked(SNAPSHOTS) == 8)


async def test_what_nobody_scrapes_is_not_refreshed() -> None:
    """A target without scrapes for listing_max_age_seconds isn't asked in the background."""
    history = small_history()
    async with listing_changes(history, listing_refresh_seconds=1.0, listing_max_age_seconds=100.0) as setup:
        await observe(setup)
        setup.clock.advance(101)
        asked = len(setup.pbs.requests)
        # Longer than any refresh interval: a shorter time could hide a fault.
        await asyncio.sleep(1.2)
        assert len(setup.pbs.requests) == asked
        seen = await observe(setup)
        assert failed(seen.page) == set()


async def test_full_never_asks_for_groups() -> None:
    """The mode `full` lists everything at each scrape."""
    async with listing_changes(small_history(), "full") as setup:
        for _ in range(2):
            seen = await observe(setup)
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
        async with listing_changes(history, "auto") as setup:
            # The first datastore has three namespaces, the other one.
            assert (await observe(setup)).listed_in_full == ALL_NAMESPACES
            for _ in range(3):
                seen = await observe(setup)
                assert {place.store for place in seen.groups} == {"main"}
                assert (seen.listed, seen.listed_in_full) == (set(), [("mirror", "")])
            assert chosen(logs) == [("main", "changes"), ("mirror", "full")]
            # Between the two limits what was chosen stays.
            seconds["main"] = 0.1
            setup.clock.advance(900)
            assert (await observe(setup)).listed_in_full == ALL_NAMESPACES
            assert {place.store for place in (await observe(setup)).groups} == {"main"}
            seconds["main"] = 0.08
            setup.clock.advance(900)
            assert (await observe(setup)).listed_in_full == ALL_NAMESPACES
            for _ in range(2):
                seen = await observe(setup)
                assert (seen.groups, seen.listed_in_full) == ([], ALL_NAMESPACES)
            assert chosen(logs) == [("main", "changes"), ("main", "full"), ("mirror", "full")]


def chosen(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the choices in the log: datastores and modes."""
    return sorted((line["datastore"], line["mode"]) for line in logs if "mode" in line)
