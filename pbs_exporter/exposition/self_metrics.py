"""Metrics of the exporter itself: its requests to PBS, and its process."""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics_core import Metric as Family

from pbs_exporter.exposition.metric import Metric

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


class ApiMetrics:
    """Counts the requests to one PBS. It can be registered in a registry of prometheus_client."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(API_REQUESTS.name, API_REQUESTS.help, API_REQUESTS.labels, registry=self._registry)
        self._durations = Histogram(
            API_DURATION.name,
            API_DURATION.help,
            API_DURATION.labels,
            unit=API_DURATION.unit,
            buckets=BUCKETS,
            registry=self._registry,
        )

    def observe(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to PBS."""
        self._requests.labels(endpoint, code).inc()
        self._durations.labels(endpoint).observe(seconds)

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._registry.collect()


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
