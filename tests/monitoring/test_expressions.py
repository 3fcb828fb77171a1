from datetime import timedelta
from pathlib import Path

import pytest

from tests.monitoring.expressions import clause_labels, expression_faults, longest_range, result_labels, selectors
from tests.monitoring.metric_labels import OVERRIDES, by_the_code, with_rules

DECLARED = {
    "up": frozenset({"job", "instance"}),
    "used": frozenset({"instance", "datastore"}),
    "total": frozenset({"instance", "datastore"}),
    "info": frozenset({"instance", "datastore", "backend"}),
    "took_bucket": frozenset({"instance", "endpoint", "le"}),
}


def test_selectors_are_found() -> None:
    """Every selector of an expression is found with its matchers' labels, within ranges and subqueries too."""
    expr = 'max_over_time(used{datastore=~"a.*"}[5m:1m]) / on (instance) rate({__name__="total", instance!=""}[5m])'
    assert selectors(expr) == [("used", ("datastore",)), ("total", ("instance",))]


def test_a_selector_needs_a_metric() -> None:
    """A selector without a metric name can't be checked, so it raises an error."""
    with pytest.raises(ValueError, match="without a metric"):
        selectors('{datastore="a"}')


def test_what_is_no_promql_is_refused() -> None:
    """Text that isn't PromQL raises an error."""
    with pytest.raises(ValueError, match="unclosed"):
        selectors("sum(used")


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("sum by (a, b) (used)", {"a", "b"}),
        ("sum without (c) (used)", {"c"}),
        ("used / on (a) group_left (d) total", {"a", "d"}),
        ("used * ignoring (e) group_right (f) total", {"e", "f"}),
        ('label_replace(used, "new", "$1", "old", "(.*)")', {"old"}),
        ('label_join(used, "new", "-", "x", "y")', {"x", "y"}),
        ("used", set()),
    ],
)
def test_clauses_are_found(expr: str, labels: set[str]) -> None:
    """The labels that clauses and functions read are found."""
    assert clause_labels(expr) == labels


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("used", {"instance", "datastore"}),
        ("sum by (datastore) (used)", {"datastore"}),
        ("max(used)", set()),
        ("sum without (datastore) (used)", {"instance"}),
        ("topk(3, used)", {"instance", "datastore"}),
        ("used / total", {"instance", "datastore"}),
        ("used / on (instance, datastore) group_left (backend) info", {"instance", "datastore", "backend"}),
        ("info * on (instance) group_right (backend) up", {"job", "instance", "backend"}),
        ("used / on (datastore) total", {"datastore"}),
        ("used / ignoring (instance) total", {"datastore"}),
        ("info / ignoring (backend) used", {"instance", "datastore"}),
        ("used and on (instance) up", {"instance", "datastore"}),
        ("used or info", {"instance", "datastore", "backend"}),
        ("time() - used", {"instance", "datastore"}),
        ("used > bool (2 * 3)", {"instance", "datastore"}),
        ('label_replace(up, "place", "x", "instance", ".*")', {"job", "instance", "place"}),
        ("histogram_quantile(0.9, sum by (endpoint, le) (rate(took_bucket[5m])))", {"endpoint"}),
        ('count_values("size", used)', {"size"}),
        ('absent(used{datastore="a"})', {"datastore"}),
        ("vector(scalar(used))", set()),
        ("-used offset 5m", {"instance", "datastore"}),
        ("max_over_time((used > 1)[1h:1m])", {"instance", "datastore"}),
    ],
)
def test_labels_of_the_result(expr: str, labels: set[str]) -> None:
    """The result's labels follow from those of the metrics, through every kind of operation."""
    assert result_labels(expr, DECLARED) == labels
    assert expression_faults(expr, DECLARED) == []


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("use", "no metric use"),
        ('up{datastore="a"}', "no label datastore: up"),
        ("sum by (datastore) (up)", "no label datastore: sum"),
        ("topk by (backend) (1, used)", "no label backend: topk"),
        ("used / on (datastore) up", "no label datastore: right of /"),
        ("up / on (datastore) used", "no label datastore: left of /"),
        ("used / ignoring (backend) total", "no label backend: used"),
        ("used * on (instance) group_left (backend) up", "no label backend: up"),
        ("up * on (instance) group_right (backend) used", "no label backend: up"),
        ("sum by (datastore) (sum by (instance) (used))", "no label datastore: sum"),
        ('label_replace(up, "a", "$1", "datastore", "(.*)")', "no label datastore: label_replace"),
        ("histogram_quantile(0.9, sum by (endpoint) (rate(took_bucket[5m])))", "no label le: histogram_quantile"),
        ("topk(scalar(use), used)", "no metric use"),
    ],
)
def test_what_is_not_there_is_a_fault(expr: str, fault: str) -> None:
    """A metric that doesn't exist is a fault, and so is a label that doesn't exist at its place in the expression."""
    (found,) = expression_faults(expr, DECLARED)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("expr", "minutes"),
    [
        ("used", 0),
        ("rate(total[5m])", 0),
        ("rate(used[5m]) + rate(used[7m]) / rate(total[1h])", 7),
        ("max_over_time((total + used)[3h:1m]) or rate(used[5m])", 180),
        ("max_over_time(rate(total[1h])[3h:1m])", 0),
    ],
)
def test_the_longest_range_is_found(expr: str, minutes: int) -> None:
    """The longest range over a metric is found, within subqueries too."""
    assert longest_range(expr, {"used"}) == timedelta(minutes=minutes)


def test_the_code_declares() -> None:
    """The metrics of collectors, scrape and process are known with their labels and those of a target."""
    declared = by_the_code()
    assert declared["pbs_up"] == {"job", "instance"}
    assert declared["pbs_job_enabled"] == {"job", "instance", "job_type", "job_id", "datastore"}
    assert declared["pbs_exporter_api_request_duration_seconds_bucket"] == {"job", "instance", "endpoint", "le"}
    assert "pbs_exporter_api_request_duration_seconds" not in declared
    assert declared["process_resident_memory_bytes"] == {"job", "instance"}


def test_rules_declare(tmp_path: Path) -> None:
    """A recording rule has the labels of its result, for later rules too. ALERTS has the labels of all alerts."""
    file = tmp_path / "rules.yml"
    file.write_text("""
groups:
  - name: one
    rules:
      - record: datastore:free:max
        expr: max by (instance, datastore) (pbs_datastore_available_bytes)
        labels: {place: here}
      - record: place:free:max
        expr: max by (place) (datastore:free:max)
      - record: instance:up:before
        expr: max by (instance) (up) or last_over_time(instance:up:before[1h])
      - alert: Full
        expr: max by (datastore) (datastore:free:max) < 1
        labels: {severity: warning}
""")
    declared = with_rules([file])
    assert declared["datastore:free:max"] == {"instance", "datastore", "place"}
    assert declared["place:free:max"] == {"place"}
    assert declared["instance:up:before"] == {"instance"}
    assert declared["ALERTS"] == {"job", "instance", "alertname", "alertstate", "severity", "datastore"}
    assert declared["up"] == {"job", "instance"}
    assert OVERRIDES.keys() <= declared.keys()
