"""Hints of tasks about backup groups."""

import pytest

from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots.task_hints import (
    Hints,
    SeenTasks,
    all_listed,
    guest,
    hinted_listed,
    read_tasks,
    verified,
)

VM = ("vm", "100")


def task(worker_type: str, worker_id: str | None, end: int | None = None, upid: str = "u1") -> Task:
    """Make a task; without an `end` it is running."""
    return Task(upid, worker_type, 1, worker_id, end, None if end is None else "OK")


GUESTS = {
    "a backup": (task("backup", "main:vm/100"), ("main", "vm", "100")),
    "an ID with a slash": (task("backup", "main:host/a/b"), ("main", "host", "a/b")),
    "another type of task": (task("reader", "main:vm/100"), None),
    "no ID": (task("backup", None), None),
    "an ID of another form": (task("backup", "main"), None),
}


@pytest.mark.parametrize(("given", "whose"), GUESTS.values(), ids=GUESTS)
def test_whose_backup_a_task_is(given: Task, whose: tuple[str, str, str] | None) -> None:
    """The ID of a backup task is `STORE:TYPE/ID`."""
    assert guest(given) == whose


VERIFIED = {
    "a group of the root": ("main:/vm/100", ("", VM)),
    "a group of a namespace": ("main:ns/a/ns/b/vm/100", ("a/b", VM)),
    "a snapshot of the root": ("main:/vm/100/65F0A1B2", ("", VM)),
    "a snapshot of a namespace": ("main:ns/a/vm/100/65f0a1b2", ("a", VM)),
    "a group called like a time": ("main:/host/65F0A1B2", ("", ("host", "65F0A1B2"))),
    "no group": ("main", None),
    "no ID": (None, None),
}


@pytest.mark.parametrize(("worker_id", "group"), VERIFIED.values(), ids=VERIFIED)
def test_which_group_a_task_verifies(worker_id: str | None, group: tuple[str, tuple[str, str]] | None) -> None:
    """The ID of a verification is `STORE:NSPATH/TYPE/ID`, followed by the time for a single snapshot."""
    assert verified(task("verify_group", worker_id)) == group


HINTS = {
    "a running backup": (task("backup", "main:vm/100"), Hints(frozenset({(None, VM)}))),
    "a backup that has ended": (task("backup", "main:vm/100", 60), Hints(frozenset({(None, VM)}))),
    "a backup that ended before the full listing": (task("backup", "main:vm/100", 40), Hints()),
    "a backup of another datastore": (task("backup", "other:vm/100"), Hints()),
    "a verification of a group": (task("verify_group", "main:ns/a/vm/100"), Hints(frozenset({("a", VM)}))),
    "a verification whose group can't be read": (task("verify_group", "main:x", 60), Hints(everything=True)),
    "a bulk verification that runs": (task("verificationjob", "main:job"), Hints()),
    "a bulk verification that has ended": (task("verificationjob", "main:job", 60), Hints(everything=True)),
    "a verification of a datastore that has ended": (task("verify", "main", 60), Hints(everything=True)),
    "a task that changes no group": (task("reader", "main:vm/100"), Hints()),
}


@pytest.mark.parametrize(("given", "hints"), HINTS.values(), ids=HINTS)
def test_what_a_task_hints_at(given: Task, hints: Hints) -> None:
    """Backups and verifications that run or have ended since the full listing name groups, or ask for all."""
    assert read_tasks(SeenTasks(since=50.0), "main", [given])[0] == hints


def test_a_hint_of_no_namespace_means_all_of_them() -> None:
    """A backup's task doesn't name the namespace; a verification's task does."""
    hints = Hints(frozenset({(None, VM), ("a", ("ct", "1"))}))
    assert hints.name("", VM)
    assert hints.name("b", VM)
    assert hints.name("a", ("ct", "1"))
    assert not hints.name("", ("ct", "1"))


def test_a_task_that_has_ended_is_news_until_its_group_is_listed() -> None:
    """A hint is repeated until its group has been listed, and not after that."""
    tasks = [task("backup", "main:vm/100", 60)]
    first, seen = read_tasks(SeenTasks(since=50.0), "main", tasks)
    again, seen = read_tasks(seen, "main", tasks)
    after, _ = read_tasks(hinted_listed(seen), "main", tasks)
    assert first == again == Hints(frozenset({(None, VM)}))
    assert after == Hints()


def test_a_task_that_runs_is_news_each_time() -> None:
    """A running backup can change its group at any time, and once more as it ends."""
    _, seen = read_tasks(SeenTasks(), "main", [task("backup", "main:vm/100")])
    running, seen = read_tasks(hinted_listed(seen), "main", [task("backup", "main:vm/100")])
    ended, _ = read_tasks(hinted_listed(seen), "main", [task("backup", "main:vm/100", 60)])
    assert running == ended == Hints(frozenset({(None, VM)}))


def test_a_bulk_verification_asks_for_one_full_listing() -> None:
    """A finished bulk verification is reported once, and not again before or after a full listing."""
    tasks = [task("verificationjob", "main:job", 60)]
    first, seen = read_tasks(SeenTasks(), "main", tasks)
    again, seen = read_tasks(seen, "main", tasks)
    after, _ = read_tasks(all_listed(seen, 10.0), "main", tasks)
    assert (first.everything, again.everything, after.everything) == (True, False, False)


def test_without_tasks_nothing_becomes_known() -> None:
    """If the task list fails there are no hints, and tasks that ended meanwhile are still new afterwards."""
    tasks = [task("backup", "main:vm/100", 60)]
    _, seen = read_tasks(SeenTasks(), "main", [])
    seen = hinted_listed(seen)
    hints, seen = read_tasks(seen, "main", None)
    assert hints == Hints()
    assert read_tasks(hinted_listed(seen), "main", tasks)[0] == Hints(frozenset({(None, VM)}))


def test_a_full_listing_makes_older_tasks_no_news() -> None:
    """Tasks that ended before a full listing began are covered by it."""
    seen = all_listed(SeenTasks(since=0.0, ended=frozenset(), listed=frozenset()), 100.0)
    assert read_tasks(seen, "main", [task("backup", "main:vm/100", 99)])[0] == Hints()
    assert read_tasks(seen, "main", [task("backup", "main:vm/100", 101)])[0] == Hints(frozenset({(None, VM)}))
