"""The transformation of the rules that the end-to-end test runs with."""

import copy
from pathlib import Path

import pytest
import yaml

from tests.monitoring.rule_files import RULE_FILES, rules_of
from tests.monitoring.short_durations import FOR, SHORTER, shortened, without_intervals


def test_alert_keeps_all_but_its_times() -> None:
    """An alert keeps its expression, labels and annotations, and gets the common short duration."""
    rule = {"alert": "A", "expr": "a > 1", "for": "1d", "keep_firing_for": "1h", "labels": {"severity": "info"}}
    group = {"name": "g", "interval": "5m", "rules": [rule]}
    assert shortened({"groups": [group]}) == {
        "groups": [{"name": "g", "rules": [rule | {"for": FOR, "keep_firing_for": FOR}]}]
    }


def test_nothing_waits_that_did_not() -> None:
    """A rule without a duration gets none."""
    rules = [{"alert": "A", "expr": "a"}, {"record": "a:b:c", "expr": "b"}]
    assert shortened({"groups": [{"name": "g", "rules": rules}]}) == {"groups": [{"name": "g", "rules": rules}]}


def test_range_is_shortened_where_it_is_listed() -> None:
    """A listed part of an expression is replaced."""
    rule = {"alert": "PbsUpdatesPending", "expr": "min_over_time(pbs_updates_pending[1d]) > 0"}
    short = shortened({"groups": [{"name": "g", "rules": [rule]}]})
    assert short["groups"][0]["rules"][0]["expr"] == "min_over_time(pbs_updates_pending[20s]) > 0"


def test_stale_exception_is_an_error() -> None:
    """A listed part that the alert doesn't have raises an error."""
    rules = {"groups": [{"name": "g", "rules": [{"alert": "PbsUpdatesPending", "expr": "pbs_updates_pending[2d]"}]}]}
    with pytest.raises(ValueError, match=r"PbsUpdatesPending has no '\[1d\]'"):
        shortened(rules)


def test_exceptions_are_alerts() -> None:
    """Each exception is for a shipped alert."""
    shipped = {rule.get("alert") for file in RULE_FILES for rule in rules_of(file)}
    assert set(SHORTER) <= shipped


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_only_intervals_go(file: Path) -> None:
    """Without their intervals the rules are otherwise unchanged."""
    rules = yaml.safe_load(file.read_text())
    bare = copy.deepcopy(rules)
    for group in bare["groups"]:
        group.pop("interval", None)
    assert without_intervals(rules) == bare
