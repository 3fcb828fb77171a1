"""Which tasks end the idleness of a datastore, and when."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from aiohttp import web
from msgspec.structs import replace

from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots import idleness
from pbs_exporter.pbs.snapshots.idleness import PROOF_SECONDS, Evidence, Idleness, Seen, Uptime, concerned
from pbs_exporter.simulator import Fault
from pbs_exporter.simulator.exchange import Exchange
from tests.support.incremental_listing import (
    GROUPS,
    STORES,
    TASKS,
    WEB,
    group_value,
    idle,
    idling,
    later,
    looked_at,
    requested_place,
    small_history,
)
from tests.support.waiting import Gate, eventually

ALL: frozenset[str | None] = frozenset({None})
MAIN: frozenset[str | None] = frozenset({"main"})
PROVEN = {"idle": True, "is_as_listed": True}
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
    """Return a fault for `/groups`: a change, once, before or after PBS has read a root namespace."""
    changes = [change]

    async def act(exchange: Exchange) -> web.StreamResponse:
        # The namespaces of a datastore are asked for at once, and answered in any order.
        is_root = requested_place(exchange.log).namespace == ""
        if before_the_answer and is_root and changes:
            changes.pop()()
        answer = await exchange.answer()
        if is_root and changes:
            changes.pop()()
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
