"""Metrics of the exporter itself: its requests to PBS, and its process."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from msgspec import Struct, structs
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric as Family

from pbs_exporter.exposition.encoder import number
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.row_family import Form, RowFamily, Rows

API_REQUESTS = Metric(
    "pbs_exporter_api_requests_total",
    "Requests to PBS, by path template and result: a status code, timeout, connect, tls, protocol, decode or cancelled "
    "(the client left).",
    ("endpoint", "code"),
    "counter",
)
API_DURATION = Metric(
    "pbs_exporter_api_request_duration_seconds",
    "Duration of requests to PBS, to the last byte of the response.",
    ("endpoint",),
    "histogram",
)
RELOAD_SUCCESSFUL = Metric(
    "pbs_exporter_config_last_reload_successful", "1 if the settings could be used when they were last read, else 0."
)
RELOAD_TIMESTAMP = Metric(
    "pbs_exporter_config_last_reload_success_timestamp_seconds", "When usable settings were last read."
)
WEB_CONFIG = Metric(
    "pbs_exporter_web_config_last_load_successful",
    "Whether the newest state of web_config_file could be used. While it can't, the last good one stays in force. "
    "Only where web_config_file is set.",
)
METRICS = (API_REQUESTS, API_DURATION, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP, WEB_CONFIG)

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
"""In seconds: from a PBS next door to one that reads manifests from hard disks for minutes."""


_BUCKET = structs.replace(API_DURATION.form, sample_name=f"{API_DURATION.name}_bucket", labels=("endpoint", "le"))
_COUNT = structs.replace(API_DURATION.form, sample_name=f"{API_DURATION.name}_count")
_SUM = structs.replace(API_DURATION.form, sample_name=f"{API_DURATION.name}_sum")
_BOUNDS = tuple(map(number, (*BUCKETS, math.inf)))


class _Durations(Struct, frozen=True):
    """The number of requests in each bucket, without those of the buckets before, and their sum in seconds."""

    numbers: tuple[int, ...] = (0,) * len(_BOUNDS)
    seconds: float = 0.0

    def plus(self, seconds: float) -> "_Durations":
        """Return them with one more."""
        at = bisect_left(BUCKETS, seconds)
        numbers = (*self.numbers[:at], self.numbers[at] + 1, *self.numbers[at + 1 :])
        return _Durations(numbers, self.seconds + seconds)


class ApiMetrics:
    """Counts the requests to one PBS. It can be registered in a registry of prometheus_client.

    It has prometheus_client's counter and histogram as rows, which take a tenth of the time.
    """

    def __init__(self) -> None:
        self._requests: dict[tuple[str, ...], int] = {}
        self._durations: dict[str, _Durations] = {}

    def observe(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to PBS."""
        self._requests[endpoint, code] = self._requests.get((endpoint, code), 0) + 1
        self._durations[endpoint] = self._durations.get(endpoint, _Durations()).plus(seconds)

    def collect(self) -> Iterable[Family]:
        """Return the families. A thread may call this while requests are counted."""
        yield RowFamily((API_REQUESTS.form, self._requests.copy()))
        rows: list[tuple[Form, Rows]] = [(_BUCKET, {})]
        for endpoint, known in self._durations.copy().items():
            up_to = accumulate(known.numbers)
            rows += [
                (_BUCKET, {(endpoint, bound): count for bound, count in zip(_BOUNDS, up_to, strict=True)}),
                (_COUNT, {(endpoint,): sum(known.numbers)}),
                (_SUM, {(endpoint,): known.seconds}),
            ]
        yield RowFamily(*rows)


class ProcessMetrics:
    """Memory, CPU time and open files of the process, and Python's own metrics. It can be registered likewise."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._registry.collect()
