"""The examples of monitoring/README.md."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.expressions import expression_faults
from tests.monitoring.metric_labels import with_rules
from tests.monitoring.rule_files import ALERTS_FILE, RULE_FILES, rules_of
from tests.support.commands import run
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest, oldest

PAGE = (ROOT / "monitoring" / "README.md").read_text(encoding="utf-8")
FILES, OWN, RELABELED = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("version", [newest, oldest])
def test_examples_load_beside_the_shipped_rules(version: Any, tmp_path: Path) -> None:
    """A Prometheus with the shipped rules unchanged, the page's own rule and its relabeling is valid."""
    (tmp_path / "prometheus.yml").write_text(FILES + RELABELED)
    (tmp_path / "pbs-own.yml").write_text(OWN)
    vendor = tmp_path / "vendor" / "pbs-exporter"
    vendor.mkdir(parents=True)
    for file in RULE_FILES:
        (vendor / file.name).write_bytes(file.read_bytes())
    said = run(version("promtool"), "check", "config", tmp_path / "prometheus.yml")
    assert said.count("rules found") == len(RULE_FILES) + 1


def test_own_rule_reads_what_there_is() -> None:
    """The page's own alert reads a series that the shipped rules record."""
    ((rule,),) = [group["rules"] for group in yaml.safe_load(OWN)["groups"]]
    assert expression_faults(rule["expr"], with_rules(RULE_FILES)) == []


def test_relabeling_names_an_alert_that_there_is() -> None:
    """The alert that the page drops is shipped, with that severity, and others aren't dropped."""
    drop, milder = yaml.safe_load(RELABELED)["alerting"]["alert_relabel_configs"]
    shipped = {(rule["alert"], rule["labels"]["severity"]) for rule in rules_of(ALERTS_FILE)}
    matched = {pair for pair in shipped if re.fullmatch(drop["regex"], ";".join((*pair, "archive")))}
    assert matched == {("PbsDatastoreAlmostFull", "warning")}
    assert all(re.fullmatch(milder["regex"], f"{name};laboratory") for name, _ in shipped)
