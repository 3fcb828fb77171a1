"""The samples that a page lacks while an endpoint fails, and the lines in the log."""

from typing import Any

from pbs_exporter.collectors import COLLECTORS
from tests.support.metrics_page import LISTING_TIMES, Facts, Scraped, facts, without
from tests.support.running import GROUPS, NAMESPACES, SNAPSHOTS

STORES = ("main", "archive")
METRICS = {collector.name: {metric.name for metric in collector.metrics} for collector in COLLECTORS}
LOST: dict[str, tuple[set[str], set[str]]] = {
    "/version": (set(), {"pbs_version"}),
    "/nodes/localhost/status": ({"host"}, METRICS["host"]),
    "/admin/datastore": (
        {"datastores", "snapshots", "s3", "groups"},
        {"pbs_datastore_info", "pbs_datastore_maintenance", "pbs_datastore_mounted", *METRICS["s3"]},
    ),
    "/status/datastore-usage": (
        {"datastores"},
        {"pbs_datastore_estimated_full_timestamp_seconds", "pbs_datastore_deduplication_factor"},
    ),
    NAMESPACES: ({"snapshots", "groups"}, set()),
    GROUPS: ({"groups"}, set()),
    SNAPSHOTS: ({"snapshots"}, set()),
    "/nodes/localhost/tasks": ({"tasks"}, METRICS["tasks"]),
    "/admin/gc": ({"gc"}, METRICS["gc"]),
    "/tape/drive": ({"tape"}, METRICS["tape"]),
    "/admin/sync": ({"jobs"}, set()),
    "/admin/verify": ({"jobs"}, set()),
    "/admin/prune": ({"jobs"}, set()),
    "/tape/backup": ({"jobs"}, set()),
    "/status/metrics": ({"io"}, METRICS["io"]),
    "/nodes/localhost/subscription": ({"subscription"}, set()),
    "/nodes/localhost/apt/update": ({"updates"}, set()),
    "/nodes/localhost/services": ({"services"}, set()),
    "/access/permissions": ({"access"}, set()),
    "/access/users": ({"access"}, set()),
    "/nodes/localhost/disks/list": ({"disks"}, set()),
    "/nodes/localhost/disks/zfs": ({"disks"}, set()),
    "/tape/media/list": ({"tape_media"}, METRICS["tape_media"]),
}
"""By endpoint: the collectors that fail with it, and the metrics that are missing.

Listings and the results of slow collectors stay.
"""
JOB_TYPES = {"/admin/sync": "sync", "/admin/verify": "verify", "/admin/prune": "prune", "/tape/backup": "tape_backup"}
NEVER_BROUGHT = {
    "/access/permissions": {"pbs_token_privilege"},
    "/access/users": {"pbs_token_expire_timestamp_seconds"},
    "/nodes/localhost/disks/list": {name for name in METRICS["disks"] if name.startswith("pbs_disk_")},
    "/nodes/localhost/disks/zfs": {name for name in METRICS["disks"] if name.startswith("pbs_zfs_")},
}
"""By endpoint of a slow collector with two: the metrics that are missing if the first scrape fails."""
SLOW = {collector.name for collector in COLLECTORS if collector.intervals}
STAY = {metric.name for collector in COLLECTORS if collector.intervals for metric in collector.metrics} | METRICS[
    "snapshots"
]
"""Metrics that are exported even while PBS doesn't answer."""
EAGER: dict[str, Any] = {
    "listing_timeout_seconds": 60.0,
    "slow_interval_seconds": 0.0,
    "collectors": {"disks": True},
}
"""Settings with which each scrape requests all endpoints."""


def lines(logs: list[Any], event: str) -> list[tuple[str, ...]]:
    """Return level and subject of each log line with that event."""
    return sorted(
        (line["log_level"], line["collector"], *([line["datastore"]] if "datastore" in line else []))
        for line in logs
        if line["event"] == event
    )


def counted(page: Scraped, template: str) -> dict[str, float]:
    """Return the number of requests to an endpoint, by code."""
    series = page.series("pbs_exporter_api_requests_total")
    return {labels["code"]: value for labels, value in series if labels["endpoint"] == template}


def up(known: Facts) -> float:
    return known["pbs_up", frozenset()]


def left(known: Facts, endpoint: str, *metrics: str) -> Facts:
    """Return the facts without these metrics, and without the jobs that the endpoint lists."""
    of_type = ("job_type", JOB_TYPES.get(endpoint, ""))
    return {key: value for key, value in without(known, *metrics).items() if of_type not in key[1]}


def comparable(page: Scraped) -> Facts:
    return without(facts(page), "pbs_up", *LISTING_TIMES)
