"""The shipped files in the oldest and the newest supported Prometheus and Alertmanager."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.calm_pbs import calm, calmed
from tests.monitoring.monitored_pbs import BackgroundLoop, MonitoredPbs
from tests.monitoring.rule_files import ALERTMANAGER_FILE, RULE_FILES, rewritten, rules_of
from tests.monitoring.servers import Prometheus, prometheus
from tests.monitoring.short_durations import without_intervals
from tests.support.commands import run
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

VERSIONS = {"2.42": oldest, "3.5": newest}

Program = Callable[[str], Path]


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitoredPbs]:
    """Run an exporter in front of a PBS with groups in the root namespace and in another one."""
    with (
        BackgroundLoop() as loop,
        MonitoredPbs(
            "one", calmed(calm("main")), loop, tmp_path_factory.mktemp("one"), settings={}, collectors={}
        ) as monitored,
    ):
        monitored.wait()
        yield monitored


def _configuration(exporter: MonitoredPbs, rules: list[str], **job: Any) -> dict[str, Any]:
    target = {"targets": [exporter.exporter.address], **job.pop("target", {})}
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [{"job_name": "pbs", "static_configs": [target], **job}],
        "rule_files": rules,
    }


@pytest.fixture(params=VERSIONS)
def program(request: pytest.FixtureRequest) -> Program:
    """Return the function that finds the programs of a version."""
    return VERSIONS[request.param]


def test_rules_pass_promtool(program: Program) -> None:
    """The shipped rules pass the check of both versions."""
    said = run(program("promtool"), "check", "rules", *RULE_FILES)
    assert said.count("SUCCESS") == len(RULE_FILES) >= 2


def test_alertmanager_file_passes_amtool(program: Program) -> None:
    """The shipped file for Alertmanager passes the check of both versions."""
    said = run(program("amtool"), "check-config", ALERTMANAGER_FILE)
    assert "SUCCESS" in said
    assert f"{len(yaml.safe_load(ALERTMANAGER_FILE.read_text())['inhibit_rules'])} inhibit rules" in said


def test_what_can_wait_is_repeated_once_a_day() -> None:
    """The shipped file repeats warnings once a day, to the same receiver as critical alerts, and those more often."""
    route = yaml.safe_load(ALERTMANAGER_FILE.read_text())["route"]
    (less,) = route["routes"]
    assert less["matchers"] == ['severity=~"warning|info"']
    assert (less["repeat_interval"], route["repeat_interval"]) == ("1d", "4h")
    assert "receiver" not in less


def test_shipped_files_load(program: Program, exporter: MonitoredPbs, tmp_path: Path) -> None:
    """Both versions start with the unchanged rule files, and have all rules."""
    configuration = _configuration(exporter, [str(file) for file in RULE_FILES])
    with prometheus(tmp_path, configuration, program=program("prometheus")) as running:
        names = [rule["name"] for rule in running.rules()]
    shipped = [rule.get("alert") or rule["record"] for file in RULE_FILES for rule in rules_of(file)]
    assert sorted(names) == sorted(shipped)


def test_rules_evaluate(program: Program, exporter: MonitoredPbs, tmp_path: Path) -> None:
    """Both versions evaluate all rules on real metrics without an error."""
    # With their own intervals this would take minutes.
    configuration = _configuration(exporter, rewritten(tmp_path, without_intervals))
    with prometheus(tmp_path, configuration, program=program("prometheus")) as running:
        poll(lambda: running.query("datastore:pbs_datastore_used:ratio"), "a recorded series")
        poll(lambda: all(rule["health"] != "unknown" for rule in running.rules()), "all rules evaluated")
        bad = [(rule["name"], rule.get("lastError")) for rule in running.rules() if rule["health"] != "ok"]
    assert not bad


def _namespaces(running: Prometheus) -> list[str | None]:
    rows = poll(lambda: running.query("pbs_snapshot_count"), "snapshots")
    return sorted((labels.get("namespace") for labels, _ in rows), key=str)


def test_root_namespace_stays_without_label(program: Program, exporter: MonitoredPbs, tmp_path: Path) -> None:
    """If a target has a label `namespace`, as with a ServiceMonitor, `honor_labels` keeps it from root groups.

    Otherwise they would seem to be in a PBS namespace with the name of the Kubernetes namespace.
    """
    target = {"target": {"labels": {"namespace": "monitoring"}}}
    configuration = _configuration(exporter, [], honor_labels=True, **target)
    with prometheus(tmp_path, configuration, program=program("prometheus")) as running:
        assert _namespaces(running) == [None, "prod"]
        labels = running.query("pbs_up")[0][0]
    assert labels["namespace"] == "monitoring"
