"""The unit tests of rules, as promtool reads them, and the alerts that they expect."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.expressions import selectors
from tests.monitoring.rule_files import ALERTS_FILE, RECORDING_FILE, groups_of
from tests.support.paths import ROOT

FILES = sorted((ROOT / "monitoring" / "rules" / "tests").glob("*.test.yml"))

Content = Mapping[str, Any]

_ALERTS = re.compile(r"ALERTS(?:_FOR_STATE)?\b(?:\{([^}]*)\})?")
_ALERT_NAME = re.compile(r'alertname="(\w+)"')

# To YAML 1.1, promtool's `0x15` (sixteen samples of 0) would be a number.
_LOADER: Any = type("_Loader", (yaml.SafeLoader,), {})
_LOADER.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:int"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_LOADER.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789"))


@cache
def content(file: Path) -> Content:
    """Return the decoded content of a file of tests."""
    read: Content = yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe loader
    return read


def cases() -> Iterator[Content]:
    """Yield the tests of all files."""
    for file in FILES:
        yield from content(file)["tests"]


def alert_checks() -> Iterator[Content]:
    """Yield each check of one alert at one time."""
    for test in cases():
        yield from test.get("alert_rule_test", ())


def expected_alerts() -> Iterator[tuple[str, Content]]:
    """Yield each alert that is expected to fire, with its labels and annotations."""
    for check in alert_checks():
        for alert in check.get("exp_alerts") or ():
            yield check["alertname"], alert


def silent() -> set[str]:
    """Return the alerts that at least one check expects not to fire."""
    return {check["alertname"] for check in alert_checks() if not check.get("exp_alerts")}


def alert_groups() -> dict[str, str]:
    """Return the group of rules of each alert."""
    return {rule["alert"]: group["name"] for group in groups_of(ALERTS_FILE) for rule in group["rules"]}


def checked_groups(test: Content) -> set[str]:
    """Return the groups of the alerts that a test checks: all groups for a query of `ALERTS` without a name."""
    groups = alert_groups()
    found = {groups[check["alertname"]] for check in test.get("alert_rule_test", ())}
    for check in test.get("promql_expr_test", ()):
        for matchers in _ALERTS.findall(check["expr"]):
            named = _ALERT_NAME.findall(matchers)
            found |= {groups[name] for name in named} if named else set(groups.values())
    return found


def reduced(file: Path, folder: Path, changed: Iterable[Content] | None = None) -> list[Path]:
    """Write each test of a file, or changed ones in their place, with the rules that can give something in it.

    promtool evaluates every rule that it loads, at each step of each test. Nine tenths of that time go into rules that
    change no result: alerts of groups that the test doesn't check, and rules of whose series it has none.
    """
    written = []
    for number, test in enumerate(content(file)["tests"] if changed is None else changed):
        rules = folder / f"{number}.rules.yml"
        rules.write_text(yaml.safe_dump({"groups": _concerned(test)}))
        made = folder / f"{number}.test.yml"
        made.write_text(yaml.safe_dump(dict(content(file)) | {"rule_files": [rules.name], "tests": [test]}))
        written.append(made)
    return written


def _concerned(test: Content) -> list[Content]:
    """Return the groups of rules that a test checks, with those rules that select a series which it has."""
    checked = checked_groups(test)
    groups = [*groups_of(RECORDING_FILE), *(group for group in groups_of(ALERTS_FILE) if group["name"] in checked)]
    series = {name for given in test["input_series"] for name in _selected(given["series"])}
    known = 0
    # A rule may read what a later one records.
    while known < len(series):
        known = len(series)
        series |= {rule.get("record", "ALERTS") for group in groups for rule in group["rules"] if _reads(rule, series)}
    kept = [dict(group) | {"rules": [rule for rule in group["rules"] if _reads(rule, series)]} for group in groups]
    return [group for group in kept if group["rules"]]


def _reads(rule: Content, series: set[str]) -> bool:
    return not series.isdisjoint(_selected(rule["expr"]))


@cache
def _selected(expr: str) -> frozenset[str]:
    return frozenset(name for name, _ in selectors(expr))
