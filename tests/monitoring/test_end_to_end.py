"""Each alert on a real Prometheus and Alertmanager, with real exporters in front of simulated PBS with faults.

All faults last at the same time, each on a PBS of its group, and end together. The rules are the shipped ones with
short durations: see `short_durations.py`.
"""

import re
import time
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.backfill import DAY
from tests.monitoring.calm_pbs import KEEP
from tests.monitoring.pbs_specs import PBS_SPECS
from tests.monitoring.rule_files import ALERTS_FILE, rules_of
from tests.monitoring.scenario_run import (
    ScenarioRun,
    alert_lines,
    expected_notifications,
    missing_and_unexpected,
    of_scenario,
    run_scenarios,
)
from tests.monitoring.scenarios import NOT_TESTED, SCENARIOS, Scenario
from tests.monitoring.scenarios.scenario import HOUR
from tests.monitoring.servers import Labels

BROKEN = re.compile(r"<no value>|<error|%!|NaN|\+Inf|  | \.|\b(?:of|on|at) [.,:]")
"""The text that a template has for a missing value."""

OF_A_SCRAPE = ("PbsCollectorFailing", "PbsDown", "PbsExporterDown", "PbsListingFailing", "PbsScrapeSlow")

ALERTS = {(rule["alert"], rule["labels"]["severity"]) for rule in rules_of(ALERTS_FILE)}


