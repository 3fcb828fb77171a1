"""What tasks prove: that no datastore's snapshots have changed since they were last read. Pure.

Compared are sets of tasks, not times: PBS's clock may differ from ours. A task that ends, and one that is new, is a
change; the list to compare with is older than the requests whose answers it stands for.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from pbs_exporter.pbs.models import Task

PROOF_SECONDS = 86_400.0
"""Maximum time between two lists that are compared. PBS is asked for the tasks of more than two days."""

HARMLESS = frozenset(
    {
        "aptupdate",
        "dircreate",
        "diskinit",
        "garbage_collection",
        "logrotate",
        "reader",
        "srvreload",
        "srvrestart",
        "srvstart",
        "srvstop",
        "termproxy",
        "vncshell",
        "wipedisk",
        "zfscreate",
    }
)
"""Types of tasks that change no snapshots."""

_DATASTORE_FIRST = frozenset(
    {"backup", "prune", "prunejob", "verificationjob", "verify", "verify_group", "verify_snapshot"}
)
"""Types whose worker ID is `STORE` or begins with `STORE:`."""

_SYNC_PARTS = 3

ALL = None
"""Stands for all datastores where others are named."""

Names = frozenset[str | None]

_ALL: Names = frozenset({ALL})


def concerned(task: Task, stores: Collection[str]) -> Names:
    """Return the datastores whose snapshots a task may change, or `ALL`. `stores` are the known ones.

    The worker ID of a `syncjob` is `REMOTE:REMOTE-STORE:STORE:…`, where the remote `-` is this PBS itself. A type of
    which nothing is known is about the datastores that its ID names, or else about all.
    """
    worker_id = task.worker_id or ""
    if task.worker_type in HARMLESS:
        return frozenset()
    if task.worker_type in _DATASTORE_FIRST:
        named = {worker_id.partition(":")[0]} - {""}
    elif task.worker_type == "syncjob":
        remote, *names = worker_id.split(":")[:_SYNC_PARTS]
        named = set(names[0 if remote == "-" else 1 :]) if len(names) == _SYNC_PARTS - 1 else set()
    else:
        named = {part for part in re.split(r"[:,\s]+", worker_id) if part in stores}
    return frozenset(named) or _ALL


class Seen(msgspec.Struct, frozen=True):
    """The tasks of one list that may have changed a datastore.

    `ended` are the UPIDs of those that had ended, `any_runs` says that others hadn't. PBS had restarted `restarts`
    times when it gave the list, at `at` (monotonic seconds).
    """

    ended: frozenset[str]
    any_runs: bool
    restarts: int
    at: float


class Evidence(msgspec.Struct, frozen=True):
    """What one list of tasks says of all datastores. `proves` is whether it has all tasks that there are."""

    ended: Mapping[str | None, Collection[str]]
    running: Collection[str | None]
    restarts: int
    at: float
    proves: bool

    def of(self, store: str) -> Seen:
        """Return what it says of one datastore."""
        ended = frozenset(self.ended.get(store, ())).union(self.ended.get(ALL, ()))
        return Seen(ended, store in self.running or ALL in self.running, self.restarts, self.at)


def gather(
    tasks: Iterable[Task], stores: Collection[str], ended: dict[str | None, set[str]], running: set[str | None]
) -> None:
    """Add the tasks to those that have ended and those that run, by the datastores that they may change."""
    for task in tasks:
        names = concerned(task, stores)
        if task.endtime is None:
            running |= names
        else:
            for name in names:
                ended.setdefault(name, set()).add(task.upid)


class Uptime(msgspec.Struct, frozen=True):
    """PBS's uptime when it was last known, and the number of restarts that it has shown."""

    seconds: float | None = None
    restarts: int = 0

    def after(self, seconds: float | None) -> "Uptime":
        """Return what is known after PBS has told its uptime, or not (`None`)."""
        if seconds is None:
            return self
        went_back = self.seconds is not None and seconds < self.seconds
        return Uptime(seconds, self.restarts + went_back)


class Idleness(msgspec.Struct, frozen=True):
    """What tasks prove of one datastore.

    `newest` is what the newest list said. `looked` was said before the datastore was last looked at with success, and
    `listed` before it was last listed in full. `idle` and `is_as_listed` say that nothing has changed since then.
    """

    newest: Seen | None = None
    looked: Seen | None = None
    listed: Seen | None = None
    idle: bool = False
    is_as_listed: bool = False


def unchanged(before: Seen | None, now: Seen) -> bool:
    """Whether no task can have changed the datastore between two lists.

    A task that ran at the first list may have ended right after it, or be too old for the second.
    """
    return (
        before is not None
        and not before.any_runs
        and not now.any_runs
        and before.restarts == now.restarts
        and now.at - before.at <= PROOF_SECONDS
        and now.ended <= before.ended
    )


def read(idleness: Idleness, seen: Seen | None, *, proves: bool) -> Idleness:
    """Return what is proven by a new list of tasks; nothing if there is none (`None`) or it may lack some."""
    if seen is None or not proves:
        return replace(idleness, newest=seen or idleness.newest, idle=False, is_as_listed=False)
    idle, is_as_listed = unchanged(idleness.looked, seen), unchanged(idleness.listed, seen)
    # Where nothing has changed, the new list stands for the same snapshots, and can be compared for longer.
    return Idleness(
        newest=seen,
        looked=seen if idle else idleness.looked,
        listed=seen if is_as_listed else idleness.listed,
        idle=idle,
        is_as_listed=is_as_listed,
    )


def unread(idleness: Idleness) -> Idleness:
    """Return what is known where a datastore isn't due to be looked at, and its tasks weren't read."""
    return replace(idleness, idle=False)


def looked(idleness: Idleness, before: Seen | None, *, is_good: bool) -> Idleness:
    """Return what is known after a look. `before` was said before it began. A failed one proves nothing."""
    return replace(idleness, looked=before if is_good else None, idle=idleness.idle and is_good)


def listed(idleness: Idleness, before: Seen | None) -> Idleness:
    """Return what is known after a full listing that succeeded. `before` was said before it began."""
    return replace(idleness, listed=before)
