"""Simulated PBS without faults: a calm one, a healthy one that seems to have faults, and a fresh one."""

import datetime as dt
import time
from random import Random
from typing import Any

import msgspec

from pbs_exporter.simulator import World
from pbs_exporter.simulator.world.layout import DAY, HOUR, SimulatedDatastore, SimulatedGroup, add_group, datastore
from pbs_exporter.simulator.world.plan import Plan
from pbs_exporter.simulator.world.rhythm import Rhythm
from tests.monitoring.monitored_pbs import Change, EditableWorld

Rows = list[dict[str, Any]]

SNAPSHOTS = "/admin/datastore/{store}/snapshots"
TASKS = "/nodes/{node}/tasks"
KEEP = 8
_PUSHED = {"remote": "pbs2", "remote_store": "offsite", "sync_direction": "push"}
_OF_STORES = ("backup", "garbage_collection", "verificationjob")


def calm(*names: str, groups: int = 2, **changes: Any) -> World:
    """Return a PBS with these datastores and nothing wrong. Each has `groups` groups with a daily backup.

    The last backup was three hours ago, the last verification an hour, the last garbage collection five hours ago.
    `changes` are attributes of the datastores.
    """
    now = int(time.time())
    world = World(datastores=0, now=lambda: now)
    world.stores.extend(store(name, now, groups, **changes) for name in names)
    return world


def store(name: str, now: int, groups: int, **changes: Any) -> SimulatedDatastore:
    """Make a calm datastore, with groups `vm/100`, `vm/101` and so on in the root namespace, the last in `prod`."""
    made = datastore(name, gc=daily(now, 5), verify=daily(now, 1))
    made.gc, made.verify = sure(made.gc), sure(made.verify)
    random = Random(1)  # noqa: S311 - reproducible sizes
    for number in range(groups):
        namespace = "prod" if number and number == groups - 1 else ""
        add_group(made, namespace, "vm", str(100 + number), rhythm=daily(now, 3), keep=KEEP, random=random)
    for kept in made.namespaces.values():
        kept[:] = [msgspec.structs.replace(group, plan=sure(group.plan)) for group in kept]
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def daily(now: int, hours: int, lasts: int = 600) -> Rhythm:
    """Return the rhythm of a daily event that last began `hours` ago."""
    return Rhythm(DAY, (now - hours * HOUR) % DAY, lasts)


def sure(plan: Plan) -> Plan:
    """Return a plan that never fails by chance."""
    return msgspec.structs.replace(plan, fails=0.0, warns=0.0)


def calmed(world: World) -> EditableWorld:
    """Remove the generated world's random failures, and its dependence on the day of the year."""
    source = EditableWorld(world)
    now = world.now
    due = dt.datetime.fromtimestamp(now + 200 * DAY, tz=dt.UTC)
    good: dict[str, Change] = {
        SNAPSHOTS: lambda rows: [_verified(row) for row in rows],
        TASKS: lambda rows: [row for row in rows if row["worker_type"] in _OF_STORES],
        "/access/users": lambda rows: [_lasting(row, now + 80 * DAY) for row in rows],
        "/admin/prune": lambda _: [job(f"p-{one.name}", one.name) for one in world.stores],
        "/admin/sync": lambda _: [job(f"s-{one.name}", one.name, **_PUSHED) for one in world.stores],
        "/nodes/{node}/apt/update": lambda _: [],
        "/nodes/{node}/services": lambda rows: [_started(row) for row in rows],
        "/nodes/{node}/subscription": lambda row: row | {"nextduedate": f"{due:%Y-%m-%d}"},
        "/tape/backup": lambda _: [],
        "/tape/drive": lambda _: [],
        "/tape/media/list": lambda _: [],
    }
    for pattern, change in good.items():
        source.change(pattern, change)
    return source


def _verified(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"verification": row["verification"] | {"state": "ok"}} if "verification" in row else row


def _lasting(user: dict[str, Any], expire: int) -> dict[str, Any]:
    tokens = [token | {"expire": expire} if "expire" in token else token for token in user.get("tokens", ())]
    return user | {"tokens": tokens} if tokens else user


def _started(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"state": "running"} if row["unit-state"] == "enabled" else row


def upid(start: int, worker_type: str, worker_id: str = "") -> str:
    """Return a task ID as PBS writes it."""
    return f"UPID:pbs1:000008F0:000D4340:00000001:{start:08X}:{worker_type}:{worker_id}:root@pam:"


def task(worker_type: str, worker_id: str, start: int, lasts: int | None, status: str | None = None) -> dict[str, Any]:
    """Return a row of the task list. A running task has no end."""
    row: dict[str, Any] = {
        "upid": upid(start, worker_type, worker_id),
        "node": "localhost",
        "pid": 0x8F0,
        "pstart": 0xD4340,
        "starttime": start,
        "worker_type": worker_type,
        "worker_id": worker_id,
        "user": "root@pam",
    }
    return row if lasts is None else row | {"endtime": start + lasts, "status": status}


def job(name: str, datastore: str, **changes: Any) -> dict[str, Any]:
    """Return a row of a list of jobs: a daily job that succeeded four hours ago. A change to `None` removes a key."""
    now = int(time.time())
    row: dict[str, Any] = {
        "id": name,
        "last-run-endtime": now - 4 * HOUR + 60,
        "last-run-state": "OK",
        "last-run-upid": upid(now - 4 * HOUR, "prunejob", datastore),
        "next-run": now + 20 * HOUR,
        "schedule": "daily",
        "store": datastore,
    }
    row |= {key.replace("_", "-"): value for key, value in changes.items()}
    return {key: value for key, value in row.items() if value is not None}


