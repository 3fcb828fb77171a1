"""Metrics about the scrape itself: whether PBS is up, and how each collector went."""

import platform
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from pbs_exporter import __revision__, __version__
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.errors import PbsError
from pbs_exporter.exposition import self_metrics
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.row_family import RowFamily
from pbs_exporter.pbs.models import DatedVersion
from pbs_exporter.scrape.collector_run import Outcome

UP = Metric("pbs_up", "1 if PBS answered and accepted the token in this scrape, else 0 (/version).")
VERSION = Metric("pbs_version", "Version of PBS; always 1 (/version).", ("version", "release", "repoid"))
HOST_TIME = Metric(
    "pbs_host_time_seconds", "PBS's clock when it answered; absent where the answer has no Date (/version, Date)."
)
SUCCESS = Metric(
    "pbs_scrape_collector_success",
    "1 if all requests of the collector to PBS succeeded, else 0.",
    ("collector",),
)
DURATION = Metric(
    "pbs_scrape_collector_duration_seconds", "Time that the collector spent on requests and computing.", ("collector",)
)
DATASTORE_SUCCESS = Metric(
    "pbs_scrape_datastore_success",
    "1 if all requests of the collector about this datastore succeeded, else 0.",
    ("collector", "datastore"),
)
DATA_TIMESTAMP = Metric(
    "pbs_collector_data_timestamp_seconds",
    "When PBS returned the data behind a slow collector's samples, which can be from an earlier scrape.",
    ("collector",),
)
SCRAPE_DURATION = Metric(
    "pbs_exporter_scrape_duration_seconds", "Duration of the scrape, until all other metrics were rendered."
)
SCRAPE_BUDGET = Metric(
    "pbs_exporter_scrape_budget_seconds",
    "Time that the scrape may take: Prometheus's timeout less a margin, at most scrape_timeout_seconds.",
)
BUILD_INFO = Metric(
    "pbs_exporter_build_info",
    "Version of the exporter; always 1.",
    ("version", "revision", "pythonversion"),
)
METRICS = (
    UP,
    VERSION,
    HOST_TIME,
    SUCCESS,
    DURATION,
    DATASTORE_SUCCESS,
    DATA_TIMESTAMP,
    SCRAPE_DURATION,
    SCRAPE_BUDGET,
    BUILD_INFO,
)

LABELS = frozenset(
    {
        "le",
        *(
            label
            for metric in (*METRICS, *self_metrics.METRICS, *(own for one in COLLECTORS for own in one.metrics))
            for label in metric.labels
        ),
    }
)
"""The labels of all metrics of a PBS."""


def about(version: DatedVersion | PbsError, outcomes: list[Outcome], seconds: float) -> Iterator[Sample]:
    """Make all samples but the duration of the scrape.

    `version` is the answer to `/version`, or its failure. `seconds` is the time that the scrape may take.
    """
    yield from UP(float(isinstance(version, DatedVersion)))
    if isinstance(version, DatedVersion):
        yield from VERSION(1, version.version, version.release, version.repoid)
        yield from HOST_TIME(version.host_time)
    for outcome in outcomes:
        yield from SUCCESS(float(outcome.success), outcome.name)
        yield from DURATION(outcome.seconds, outcome.name)
        for store, error in outcome.datastores.items():
            yield from DATASTORE_SUCCESS(float(error is None), outcome.name, store)
        yield from DATA_TIMESTAMP(outcome.data_from, outcome.name)
    yield from SCRAPE_BUDGET(seconds)
    yield from build_info()


class ScrapeDuration:
    """Measures a scrape from when it is made until its family is collected."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def collect(self) -> Iterator[RowFamily]:
        """Yield the family."""
        page = Page()
        page.add(SCRAPE_DURATION(time.perf_counter() - self._started))
        yield from page.collect()


def whole(page: Page, own: Iterable[Collector]) -> CollectorRegistry:
    """Return a new registry with all that a response shows: the page, and the program's own metrics after it.

    A `ScrapeDuration` has to be the last of these: it ends when the rest is rendered.
    """
    registry = page.registry()
    for families in own:
        registry.register(families)
    return registry


def build_info() -> Iterator[Sample]:
    """Make the sample that names the version."""
    yield from BUILD_INFO(1, __version__, __revision__, platform.python_version())
