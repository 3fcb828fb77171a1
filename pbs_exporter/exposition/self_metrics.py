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
from prometheus_client.registry import Collector

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
WEB_CONFIG = Metric(
    "pbs_exporter_web_config_last_load_successful",
    "Whether the newest state of web_config_file could be used. While it can't, the last good one stays in force. "
    "Only where web_config_file is set.",
)
METRICS = (API_REQUESTS, API_DURATION, WEB_CONFIG)

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
"""In seconds: from a PBS next door to one that reads manifests from hard disks for minutes."""


class SelfMetrics:
    """Counts while the program runs. It can be registered in a registry of prometheus_client."""

    def __init__(self, *, process: bool, others: Iterable[Collector] = ()) -> None:
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
        if process:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        for other in others:
            self._registry.register(other)

    def observe(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to PBS."""
        self._requests.labels(endpoint, code).inc()
        self._durations.labels(endpoint).observe(seconds)

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._registry.collect()
