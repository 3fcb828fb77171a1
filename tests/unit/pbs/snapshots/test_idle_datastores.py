"""Idle datastores: what they cost PBS, when there are none, and what is shown of them."""

import asyncio
from collections.abc import Mapping

import pytest

from pbs_exporter.simulator import Fault
from tests.support.backup_history_pbs import PERMISSIONS, BackupHistoryPbs
from tests.support.incremental_listing import (
    ALL_NAMESPACES,
    GROUPS,
    OF_MAIN,
    SEES_ALL,
    STORES,
    TASKS,
    WEB,
    idle,
    idling,
    later,
    looked_at,
    looks_done,
    places,
    small_history,
)
from tests.support.metrics_page import failed, listed_at
from tests.support.running import NAMESPACES
from tests.support.waiting import Gate, eventually

OF_TASKS = "path=%2Fsystem%2Ftasks"


async def test_an_idle_datastore_is_not_asked() -> None:
    """PBS isn't asked for namespaces, groups and snapshots while nothing happens, and is after five minutes."""
    history = small_history()
    async with idling(history) as setup:
        shown = await setup.scrape()
        for _ in range(3):
            seen = await later(setup)
            assert seen.page.series("pbs_snapshot_count") == shown.series("pbs_snapshot_count")
            assert (seen.groups, seen.listed, seen.listed_in_full, setup.asked(NAMESPACES)) == ([], set(), [], 0)
            assert idle(seen) == {"main": 1, "mirror": 1}
        seen = await later(setup, 119)
        assert looked_at(seen) == []
        seen = await later(setup, 1)
        assert sorted((place.store, place.namespace) for place in seen.groups) == ALL_NAMESPACES
        assert (seen.listed, seen.listed_in_full, idle(seen)) == (set(), [], {"main": 1, "mirror": 1})
        assert set(listed_at(seen.page).values()) == {setup.clock.time}
        assert looked_at(await later(setup)) == []


async def test_a_restart_ends_idleness() -> None:
    """All datastores are looked at after PBS's uptime has gone back."""
    history = small_history()
    pbs = BackupHistoryPbs(history, permissions=SEES_ALL)
    pbs.uptime = 1000
    async with idling(history, source=pbs) as setup:
        pbs.uptime += 60
        assert looked_at(await later(setup)) == []
        pbs.uptime = 10
        seen = await later(setup)
        assert (looked_at(seen), idle(seen)) == (list(STORES), {"main": 0, "mirror": 0})
        pbs.uptime += 60
        assert looked_at(await later(setup)) == []


PERMITTED: Mapping[str, tuple[Mapping[str, dict[str, bool]] | None, bool]] = {
    "on tasks": (SEES_ALL, True),
    "on tasks, without propagation": ({"/system/tasks": {"Sys.Audit": False}}, True),
    "on the system alone": ({"/system": {"Sys.Audit": True}}, False),
    "another privilege": ({"/system/tasks": {"Datastore.Audit": True}}, False),
    "none": ({}, False),
    "unknown": (None, False),
}


@pytest.mark.parametrize("what", PERMITTED)
async def test_only_a_token_that_sees_all_tasks_proves_anything(what: str) -> None:
    """Every scrape looks unless PBS says of `/system/tasks` itself that the token has Sys.Audit there."""
    permissions, proves = PERMITTED[what]
    history = small_history()
    async with idling(history, source=BackupHistoryPbs(history, permissions=permissions)) as setup:
        for _ in range(3):
            seen = await later(setup)
            assert looked_at(seen) == ([] if proves else list(STORES))
            assert set(idle(seen).values()) == {float(proves)}


async def test_permissions_are_asked_for_again() -> None:
    """The token's privileges are asked for at start and every slow_interval_seconds; a failure is no privilege."""
    history = small_history()
    pbs = BackupHistoryPbs(history, permissions={})
    async with idling(history, source=pbs, slow_interval_seconds=300.0) as setup:
        pbs.permissions = SEES_ALL
        assert looked_at(await later(setup)) == list(STORES)
        assert setup.asked(PERMISSIONS) == 0
        await later(setup, 240)
        assert {request.query for request in setup.pbs.requests_to(PERMISSIONS)} == {"", OF_TASKS}
        assert looked_at(await later(setup)) == []
        setup.pbs.faults.add(PERMISSIONS, Fault.status(500, "no"))
        await later(setup, 240)
        assert looked_at(await later(setup)) == list(STORES)


