"""The jobs of a generated world, and the tapes that some of them write."""

from typing import Final

from pbs_exporter.simulator.layout import DAY, HOUR, Datastore
from pbs_exporter.simulator.plan import Plan
from pbs_exporter.simulator.rhythm import Rhythm

Row = dict[str, object]

SYNC: Final = Plan("syncjob", "pbs2:offsite:main::s-offsite", Rhythm(420, lasts=420), store="main")
"""Follows upon itself, so that a task always runs."""

PUSH: Final = Plan("syncjob", "pbs3:copy:main::s-push", Rhythm(900, 200, 150), store="main", fails=0.4, warns=0.2)
"""Fails often."""

PRUNE: Final = Plan("prunejob", "main", Rhythm(HOUR, 300, 40), store="main")

TAPE: Final = Plan("tape-backup-job", "main:weekly:drive0:tape-weekly", Rhythm(600, 30, 200))


def sync_jobs(now: int, *, remotes: bool, every: bool) -> list[Row]:
    """Return `/admin/sync`: remote ones for who may see `remotes`, pushing ones only if it is `every`."""
    local: Row = {"id": "s-local", "ns": "copies", "remote-store": "main", "store": "main"}
    pull = {"id": "s-offsite", "remote": "pbs2", "remote-store": "offsite", "schedule": "*:0/7", "store": "main"}
    push = pull | {"id": "s-push", "remote": "pbs3", "remote-store": "copy", "schedule": "*:0/15"}
    rows = [local]
    if remotes:
        rows.append(pull | _ran(SYNC, now))
    if remotes and every:
        rows.append(push | {"sync-direction": "push"} | _ran(PUSH, now))
    return rows


def verify_job(store: Datastore, now: int) -> Row:
    """Return the row of `/admin/verify`."""
    name = store.verify.worker_id.partition(":")[2]
    return {"id": name, "schedule": "daily", "store": store.name} | _ran(store.verify, now)


def prune_jobs(now: int) -> list[Row]:
    """Return `/admin/prune`: one that runs, and one that is disabled."""
    off: Row = {"disable": True, "id": "p-off", "keep-last": 3, "ns": "lab", "schedule": "hourly", "store": "main"}
    return [{"id": "p-main", "keep-daily": 7, "schedule": "hourly", "store": "main"} | _ran(PRUNE, now), off]


def tape_jobs(now: int) -> list[Row]:
    """Return `/tape/backup`."""
    row = {"drive": "drive0", "id": "tape-weekly", "pool": "weekly", "schedule": "*:0/10", "store": "main"}
    return [row | _ran(TAPE, now)]


def media(now: int) -> list[Row]:
    """Return `/tape/media/list`: three tapes of a pool that fill in a day, and one that isn't assigned."""
    written = now % DAY / DAY
    rows: list[Row] = [
        {
            "bytes-used": round((12 << 40) * min(1, max(0, 3 * written - number))),
            "catalog": True,
            "expired": number == 2 and written < 0.5,  # noqa: PLR2004 - the last, and half a day
            "label-text": f"WEEK0{number + 1}L8",
            "location": "vault-cellar" if number == 2 else "online-sl3",  # noqa: PLR2004 - the last
            "pool": "weekly",
            "status": "full" if 3 * written > number + 1 else "writable",
        }
        for number in range(3)
    ]
    return [
        *rows,
        {"catalog": True, "expired": False, "label-text": "FREE01L8", "location": "offline", "status": "writable"},
    ]


def _ran(plan: Plan, now: int) -> Row:
    """Return what PBS says of a job's last run; of one that goes on it says only which it is."""
    newest = plan.rhythm.newest(now)
    row: Row = {"last-run-upid": plan.upid(newest), "next-run": plan.rhythm.start(newest + 1)}
    if plan.rhythm.running(now) is not None:
        return row
    return row | {"last-run-endtime": plan.rhythm.end(newest), "last-run-state": plan.status(newest)}
