"""The rules in monitoring/compat, which record the metric names of other exporters."""

import re
from collections.abc import Iterator

import pytest

from tests.monitoring import servers
from tests.monitoring.demo_prometheus import exporters
from tests.monitoring.expressions import expression_faults, fixed_lists
from tests.monitoring.metric_labels import by_the_code
from tests.monitoring.rule_files import rules_of
from tests.monitoring.servers import HOST, Labels, Prometheus
from tests.support.commands import run
from tests.support.documented import blocks
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

VERSIONS = {"2.42": oldest, "3.5": newest}
FOLDER = ROOT / "monitoring" / "compat"
NATRONTECH, RUST = FOLDER / "natrontech.rules.yml", FOLDER / "pbs-exporter-rs.rules.yml"
RULES = [rule for file in (NATRONTECH, RUST) for rule in rules_of(file)]
TARGET = {"site": "zurich", "namespace_of_team": "backup"}
"""More labels of the target, which each series must keep."""

RENAMED = {
    "pbs_available": "pbs_datastore_available_bytes",
    "pbs_size": "pbs_datastore_total_bytes",
    "pbs_used": "pbs_datastore_used_bytes",
    "pbs_snapshot_vm_count": "pbs_snapshot_count",
    "pbs_snapshot_vm_last_timestamp": "pbs_snapshot_last_timestamp_seconds",
    "pbs_snapshot_vm_last_verify": 'pbs_snapshot_last_verification{state="ok"}',
    "pbs_host_memory_free": "pbs_host_memory_free_bytes",
    "pbs_host_memory_total": "pbs_host_memory_total_bytes",
    "pbs_host_memory_used": "pbs_host_memory_used_bytes",
    "pbs_host_swap_free": "pbs_host_swap_free_bytes",
    "pbs_host_swap_total": "pbs_host_swap_total_bytes",
    "pbs_host_swap_used": "pbs_host_swap_used_bytes",
    "pbs_host_disk_available": "pbs_host_rootfs_avail_bytes",
    "pbs_host_disk_total": "pbs_host_rootfs_total_bytes",
    "pbs_host_disk_used": "pbs_host_rootfs_used_bytes",
    "pbs_host_uptime": "pbs_host_uptime_seconds",
    "pbs_host_subscription_status": 'pbs_subscription_status{status!="unknown"}',
    "pbs_host_subscription_info": "pbs_subscription_status == 1",
    "pbs_host_subscription_due_timestamp_seconds": "pbs_subscription_next_due_timestamp_seconds",
    "pbs_task_last_run_timestamp": "pbs_task_last_run_timestamp_seconds",
}
"""What the other exporters call it, and what it is here: 19 names of natrontech's, and one of the Rust exporter's."""

QUERIES = [
    query
    for block in blocks("docs/migration.md")
    if block.language == "promql"
    for query in block.text.splitlines()
    if query
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run Prometheus with the rules in front of the demo, under the job name of natrontech's dashboard."""
    folder = tmp_path_factory.mktemp("compat")
    with exporters(folder) as ports:
        targets = [
            {"targets": [f"{HOST}:{port}"], "labels": TARGET | {"instance": instance}}
            for instance, port in ports.items()
        ]
        configuration = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"},
            "rule_files": [str(NATRONTECH), str(RUST)],
            "scrape_configs": [{"job_name": "pbs-exporter", "honor_labels": True, "static_configs": targets}],
        }
        with servers.prometheus(folder, configuration) as running:
            poll(lambda: all(running.query(name) for name in RENAMED), "each name is recorded", 120)
            yield running


def found(prometheus: Prometheus, query: str) -> list[tuple[Labels, float]]:
    """Return the result of a query once there is one: on a busy machine a scrape may fail, and its series end."""
    return poll(lambda: prometheus.query(query), f"a result of {query}", 60)


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_load(version: str) -> None:
    """The rules load in both versions, without an error or a warning."""
    said = run(VERSIONS[version]("promtool"), "check", "rules", "--lint=all", "--lint-fatal", NATRONTECH, RUST)
    assert [int(found) for found in re.findall(r"SUCCESS: (\d+) rules found", said)] == [19, 1]


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_do_what_their_tests_say(version: str) -> None:
    """The rules pass their unit tests in both versions."""
    said = run(VERSIONS[version]("promtool"), "test", "rules", FOLDER / "tests" / "compat.test.yml")
    assert said.count("SUCCESS") == 1


def test_names_are_those() -> None:
    """The rules record each name that the other exporters have and this one hasn't, and no others."""
    assert [rule["record"] for rule in RULES] == list(RENAMED)
    assert RENAMED.keys() & by_the_code().keys() == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["record"])
def test_rules_name_what_there_is(rule: dict[str, str]) -> None:
    """Each rule reads metrics and labels of the code, and has no fixed list of labels, which would lose a target's."""
    assert expression_faults(rule["expr"], by_the_code()) == []
    assert fixed_lists(rule["expr"]) == []


@pytest.mark.parametrize(("theirs", "ours"), RENAMED.items(), ids=list(RENAMED))
def test_recorded_series_have_the_labels_of_their_target(prometheus: Prometheus, theirs: str, ours: str) -> None:
    """Each name has a series for each of ours, with all labels of the target."""
    recorded = found(prometheus, theirs)
    assert {labels["site"] for labels, _ in recorded} == {TARGET["site"]}
    assert all(labels.items() >= TARGET.items() for labels, _ in recorded)
    assert {labels["job"] for labels, _ in recorded} == {"pbs-exporter"}
    poll(lambda: len(prometheus.query(theirs)) == len(prometheus.query(ours)), f"as many as {ours}", 60)


def test_guests_have_ids_and_names(prometheus: Prometheus) -> None:
    """Guests have their ID as `vm_id` and their name as `vm_name`, and no label of ours in place of them."""
    for name in ("pbs_snapshot_vm_count", "pbs_snapshot_vm_last_timestamp", "pbs_snapshot_vm_last_verify"):
        guests = [labels for labels, _ in found(prometheus, name)]
        assert all(labels["vm_id"] for labels in guests)
        assert any(labels.get("vm_name") for labels in guests)
        ours = {"backup_id", "comment", "group_comment", "owner", "state"}
        assert {label for labels in guests for label in labels} & ours == set()


@pytest.mark.parametrize("query", QUERIES)
def test_documented_queries_find_something(prometheus: Prometheus, query: str) -> None:
    """Each query that docs/migration.md lists has a result on a real page of this exporter."""
    assert found(prometheus, query)


def test_documented_queries_name_each_of_their_metrics() -> None:
    """docs/migration.md lists a query for each recorded name."""
    assert {name for name in RENAMED if not re.search(rf"\b{name}\b", "\n".join(QUERIES))} == set()
