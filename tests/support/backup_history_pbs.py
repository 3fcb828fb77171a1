"""The answers of a PBS about its history."""

from collections.abc import Callable, Mapping
from typing import Any

from pbs_exporter.simulator import Answer, Call, RefusedError, api
from pbs_exporter.simulator.answer import UNAUTHORIZED, LoginFailure, no_such_datastore, no_such_namespace
from tests.support.backup_history import BackupHistory, Group, GroupId, Namespace, Snapshot, Store, Task

Row = dict[str, Any]
Names = Mapping[str, str]

PERMISSIONS = "/access/permissions"

_MANIFEST = "index.json.blob"
_DISK = "drive-scsi0.img.fidx"


class BackupHistoryPbs:
    """A source of answers about a history. `old` is PBS before 4.0.17, whose `/groups` has fewer keys.

    `permissions` are those of the token, by path, of which it tells only that of the question; without any, it doesn't
    know of permissions. `uptime` is in seconds.
    """

    def __init__(
        self, history: BackupHistory, *, old: bool = False, permissions: Mapping[str, Row] | None = None
    ) -> None:
        self.history = history
        self.old = old
        self.permissions = permissions
        self.uptime = 5
        self._answers: dict[str, Callable[[Names, api.Params], object]] = {
            "/version": lambda *_: {"version": "3.4" if old else "4.2", "release": "3", "repoid": "abc"},
            "/nodes/{node}/status": lambda *_: {"cpu": 0.1, "uptime": self.uptime},
            "/nodes/{node}/tasks": lambda _, params: self._tasks(params),
            PERMISSIONS: lambda _, params: self._permissions(str(params.get("path", "/"))),
            "/admin/datastore": lambda *_: [_store_row(name, store) for name, store in history.stores.items()],
            "/status/datastore-usage": lambda *_: [_usage_row(name, store) for name, store in history.stores.items()],
            "/admin/gc": lambda *_: [{"store": name} for name, store in history.stores.items() if not _problem(store)],
            "/tape/drive": lambda *_: [],
            "/admin/datastore/{store}/namespace": lambda names, _: [{"ns": name} for name in self._open(names)],
            "/admin/datastore/{store}/groups": self._groups,
            "/admin/datastore/{store}/snapshots": self._snapshots,
        }

    def pbs_time(self) -> float:
        return self.history.now

    def unauthorized(self, _failure: LoginFailure) -> Answer:
        return UNAUTHORIZED

    def answer(self, call: Call) -> Answer:
        found = api.find(call.path)
        if found is None or found[0].template not in self._answers:
            raise api.not_found(call.path)
        if found[0].template == PERMISSIONS and self.permissions is None:
            raise api.not_found(call.path)
        endpoint, names = found
        return Answer.data(self._answers[endpoint.template](names, api.read_params(endpoint, call.query)))

    def _permissions(self, path: str) -> object:
        granted = (self.permissions or {}).get(path)
        return {path: granted} if granted else {}

    def _open(self, names: Names) -> dict[str, Namespace]:
        store = self.history.stores.get(names["store"])
        if store is None:
            raise no_such_datastore(names["store"])
        if _problem(store):
            raise RefusedError(400, f"datastore '{names['store']}' is unavailable: {_problem(store)}")
        return store.namespaces

    def _namespace(self, names: Names, params: api.Params) -> Namespace:
        namespaces, namespace = self._open(names), str(params.get("ns", ""))
        if namespace not in namespaces:
            raise no_such_namespace()
        return namespaces[namespace]

    def _groups(self, names: Names, params: api.Params) -> object:
        groups = self._namespace(names, params)
        return [
            _group_row(group_id, group, _old_last(group) if self.old else _last(group))
            for group_id, group in groups.items()
            if group.snapshots or not self.old
        ]

    def _snapshots(self, names: Names, params: api.Params) -> object:
        groups = self._namespace(names, params)
        return [
            _snapshot_row(group_id, group, snapshot)
            for group_id, group in groups.items()
            if params.get("backup-type", group_id[0]) == group_id[0]
            and params.get("backup-id", group_id[1]) == group_id[1]
            for snapshot in group.snapshots
        ]

    def _tasks(self, params: api.Params) -> object:
        tasks = [task for task in self.history.tasks if task.start >= int(str(params.get("since", 0)))]
        running = sorted((task for task in tasks if task.end is None), key=lambda task: -task.start)
        ended = sorted((task for task in tasks if task.end is not None), key=lambda task: -(task.end or 0))
        rows = [_task_row(task) for task in ([*running] if params.get("running") else [*running, *ended])]
        return rows[: int(str(params.get("limit", 50))) or None]


def _problem(store: Store) -> str:
    mode, _, message = (store.maintenance or "").partition(",message=")
    return f"{mode} maintenance mode: {message}" if mode else ""


def _store_row(name: str, store: Store) -> Row:
    row = {"store": name, "backend-type": "filesystem", "mount-status": "nonremovable"}
    return row | {"maintenance": store.maintenance} if store.maintenance else row


def _usage_row(name: str, store: Store) -> Row:
    if _problem(store):
        return {"store": name, "error": _problem(store)}
    return {"store": name, "total": 1000, "used": 400, "avail": 600}


def _last(group: Group) -> Snapshot | None:
    """Return the newest finished snapshot, or the newest if none is finished."""
    return max(group.finished() or group.snapshots, key=lambda snapshot: snapshot.time, default=None)


def _old_last(group: Group) -> Snapshot:
    """Return the last backup as PBS before 4.0.17 does: it may be unfinished."""
    last = group.snapshots[0]
    for snapshot in group.snapshots:
        if last.size is None or last.time <= snapshot.time:
            last = snapshot
    return last


def _group_row(group_id: GroupId, group: Group, last: Snapshot | None) -> Row:
    row = {
        "backup-type": group_id[0],
        "backup-id": group_id[1],
        "backup-count": len(group.snapshots),
        "last-backup": last.time if last else 0,
        "files": [file["filename"] for file in _files(last)] if last else [],
        "owner": group.owner,
    }
    return row | {"comment": group.note} if group.note else row


def _snapshot_row(group_id: GroupId, group: Group, snapshot: Snapshot) -> Row:
    row: Row = {
        "backup-type": group_id[0],
        "backup-id": group_id[1],
        "backup-time": snapshot.time,
        "files": _files(snapshot),
        "owner": group.owner,
        "protected": snapshot.protected,
    }
    if snapshot.size is not None:
        row["size"] = snapshot.size
    if snapshot.note:
        row["comment"] = snapshot.note
    if snapshot.verification:
        row["verification"] = {"state": snapshot.verification.state, "upid": snapshot.verification.upid}
    return row


def _files(snapshot: Snapshot) -> list[Row]:
    if snapshot.size is None:
        return [{"filename": _DISK}]
    mode = "encrypt" if snapshot.encrypted else "none"
    return [{"filename": _DISK, "crypt-mode": mode, "size": snapshot.size}, {"filename": _MANIFEST, "size": 500}]


def _task_row(task: Task) -> Row:
    row = {
        "upid": task.upid,
        "node": "localhost",
        "pid": 1010,
        "pstart": 3600,
        "starttime": task.start,
        "worker_type": task.worker_type,
        "worker_id": task.worker_id,
        "user": "root@pam",
    }
    return row if task.end is None else row | {"endtime": task.end, "status": task.status}
