"""Jobs: sync, verify, prune and tape backup, and how the last run of each ended."""

import asyncio
from collections.abc import Iterator, Mapping

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.exposition.metric import Metric, Sample, known_duration, state_set
from pbs_exporter.pbs.models import Job, upid_start

_LABELS = ("job_type", "job_id", "datastore")

_API = "(/admin/sync, /admin/verify, /admin/prune, /tape/backup; {})."


def _metric(name: str, what: str, field: str, *labels: str) -> Metric:
    return Metric(f"pbs_job_{name}", f"{what} {_API.format(field)}", (*_LABELS, *labels))


Jobs = Mapping[str, list[Job]]
"""Jobs by type."""


class JobsCollector(Collector[Jobs]):
    """Asks for the jobs of each type."""

    name = "jobs"
    help = "Sync, verify, prune and tape backup jobs: the last run, the next one, and whether they are enabled."
    needs = (
        Need("Datastore.Audit", "/datastore", "Audit"),
        Need("Remote.Audit", "/remote", "RemoteAudit"),
        Need("Tape.Audit", "/tape", "TapeAudit", only_with="tape"),
    )

    INFO = _metric(
        "info",
        "A job, with its source of snapshots and its schedule; always 1",
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
        "State of the job: the result of its last run, running or never; 1 for the current state, else 0",
        "last-run-state, last-run-upid",
        "status",
    )
    LAST_RUN = _metric(
        "last_run_timestamp_seconds", "When the job's last run ended; absent while it is running", "last-run-endtime"
    )
    LAST_DURATION = _metric(
        "last_run_duration_seconds",
        "Duration of the job's last run; absent while it is running",
        "last-run-endtime, last-run-upid",
    )
    NEXT_RUN = _metric("next_run_timestamp_seconds", "When the job's next run is due", "next-run")
    metrics = (INFO, ENABLED, STATUS, LAST_RUN, LAST_DURATION, NEXT_RUN)

    async def fetch(self, request: CollectorRequest) -> Result[Jobs]:
        """Ask for the jobs of each type: those of tapes only if the collector `tape` is enabled."""
        pbs = request.pbs
        calls = {"sync": pbs.sync_jobs, "verify": pbs.verify_jobs, "prune": pbs.prune_jobs}
        if "tape" in request.enabled:
            calls["tape_backup"] = pbs.tape_backup_jobs
        with Findings() as found:
            answers = await asyncio.gather(*map(found.attempt, calls.values()))
            return found.result({kind: found.rows(answer) for kind, answer in zip(calls, answers, strict=True)})

    def samples(self, jobs: Jobs, _context: Context) -> Iterator[Sample]:
        """Make samples of each job."""
        for kind, rows in jobs.items():
            for job in rows:
                yield from self._job(job, kind)

    def _job(self, job: Job, kind: str) -> Iterator[Sample]:
        labels = (kind, job.id, job.store)
        remote, remote_store = (job.remote, job.remote_store) if kind == "sync" else ("", "")
        yield from self.INFO(1, *labels, job.ns, remote, remote_store, _direction(job, kind), job.schedule)
        yield from self.ENABLED(float(not job.disable), *labels)
        yield from state_set(self.STATUS, states.JOB_STATES, states.job(job.last_run_state, job.last_run_upid), *labels)
        if job.last_run_endtime is not None:
            yield from self.LAST_RUN(job.last_run_endtime, *labels)
            start = upid_start(job.last_run_upid)
            seconds = None if start is None else job.last_run_endtime - start
            yield from self.LAST_DURATION(known_duration(seconds), *labels)
        if job.schedule and not job.disable:
            yield from self.NEXT_RUN(job.next_run, *labels)


def _direction(job: Job, kind: str) -> str:
    if kind != "sync":
        return ""
    # PBS before 3.3 has no other direction, and doesn't name it.
    direction = job.sync_direction or "pull"
    return direction if direction in ("pull", "push") else "unknown"
