"""The metrics and their labels: from the code, from Prometheus itself, and from recording rules."""

from collections.abc import Iterable
from pathlib import Path

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.exposition import self_metrics
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.self_metrics import ProcessMetrics
from pbs_exporter.scrape import scrape_metrics
from tests.monitoring.expressions import Declared, result_labels
from tests.monitoring.rule_files import Rule, rules_of

TARGET = frozenset({"job", "instance"})
"""The labels that Prometheus adds to each series of a target."""

_OF_EACH_TARGET = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
_GROUP = frozenset({"datastore", "namespace", "backup_type", "backup_id"})
_JOB = frozenset({"job_type", "job_id", "datastore"})
_LIMIT = TARGET | {"because"}
OVERRIDES: dict[str, frozenset[str]] = {
    "instance:pbs_up:override_seconds": _LIMIT,
    "group:pbs_snapshot_age:override_seconds": _LIMIT | _GROUP,
    "datastore:pbs_snapshot_too_old:override_ratio": _LIMIT | {"datastore"},
    "group:pbs_snapshot_unfinished:override_seconds": _LIMIT | _GROUP,
    "job:pbs_job_unknown:override_seconds": _LIMIT | _JOB,
    "datastore:pbs_verification_age:override_seconds": _LIMIT | {"datastore"},
    "datastore:pbs_datastore_unmounted:override_seconds": _LIMIT | {"datastore"},
}
"""The series that users may record, and that the shipped rules read. `because` tells two rules apart."""


def by_the_code() -> dict[str, frozenset[str]]:
    """Return the labels of each series that the code declares, the target's included, by the name in Prometheus."""
    declared = [*scrape_metrics.METRICS, *self_metrics.METRICS]
    declared += [metric for collector in COLLECTORS for metric in collector.metrics]
    found: dict[str, frozenset[str]] = {}
    for metric in declared:
        found |= _series(metric)
    for family in ProcessMetrics().collect():
        for sample in family.samples:
            found.setdefault(sample.name, TARGET | set(sample.labels))
    return found


def by_prometheus() -> dict[str, frozenset[str]]:
    """Return the series that Prometheus adds for each target."""
    return dict.fromkeys(_OF_EACH_TARGET, TARGET)


def with_rules(files: Iterable[Path], more: frozenset[str] = frozenset()) -> dict[str, frozenset[str]]:
    """Return all series that a query can name when the rules of these files are loaded, `ALERTS` included.

    A recording rule has the labels of its expression's result and its own. `more` are labels of the target besides
    `job` and `instance`.
    """
    declared = {name: labels | more for name, labels in (by_the_code() | by_prometheus() | OVERRIDES).items()}
    rules = [rule for file in files for rule in rules_of(file)]
    alerts = TARGET | more | {"alertname", "alertstate", "severity"}
    for rule in rules:
        if "record" in rule:
            # A rule's own earlier result adds no labels.
            declared.setdefault(rule["record"], frozenset())
            declared[rule["record"]] = _labels(rule, declared)
    for rule in rules:
        if "alert" in rule:
            alerts |= _labels(rule, declared)
    return declared | {"ALERTS": alerts, "ALERTS_FOR_STATE": alerts - {"alertstate"}}


def _labels(rule: Rule, declared: Declared) -> frozenset[str]:
    return result_labels(str(rule["expr"]), declared) | set(rule.get("labels", {}))


def _series(metric: Metric) -> dict[str, frozenset[str]]:
    labels = TARGET | set(metric.labels)
    if metric.type != "histogram":
        return {metric.name: labels}
    return {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
