import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.expressions import expression_faults, selectors
from tests.monitoring.metric_labels import with_rules
from tests.monitoring.rule_files import ALERTS_FILE, RECORDING_FILE, rules_of
from tests.monitoring.rule_tests import (
    FILES,
    alert_checks,
    alert_groups,
    cases,
    content,
    expected_alerts,
    reduced,
    silent,
)
from tests.support.commands import run
from tests.support.prometheus_programs import newest, oldest

VERSIONS = {"2.42": oldest, "3.5": newest}

RULE_FILES = [RECORDING_FILE, ALERTS_FILE]
RULES = [rule for file in RULE_FILES for rule in rules_of(file)]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = [rule for rule in RULES if "record" in rule]
DECLARED = with_rules(RULE_FILES, frozenset({"region"}))

SEVERITIES = {"critical", "warning", "info"}
ANNOTATIONS = {"summary", "description"}
# "7 days", "30 hours", "12 seconds": humanizeDuration alone would be "7d 0h 0m 0s". Templates can't divide.
SPAN = (
    "{{ $span := ((toTime $value).Sub (toTime 0.0)).Abs }}{{ if ge $span.Hours 48.0 }}{{ $value | humanizeDuration "
    '| reReplaceAll "^-?([0-9]+)d.*" "$1 days" }}{{ else if ge $span.Hours 2.0 }}{{ printf "%.0f hours" $span.Hours '
    '}}{{ else if ge $span.Minutes 2.0 }}{{ printf "%.0f minutes" $span.Minutes }}'
    '{{ else if ge $span.Seconds 2.0 }}{{ printf "%.0f seconds" $span.Seconds }}{{ else }}a moment{{ end }}'
)
RECORDED_NAME = re.compile(r"(?:backup_type|datastore|group|instance|job|worker_type):pbs_[a-z0-9_]+:[a-z0-9_]+")


def alert_title(rule: Mapping[str, Any]) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


def file_title(file: Path) -> str:
    return file.name.removesuffix(".test.yml")


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_those(version: str) -> None:
    """The rules are tested with the oldest and the newest supported Prometheus."""
    assert re.search(rf"version {re.escape(version)}\.", run(VERSIONS[version]("promtool"), "--version"))


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_load(version: str) -> None:
    """All rules load in promtool, without an error or a warning."""
    said = run(VERSIONS[version]("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert [int(found) for found in re.findall(r"SUCCESS: (\d+) rules found", said)] == [len(RECORDED), len(ALERTS)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES, ids=file_title)
def test_rules_do_what_their_tests_say(file: Path, version: str, tmp_path: Path) -> None:
    """Rules and alerts pass the unit tests of their group, which include the alerts' texts."""
    files = reduced(file, tmp_path)
    said = run(VERSIONS[version]("promtool"), "test", "rules", *files)
    assert said.count("SUCCESS") == len(files)


@pytest.mark.parametrize("file", FILES, ids=file_title)
def test_tests_load_the_shipped_rules(file: Path) -> None:
    """Each file of unit tests loads the shipped rules, so that promtool can run it as it is."""
    assert [(file.parent / name).resolve() for name in content(file)["rule_files"]] == RULE_FILES


@pytest.mark.parametrize("file", FILES, ids=file_title)
def test_tests_say_what_they_show(file: Path) -> None:
    """Each unit test has a unique name, and checks something."""
    names = Counter(test.get("name", "") for test in content(file)["tests"])
    assert "" not in names
    assert names.most_common(1)[0][1] == 1
    assert all(test.get("alert_rule_test") or test.get("promql_expr_test") for test in content(file)["tests"])


@pytest.mark.parametrize("file", FILES, ids=file_title)
def test_tests_evaluate_in_order(file: Path) -> None:
    """Recording rules are evaluated before the alerts. Without an order, promtool takes groups in any order."""
    order = content(file)["group_eval_order"]
    alerts = {check["alertname"] for test in content(file)["tests"] for check in test.get("alert_rule_test", ())}
    assert order[0] == "pbs.rules"
    groups = alert_groups()
    assert {groups[alert] for alert in alerts} <= set(order[1:])


@pytest.mark.parametrize("file", FILES, ids=file_title)
def test_tests_name_what_there_is(file: Path) -> None:
    """Series and queries of unit tests have names and labels of the exporter and the rules.

    A misspelt series is a test in which nothing can fire.
    """
    for test in content(file)["tests"]:
        texts = [given["series"] for given in test["input_series"]]
        texts += [check["expr"] for check in test.get("promql_expr_test", ())]
        assert {text: found for text in texts if (found := expression_faults(text, DECLARED))} == {}


def test_tests_look_at_alerts_that_there_are() -> None:
    """No unit test checks an alert that doesn't exist, which would never fire."""
    names = {check["alertname"] for check in alert_checks()}
    for test in cases():
        for check in test.get("promql_expr_test", ()):
            names |= set(re.findall(r'alertname="(\w+)"', check["expr"]))
    assert names - {rule["alert"] for rule in ALERTS} == set()


@pytest.mark.parametrize("rule", ALERTS, ids=alert_title)
def test_alert_is_seen_to_fire(rule: Mapping[str, Any]) -> None:
    """Each alert fires, with each of its severities, in a unit test that compares all of its annotations."""
    whole = [
        alert
        for name, alert in expected_alerts()
        if name == rule["alert"]
        and alert["exp_labels"]["severity"] == rule["labels"]["severity"]
        and alert["exp_annotations"].keys() == rule["annotations"].keys()
    ]
    assert whole


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_alert_is_seen_not_to_fire(name: str) -> None:
    """Each alert has a unit test in which it doesn't fire."""
    assert name in silent()


@pytest.mark.parametrize("rule", ALERTS, ids=alert_title)
def test_alert_tells_what_to_do(rule: Mapping[str, Any]) -> None:
    """Each alert has a severity, a summary and a description, and no link that leads nowhere.

    A value that is a state, as in "(pbs_up is 0)", says nothing to whoever reads it.
    """
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == ANNOTATIONS
    assert all(text.strip() for text in rule["annotations"].values())
    texts = " ".join(rule["annotations"].values())
    assert not re.search(r"\((?:[a-z_]+ )+(?:is|was) \{\{ \$value \}\}\)", " ".join(texts.split()))


@pytest.mark.parametrize("rule", ALERTS, ids=alert_title)
def test_durations_are_as_people_say_them(rule: Mapping[str, Any]) -> None:
    """A duration in a text is "7 days" or "30 hours", by the same template in each alert."""
    for text in rule["annotations"].values():
        rest = text.replace(SPAN, "")
        assert "humanizeDuration" not in rest
        assert not re.search(r"\$span|\$value }} ?s\b", rest)


def test_alert_has_one_rule_for_each_severity() -> None:
    """No alert has two rules with one severity: a unit test might check only one of them."""
    assert [title for title, number in Counter(map(alert_title, ALERTS)).items() if number > 1] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or alert_title(rule))
def test_rule_gives_nothing_without_series(rule: Mapping[str, Any]) -> None:
    """No rule makes something of nothing: unit tests leave out the rules of whose series they have none."""
    assert selectors(rule["expr"])
    assert not re.search(r"\b(?:absent|absent_over_time|vector)\s*\(", rule["expr"])


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule["record"])
def test_recorded_names(rule: Mapping[str, Any]) -> None:
    """Recording rules are named level:metric:operation."""
    assert RECORDED_NAME.fullmatch(rule["record"])
