"""Garbage collection."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.collectors.states import result
from pbs_exporter.exposition.metric import Metric, Sample, known_duration
from pbs_exporter.pbs.models import GcJob

_LABELS = ("datastore",)

_RUN = "{} (/admin/gc, {})."

_LAST_GOOD = "{} the last successful garbage collection (/admin/gc, {})."


class GcCollector(Collector[list[GcJob]]):
    """Asks for the garbage collections of all datastores at once."""

    name = "gc"
    help = "Garbage collection of each datastore: the last run, the next one, and its results."
    needs = (Need("Datastore.Audit", "/datastore", "Audit"),)

    LAST_RUN = Metric(
        "pbs_gc_last_run_timestamp", _RUN.format("When the last garbage collection ended", "last-run-endtime"), _LABELS
    )
    DURATION = Metric(
        "pbs_gc_duration_seconds",
        _RUN.format("Duration of the last garbage collection, if it didn't fail", "duration"),
        _LABELS,
    )
    STATUS = Metric(
        "pbs_gc_status",
        _RUN.format(
            "1 if the last garbage collection succeeded, with or without warnings, 0 if it failed", "last-run-state"
        ),
        _LABELS,
    )
    NEXT_RUN = Metric(
        "pbs_gc_next_run_timestamp_seconds", _RUN.format("When the next garbage collection is due", "next-run"), _LABELS
    )
    REMOVED = Metric("pbs_gc_removed_bytes", _LAST_GOOD.format("Bytes removed by", "removed-bytes"), _LABELS)
    PENDING = Metric(
        "pbs_gc_pending_bytes",
        _LAST_GOOD.format("Unreferenced bytes kept by", "pending-bytes"),
        _LABELS,
    )
    DISK_BYTES = Metric("pbs_gc_disk_bytes", _LAST_GOOD.format("Bytes of all chunks, as of", "disk-bytes"), _LABELS)
    DISK_CHUNKS = Metric("pbs_gc_disk_chunks", _LAST_GOOD.format("Number of chunks, as of", "disk-chunks"), _LABELS)
    INDEX_DATA = Metric(
        "pbs_gc_index_data_bytes",
        _LAST_GOOD.format("Logical bytes that all indexes refer to, as of", "index-data-bytes"),
        _LABELS,
    )
    PENDING_CHUNKS = Metric(
        "pbs_gc_pending_chunks", _LAST_GOOD.format("Number of unreferenced chunks kept by", "pending-chunks"), _LABELS
    )
    REMOVED_CHUNKS = Metric(
        "pbs_gc_removed_chunks", _LAST_GOOD.format("Number of chunks removed by", "removed-chunks"), _LABELS
    )
    BAD_CHUNKS = Metric("pbs_gc_bad_chunks", _LAST_GOOD.format("Number of bad chunks, as of", "still-bad"), _LABELS)
    metrics = (
        LAST_RUN,
        DURATION,
        REMOVED,
        PENDING,
        STATUS,
        NEXT_RUN,
        DISK_BYTES,
        DISK_CHUNKS,
        INDEX_DATA,
        PENDING_CHUNKS,
        REMOVED_CHUNKS,
        BAD_CHUNKS,
    )

    async def fetch(self, request: CollectorRequest) -> Result[list[GcJob]]:
        """Ask for the garbage collections."""
        return of_rows(await request.pbs.gc())

    def samples(self, jobs: list[GcJob], _context: Context) -> Iterator[Sample]:
        """Make samples of each datastore's garbage collection."""
        for job in jobs:
            yield from self.NEXT_RUN(job.next_run, job.store)
            yield from self.LAST_RUN(job.last_run_endtime, job.store)
            if job.upid is not None:
                yield from self._last_run(job)
                yield from self._last_good_run(job)

    def _last_run(self, job: GcJob) -> Iterator[Sample]:
        state = result(job.last_run_state)
        if state in ("ok", "warning"):
            yield from self.STATUS(1, job.store)
            # After a failure PBS counts the duration from the start of the last run that succeeded.
            yield from self.DURATION(known_duration(job.duration), job.store)
        elif state == "error":
            yield from self.STATUS(0, job.store)

    def _last_good_run(self, job: GcJob) -> Iterator[Sample]:
        values = (
            (self.REMOVED, job.removed_bytes),
            (self.PENDING, job.pending_bytes),
            (self.DISK_BYTES, job.disk_bytes),
            (self.DISK_CHUNKS, job.disk_chunks),
            (self.INDEX_DATA, job.index_data_bytes),
            (self.PENDING_CHUNKS, job.pending_chunks),
            (self.REMOVED_CHUNKS, job.removed_chunks),
            (self.BAD_CHUNKS, job.still_bad),
        )
        for metric, value in values:
            yield from metric(value, job.store)