def tape(label: str, pool: str | None, status: str, location: str, *, expired: bool = False) -> dict[str, Any]:
    """Return a row of the list of tapes."""
    row: dict[str, Any] = {
        "catalog": True,
        "expired": expired,
        "label-text": label,
        "location": location,
        "status": status,
    }
    return row if pool is None else row | {"bytes-used": 1 << 40, "pool": pool}


DRIVE = {
    "changer": "sl3",
    "model": "ULT3580-HH8",
    "name": "drive0",
    "path": "/dev/tape/by-id/scsi-10WT036260-sg",
    "serial": "10WT036260",
    "vendor": "IBM",
}
"""A row of the list of tape drives."""


def without_manifest(row: dict[str, Any], *, damaged: bool) -> dict[str, Any]:
    """Return a snapshot as PBS lists it without a manifest, or with an unreadable one."""
    names = [file["filename"] for file in row["files"] if damaged or file["filename"] != "index.json.blob"]
    bare = {key: row[key] for key in ("backup-type", "backup-id", "backup-time", "owner", "protected")}
    return bare | {"files": [{"filename": name} for name in names]}


def healthy() -> EditableWorld:
    """Return a PBS without a fault, but with every condition that looks like one.

    It has no subscription; `usb`, a rotated disk that isn't mounted; a sync job without a schedule that never ran, and
    one that ran long ago; `archive`, which is read-only and whose backups are old; a group whose older snapshots aren't
    encrypted; a group that is backed up once a week; a sync that has run for two days, and the snapshot that it pulls;
    and a tape pool whose one medium is full and expired.
    """
    world = calm("main", "usb", "archive")
    now = world.now
    main, usb, archive = world.stores
    usb.removable, usb.mounted = True, False
    archive.maintenance = "read-only,message=archive"
    grow_old(archive, now)
    last = _renamed(main.namespaces["prod"][-1], "300")
    main.namespaces["prod"].append(last)
    main.namespaces["prod"].append(_weekly(_renamed(last, "400"), now))
    source = calmed(world)
    source.change("/admin/datastore/main/snapshots", lambda rows: _encrypted_since(rows, now - 4 * DAY))
    source.change(
        "/nodes/{node}/subscription", lambda _: {"message": "There is no subscription key", "status": "notfound"}
    )
    by_hand = {"schedule": None, "next_run": None}
    never = {"last_run_endtime": None, "last_run_state": None, "last_run_upid": None}
    long_ago = now - 200 * DAY
    source.change(
        "/admin/sync",
        lambda _: [
            job("s-never", "main", remote_store="main", **by_hand, **never),
            job(
                "s-hand",
                "main",
                remote_store="main",
                **by_hand,
                last_run_endtime=long_ago + 60,
                last_run_upid=upid(long_ago, "syncjob"),
            ),
        ],
    )
    source.change("/admin/datastore/main/snapshots", lambda rows: _with_unfinished(rows, "101", now - HOUR))
    source.change(TASKS, lambda rows: [task("syncjob", "pbs2:offsite:main::s-first", now - 2 * DAY, None), *rows])
    source.change("/tape/drive", lambda _: [DRIVE])
    source.change("/tape/media/list", lambda _: [tape("WEEK01L8", "weekly", "full", "online-sl3", expired=True)])
    return source


def fresh() -> EditableWorld:
    """Return a PBS that was just installed: no datastore, no job, no subscription."""
    source = calmed(calm())
    source.change(
        "/nodes/{node}/subscription", lambda _: {"message": "There is no subscription key", "status": "notfound"}
    )
    source.change(TASKS, lambda _: [])
    return source


def grow_old(archive: SimulatedDatastore, now: int, days: int = 200) -> None:
    """Leave one backup in each group of a datastore, `days` old."""
    rarely = Rhythm(1000 * DAY, (now - days * DAY) % (1000 * DAY), 600)
    for groups in archive.namespaces.values():
        groups[:] = [
            msgspec.structs.replace(group, keep=1, plan=msgspec.structs.replace(group.plan, rhythm=rarely))
            for group in groups
        ]


def _weekly(group: SimulatedGroup, now: int) -> SimulatedGroup:
    """Return a weekly group: the last backup is five days old, and the next one is due in two days."""
    rhythm = Rhythm(7 * DAY, (now - 5 * DAY) % (7 * DAY), 600)
    return msgspec.structs.replace(group, plan=msgspec.structs.replace(group.plan, rhythm=rhythm))


def _renamed(group: SimulatedGroup, backup_id: str) -> SimulatedGroup:
    plan = msgspec.structs.replace(group.plan, worker_id=group.plan.worker_id.rpartition("/")[0] + f"/{backup_id}")
    return msgspec.structs.replace(group, backup_id=backup_id, plan=plan)


def _with_unfinished(rows: Rows, backup_id: str, begun: int) -> Rows:
    """Add an unfinished snapshot to the group, if it is in this namespace."""
    ended = next((row for row in rows if row["backup-id"] == backup_id), None)
    return rows if ended is None else [*rows, without_manifest(ended | {"backup-time": begun}, damaged=False)]


def _encrypted_since(rows: Rows, since: int) -> Rows:
    for row in rows:
        if row["backup-id"] == "300" and row["backup-time"] > since:
            row["files"] = [
                file | {"crypt-mode": "encrypt"}
                if file.get("crypt-mode") and file["filename"] != "index.json.blob"
                else file
                for file in row["files"]
            ]
    return rows
