"""Sync, verify and prune jobs."""

from typing import Final

from pbs_exporter.simulator.answer import Row
from pbs_exporter.simulator.world.layout import HOUR, SimulatedDatastore
from pbs_exporter.simulator.world.plan import Plan
from pbs_exporter.simulator.world.rhythm import Rhythm

SYNC: Final = Plan("syncjob", "pbs2:offsite:main::s-offsite", Rhythm(420, lasts=420), store="main")
"""Runs without a pause, so that there is always a running task."""

PUSH: Final = Plan("syncjob", "pbs3:copy:main::s-push", Rhythm(900, 200, 150), store="main", fails=0.4, warns=0.2)
"""Fails often."""

PRUNE: Final = Plan("prunejob", "main", Rhythm(HOUR, 300, 40), store="main")


def sync_jobs(now: int, *, remotes: bool, push: bool) -> list[Row]:
    """Return `/admin/sync`: jobs with a remote only if `remotes`, and push jobs only if also `push`."""
    local: Row = {"id": "s-local", "ns": "copies", "remote-store": "main", "store": "main"}
    pull = {"id": "s-offsite", "remote": "pbs2", "remote-store": "offsite", "schedule": "*:0/7", "store": "main"}
    push_job = pull | {"id": "s-push", "remote": "pbs3", "remote-store": "copy", "schedule": "*:0/15"}
    rows = [local]
    if remotes:
        rows.append(pull | last_run(SYNC, now))
    if remotes and push:
        rows.append(push_job | {"sync-direction": "push"} | last_run(PUSH, now))
    return rows


def verify_job(store: SimulatedDatastore, now: int) -> Row:
    """Return a datastore's row of `/admin/verify`."""
    name = store.verify.worker_id.partition(":")[2]
    return {"id": name, "schedule": "daily", "store": store.name} | last_run(store.verify, now)


def prune_jobs(now: int) -> list[Row]:
    """Return `/admin/prune`: an enabled and a disabled job."""
    off: Row = {"disable": True, "id": "p-off", "keep-last": 3, "ns": "lab", "schedule": "hourly", "store": "main"}
    return [{"id": "p-main", "keep-daily": 7, "schedule": "hourly", "store": "main"} | last_run(PRUNE, now), off]


def last_run(plan: Plan, now: int) -> Row:
    """Return the fields about a job's last run. A running one has no end and no state."""
    newest = plan.rhythm.newest(now)
    row: Row = {"last-run-upid": plan.upid(newest), "next-run": plan.rhythm.start(newest + 1)}
    if plan.rhythm.running(now) is not None:
        return row
    return row | {"last-run-endtime": plan.rhythm.end(newest), "last-run-state": plan.status(newest)}
