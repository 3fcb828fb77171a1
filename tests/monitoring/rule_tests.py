"""The unit tests of rules, as promtool reads them, and what they expect of alerts."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.machine import ROOT

FILES = sorted((ROOT / "monitoring" / "rules" / "tests").glob("*.test.yml"))

Content = Mapping[str, Any]


@cache
def content(file: Path) -> Content:
    """Give what a file of tests says."""
    read: Content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return read


def cases() -> Iterator[Content]:
    """Give the tests of all files."""
    for file in FILES:
        yield from content(file)["tests"]


def looks() -> Iterator[Content]:
    """Give each look at one alert at one time."""
    for test in cases():
        yield from test.get("alert_rule_test", ())


def expected() -> Iterator[tuple[str, Content]]:
    """Give each alert that is expected to fire, with its labels and annotations."""
    for look in looks():
        for alert in look.get("exp_alerts") or ():
            yield look["alertname"], alert


def silent() -> set[str]:
    """Give the alerts that are somewhere expected not to fire."""
    return {look["alertname"] for look in looks() if not look.get("exp_alerts")}
