"""Faults of tasks and of scheduled jobs."""

from tests.monitoring import faults
from tests.monitoring.calm_pbs import TASKS, job, task
from tests.monitoring.faults import both, changed_answer, row
from tests.monitoring.scenarios.scenario import HOUR, PRUNE, SYNC, Scenario, alert

_NO_RUN = {"last_run_endtime": None, "last_run_state": None, "last_run_upid": None}
_NO_TAPE = "alloc writable media in pool 'weekly' failed: no usable media found"
_SYNC_FAILED = "sync failed with some errors."

TASKS_AND_JOBS = (
    Scenario(
        "task fails",
        "tasks",
        faults.failed_task("prune", "main:vm/100", "ENOENT: No such file or directory"),
        (alert("PbsTaskFailed", "warning", worker_type="prune", datastore="main", backup_id="100"),),
    ),
    Scenario(
        "task fails that matters little",
        "tasks",
        faults.failed_task("aptupdate", "", "apt-get update failed"),
        (alert("PbsTaskFailed", "info", worker_type="aptupdate"),),
    ),
    Scenario(
        "first garbage collection fails",
        "tasks",
        both(faults.new_datastore("young", {}), faults.first_gc_failed("young")),
        (alert("PbsTaskFailed", "warning", worker_type="garbage_collection", datastore="young"),),
    ),
    Scenario(
        "task hangs",
        "tasks",
        changed_answer(TASKS, faults.added(lambda now: task("backup", "main:vm/101", now - 7 * HOUR, None))),
        (alert("PbsTaskRunningLong", "warning", worker_type="backup"),),
    ),
    Scenario(
        "job fails",
        "jobs",
        both(
            changed_answer(SYNC, row("id", "s-failing", last_run_state=_SYNC_FAILED)),
            faults.failed_task("syncjob", "pbs2:offsite:main::s-failing", _SYNC_FAILED),
        ),
        (alert("PbsJobFailed", "warning", job_type="sync", job_id="s-failing", datastore="main"),),
    ),
    Scenario(
        "job fails and runs again",
        "jobs",
        changed_answer(SYNC, faults.failed_then("s-again", last_run_state=None, last_run_endtime=None)),
        (alert("PbsJobFailed", "warning", job_type="sync", job_id="s-again"),),
    ),
    Scenario(
        "job fails and its next run is cut off",
        "jobs",
        changed_answer(SYNC, faults.failed_then("s-cut", last_run_state="unknown")),
        (
            alert("PbsJobFailed", "warning", job_type="sync", job_id="s-cut"),
            alert("PbsJobUnknown", "warning", job_type="sync", job_id="s-cut"),
        ),
    ),
    Scenario(
        "job warns",
        "jobs",
        changed_answer(SYNC, row("id", "s-warning", last_run_state="WARNINGS: 2")),
        (alert("PbsJobWarning", "info", job_type="sync", job_id="s-warning"),),
    ),
    Scenario(
        "tape backup fails",
        "jobs",
        both(
            changed_answer("/tape/backup", row("id", "t-weekly", last_run_state=_NO_TAPE)),
            faults.failed_task("tape-backup-job", "main:weekly:drive0:t-weekly", _NO_TAPE),
        ),
        (alert("PbsJobFailed", "warning", job_type="tape_backup", job_id="t-weekly"),),
    ),
    Scenario(
        "job overdue",
        "jobs",
        changed_answer(PRUNE, lambda rows, now: row("id", "p-late", next_run=now - 2 * HOUR)(rows, now)),
        (alert("PbsJobOverdue", "warning", job_type="prune", job_id="p-late"),),
    ),
    Scenario(
        "job never runs",
        "jobs",
        changed_answer(
            PRUNE,
            faults.added(lambda _: job("p-never", "main", **_NO_RUN)),
            after=faults.added(lambda _: job("p-never", "main")),
        ),
        (alert("PbsJobNeverRun", "warning", job_type="prune", job_id="p-never"),),
    ),
)
