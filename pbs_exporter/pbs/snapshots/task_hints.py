"""What tasks say of the backup groups of a datastore. Pure: each function takes values and returns values."""

import re
from collections.abc import Iterable

import msgspec

from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots.group_summary import GroupId

Guest = tuple[str, str, str]
"""Datastore, backup type and backup ID."""

_GUEST = re.compile(r"([^:]+):([^/]+)/(.+)", re.DOTALL)
_VERIFIED = re.compile(r"((?:ns/[^/]+/)*ns/[^/]+)?/([^/]+)/([^/]+?)(?:/[0-9A-Fa-f]{8,})?")

_VERIFIES_ONE = ("verify_group", "verify_snapshot")
_VERIFIES_MANY = ("verificationjob", "verify")


class Hints(msgspec.Struct, frozen=True):
    """The groups that may have changed although `/groups` doesn't show it.

    A namespace of `None` means the groups of that ID in all namespaces. `everything` says that only a full listing
    shows what has changed.
    """

    groups: frozenset[tuple[str | None, GroupId]] = frozenset()
    everything: bool = False

    def name(self, namespace: str, group: GroupId) -> bool:
        """Whether the group is among them."""
        return (namespace, group) in self.groups or (None, group) in self.groups


class SeenTasks(msgspec.Struct, frozen=True):
    """The tasks of one datastore that have been taken into account. Tasks are known by their UPIDs.

    `since` is when the newest full listing of a scrape began (Unix seconds, by PBS's clock). `ended` are the tasks that
    had ended when they were last read, `listed` those of a time when all that they name had been listed (`None`: not
    since `since`).
    `bulk` are the finished bulk verifications already reported; one full listing covers them.
    """

    since: float = 0.0
    ended: frozenset[str] | None = None
    listed: frozenset[str] | None = None
    bulk: frozenset[str] = frozenset()


def all_listed(seen: SeenTasks, now: float) -> SeenTasks:
    """Return what is no news once a full listing begins: all that ended before `now` (PBS's)."""
    return SeenTasks(since=now, bulk=seen.bulk)


def hinted_listed(seen: SeenTasks) -> SeenTasks:
    """Return the tasks that are covered once all groups of the last hints have been listed."""
    return msgspec.structs.replace(seen, listed=seen.ended)


def read_tasks(seen: SeenTasks, store: str, tasks: Iterable[Task] | None) -> tuple[Hints, SeenTasks]:
    """Return the hints of a datastore's new tasks, and the tasks that have been taken into account.

    Without tasks (`None`) there are no hints.
    """
    if tasks is None:
        return Hints(), msgspec.structs.replace(seen, ended=seen.listed)
    own = [task for task in tasks if _is_of(task, store)]
    hints = _hints(task for task in own if _is_new(task, seen))
    ended = frozenset(task.upid for task in own if task.endtime is not None)
    bulk = frozenset(task.upid for task in own if task.worker_type in _VERIFIES_MANY and task.endtime is not None)
    return hints, msgspec.structs.replace(seen, ended=ended, bulk=bulk)


def guest(task: Task) -> Guest | None:
    """Return the guest that a backup task (`STORE:TYPE/ID`) backs up. The task doesn't name the namespace."""
    match = _GUEST.fullmatch(task.worker_id or "") if task.worker_type == "backup" else None
    return (match[1], match[2], match[3]) if match else None


def verified(task: Task) -> tuple[str, GroupId] | None:
    """Return the namespace and the group that a task verifies, or verifies a snapshot of.

    The worker ID is `STORE:NSPATH/TYPE/ID`, for a snapshot with `/HEXTIME` at the end. `NSPATH` is `ns/a/ns/b`, and
    empty for the root namespace.
    """
    match = _VERIFIED.fullmatch((task.worker_id or "").partition(":")[2])
    if match is None:
        return None
    namespace = "/".join((match[1] or "").split("/")[1::2])
    return namespace, (match[2], match[3])


def _is_of(task: Task, store: str) -> bool:
    named = (task.worker_id or "").partition(":")[0]
    return named == store and task.worker_type in ("backup", *_VERIFIES_ONE, *_VERIFIES_MANY)


def _is_new(task: Task, seen: SeenTasks) -> bool:
    if task.upid in seen.bulk:
        return False
    if seen.listed is not None:
        return task.upid not in seen.listed
    return task.endtime is None or task.endtime >= seen.since


def _hints(tasks: Iterable[Task]) -> Hints:
    groups: set[tuple[str | None, GroupId]] = set()
    everything = False
    for task in tasks:
        group = _group(task)
        if group is not None:
            groups.add(group)
        elif task.worker_type != "backup":
            # A bulk verification takes effect when it ends.
            everything = everything or task.endtime is not None
    return Hints(frozenset(groups), everything)


def _group(task: Task) -> tuple[str | None, GroupId] | None:
    if task.worker_type in _VERIFIES_ONE:
        return verified(task)
    backup = guest(task)
    return (None, backup[1:]) if backup else None
