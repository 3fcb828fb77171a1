"""Every rule keeps all labels of its target, and never merges two targets with equal `job` and `instance`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.monitoring.expressions import fixed_lists, result_labels, selectors
from tests.monitoring.metric_labels import with_rules
from tests.monitoring.rule_files import ALERTS_FILE, RECORDING_FILE, Rule, rules_of
from tests.monitoring.rule_tests import FILES, Content, content, reduced
from tests.support.commands import run
from tests.support.prometheus_programs import newest

NORTH = {"site": "north", "cluster": "a"}
# With `honor_labels`, a series of ours that has such a label of its own keeps that one.
KUBERNETES = {"site": "south", "cluster": "b", "namespace": "monitoring", "service": "pbs", "endpoint": "http"}
OTHER = {"site": "west", "cluster": "c"}

RULES = [rule for file in (RECORDING_FILE, ALERTS_FILE) for rule in rules_of(file)]
OWN = with_rules([RECORDING_FILE, ALERTS_FILE])
WITH_TARGET = with_rules([RECORDING_FILE, ALERTS_FILE], frozenset(KUBERNETES))
ALERT_RULES = {rule["alert"]: rule for rule in RULES if "alert" in rule}
OF_ALERTS = {"alertname", "alertstate", "severity"}

Labels = Mapping[str, str]


def title(rule: Rule) -> str:
    return str(rule.get("record") or f"{rule['alert']}-{rule['labels']['severity']}")


@pytest.mark.parametrize("rule", RULES, ids=title)
def test_no_rule_has_a_fixed_list_of_labels(rule: Rule) -> None:
    """No rule aggregates `by` labels or matches `on` labels, which would lose those that a target has besides."""
    assert fixed_lists(rule["expr"]) == []
    assert {"site", "cluster"} <= result_labels(rule["expr"], WITH_TARGET)


def test_no_rule_averages_series() -> None:
    """No rule compares an average of series: before Prometheus 3 it rounds by their order, as 3 in 10 to over 0.3."""
    assert [title(rule) for rule in RULES if re.search(r"\bavg\b", rule["expr"])] == []


def test_fixed_lists_are_found() -> None:
    """A sum of everything, `by` and `on` are fixed lists, at any depth. `without` and `ignoring` are none."""
    assert len(fixed_lists("sum(up) + 1 > on (job) max by (job) (up)")) == 3
    assert fixed_lists("max without (a) (up) unless ignoring (b) up") == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.yml"))
def test_target_labels_are_kept(file: Path, tmp_path: Path) -> None:
    """Each rule's unit tests give the same with more labels on all series, also beside other PBS.

    Each test's series are there twice, with equal `job` and `instance` and other labels besides. Those of the file's
    next test are there with a third set of labels.
    """
    tests = content(file)["tests"]
    beside = [
        next(other for other in (*tests[n + 1 :], *tests) if other["interval"] == test["interval"])
        for n, test in enumerate(tests)
    ]
    three = [_in_fleets(test, other) for test, other in zip(tests, beside, strict=True)]
    files = reduced(file, tmp_path, three)
    assert run(newest("promtool"), "test", "rules", *files).count("SUCCESS") == len(files)


def _in_fleets(test: Content, other: Content) -> Content:
    given = [*_given(test, NORTH), *_given(test, KUBERNETES), *_given(other, OTHER)]
    queries = [*map(_as_query, test.get("alert_rule_test", ())), *test.get("promql_expr_test", ())]
    checks = [_of_fleet(query, fleet) for query in queries for fleet in (NORTH, KUBERNETES)]
    times = sorted({query["eval_time"] for query in queries})
    lost = [
        {"expr": f'{{{selector}, site=""}}', "eval_time": time}
        for selector in ('__name__=~".+:pbs_.+:.+"', 'alertname!=""')
        for time in times
    ]
    return {
        "name": test["name"],
        "interval": test["interval"],
        "input_series": given,
        "promql_expr_test": [*checks, *lost],
    }


def _given(test: Content, fleet: Labels) -> Iterator[Content]:
    for one in test["input_series"]:
        ((metric, _),) = selectors(one["series"])
        more = {label: value for label, value in fleet.items() if label not in OWN[metric]}
        yield {"series": _with(one["series"], more), "values": one["values"]}


def _as_query(check: Content) -> Content:
    """Return a check of an alert as a query of `ALERTS`, without texts."""
    name = check["alertname"]
    labels = [
        alert["exp_labels"] | {"alertname": name, "alertstate": "firing"} for alert in check.get("exp_alerts") or ()
    ]
    return {
        "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
        "eval_time": check["eval_time"],
        "exp_samples": [{"labels": _with("ALERTS", one), "value": 1} for one in labels],
    }


def _of_fleet(query: Content, fleet: Labels) -> Content:
    metrics = {name for name, _ in selectors(query["expr"])}
    expr = re.sub(
        rf"(?<![\w:\"])(?:{'|'.join(map(re.escape, metrics))})(?![\w:\"])(?:\{{[^}}]*\}})?",
        lambda found: _with(found.group(), {"site": fleet["site"]}),
        query["expr"],
    )
    samples = [
        sample | {"labels": _with(sample["labels"], _more(query["expr"], sample["labels"], fleet))}
        for sample in query.get("exp_samples") or ()
    ]
    return {"expr": expr, "eval_time": query["eval_time"], "exp_samples": samples}


def _more(expr: str, labels: str, fleet: Labels) -> Labels:
    """Return the labels of the fleet that a sample with these labels has besides."""
    own, everything = OWN, WITH_TARGET
    if alert := re.search(r'alertname="(\w+)"', labels):
        rule = ALERT_RULES[alert.group(1)]
        own, everything = (
            declared | {"ALERTS": result_labels(rule["expr"], declared) | OF_ALERTS} for declared in (own, everything)
        )
    kept = result_labels(expr, everything) - result_labels(expr, own)
    return {label: value for label, value in fleet.items() if label in kept}


def _with(series: str, labels: Labels) -> str:
    name, _, rest = series.partition("{")
    parts = [part for part in (rest.rpartition("}")[0].strip().rstrip(","),) if part]
    parts += [f'{label}="{value}"' for label, value in labels.items()]
    return f"{name}{{{', '.join(parts)}}}"