@pytest.mark.parametrize("collector", ["tasks", "access"])
async def test_without_the_collectors_every_scrape_looks(collector: str) -> None:
    """Nothing is proven, and PBS isn't asked for it, where the collector `tasks` or `access` is off."""
    history = small_history()
    async with idling(history, collectors={collector: False}) as setup:
        for _ in range(2):
            assert looked_at(await later(setup)) == list(STORES)
        assert OF_TASKS not in {request.query for request in setup.pbs.requests_to(PERMISSIONS)}


FAILURES = {
    "an error": Fault.status(400, "unable to open active task file"),
    "no answer": Fault.stall(),
    "a row that can't be read": Fault.rows(lambda rows: [*rows, {"upid": 5}]),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_without_the_list_of_tasks_every_scrape_looks(failure: Fault) -> None:
    """Nothing is proven while the list of tasks fails or lacks rows, and is again from the second good one on."""
    history = small_history()
    async with idling(history, timeout_seconds=5.0) as setup:
        assert looked_at(await later(setup)) == []
        armed = setup.pbs.faults.add(TASKS, failure)
        for _ in range(2):
            setup.clock.advance(60)
            setup.pbs.requests.clear()
            await setup.scrape(2)
            await eventually(looks_done)
            assert setup.asked(GROUPS) == 4
        armed.remove()
        await later(setup)
        seen = await later(setup)
        assert (looked_at(seen), failed(seen.page)) == ([], set())


async def test_a_list_that_hangs_is_waited_for_once() -> None:
    """If PBS doesn't answer with its tasks, the next scrapes look at once, and end with the changed groups."""
    history, gate = small_history(), Gate()
    async with idling(history) as setup:
        setup.pbs.faults.add(TASKS, gate.fault)
        await setup.scrape(1)
        await eventually(looks_done)
        setup.pbs.requests.clear()
        setup.clock.advance(60)
        page = asyncio.create_task(setup.scrape())
        await eventually(lambda: setup.asked(GROUPS) == 4 and bool(gate.waiting))
        gate.open()
        assert failed(await page) == set()


async def test_no_series_of_an_idle_datastore_vanishes() -> None:
    """The listing's age limit counts from the last proof; its time stays that of the last look."""
    history = small_history()
    async with idling(history, listing_idle_seconds=1e9, listing_max_age_seconds=1000.0) as setup:
        shown = await setup.scrape()
        for _ in range(6):
            seen = await later(setup, 900)
            assert looked_at(seen) == []
            assert seen.page.series("pbs_snapshot_count") == shown.series("pbs_snapshot_count")
            assert listed_at(seen.page) == listed_at(shown)
        setup.pbs.faults.add(NAMESPACES, Fault.status(500, "disk gone"))
        history.run("prunejob", "main")
        seen = await later(setup, 900)
        assert {place.store for place in places(seen.page)} == {"main", "mirror"}
        seen = await later(setup, 200)
        assert {place.store for place in places(seen.page)} == {"mirror"}


async def test_the_full_listing_of_an_idle_datastore_waits_for_a_change_or_a_day() -> None:
    """Without a change since the last full listing, the next one is due after a day, else after the usual time."""
    history = small_history()
    async with idling(history) as setup:
        for _ in range(10):
            assert (await later(setup, 900)).listed_in_full == []
        history.backup(WEB)
        seen = await later(setup)
        assert (seen.listed_in_full, seen.listed) == (OF_MAIN, {WEB})
        for _ in range(60):
            assert (await later(setup, 1200)).listed_in_full == []
        seen = await later(setup, 5400)
        assert seen.listed_in_full == [("mirror", "")]


async def test_a_change_after_a_full_listing_needs_another_one() -> None:
    """The full listing waits only if it is newer than the last change, however idle the datastore is."""
    history = small_history()
    async with idling(history) as setup:
        history.backup(WEB)
        assert (await later(setup)).listed_in_full == []
        assert (await later(setup)).groups == []
        seen = await later(setup, 780)
        assert seen.listed_in_full == OF_MAIN
        assert (await later(setup, 1800)).listed_in_full == []


async def test_a_full_listing_that_fails_is_tried_again() -> None:
    """A failed full listing is tried again a minute later, although nothing has changed."""
    history = small_history()
    async with idling(history) as setup:
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "no such snapshot"), times=3)
        history.verify("main")
        assert (await later(setup)).listed_in_full == OF_MAIN
        seen = await later(setup)
        assert (seen.listed_in_full, looked_at(seen)) == (OF_MAIN, [])
        assert failed((await later(setup)).page) == set()


