"""Datastores in which nothing happens, as PBS's tasks prove, aren't looked at."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots import idleness
from pbs_exporter.pbs.snapshots.idleness import PROOF_SECONDS, Evidence, Idleness, Seen, Uptime, concerned
from pbs_exporter.simulator import Fault
from pbs_exporter.simulator.exchange import Exchange
from tests.support.backup_history import BackupHistory
from tests.support.backup_history_pbs import PERMISSIONS, BackupHistoryPbs
from tests.support.incremental_listing import (
    ALL_NAMESPACES,
    GROUPS,
    OF_MAIN,
    TASKS,
    WEB,
    ObservedScrape,
    group_value,
    listing_changes,
    observe,
    places,
    small_history,
)
from tests.support.metrics_page import failed, listed_at
from tests.support.running import NAMESPACES, Setup
from tests.support.waiting import Gate, eventually

STORES = ("main", "mirror")
ALL: frozenset[str | None] = frozenset({None})
MAIN: frozenset[str | None] = frozenset({"main"})
SEES_ALL = {"/system/tasks": {"Sys.Audit": True}}
PROVEN = {"idle": True, "is_as_listed": True}
OF_TASKS = "path=%2Fsystem%2Ftasks"
SKEWS = [-600.0, 0.0, 600.0]

CHANGING: Mapping[str, tuple[str, str | None, frozenset[str | None]]] = {
    "backup": ("backup", "main:vm/100", MAIN),
    "benchmark": ("benchmark", "main:host/benchmark", MAIN),
    "prune": ("prune", "main:vm/100", MAIN),
    "prune job": ("prunejob", "main", MAIN),
    "prune job of a namespace": ("prunejob", "main:a/b", MAIN),
    "verification job": ("verificationjob", "main:daily", MAIN),
    "verification": ("verify", "main", MAIN),
    "verification of a group": ("verify_group", "main:ns/a/vm/100", MAIN),
    "verification of a snapshot": ("verify_snapshot", "main:/vm/100/65F0A1B2", MAIN),
    "sync job": ("syncjob", "far:mirror:main::s-1", MAIN),
    "sync job of a namespace": ("syncjob", "far:mirror:main:a/b:s-1", MAIN),
    "sync job of an older PBS": ("syncjob", "far:mirror:main:s-1", MAIN),
    "local sync job": ("syncjob", "-:mirror:main::s-1", frozenset({"main", "mirror"})),
    "sync job without a datastore": ("syncjob", "s-1", ALL),
    "sync": ("sync", "main", MAIN),
    "tape backup job": ("tape-backup-job", "main:pool:drive0:weekly", MAIN),
    "tape backup": ("tape-backup", "main:pool:drive0", MAIN),
    "tape restore": ("tape-restore", "other, main", MAIN),
    "tape restore to two": ("tape-restore", "main, mirror", frozenset({"main", "mirror"})),
    "tape inventory": ("inventory-update", "drive0", ALL),
    "move of a group": ("move-group", "main:vm/100", MAIN),
    "move of a namespace": ("move-namespace", "main:a", MAIN),
    "mount": ("mount-device", "main", MAIN),
    "sync jobs at a mount": ("mount-sync-jobs", "main", MAIN),
    "unmount": ("unmount-device", "main", MAIN),
    "S3 refresh": ("s3-refresh", "main", MAIN),
    "creation": ("create-datastore", "main", MAIN),
    "removal": ("delete-datastore", "main", MAIN),
    "realm sync": ("realm-sync", "ldap", ALL),
    "certificate": ("acme-renew-cert", None, ALL),
    "S3 counters": ("notification-threshold-reset", "main", MAIN),
    "unknown": ("defragment", "main:vm/100", MAIN),
    "unknown, with a part of a name": ("defragment", "mains", ALL),
    "unknown, without an ID": ("defragment", None, ALL),
    "backup without an ID": ("backup", None, ALL),
}
"""Type and worker ID of each kind of task that may change snapshots, and the datastores; `None` is all."""

HARMLESS: Mapping[str, tuple[str, str | None]] = {
    "restore": ("reader", "main:vm/100/65F0A1B2"),
    "garbage collection": ("garbage_collection", "main"),
    "log rotation": ("logrotate", None),
    "package lists": ("aptupdate", None),
    "console": ("termproxy", None),
    "graphical console": ("vncshell", None),
    **{name: (name, "proxmox-backup-proxy") for name in ("srvstart", "srvstop", "srvrestart", "srvreload")},
    **{name: (name, "sda") for name in ("zfscreate", "dircreate", "diskinit", "wipedisk")},
}
"""Type and worker ID of each kind of task that changes no snapshots."""


def task(worker_type: str, worker_id: str | None, end: int | None = 60, upid: str = "u1") -> Task:
    """Make a task; without an `end` it runs."""
    return Task(upid, worker_type, 1, worker_id, end, None if end is None else "OK")


@pytest.mark.parametrize(("worker_type", "worker_id", "names"), CHANGING.values(), ids=CHANGING)
def test_which_datastores_a_task_may_change(
    worker_type: str, worker_id: str | None, names: frozenset[str | None]
) -> None:
    """A task may change the datastores that its worker ID names, or all if it names none."""
    assert concerned(task(worker_type, worker_id), STORES) == names


@pytest.mark.parametrize(("worker_type", "worker_id"), HARMLESS.values(), ids=HARMLESS)
def test_harmless_tasks_change_no_datastore(worker_type: str, worker_id: str | None) -> None:
    """Some types of tasks change no snapshots, whatever their worker ID names."""
    assert concerned(task(worker_type, worker_id), STORES) == frozenset()


def test_what_a_list_of_tasks_says_of_a_datastore() -> None:
    """A datastore has its own tasks, and those that may change all."""
    ended: dict[str | None, set[str]] = {}
    running: set[str | None] = set()
    rows = [task("backup", "main:vm/1"), task("x", None, upid="u2"), task("sync", "mirror", None, "u3")]
    idleness.gather([*rows, task("reader", "main:vm/1/65F0A1B2", None)], STORES, ended, running)
    evidence = Evidence(ended, running, 0, 5.0, proves=True)
    assert evidence.of("main") == Seen(frozenset({"u1", "u2"}), any_runs=False, restarts=0, at=5.0)
    assert evidence.of("mirror") == Seen(frozenset({"u2"}), any_runs=True, restarts=0, at=5.0)


BEFORE = Seen(frozenset({"u1", "u2"}), any_runs=False, restarts=0, at=1000.0)
LATER = replace(BEFORE, at=1060.0)

UNCHANGED = {
    "the same tasks": (BEFORE, LATER, True),
    "a new one": (BEFORE, replace(LATER, ended=frozenset({"u1", "u2", "u3"})), False),
    "one is too old to be listed": (BEFORE, replace(LATER, ended=frozenset({"u2"})), True),
    "another one instead": (BEFORE, replace(LATER, ended=frozenset({"u2", "u3"})), False),
    "one runs": (BEFORE, replace(LATER, any_runs=True), False),
    "one ran, and is too old to be listed": (replace(BEFORE, any_runs=True), LATER, False),
    "a restart": (BEFORE, replace(LATER, restarts=1), False),
    "a day later": (BEFORE, replace(LATER, at=1000.0 + PROOF_SECONDS), True),
    "later than that": (BEFORE, replace(LATER, at=1001.0 + PROOF_SECONDS), False),
    "nothing to compare with": (None, LATER, False),
}


@pytest.mark.parametrize(("before", "now", "same"), UNCHANGED.values(), ids=UNCHANGED)
def test_whether_nothing_has_changed(before: Seen | None, now: Seen, *, same: bool) -> None:
    """Nothing has changed if all tasks had ended before, and no other one has ended or runs."""
    assert idleness.unchanged(before, now) is same


def test_proofs_follow_each_other() -> None:
    """A proof replaces what it compared with, so that there may be any time between two looks."""
    known = Idleness(looked=BEFORE, listed=BEFORE)
    for day in range(1, 5):
        now = replace(BEFORE, at=BEFORE.at + day * PROOF_SECONDS)
        known = idleness.read(known, now, proves=True)
        assert known == Idleness(now, now, now, **PROVEN)


READ = {
    "no list": (None, True, Idleness(BEFORE, BEFORE, BEFORE)),
    "a list that may lack some": (LATER, False, Idleness(LATER, BEFORE, BEFORE)),
}


@pytest.mark.parametrize(("seen", "proves", "after"), READ.values(), ids=READ)
def test_what_proves_nothing(seen: Seen | None, proves: bool, after: Idleness) -> None:  # noqa: FBT001
    """Without a list of all tasks nothing is proven, and a later one is compared with the one before."""
    assert idleness.read(Idleness(BEFORE, BEFORE, BEFORE, **PROVEN), seen, proves=proves) == after


def test_a_look_that_fails_proves_nothing() -> None:
    """After a failed look, the datastore is looked at again."""
    known = idleness.looked(Idleness(LATER, BEFORE, BEFORE, **PROVEN), LATER, is_good=False)
    assert not known.idle
    assert not idleness.read(known, LATER, proves=True).idle


UPTIMES = {
    "it goes on": ([10, 70, 130], 0),
    "it goes back": ([100, 5, 65], 1),
    "it isn't known for a while": ([100, None, 5], 1),
    "it was never known": ([None, None], 0),
}


@pytest.mark.parametrize(("seconds", "restarts"), UPTIMES.values(), ids=UPTIMES)
def test_a_restart_is_an_uptime_that_goes_back(seconds: list[float | None], restarts: int) -> None:
    """PBS has restarted if its uptime is less than before."""
    known = Uptime()
    for each in seconds:
        known = known.after(each)
    assert known.restarts == restarts


# --- the exporter in front of a PBS


@asynccontextmanager
async def idling(history: BackupHistory, **options: Any) -> AsyncIterator[Setup]:
    """Run an exporter with a token that sees all tasks, until nothing has changed since its last scrape."""
    options.setdefault("source", BackupHistoryPbs(history, permissions=SEES_ALL))
    async with listing_changes(history, **options) as setup:
        await observe(setup)
        yield setup


async def later(setup: Setup, seconds: float = 60.0) -> ObservedScrape:
    """Scrape after a while."""
    setup.clock.advance(seconds)
    return await observe(setup)


def idle(seen: ObservedScrape) -> dict[str, float]:
    """Return `pbs_datastore_idle` by datastore."""
    return seen.page.by("pbs_datastore_idle", "datastore")


def looked_at(seen: ObservedScrape) -> list[str]:
    """Return the datastores whose groups were asked for."""
    return sorted({place.store for place in seen.groups})


def looks_done() -> bool:
    """Whether no listing runs that scrapes wait for."""
    return not any(task.get_name().startswith("listing of ") for task in asyncio.all_tasks())


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


@pytest.mark.parametrize("ahead", SKEWS)
@pytest.mark.parametrize("kind", CHANGING)
async def test_a_task_that_may_change_snapshots_ends_idleness(kind: str, ahead: float) -> None:
    """A datastore is looked at while such a task runs and after it has ended, whatever PBS's clock says."""
    worker_type, worker_id, names = CHANGING[kind]
    expected = [store for store in STORES if names == ALL or store in names]
    history = small_history()
    async with idling(history, ahead=ahead) as setup:
        assert looked_at(await later(setup, 30)) == []
        begun = history.begin(worker_type, worker_id or "")
        for _ in range(2):
            seen = await later(setup, 30)
            assert looked_at(seen) == expected
            assert idle(seen) == {store: float(store not in expected) for store in STORES}
        history.end(begun)
        assert looked_at(await later(setup, 30)) == expected
        assert looked_at(await later(setup, 30)) == []
        history.run(worker_type, worker_id or "")
        assert looked_at(await later(setup, 30)) == expected


