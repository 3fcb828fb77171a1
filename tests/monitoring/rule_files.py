"""The shipped files for Prometheus and Alertmanager, and their contents."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

RULES = ROOT / "monitoring" / "rules"
"""The folder of the rules."""
RECORDING_FILE, ALERTS_FILE = RULES / "pbs.rules.yml", RULES / "pbs.alerts.yml"
RULE_FILES = sorted(RULES.glob("*.yml"))
ALERTMANAGER_FILE = ROOT / "monitoring" / "alertmanager.yml"

Rule = Mapping[str, Any]
Rules = dict[str, Any]
"""A decoded file of rules."""


def groups_of(file: Path) -> list[Mapping[str, Any]]:
    """Return a file's groups of rules, in their order."""
    content: Rules = yaml.safe_load(file.read_text(encoding="utf-8"))
    return list(content["groups"])


def rules_of(file: Path) -> list[Rule]:
    """Return a file's rules, in their order."""
    return [rule for group in groups_of(file) for rule in group["rules"]]


def rewritten(folder: Path, change: Callable[[Rules], Rules]) -> list[str]:
    """Write each file of rules, changed by `change`. Return the paths."""
    assert RULE_FILES, f"no rules in {RULES}"
    paths = []
    for file in RULE_FILES:
        made = folder / file.name
        made.write_text(yaml.safe_dump(change({"groups": groups_of(file)})), encoding="utf-8")
        paths.append(str(made))
    return paths
