"""`pbs-exporter history`: what PBS keeps of its own past, as OpenMetrics for `promtool tsdb create-blocks-from`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import structlog

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors.datastores import DatastoresCollector
from pbs_exporter.collectors.host import HostCollector
from pbs_exporter.collectors.request import MOST_DATASTORES
from pbs_exporter.commands.client import client_of
from pbs_exporter.commands.output import check_labels, replacing, resolved, unnamed
from pbs_exporter.config import Filters, Settings, TargetConfig, keeps
from pbs_exporter.errors import TOKEN_REFUSED, OutputError, PbsError, TlsFailed, Unreachable
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.timed import TimedFamilies
from pbs_exporter.pbs import past
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import DatastorePast, HostPast
from pbs_exporter.plain_text import label

HOST_METRICS = {
    "cpu": HostCollector.CPU_USAGE,
    "iowait": HostCollector.IO_WAIT,
    "loadavg": HostCollector.LOAD[0],
    "memused": HostCollector.MEMORY[0],
    "memtotal": HostCollector.MEMORY[1],
    "swapused": HostCollector.SWAP[0],
    "swaptotal": HostCollector.SWAP[1],
    "used": HostCollector.ROOTFS[0],
    "total": HostCollector.ROOTFS[1],
}
"""The metrics of the fields of `HostPast`. PBS keeps no past of the others."""

DATASTORE_METRICS = {
    "total": DatastoresCollector.TOTAL,
    "used": DatastoresCollector.USED,
    "available": DatastoresCollector.AVAILABLE,
}
"""The metrics of the fields of `DatastorePast`."""

IDENTITY = ("job", "instance")
"""The labels that Prometheus gives each series of a target."""

_OF_ALL = (Unreachable, TlsFailed, *TOKEN_REFUSED)
"""Failures of PBS as a whole. Any other one costs only the subject that it is about."""

_log = structlog.get_logger(__name__)


class Span(NamedTuple):
    """A part of the past, in seconds before now."""

    since: int
    until: int


class _Subject(NamedTuple):
    """The host, or a datastore: its metrics by field, and what returns the rows of a timeframe."""

    name: str
    metrics: Mapping[str, Metric]
    labels: tuple[str, ...]
    ask: Callable[[str], Awaitable[Rows[HostPast] | Rows[DatastorePast]]]


def run(
    settings: Settings,
    warnings: Sequence[str],
    *,
    output: str,
    span: Span,
    target: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> int:
    """Write PBS's past to a file, which appears whole or not at all, or for `-` to standard output. Return 0.

    `target` and `labels` are as for `once`. Raise `ConfigError` for those that can't be, `PbsError` if PBS can't be
    asked, and `OutputError` if the output can't be written, or if PBS has nothing to write.
    """
    config, labels = settings.config_of(target), labels or {}
    check_labels(labels)
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, settings.secrets)
    path = None if output == "-" else resolved(Path(output))
    unnamed(path).close()
    for warning in warnings:
        _log.warning(warning)
    if missing := [name for name in IDENTITY if name not in labels]:
        advice = "give those of the scrape job, or these series aren't continued by it"
        _log.warning("labels that Prometheus gives each series are missing", labels=", ".join(missing), advice=advice)
    with closing(TimedFamilies(labels, partial(unnamed, path))) as families:
        samples = asyncio.run(read(config, families, span, Clock()))
        if not samples:
            raise OutputError("nothing to write: PBS has no values of that time, or none that the token may see")
        if path is None:
            families.write_to(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with replacing(path) as file:
                families.write_to(file)
        _log.info("written", file=output, series=families.series, samples=samples)
    return 0


async def read(config: TargetConfig, families: TimedFamilies, span: Span, clock: Clock) -> int:
    """Ask PBS for its past, one subject after another, and add it to the families. Return the number of samples.

    A subject that can't be read is a warning. Raise `PbsError` if PBS as a whole can't.
    """
    samples = 0
    async with client_of(config.pbs, clock) as (client, _):
        subjects = await _subjects(client, config)
        for number, subject in enumerate(subjects, 1):
            added = await _add(subject, families, span, clock.now())
            if added is not None:
                _log.info("read", subject=subject.name, number=number, of=len(subjects), samples=added)
                samples += added
    return samples


async def _subjects(client: PbsClient, config: TargetConfig) -> list[_Subject]:
    """Return what has a past: what the enabled collectors have metrics of."""
    subjects = []
    if config.collectors[HostCollector.name]:
        subjects.append(_Subject("host", HOST_METRICS, (), client.host_past))
    if config.collectors[DatastoresCollector.name]:
        for store in await _readable(client, config.filters):
            ask = partial(client.datastore_past, store)
            subjects.append(_Subject(f"datastore {store}", DATASTORE_METRICS, (store,), ask))
    return subjects


async def _readable(client: PbsClient, filters: Filters) -> list[str]:
    """Return the names of the datastores to ask. The others are warnings."""
    answer = await client.datastores()
    if answer.omitted is not None:
        _log.warning("datastores left out", reason=str(answer.omitted))
    # As labels, because equal ones would be one series.
    kept = {label(row.store): row for row in answer.rows if keeps(filters.datastores, row.store)}
    for row in kept.values():
        if not row.available:
            reason = f"maintenance mode {row.mode}" if row.mode else "not mounted"
            _log.warning("left out", subject=f"datastore {row.store}", reason=reason)
    readable = [row.store for row in kept.values() if row.available]
    if len(readable) > MOST_DATASTORES:
        _log.warning("datastores left out", reason=f"only the first {MOST_DATASTORES} of {len(readable)} are asked")
    return readable[:MOST_DATASTORES]


async def _add(subject: _Subject, families: TimedFamilies, span: Span, now: float) -> int | None:
    """Add the series of a subject. Return the number of their samples, or `None` if it can't be read."""
    try:
        answers = [await subject.ask(timeframe) for timeframe in past.timeframes(*span)]
    except _OF_ALL:
        raise
    except PbsError as error:
        _log.warning("left out", subject=subject.name, reason=str(error))
        return None
    for answer in answers:
        if answer.omitted is not None:
            _log.warning("rows left out", subject=subject.name, reason=str(answer.omitted))
    samples = 0
    for field, metric in subject.metrics.items():
        points = past.series((answer.rows for answer in answers), attrgetter(field), now - span.since, now - span.until)
        samples += families.add(metric, points, *subject.labels)
    return samples
