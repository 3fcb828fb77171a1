"""Datastores: sizes, whether PBS can read them, maintenance."""

import asyncio
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus

import msgspec

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.errors import PbsError, StatusError
from pbs_exporter.exposition.metric import Metric, Sample, ratio
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Datastore, DatastoreStatus, Usage
from pbs_exporter.plain_text import comment

YEAR_2200 = 7_258_118_400
"""PBS extrapolates a straight line: a later estimate is no date."""

_LABELS = ("datastore",)

_SIZE = (
    "{} the datastore's file system, or of an S3 datastore's local cache; other datastores may share it "
    "(/status/datastore-usage, else /admin/datastore/{{store}}/status, {})."
)


class Datastores(msgspec.Struct, frozen=True):
    """The list of datastores, and how full each is."""

    listed: list[Datastore]
    usage: list[Usage]


class DatastoresCollector(Collector[Datastores]):
    """Asks for the usage of all datastores at once, and of each one separately if that fails."""

    name = "datastores"
    help = "Datastores: sizes, readability, maintenance, and when they will be full."
    needs = (Need("Datastore.Audit", "/datastore", "Audit"),)

    TOTAL = Metric("pbs_datastore_total_bytes", _SIZE.format("Size of", "total"), _LABELS)
    USED = Metric("pbs_datastore_used_bytes", _SIZE.format("Used bytes of", "used"), _LABELS)
    AVAILABLE = Metric("pbs_datastore_available_bytes", _SIZE.format("Available bytes of", "avail"), _LABELS)
    READABLE = Metric(
        "pbs_datastore_readable",
        "1 if PBS can read the datastore; 0 if it can't, or if the datastore is in maintenance or not mounted "
        "(/status/datastore-usage, error; /admin/datastore).",
        _LABELS,
    )
    MAINTENANCE = Metric(
        "pbs_datastore_maintenance",
        "1 while the datastore is in this maintenance mode (/admin/datastore, maintenance).",
        ("datastore", "mode"),
    )
    MOUNTED = Metric(
        "pbs_datastore_mounted",
        "1 if the removable datastore is mounted, else 0 (/admin/datastore, mount-status).",
        _LABELS,
    )
    INFO = Metric(
        "pbs_datastore_info",
        "Backend and comment of the datastore; always 1 (/admin/datastore).",
        ("datastore", "backend", "comment"),
    )
    ESTIMATED_FULL = Metric(
        "pbs_datastore_estimated_full_timestamp_seconds",
        "When the datastore will be full if it grows as it did in the last month "
        "(/status/datastore-usage, estimated-full-date).",
        _LABELS,
    )
    DEDUPLICATION = Metric(
        "pbs_datastore_deduplication_factor",
        "Logical bytes per byte on disk, at the last successful garbage collection "
        "(/status/datastore-usage, gc-status).",
        _LABELS,
    )
    metrics = (TOTAL, USED, AVAILABLE, READABLE, MAINTENANCE, MOUNTED, INFO, ESTIMATED_FULL, DEDUPLICATION)

    async def fetch(self, request: CollectorRequest) -> Result[Datastores]:
        """Ask for the list and the usage, and for each datastore's own status if the usage fails."""
        with Findings() as found:
            listed, usage = await asyncio.gather(found.attempt(partial(_list, request, found)), _all_usage(request))
            if not isinstance(usage, PbsError):
                return found.result(Datastores(listed or [], found.rows(usage)))
            stores = [row.store for row in listed or () if row.available]
            ask = request.pbs.datastore_status
            answers = await asyncio.gather(*(found.attempt_datastore(store, ask) for store in stores))
            rows = [row for item in zip(stores, answers, strict=True) if (row := _as_usage(*item)) is not None]
            all_readable = len(rows) == len(stores) and not any(row.error for row in rows)
            if not (request.filters.datastores and _is_bad_request(usage) and listed is not None and all_readable):
                # Otherwise the datastore that failed the whole answer is one that the filters leave out.
                found.failures.append(usage)
            return found.result(Datastores(listed or [], rows))

    def samples(self, answer: Datastores, context: Context) -> Iterator[Sample]:
        """Make the samples of each datastore."""
        for row in answer.listed:
            yield from self._listed(row)
        for usage in answer.usage:
            yield from self._used(usage, context.now)
        readable = {usage.store: _readable(usage) for usage in answer.usage}
        readable |= {row.store: False for row in answer.listed if not row.available}
        for store, value in readable.items():
            yield from self.READABLE(value, store)

    def _listed(self, row: Datastore) -> Iterator[Sample]:
        yield from self.INFO(1, row.store, row.backend_type, comment(row.comment))
        if row.mode is not None:
            yield from self.MAINTENANCE(1, row.store, states.maintenance(row.mode))
        if row.mount_status in ("mounted", "notmounted"):
            yield from self.MOUNTED(float(row.mount_status == "mounted"), row.store)

    def _used(self, usage: Usage, now: float) -> Iterator[Sample]:
        yield from self.TOTAL(usage.total, usage.store)
        yield from self.USED(usage.used, usage.store)
        yield from self.AVAILABLE(usage.avail, usage.store)
        full = usage.estimated_full_date
        if full is not None and now < full < YEAR_2200:
            yield from self.ESTIMATED_FULL(full, usage.store)
        gc = usage.gc_status
        if gc is not None and gc.upid is not None and gc.disk_bytes is not None and gc.index_data_bytes is not None:
            yield from self.DEDUPLICATION(ratio(gc.index_data_bytes, gc.disk_bytes), usage.store)


async def _list(request: CollectorRequest, found: Findings) -> list[Datastore]:
    return found.take(*await request.datastores())


async def _all_usage(request: CollectorRequest) -> Rows[Usage] | PbsError:
    try:
        return await request.pbs.datastore_usage()
    except PbsError as error:
        return error


def _is_bad_request(error: PbsError) -> bool:
    return isinstance(error, StatusError) and error.status == HTTPStatus.BAD_REQUEST


def _as_usage(store: str, status: DatastoreStatus | PbsError) -> Usage | None:
    """Return what one datastore answered as a row of the usage, or `None` if it says nothing."""
    if isinstance(status, PbsError):
        return Usage(store=store, error=str(status)) if _is_bad_request(status) else None
    if not status.total:
        # PBS says 0 if privileges are missing.
        return None
    return Usage(store=store, total=status.total, used=status.used, avail=status.avail)


def _readable(usage: Usage) -> bool | None:
    """Whether PBS can read it. `None` if the row has no numbers, as when privileges are missing."""
    if usage.error is not None or usage.mount_status == "notmounted":
        return False
    return True if (usage.total, usage.used, usage.avail) != (None, None, None) else None
