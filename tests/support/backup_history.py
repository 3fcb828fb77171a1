"""The history of a PBS: its contents as plain data, and the events that change them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.exporter import FakeClock

GroupId = tuple[str, str]
"""Backup type and backup ID."""


class Place(NamedTuple):
    """Where a group is. The root namespace is `""`."""

    store: str
    namespace: str
    group: GroupId

    @property
    def path(self) -> str:
        """The group as the verification of one names it: `NSPATH/TYPE/ID`."""
        levels = self.namespace.split("/") if self.namespace else []
        return "/".join(("/".join(f"ns/{level}" for level in levels), *self.group))


@dataclass
class Verification:
    """The result of a verification, and its task."""

    state: str
    upid: str


@dataclass
class Snapshot:
    """A snapshot. `time` is in Unix seconds, `size` in bytes; without a size it is unfinished."""

    time: int
    size: int | None
    encrypted: bool = False
    protected: bool = False
    note: str = ""
    verification: Verification | None = None


@dataclass
class Group:
    """A group. Its snapshots are unordered, as in a directory."""

    owner: str = "backup@pbs!pve"
    note: str = ""
    snapshots: list[Snapshot] = field(default_factory=list)

    def finished(self) -> list[Snapshot]:
        """Return the finished snapshots, the oldest first."""
        return sorted((one for one in self.snapshots if one.size is not None), key=_time)

    def oldest_first(self) -> list[Snapshot]:
        return sorted(self.snapshots, key=_time)


Namespace = dict[GroupId, Group]


@dataclass
class Store:
    """A datastore. `maintenance` is as PBS words it, such as `offline,message=disk swap`."""

    namespaces: dict[str, Namespace] = field(default_factory=lambda: {"": {}})
    maintenance: str | None = None


@dataclass
class Task:
    """A task, which runs while it has no `end`. Times are in Unix seconds."""

    number: int
    worker_type: str
    worker_id: str
    start: int
    end: int | None = None
    status: str | None = None

    @property
    def upid(self) -> str:
        worker_id = self.worker_id.replace(":", r"\x3a").replace("/", "-")
        return (
            f"UPID:pbs1:000003F2:00000E10:{self.number:08X}:{self.start:08X}:{self.worker_type}:{worker_id}:root@pam:"
        )


class BackupHistory:
    """The contents of a PBS, and the events that change them. Each event takes at least a second."""

    def __init__(self, clock: FakeClock, *stores: str) -> None:
        self.clock = clock
        self.stores = {store: Store() for store in stores or ("main",)}
        self.tasks: list[Task] = []

    # --- contents

    @property
    def now(self) -> int:
        return int(self.clock.time)

    def places(self) -> Iterator[Place]:
        """Yield the places of all groups."""
        for name, store in self.stores.items():
            for namespace, groups in store.namespaces.items():
                yield from (Place(name, namespace, group) for group in groups)

    def at(self, place: Place) -> Group:
        return self.stores[place.store].namespaces[place.namespace][place.group]

    def running(self, place: Place) -> Snapshot | None:
        """Return the snapshot of the running backup. PBS lets nobody change it, or remove its group."""
        task = self._backup_of(place)
        return None if task is None else max(self.at(place).snapshots, key=_time)

    # --- tasks

    def begin(self, worker_type: str, worker_id: str) -> Task:
        """Start a task."""
        self.clock.advance(1)
        self.tasks.append(Task(len(self.tasks), worker_type, worker_id, self.now))
        return self.tasks[-1]

    def end(self, task: Task, status: str = "OK") -> None:
        self.clock.advance(1)
        task.end, task.status = self.now, status

    def run(self, worker_type: str, worker_id: str) -> Task:
        """Start and end a task."""
        task = self.begin(worker_type, worker_id)
        self.end(task)
        return task

    # --- backups

    def start_backup(self, place: Place) -> None:
        """Start a backup of an existing group, or of a new one."""
        task = self.begin("backup", _backup_id(place))
        groups = self.stores[place.store].namespaces.setdefault(place.namespace, {})
        # A directory has no order, so this one differs from the order of the times.
        groups.setdefault(place.group, Group()).snapshots.insert(0, Snapshot(task.start, None))

    def finish_backup(self, place: Place, size: int = 1000, *, encrypted: bool = False) -> None:
        """End the running backup with success."""
        snapshot, task = self.running(place), self._backup_of(place)
        assert snapshot
        assert task
        snapshot.size, snapshot.encrypted = size, encrypted
        self.end(task)

    def abort_backup(self, place: Place, *, leaves: bool = True) -> None:
        """Fail the running backup; its snapshot stays or is removed."""
        snapshot, task = self.running(place), self._backup_of(place)
        assert snapshot
        assert task
        if not leaves:
            self.at(place).snapshots.remove(snapshot)
        self.end(task, "backup ended: connection error")

    def backup(self, place: Place, size: int = 1000, *, encrypted: bool = False) -> None:
        """Start and end a backup."""
        self.start_backup(place)
        self.finish_backup(place, size, encrypted=encrypted)

    # --- removals

    def prune(self, place: Place, keep: int) -> None:
        """Remove the oldest snapshots until `keep` are left."""
        self.clock.advance(1)
        for snapshot in self.at(place).oldest_first()[: -keep or None]:
            self.at(place).snapshots.remove(snapshot)

    def remove(self, place: Place, snapshot: Snapshot) -> None:
        self.clock.advance(1)
        self.at(place).snapshots.remove(snapshot)

    def remove_group(self, place: Place) -> None:
        self.clock.advance(1)
        del self.stores[place.store].namespaces[place.namespace][place.group]

    def remake_group(self, place: Place) -> None:
        """Remove a group, and make the same number of backups again."""
        count = len(self.at(place).snapshots)
        self.remove_group(place)
        for number in range(count):
            self.backup(place, 5000 + number)

    def replace_old(self, place: Place) -> None:
        """Replace the oldest finished snapshot by an even older one from a sync. PBS puts that at another place."""
        self.clock.advance(1)
        oldest, *newer = self.at(place).finished()
        assert newer, "it must not be the newest"
        self.at(place).snapshots.remove(oldest)
        self.at(place).snapshots.append(Snapshot(oldest.time - 7, (oldest.size or 0) + 1))

    # --- namespaces and datastores

    def add_namespace(self, store: str, namespace: str) -> None:
        self.clock.advance(1)
        self.stores[store].namespaces.setdefault(namespace, {})

    def remove_namespace(self, store: str, namespace: str) -> None:
        """Remove a namespace with its groups, but not the namespaces in it."""
        self.clock.advance(1)
        del self.stores[store].namespaces[namespace]

    def rename_namespace(self, store: str, namespace: str, new: str) -> None:
        self.clock.advance(1)
        self.stores[store].namespaces[new] = self.stores[store].namespaces.pop(namespace)

    def close_store(self, store: str) -> None:
        """Put a datastore into maintenance."""
        self.clock.advance(1)
        self.stores[store].maintenance = "offline,message=disk swap"

    def open_store(self, store: str) -> None:
        self.clock.advance(1)
        self.stores[store].maintenance = None

    # --- changes that `/groups` doesn't show

    def verify(self, store: str, worker_type: str = "verificationjob", state: str = "ok") -> None:
        """Verify a datastore, as a job (`verificationjob`) or by hand (`verify`)."""
        worker_id = f"{store}:daily" if worker_type == "verificationjob" else store
        task = self.run(worker_type, worker_id)
        for groups in self.stores[store].namespaces.values():
            for group in groups.values():
                _verified(group.finished(), task, state)

    def verify_group(self, place: Place, state: str = "ok") -> None:
        _verified(self.at(place).finished(), self.run("verify_group", f"{place.store}:{place.path}"), state)

    def verify_snapshot(self, place: Place, snapshot: Snapshot, state: str = "ok") -> None:
        worker_id = f"{place.store}:{place.path}/{snapshot.time:08X}"
        _verified([snapshot], self.run("verify_snapshot", worker_id), state)

    def note(self, snapshot: Snapshot, text: str) -> None:
        self.clock.advance(1)
        snapshot.note = text

    def protect(self, snapshot: Snapshot, *, protected: bool = True) -> None:
        self.clock.advance(1)
        snapshot.protected = protected

    # --- notes and owners

    def note_group(self, place: Place, text: str) -> None:
        self.clock.advance(1)
        self.at(place).note = text

    def own(self, place: Place, owner: str) -> None:
        self.clock.advance(1)
        self.at(place).owner = owner

    def _backup_of(self, place: Place) -> Task | None:
        """Return the running backup. A task doesn't name its namespace, so the snapshot's time decides."""
        times = {snapshot.time for snapshot in self.at(place).snapshots}
        found = (
            task
            for task in self.tasks
            if task.end is None and task.worker_id == _backup_id(place) and task.start in times
        )
        return next(found, None)


def _backup_id(place: Place) -> str:
    return f"{place.store}:{'/'.join(place.group)}"


def _verified(snapshots: list[Snapshot], task: Task, state: str) -> None:
    for snapshot in snapshots:
        snapshot.verification = Verification(state, task.upid)


def _time(snapshot: Snapshot) -> int:
    return snapshot.time