@pytest.mark.parametrize("ahead", SKEWS)
@pytest.mark.parametrize("kind", HARMLESS)
async def test_a_harmless_task_does_not_end_idleness(kind: str, ahead: float) -> None:
    """A task that changes no snapshots may run and end while a datastore is idle."""
    worker_type, worker_id = HARMLESS[kind]
    history = small_history()
    async with idling(history, ahead=ahead) as setup:
        begun = history.begin(worker_type, worker_id or "")
        assert looked_at(await later(setup)) == []
        history.end(begun)
        assert looked_at(await later(setup)) == []


def once_while_looking(change: Callable[[], None], *, before_the_answer: bool) -> Fault:
    """Return a fault for `/groups`: something happens once, before or after PBS has read the groups."""
    todo = [change]

    async def act(exchange: Exchange) -> web.StreamResponse:
        if before_the_answer and todo:
            todo.pop()()
        answer = await exchange.answer()
        if todo:
            todo.pop()()
        return await exchange.send(answer)

    return Fault(act)


@pytest.mark.parametrize("ahead", SKEWS)
async def test_a_task_that_ends_between_the_list_of_tasks_and_the_look(ahead: float) -> None:
    """A task that ran when PBS listed the tasks is a change, even if the look already saw its end."""
    history = small_history()
    async with idling(history, ahead=ahead) as setup:
        history.start_backup(WEB)
        ends = once_while_looking(lambda: history.finish_backup(WEB, 4000), before_the_answer=True)
        setup.pbs.faults.add(GROUPS, ends)
        assert group_value((await later(setup)).page, "unfinished", WEB) == 0
        assert looked_at(await later(setup)) == ["main"]
        assert looked_at(await later(setup)) == []