class LabelledSeries:
    """The series of a metrics page."""

    def __init__(self, text: str) -> None:
        self._at = time.time()
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def rows(self, name: str, **labels: str) -> list[tuple[Labels, float]]:
        """Return the series of a metric that have these labels, and perhaps more."""
        return [
            (sample.labels, sample.value)
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only series with these labels, or `None` if there is none."""
        rows = self.rows(name, **labels)
        assert len(rows) <= 1, f"{name}{labels}: {rows}"
        return rows[0][1] if rows else None

    def age(self, name: str, **labels: str) -> float:
        """Return the seconds from a time in the metrics to the reading of the page."""
        value = self.value(name, **labels)
        assert value is not None, f"no {name}{labels}"
        return self._at - value


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ScenarioRun:
    return run_scenarios(tmp_path_factory.mktemp("scenarios"))


def test_each_alert_has_a_scenario() -> None:
    """Each alert of the shipped rules fires in a scenario with each severity, or has a reason why not."""
    active = {(one.name, one.labels["severity"]) for scenario in SCENARIOS for one in scenario.active}
    assert active | set(NOT_TESTED) == ALERTS
    assert not active & set(NOT_TESTED)


@pytest.mark.parametrize("instance", PBS_SPECS)
def test_nothing_fires_before(instance: str, run: ScenarioRun) -> None:
    """No alert fires before the faults."""
    assert not run.before[instance], alert_lines(run.before[instance])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_fault_is_reported(scenario: Scenario, run: ScenarioRun) -> None:
    """A fault makes its alerts fire, and inhibits the alerts that follow from it."""
    wrong = of_scenario(scenario, run.during[scenario.instance])
    assert not wrong, wrong


@pytest.mark.parametrize("instance", PBS_SPECS)
def test_nothing_else_fires(instance: str, run: ScenarioRun) -> None:
    """While the faults last, no other alert is sent or inhibited."""
    for wanted, suppressed in zip(expected_notifications(instance), (False, True), strict=True):
        there = [alert for alert in run.during[instance] if alert.suppressed == suppressed]
        more = missing_and_unexpected(there, wanted)[1]
        assert not more, f"too much:\n{alert_lines(more)}\nall:\n{alert_lines(run.during[instance])}"


def test_texts_are_whole(run: ScenarioRun) -> None:
    """The text of each alert has all its values."""
    fired = [alert for alerts in run.during.values() for alert in alerts]
    assert fired
    for alert in fired:
        assert set(alert.annotations) == {"summary", "description"}, alert
        for text in alert.annotations.values():
            assert text, alert
            assert not BROKEN.search(text), f"{alert}: {text}"


@pytest.mark.parametrize("instance", PBS_SPECS)
def test_all_clears(instance: str, run: ScenarioRun) -> None:
    """No alert is left after the faults."""
    assert not run.after[instance], alert_lines(run.after[instance])


def lasting(alerts: Sequence[Labels]) -> list[Labels]:
    """Return alerts without those that one slow scrape makes pending: a busy machine has some."""
    return [labels for labels in alerts if labels["alertname"] not in OF_A_SCRAPE]


def test_healthy_fires_nothing(run: ScenarioRun) -> None:
    """On a healthy PBS no alert fires. None is pending that would fire later: durations are shortened."""
    assert run.fired["healthy"] == []
    assert lasting(run.pending["healthy"]) == []


def test_fresh_fires_nothing(run: ScenarioRun) -> None:
    """On a PBS that was just installed, no alert fires or is pending."""
    assert run.fired["fresh"] == []
    assert lasting(run.pending["fresh"]) == []


def test_one_failure_fires_nothing(run: ScenarioRun) -> None:
    """One failed scrape of PBS and one of the exporter make alerts pending, and none fires."""
    assert run.fired["once"] == []
    assert {"PbsDown", "PbsExporterDown"} <= {labels["alertname"] for labels in run.pending["once"]}
    assert lasting(run.pending["once"]) == []
    assert len(run.missed["pbs_up"]) == len(run.missed["up"]) == 1


def test_healthy_has_all_that_is_no_fault(run: ScenarioRun) -> None:
    """The metrics of the healthy PBS have each condition that looks like a fault and is none."""
    page = LabelledSeries(run.pages["healthy"])
    assert page.value("pbs_up") == 1
    assert page.value("pbs_subscription_status", status="notfound") == 1
    assert page.value("pbs_datastore_mounted", datastore="usb") == 0
    for job_id in ("s-never", "s-hand"):
        assert page.value("pbs_job_info", job_id=job_id, schedule="") == 1
        assert page.value("pbs_job_next_run_timestamp_seconds", job_id=job_id) is None
    assert page.value("pbs_job_status", job_id="s-never", status="never") == 1
    assert page.age("pbs_job_last_run_timestamp_seconds", job_id="s-hand") > 199 * DAY
    assert page.value("pbs_datastore_maintenance", datastore="archive", mode="read-only") == 1
    assert page.age("pbs_snapshot_last_timestamp_seconds", datastore="archive", backup_id="100") > 199 * DAY
    mixed = {"namespace": "prod", "backup_id": "300"}
    assert page.value("pbs_snapshot_last_encrypted", **mixed) == 1
    assert page.value("pbs_snapshot_encrypted", **mixed) == 4
    assert page.value("pbs_snapshot_count", **mixed) == KEEP
    assert 4 * DAY < page.age("pbs_snapshot_last_timestamp_seconds", backup_id="400") < 8 * DAY
    assert page.value("pbs_snapshot_unfinished", datastore="main", namespace="prod", backup_id="101") == 1
    assert page.age("pbs_task_running_start_timestamp_seconds", worker_type="syncjob") > 47 * HOUR
    assert page.rows("pbs_tape_media") == [({"pool": "weekly", "status": "full", "location": "online"}, 1.0)]
    assert page.value("pbs_tape_media_expired", pool="weekly") == 1


def test_fresh_has_nothing(run: ScenarioRun) -> None:
    """The fresh PBS is up, and has no datastore, job, task or tape."""
    page = LabelledSeries(run.pages["fresh"])
    assert page.value("pbs_up") == 1
    assert page.value("pbs_subscription_status", status="notfound") == 1
    for family in ("pbs_datastore_info", "pbs_snapshot_count", "pbs_job_info", "pbs_task_total", "pbs_tape_media"):
        assert page.rows(family) == []