async def test_a_look_that_fails_is_repeated() -> None:
    """After a look that failed in part every scrape looks until one is good."""
    history = small_history()
    async with idling(history) as setup:
        setup.pbs.faults.add("/admin/datastore/main/groups", Fault.status(400, "no"), times=3)
        assert looked_at(await later(setup, 300)) == list(STORES)
        seen = await later(setup)
        assert (looked_at(seen), idle(seen)) == (["main"], {"main": 0, "mirror": 1})
        assert looked_at(await later(setup)) == []


async def test_other_modes_have_no_idleness() -> None:
    """Where scrapes list all, each of them does; with listing_idle_seconds 0, each looks and none is idle."""
    history = small_history()
    async with idling(history, mode="full") as setup:
        seen = await later(setup)
        assert (seen.listed_in_full, idle(seen)) == (ALL_NAMESPACES, {})
    async with idling(history, listing_idle_seconds=0.0) as setup:
        seen = await later(setup)
        assert (looked_at(seen), idle(seen)) == (list(STORES), {"main": 0, "mirror": 0})
        assert (await later(setup, 900)).listed_in_full == ALL_NAMESPACES


async def test_a_listing_that_is_reused_is_no_proof() -> None:
    """With listing_interval_seconds, a datastore isn't idle because it isn't due: its tasks aren't looked at."""
    history = small_history()
    async with idling(history, listing_interval_seconds=100.0) as setup:
        history.run("prunejob", "main")
        seen = await later(setup)
        assert (looked_at(seen), idle(seen)) == ([], {"main": 0, "mirror": 0})
        seen = await later(setup)
        assert (looked_at(seen), idle(seen)) == (["main"], {"main": 0, "mirror": 1})


async def test_an_idle_datastore_in_maintenance_is_gone() -> None:
    """A datastore that PBS can't read loses its series however idle it was, and is listed in full after that."""
    history = small_history()
    async with idling(history) as setup:
        history.close_store("main")
        seen = await later(setup)
        assert ({place.store for place in places(seen.page)}, idle(seen)) == ({"mirror"}, {"mirror": 1})
        history.open_store("main")
        assert (await later(setup)).listed_in_full == OF_MAIN


@pytest.mark.parametrize("days", [-5, 5])
async def test_a_clock_that_is_days_off_proves_nothing(days: int) -> None:
    """PBS is asked for the tasks of a time, and a clock that is days off would hide some."""
    history = small_history()
    async with idling(history, ahead=days * 86_400.0) as setup:
        assert looked_at(await later(setup)) == list(STORES)


async def test_tasks_alone_are_a_proof() -> None:
    """Where PBS doesn't tell its uptime, the tasks alone prove that nothing has changed."""
    history = small_history()
    async with idling(history) as setup:
        setup.pbs.faults.add("/nodes/{node}/status", Fault.status(403, "permission check failed"))
        assert looked_at(await later(setup)) == []


@pytest.mark.parametrize("template", [TASKS, "/nodes/{node}/status"])
async def test_what_hangs_delays_no_second_look(template: str) -> None:
    """If the tasks or the host's status hang, one scrape waits for them, and the next ones look at once."""
    history = small_history()
    async with idling(history, timeout_seconds=60.0) as setup:
        setup.pbs.faults.add(template, Fault.stall())
        setup.clock.advance(60)
        await setup.scrape(1)
        await eventually(looks_done)
        setup.pbs.requests.clear()
        setup.clock.advance(60)
        page = asyncio.create_task(setup.scrape(30))
        await eventually(lambda: setup.asked(GROUPS) == 4)
        assert not page.done()
        page.cancel()
        await asyncio.gather(page, return_exceptions=True)
