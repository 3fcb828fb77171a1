"""What tasks say of the backup groups of a datastore."""

import asyncio
import re
from collections.abc import Iterable

import msgspec

from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots.group_summary import GroupId

Guest = tuple[str, str, str]
"""Datastore, backup type and backup ID."""

Tasks = asyncio.Future[Rows[Task]]
"""PBS's tasks, perhaps not there yet."""

_GUEST = re.compile(r"([^:]+):([^/]+)/(.+)", re.DOTALL)
_VERIFIED = re.compile(r"((?:ns/[^/]+/)*ns/[^/]+)?/([^/]+)/([^/]+?)(?:/[0-9A-Fa-f]{8,})?")

_VERIFIES_ONE = ("verify_group", "verify_snapshot")
_VERIFIES_MANY = ("verificationjob", "verify")


def guest(task: Task) -> Guest | None:
    """Give whose backup a task is; its namespace isn't told. `STORE:TYPE/ID`."""
    match = _GUEST.fullmatch(task.worker_id or "") if task.worker_type == "backup" else None
    return (match[1], match[2], match[3]) if match else None


def verified(task: Task) -> tuple[str, GroupId] | None:
    """Give the namespace and the group that a task verifies one of, or all.

    `STORE:NSPATH/TYPE/ID`, for a snapshot with `/HEXTIME` at the end; `NSPATH` is `ns/a/ns/b`, empty for the root.
    """
    match = _VERIFIED.fullmatch((task.worker_id or "").partition(":")[2])
    if match is None:
        return None
    namespace = "/".join((match[1] or "").split("/")[1::2])
    return namespace, (match[2], match[3])


class Hints(msgspec.Struct, frozen=True):
    """Which groups may have changed although `/groups` doesn't show it, and whether any may have.

    Of a namespace that isn't known it is the groups of that ID in all namespaces.
    """

    groups: frozenset[tuple[str | None, GroupId]] = frozenset()
    everything: bool = False

    def name(self, namespace: str, group: GroupId) -> bool:
        """Whether the group is one of them."""
        return (namespace, group) in self.groups or (None, group) in self.groups


class TaskWatch:
    """Reads the tasks of one datastore again and again, and tells what is new in them."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._since = 0.0
        # UPIDs of tasks that had ended: at the last look, and when all that it named had been listed.
        self._ended: frozenset[str] | None = None
        self._done: frozenset[str] | None = None
        # Those of many that have been named. Once is enough: the full listing that they ask for isn't forgotten.
        self._named: frozenset[str] = frozenset()

    def begin(self, now: float) -> None:
        """Say that all is being listed: what ended before `now` (Unix time) isn't new any more."""
        self._since = now
        self._ended = self._done = None

    async def hints(self, tasks: Tasks | None) -> Hints:
        """Wait for the tasks, and give what those say that run, and that have ended since the last `done`.

        Without tasks there are no hints.
        """
        if tasks is not None:
            await asyncio.wait([tasks])
        if tasks is None or tasks.cancelled() or tasks.exception() is not None:
            self._ended = self._done
            return Hints()
        own = [task for task in tasks.result().rows if self._is_own(task)]
        self._ended = frozenset(task.upid for task in own if task.endtime is not None)
        new = [task for task in own if self._is_new(task) and task.upid not in self._named]
        self._named = frozenset(
            task.upid for task in own if task.worker_type in _VERIFIES_MANY and task.endtime is not None
        )
        return _hints(new)

    def done(self) -> None:
        """Say that all has been listed that the last hints named."""
        self._done = self._ended

    def _is_new(self, task: Task) -> bool:
        if self._done is not None:
            return task.upid not in self._done
        return task.endtime is None or task.endtime > self._since

    def _is_own(self, task: Task) -> bool:
        store = (task.worker_id or "").partition(":")[0]
        return store == self._store and task.worker_type in ("backup", *_VERIFIES_ONE, *_VERIFIES_MANY)


def _hints(tasks: Iterable[Task]) -> Hints:
    groups: set[tuple[str | None, GroupId]] = set()
    everything = False
    for task in tasks:
        named = _named(task)
        if named is not None:
            groups.add(named)
        elif task.worker_type != "backup":
            # A verification of many shows when it is through.
            everything = everything or task.endtime is not None
    return Hints(frozenset(groups), everything)


def _named(task: Task) -> tuple[str | None, GroupId] | None:
    if task.worker_type in _VERIFIES_ONE:
        return verified(task)
    backup = guest(task)
    return (None, backup[1:]) if backup else None
