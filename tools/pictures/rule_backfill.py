"""Recorded series and alerts for generated past samples."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from promql_parser import parse_duration

from tests.monitoring.backfill import END, sample
from tests.monitoring.demo_prometheus import demo_prometheus
from tests.monitoring.expressions import selectors
from tests.monitoring.rule_files import RULE_FILES, Rule, rules_of
from tests.monitoring.servers import Prometheus, add_samples


class Times(NamedTuple):
    """The times at which rules are evaluated."""

    start: float
    end: float
    step: int


def write_past_rules(folder: Path, times: Times, *, lookback: str) -> None:
    """Add the results of the project's rules, evaluated at these times, to Prometheus's data."""
    rules = [rule for file in RULE_FILES for rule in rules_of(file)]
    for level in levels([rule for rule in rules if "record" in rule]):
        with demo_prometheus(folder, lookback=lookback) as running:
            lines = [line for rule in level for line in _recorded(running, rule, times)]
        add_samples(folder, "".join([*lines, END]))
    with demo_prometheus(folder, lookback=lookback) as running:
        alerts = [line for rule in rules if "alert" in rule for line in _alerts(running, rule, times)]
    add_samples(folder, "".join([*alerts, END]))


def levels(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """Yield recording rules in the order of evaluation. Rules that don't need each other come together."""
    # Rules of one level read only what earlier levels recorded. A rule doesn't see its own earlier results.
    left = list(rules)
    while left:
        names = {rule["record"] for rule in left}
        ready = [rule for rule in left if not _read(rule) & names - {rule["record"]}]
        if not ready:
            raise ValueError(f"rules that need each other: {sorted(names)}")
        yield ready
        left = [rule for rule in left if rule not in ready]


def _read(rule: Rule) -> set[str]:
    return {metric for metric, _ in selectors(rule["expr"])}


def _recorded(running: Prometheus, rule: Rule, times: Times) -> Iterator[str]:
    for series in running.range(rule["expr"], **times._asdict()):
        labels = _without_name(series["metric"]) | rule.get("labels", {})
        for at, value in series["values"]:
            yield sample(rule["record"], labels, value, at)


def _alerts(running: Prometheus, rule: Rule, times: Times) -> Iterator[str]:
    wait = parse_duration(rule["for"]).total_seconds() if "for" in rule else 0
    for series in running.range(rule["expr"], **times._asdict()):
        labels = _without_name(series["metric"]) | rule["labels"] | {"alertname": rule["alert"]}
        since = before = None
        for at, _ in series["values"]:
            if since is None or at - before > times.step:
                since = at
            before = at
            yield sample("ALERTS_FOR_STATE", labels, f"{since}", at)
            state = "firing" if at - since >= wait else "pending"
            yield sample("ALERTS", {**labels, "alertstate": state}, "1", at)


def _without_name(labels: Mapping[str, str]) -> dict[str, str]:
    return {label: text for label, text in labels.items() if label != "__name__"}