@pytest.mark.parametrize("ahead", SKEWS)
async def test_a_task_that_ends_right_after_the_look(ahead: float) -> None:
    """A task that begins and ends after the look, while the scrape goes on, is seen with the next one."""
    history = small_history()
    async with idling(history, ahead=ahead) as setup:
        history.run("prunejob", "main")
        setup.pbs.faults.add(GROUPS, once_while_looking(lambda: history.backup(WEB, 4000), before_the_answer=False))
        assert group_value((await later(setup)).page, "count", WEB) == 3
        seen = await later(setup)
        assert (looked_at(seen), group_value(seen.page, "count", WEB)) == (["main"], 4)
        assert looked_at(await later(setup)) == []


async def test_a_look_waits_for_the_list_of_tasks() -> None:
    """What a look is compared with later is older than the look, even if PBS takes long for its tasks."""
    history, gate = small_history(), Gate()
    async with idling(history) as setup:
        history.run("prunejob", "main")
        setup.clock.advance(60)
        armed = setup.pbs.faults.add(TASKS, gate.fault)
        setup.pbs.requests.clear()
        page = asyncio.create_task(setup.scrape())
        await eventually(lambda: len(gate.waiting) == 2)
        await gate.settled(setup.pbs)
        assert setup.asked(GROUPS) == 0
        gate.open()
        await page
        assert setup.asked(GROUPS) == 3
        armed.remove()
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


async def test_a_host_whose_status_fails_has_not_restarted() -> None:
    """Without the uptime, the tasks alone prove it; one that hangs is waited for once."""
    history = small_history()
    async with idling(history) as setup:
        setup.pbs.faults.add("/nodes/{node}/status", Fault.status(403, "permission check failed"))
        assert looked_at(await later(setup)) == []
