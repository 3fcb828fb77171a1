"""The names that docs/stability.md promises.

`tests/data/stable_names.txt` records those of the last release: they stay, and new ones may come. A release adds the
new ones to the file:

    UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/docs/test_stability.py

Only a new major version removes a line from it, or changes one.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import yaml

from pbs_exporter import __version__
from pbs_exporter.__main__ import parsers
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import load, settings_table
from pbs_exporter.exposition import self_metrics
from pbs_exporter.scrape import scrape_metrics
from pbs_exporter.web.app import create_app
from tests.support.paths import DATA, ROOT

FILE = DATA / "stable_names.txt"
HEAD = f"# What docs/stability.md promises since version {__version__}: tests/docs/test_stability.py"
MONITORING = ROOT / "monitoring"
CHART = ROOT / "deploy" / "helm" / "pbs-exporter"


def metrics() -> Iterator[str]:
    """Yield each metric with its type and labels."""
    own = (*scrape_metrics.METRICS, *self_metrics.METRICS)
    for metric in (*own, *(metric for collector in COLLECTORS for metric in collector.metrics)):
        yield " ".join(["metric", metric.type, metric.name, *sorted(metric.labels)])


def settings() -> Iterator[str]:
    """Yield each setting, as a file has it, and each of its variables."""
    for row in settings_table(DEFAULTS):
        yield f"setting {row}"
        yield from (f"variable {variable}" for variable in row.variables)


def commands() -> Iterator[str]:
    """Yield each command with each of its options."""
    for parser in parsers():
        for action in parser._actions:
            names = action.choices if action.metavar == "COMMAND" else action.option_strings
            yield from (f"command {parser.prog} {name}" for name in names or ())


def paths() -> Iterator[str]:
    """Yield each path of the service with its method."""
    pbs = {"ENDPOINT": "https://pbs.example.com:8007", "TOKEN_ID": "exporter@pbs!prometheus", "TOKEN_SECRET": "secret"}
    loaded, _ = load(None, {f"PBS_EXPORTER__PBS__{key}": value for key, value in pbs.items()}, DEFAULTS)
    for route in create_app(loaded, ()).router.routes():
        assert route.resource is not None
        yield f"path {route.method} {route.resource.canonical}"


def rules() -> Iterator[str]:
    """Yield each rule file, alert and recorded series."""
    for file in sorted((MONITORING / "rules").rglob("*.yml")):
        if "tests" not in file.parts:
            yield f"rules {file.relative_to(MONITORING)}"
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
            for rule in (rule for group in groups for rule in group["rules"]):
                yield f"alert {rule['alert']}" if "alert" in rule else f"recorded {rule['record']}"


def dashboards() -> Iterator[str]:
    """Yield the UID of each dashboard."""
    for file in (MONITORING / "dashboards").rglob("*.json"):
        yield f"dashboard {json.loads(file.read_text(encoding='utf-8'))['uid']}"


def chart_values(schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Yield each value of the Helm chart that its schema names."""
    for key, below in schema.get("properties", {}).items():
        yield f"chart {name}{key}"
        yield from chart_values(below, f"{name}{key}.")


def stable_names() -> set[str]:
    """Return a line for each name that is there now."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    kinds = (metrics(), settings(), commands(), paths(), rules(), dashboards(), chart_values(schema))
    return {line for kind in kinds for line in kind}


def test_no_stable_name_is_lost() -> None:
    """Each name of the last release is still there, with the same labels, and each version records its own names."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    recorded, now = set(lines[1:]), stable_names()
    if os.environ.get("UPDATE_GOLDEN", "") not in ("", "0"):
        FILE.write_text("".join(f"{line}\n" for line in [HEAD, *sorted(recorded | now)]), encoding="utf-8")
        return
    assert sorted(recorded - now) == []
    assert {line.split()[0] for line in recorded} == {line.split()[0] for line in now}
    assert lines[0] == HEAD, "a new version: add its names, as the head of this module says"
