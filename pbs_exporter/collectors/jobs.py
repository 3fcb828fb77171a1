"""Jobs: sync, verify, prune and tape backup, and how each went the last time."""

import asyncio
from collections.abc import Iterator, Mapping

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample, state_set
from pbs_exporter.pbs.models import Job, upid_start

_LABELS = ("job_type", "job_id", "datastore")
_API = "(/admin/sync, /admin/verify, /admin/prune, /tape/backup; {})."


def _metric(name: str, what: str, field: str, *labels: str) -> Metric:
    return Metric(f"pbs_job_{name}", f"{what} {_API.format(field)}", (*_LABELS, *labels))


INFO = _metric(
    "info",
    "A job, where it gets its snapshots and when it runs; always 1",
    "ns, remote, remote-store, sync-direction, schedule",
    "namespace",
    "remote",
    "remote_datastore",
    "direction",
    "schedule",
)
ENABLED = _metric("enabled", "0 if the job is disabled, else 1", "disable")
STATUS = _metric(
    "status",
    "How the job's last run ended, or that it runs, or never ran: 1 for its state, else 0",
    "last-run-state, last-run-upid",
    "status",
)
LAST_RUN = _metric(
    "last_run_timestamp_seconds", "When the job's last run ended; unknown while it runs", "last-run-endtime"
)
LAST_DURATION = _metric(
    "last_run_duration_seconds",
    "How long the job's last run took; unknown while it runs",
    "last-run-endtime, last-run-upid",
)
NEXT_RUN = _metric("next_run_timestamp_seconds", "When the job is due next", "next-run")

Jobs = Mapping[str, list[Job]]
"""Jobs by type."""


async def fetch(ask: Ask) -> Jobs:
    """Ask for each type's jobs: those of tapes only while tapes are of interest."""
    calls = {"sync": ask.pbs.sync_jobs, "verify": ask.pbs.verify_jobs, "prune": ask.pbs.prune_jobs}
    if "tape" in ask.enabled:
        calls["tape_backup"] = ask.pbs.tape_backup_jobs
    answers = await asyncio.gather(*(ask.attempt(call) for call in calls.values()))
    return {kind: ask.rows(answer) for kind, answer in zip(calls, answers, strict=True) if answer is not None}


def samples(jobs: Jobs, _context: Context) -> Iterator[Sample]:
    """Make the samples of each job."""
    for kind, rows in jobs.items():
        for job in rows:
            yield from _job(job, kind)


def _job(job: Job, kind: str) -> Iterator[Sample]:
    labels = (kind, job.id, job.store)
    remote, remote_store = (job.remote, job.remote_store) if kind == "sync" else ("", "")
    yield from INFO(1, *labels, job.ns, remote, remote_store, _direction(job, kind), job.schedule)
    yield from ENABLED(float(not job.disable), *labels)
    yield from state_set(STATUS, states.JOB_STATES, states.job(job.last_run_state, job.last_run_upid), *labels)
    if job.last_run_endtime is not None:
        yield from LAST_RUN(job.last_run_endtime, *labels)
        start = upid_start(job.last_run_upid)
        yield from LAST_DURATION(None if start is None else job.last_run_endtime - start, *labels)
    if job.schedule and not job.disable:
        yield from NEXT_RUN(job.next_run, *labels)


def _direction(job: Job, kind: str) -> str:
    if kind != "sync":
        return ""
    # PBS before 3.3 knows one direction, and doesn't say it.
    direction = job.sync_direction or "pull"
    return direction if direction in ("pull", "push") else "unknown"


COLLECTOR = Collector(
    name="jobs",
    help="Sync, verify, prune and tape backup jobs: the last run, the next one, whether they are enabled.",
    metrics=(INFO, ENABLED, STATUS, LAST_RUN, LAST_DURATION, NEXT_RUN),
    needs=(
        Need("Datastore.Audit", "/datastore", "Audit"),
        Need("Remote.Audit", "/remote", "RemoteAudit"),
        Need("Tape.Audit", "/tape", "TapeAudit", only_with="tape"),
    ),
    fetch=fetch,
    samples=samples,
)
