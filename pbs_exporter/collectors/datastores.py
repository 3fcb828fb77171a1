"""Datastores: sizes, whether PBS can read them, maintenance."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.errors import PbsError, StatusError
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Datastore, Usage
from pbs_exporter.plain_text import comment

YEAR_2200 = 7_258_118_400
"""PBS extrapolates a straight line: what lies after that is no date."""

_LABELS = ("datastore",)
_SIZE = (
    "{} of the datastore's file system, which other datastores may share; for an S3 datastore of its local cache "
    "(/status/datastore-usage, else /admin/datastore/{{store}}/status, {})."
)

TOTAL = Metric("pbs_datastore_total_bytes", _SIZE.format("Size", "total"), _LABELS)
USED = Metric("pbs_datastore_used_bytes", _SIZE.format("Used bytes", "used"), _LABELS)
AVAILABLE = Metric("pbs_datastore_available_bytes", _SIZE.format("Available bytes", "avail"), _LABELS)
READABLE = Metric(
    "pbs_datastore_readable",
    "1 if PBS can read the datastore, 0 if it can't, is in maintenance or isn't mounted "
    "(/status/datastore-usage, error; /admin/datastore).",
    _LABELS,
)
MAINTENANCE = Metric(
    "pbs_datastore_maintenance",
    "1 while the datastore is in that maintenance mode (/admin/datastore, maintenance).",
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
    "When the datastore will be full if it goes on as in the last month "
    "(/status/datastore-usage, estimated-full-date).",
    _LABELS,
)
DEDUPLICATION = Metric(
    "pbs_datastore_deduplication_factor",
    "Logical bytes over bytes on disk, at the last successful garbage collection (/status/datastore-usage, gc-status).",
    _LABELS,
)


class Datastores(msgspec.Struct, frozen=True):
    """What PBS said: its list of datastores, and how full each is."""

    listed: list[Datastore]
    usage: list[Usage]


async def fetch(ask: Ask) -> Datastores:
    """Ask for the list and the usage, and for each datastore's own status where the usage fails."""
    listed, usage = await asyncio.gather(ask.attempt(ask.datastores), _all_usage(ask))
    if not isinstance(usage, PbsError):
        return Datastores(listed or [], ask.rows(usage))
    stores = [row.store for row in listed or () if row.available]
    rows = [row for row in await asyncio.gather(*(_own_status(ask, store) for store in stores)) if row is not None]
    well = len(rows) == len(stores) and not any(row.error for row in rows)
    if not (ask.filters.datastores and _is_bad_request(usage) and listed is not None and well):
        # Otherwise it is one that is filtered out which fails them all.
        ask.failures.append(usage)
    return Datastores(listed or [], rows)


async def _all_usage(ask: Ask) -> Rows[Usage] | PbsError:
    try:
        return await ask.pbs.datastore_usage()
    except PbsError as error:
        return error


def _is_bad_request(error: PbsError) -> bool:
    return isinstance(error, StatusError) and error.status == HTTPStatus.BAD_REQUEST


async def _own_status(ask: Ask, store: str) -> Usage | None:
    """Ask one datastore, and give its answer as a row of the usage."""
    try:
        status = await ask.pbs.datastore_status(store)
    except PbsError as error:
        ask.datastore(store, error)
        return Usage(store=store, error=str(error)) if _is_bad_request(error) else None
    ask.datastore(store, None)
    if not status.total:
        # PBS says 0 where rights are missing.
        return None
    return Usage(store=store, total=status.total, used=status.used, avail=status.avail)


def samples(answer: Datastores, context: Context) -> Iterator[Sample]:
    """Make the samples of each datastore."""
    for row in answer.listed:
        yield from _listed(row)
    for usage in answer.usage:
        yield from _used(usage, context.now)
    readable = {usage.store: _readable(usage) for usage in answer.usage}
    readable |= {row.store: False for row in answer.listed if not row.available}
    for store, value in readable.items():
        yield from READABLE(value, store)


def _listed(row: Datastore) -> Iterator[Sample]:
    yield from INFO(1, row.store, row.backend_type, comment(row.comment))
    if row.mode is not None:
        yield from MAINTENANCE(1, row.store, states.maintenance(row.mode))
    if row.mount_status in ("mounted", "notmounted"):
        yield from MOUNTED(float(row.mount_status == "mounted"), row.store)


def _used(usage: Usage, now: float) -> Iterator[Sample]:
    yield from TOTAL(usage.total, usage.store)
    yield from USED(usage.used, usage.store)
    yield from AVAILABLE(usage.avail, usage.store)
    full = usage.estimated_full_date
    if full is not None and now < full < YEAR_2200:
        yield from ESTIMATED_FULL(full, usage.store)
    gc = usage.gc_status
    if gc is not None and gc.upid is not None and gc.disk_bytes and gc.index_data_bytes is not None:
        yield from DEDUPLICATION(gc.index_data_bytes / gc.disk_bytes, usage.store)


def _readable(usage: Usage) -> bool | None:
    """Tell whether PBS can read it; `None` where the row has no numbers, which may be for want of rights."""
    if usage.error is not None or usage.mount_status == "notmounted":
        return False
    return True if (usage.total, usage.used, usage.avail) != (None, None, None) else None


COLLECTOR = Collector(
    name="datastores",
    help="Datastores: sizes, whether PBS can read them, maintenance, when they will be full.",
    metrics=(TOTAL, USED, AVAILABLE, READABLE, MAINTENANCE, MOUNTED, INFO, ESTIMATED_FULL, DEDUPLICATION),
    needs=(Need("Datastore.Audit", "/datastore", "Audit"),),
    fetch=fetch,
    samples=samples,
)
