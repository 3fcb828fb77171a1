"""The optional rules and dashboard about guests of Proxmox VE, with prometheus-pve-exporter."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import servers
from tests.monitoring.calm_pbs import calm, calmed, grow_old, store
from tests.monitoring.expressions import Declared, clause_labels, expression_faults, result_labels
from tests.monitoring.fake_pve import VERSION, Guest, PveExporter, pve_exporter
from tests.monitoring.grafana import ALL, OPTIONAL, asked, dashboards, panels, put_in, values_of, variables
from tests.monitoring.metric_labels import TARGET, by_the_code
from tests.monitoring.monitored_pbs import BackgroundLoop, MonitoredPbs
from tests.monitoring.rule_files import RECORDING_FILE, RULES, groups_of, rules_of
from tests.monitoring.rule_tests import content
from tests.monitoring.servers import Labels, Prometheus
from tests.support.commands import run
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

VERSIONS = {"2.42": oldest, "3.5": newest}
FILE = RULES / "optional" / "pve-guests.yml"
TESTS = sorted((FILE.parent / "tests").glob("*.test.yml"))
RULES_OF_GUESTS = rules_of(FILE)
ALERTS = [rule for rule in RULES_OF_GUESTS if "alert" in rule]
(BOARD,) = dashboards(OPTIONAL).values()
SITE = {"site": "zurich", "team": "backup"}
"""More labels of the target of prometheus-pve-exporter, which each series and alert must keep."""

GUESTS = (
    Guest("qemu", 100, "web", tags="prod;web"),
    Guest("qemu", 102, "old"),
    Guest("qemu", 103, "forgotten"),
    Guest("lxc", 100, "same ID"),
    Guest("qemu", 900, "image", template=1),
    Guest("qemu", 901, "scratch", tags="dev;no-monitor"),
)
"""On PBS, vm/100 has a backup of three hours ago, vm/102 one of 200 days ago, and the others have none."""


NOTE = re.compile(r'group_comment=~("[^"]*")')


def declared() -> Declared:
    """Return all series that the rules may read: those of the code, pve-exporter's, overrides, and their own."""
    found = {
        **by_the_code(),
        "pve_guest_info": TARGET | {"id", "node", "name", "type", "template", "tags"},
        "guest:pbs_snapshot_age:override_seconds": frozenset({"backup_type", "backup_id"}),
        # A rule's own earlier result.
        "guest:pbs_snapshot_last:timestamp_seconds": frozenset({"backup_type", "backup_id"}),
    }
    found = {name: labels | {"pve_cluster"} for name, labels in found.items()}
    for rule in RULES_OF_GUESTS:
        if "record" in rule:
            found[rule["record"]] = result_labels(rule["expr"], found)
    return found


def title(rule: dict[str, Any]) -> str:
    return str(rule.get("record") or rule["alert"])


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_load(version: str) -> None:
    """The rules load in both versions, without an error or a warning."""
    said = run(VERSIONS[version]("promtool"), "check", "rules", "--lint=all", "--lint-fatal", FILE)
    assert f"SUCCESS: {len(RULES_OF_GUESTS)} rules found" in said


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_rules_do_what_their_tests_say(file: Path, version: str) -> None:
    """The rules pass their unit tests in both versions, which include the alerts' texts."""
    assert run(VERSIONS[version]("promtool"), "test", "rules", file).count("SUCCESS") == 1


def test_alerts_are_seen_to_fire_and_not_to() -> None:
    """Each alert fires in a unit test that compares all of its texts, and doesn't in another."""
    checks = [check for file in TESTS for test in content(file)["tests"] for check in test.get("alert_rule_test", ())]
    for rule in ALERTS:
        of_rule = [check["exp_alerts"] for check in checks if check["alertname"] == rule["alert"]]
        assert [] in of_rule
        fired = [alert for alerts in of_rule for alert in alerts]
        assert fired
        assert all(alert["exp_annotations"].keys() == rule["annotations"].keys() for alert in fired)


@pytest.mark.parametrize("rule", RULES_OF_GUESTS, ids=title)
def test_rules_name_what_there_is(rule: dict[str, Any]) -> None:
    """Each rule reads series that there are, names no label of a target, and its texts only labels that it has."""
    assert expression_faults(rule["expr"], declared()) == []
    assert TARGET & clause_labels(rule["expr"]) == set()
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule.get("annotations", {}).values())))
    assert named - result_labels(rule["expr"], declared()) == set()


def test_note_is_read_as_the_main_rules_read_it() -> None:
    """The pattern that finds no-monitor in a group's note is the one that takes the group out of PbsBackupTooOld."""
    (ours,) = {pattern for rule in RULES_OF_GUESTS for pattern in NOTE.findall(rule["expr"])}
    (main,) = {pattern for rule in rules_of(RECORDING_FILE) for pattern in NOTE.findall(rule["expr"])}
    assert ours == main


def test_alerts_are_those_of_the_page() -> None:
    """docs/guests.md has a heading for each alert."""
    page = (ROOT / "docs" / "guests.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (Pbs\w+)$", page, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def at_once(folder: Path) -> str:
    """Write the rules without `for` and `interval`. Return the path."""
    groups = [
        {"name": group["name"], "rules": [{key: rule[key] for key in rule if key != "for"} for rule in group["rules"]]}
        for group in groups_of(FILE)
    ]
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def pve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PveExporter]:
    """Run prometheus-pve-exporter in front of the fake Proxmox VE."""
    with pve_exporter(tmp_path_factory.mktemp("pve"), GUESTS) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(pve: PveExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run Prometheus with the rules, in front of that exporter and of this one with a simulated PBS."""
    folder = tmp_path_factory.mktemp("guests")
    world = calm("main")
    world.stores.append(store("archive", int(world.now), 3))
    grow_old(world.stores[-1], int(world.now))
    with (
        BackgroundLoop() as loop,
        MonitoredPbs("pbs1", calmed(world), loop, folder, settings={}, collectors={}) as pbs,
    ):
        pbs.wait()
        path, _, query = pve.path.partition("?")
        parameters = {name: [value] for name, _, value in (part.partition("=") for part in query.split("&"))}
        configuration = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"},
            "rule_files": [at_once(folder)],
            "scrape_configs": [
                {"job_name": "pbs", "static_configs": [{"targets": [pbs.exporter.address]}]},
                {
                    "job_name": "pve",
                    "metrics_path": path,
                    "params": parameters,
                    "static_configs": [{"targets": [pve.address], "labels": SITE | {"instance": "pve1"}}],
                },
            ],
        }
        with servers.prometheus(folder, configuration) as running:
            poll(lambda: running.query("guest:pbs_snapshot_age:seconds"), "ages of guests", 120)
            yield running


def answer(prometheus: Prometheus, expr: str) -> list[tuple[Labels, float]]:
    """Return the result of a query once there is one: on a busy machine a scrape may fail, and its series end."""
    return poll(lambda: prometheus.query(expr), f"a result of {expr}", 120)


def firing(prometheus: Prometheus, alert: str) -> list[Labels]:
    """Wait until the alert fires, and return the labels of its instances."""
    return [labels for labels, _ in answer(prometheus, f'ALERTS{{alertname="{alert}", alertstate="firing"}}')]


def test_page_is_that_of_the_real_exporter(pve: PveExporter) -> None:
    """pve-exporter 3.10, from PyPI, serves the page that the unit tests of the rules assume.

    Only Proxmox VE itself is a fake here: a small server that answers what the exporter asks.
    """
    assert VERSION.startswith("3.10.")
    status, page = pve.get(pve.path)
    assert status == 200
    lines = [line for line in page.splitlines() if line.startswith("pve_guest_info{")]
    assert len(lines) == len(GUESTS)
    web = 'pve_guest_info{id="qemu/100",name="web",node="pve1",tags="prod;web",template="0",type="qemu"} 1.0'
    assert web in lines


def test_guest_without_backup_is_found(prometheus: Prometheus) -> None:
    """A guest without a backup fires, and one whose ID only another type has; the labels of its target stay.

    Proxmox VE is a fake, in front of which the real pve-exporter runs.
    """
    found = firing(prometheus, "PbsGuestWithoutBackup")
    assert {(labels["backup_type"], labels["backup_id"], labels["name"]) for labels in found} == {
        ("vm", "103", "forgotten"),
        ("ct", "100", "same ID"),
    }
    assert all(labels.items() >= (SITE | {"job": "pve", "instance": "pve1"}).items() for labels in found)


def test_guest_with_old_backups_is_found(prometheus: Prometheus) -> None:
    """A guest whose newest backup on any PBS is 200 days old fires, and one with a fresh one elsewhere doesn't.

    Proxmox VE is a fake, in front of which the real pve-exporter runs.
    """
    (labels,) = firing(prometheus, "PbsGuestBackupTooOld")
    assert (labels["backup_type"], labels["backup_id"], labels["name"]) == ("vm", "102", "old")
    assert labels.items() >= (SITE | {"job": "pve", "instance": "pve1"}).items()


def test_dashboard_shows_each_guest(prometheus: Prometheus) -> None:
    """The dashboard's queries have data, and its table a row for each guest, with the state of its backups.

    Proxmox VE is a fake, in front of which the real pve-exporter runs.
    """
    (variable,) = variables(BOARD)
    results = [row["metric"] for row in prometheus.instant(asked(variable.query))]
    assert values_of(variable.query, variable.regex, results) == ["pve1"]
    chosen = {variable.name: (variable, [ALL], ["pve1"])}
    answers = {}
    for panel in panels(BOARD):
        for target in panel["targets"]:
            expr = put_in(target["expr"], chosen, span=60, step=1, scrape_interval=1)
            assert expression_faults(expr, declared()) == []
            answers[panel["title"], target["refId"], panel["type"]] = answer(prometheus, expr)
    assert {name: series[0][1] for (name, _, kind), series in answers.items() if kind == "stat"} == {
        "Guests": 4,
        "Without backup": 2,
        "Only old backups": 1,
        "Current backup": 1,
    }
    assert {labels["name"]: state for labels, state in answers["Guests", "A", "table"]} == {
        "web": 0,
        "old": 1,
        "forgotten": 2,
        "same ID": 2,
    }
