"""Each alert on a real Prometheus and Alertmanager, which scrape real exporters of simulated PBS that have a fault.

All faults are made at once, each on a PBS of its group; then all of them end. The rules are the shipped ones in a
hurry: `shortened.py` says how.
"""

import re
from collections.abc import Sequence

import pytest

from tests.monitoring.history import DAY
from tests.monitoring.page import Page
from tests.monitoring.play import Played, differences, expected, of_scenario, play, shown
from tests.monitoring.scenarios import NOT_PLAYED, SCENARIOS, Scenario
from tests.monitoring.shipped import ALERTS_FILE, rules_of
from tests.monitoring.stack import Labels
from tests.monitoring.stages import STAGES
from tests.monitoring.worlds import KEEP

BROKEN = re.compile(r"<no value>|<error|%!|NaN|\+Inf|  | \.|\b(?:of|on|at) [.,:]")
"""What a template leaves of a value that isn't there."""

OF_A_SCRAPE = ("PbsCollectorFailing", "PbsDown", "PbsExporterDown", "PbsListingFailing")

ALERTS = {(rule["alert"], rule["labels"]["severity"]) for rule in rules_of(ALERTS_FILE)}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("play"))


def test_each_alert_is_played() -> None:
    """Each alert of the shipped rules fires in a scenario with each severity, or has a reason why it can't."""
    active = {(one.name, one.labels["severity"]) for scenario in SCENARIOS for one in scenario.active}
    assert active | set(NOT_PLAYED) == ALERTS
    assert not active & set(NOT_PLAYED)


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_fires_before(stage: str, played: Played) -> None:
    """Before there is a fault nothing fires."""
    assert not played.before[stage], shown(played.before[stage])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_fault_is_told(scenario: Scenario, played: Played) -> None:
    """A fault makes its alerts fire, and what follows from it is inhibited."""
    wrong = of_scenario(scenario, played.during[scenario.stage])
    assert not wrong, wrong


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_else_fires(stage: str, played: Played) -> None:
    """While there are faults nothing is told, or inhibited, but what follows from them."""
    for wanted, suppressed in zip(expected(stage), (False, True), strict=True):
        there = [alert for alert in played.during[stage] if alert.suppressed == suppressed]
        more = differences(there, wanted)[1]
        assert not more, f"too much:\n{shown(more)}\nall:\n{shown(played.during[stage])}"


def test_texts_are_whole(played: Played) -> None:
    """What an alert says of itself has all its values."""
    fired = [alert for alerts in played.during.values() for alert in alerts]
    assert fired
    for alert in fired:
        assert set(alert.annotations) == {"summary", "description", "runbook_url"}, alert
        for text in alert.annotations.values():
            assert text, alert
            assert not BROKEN.search(text), f"{alert}: {text}"


@pytest.mark.parametrize("stage", STAGES)
def test_all_clears(stage: str, played: Played) -> None:
    """When the faults are gone no alert is left."""
    assert not played.after[stage], shown(played.after[stage])


def told(alerts: Sequence[Labels]) -> list[Labels]:
    """Give alerts without those that one slow scrape makes pending: a busy machine has some."""
    return [labels for labels in alerts if labels["alertname"] not in OF_A_SCRAPE]


def test_healthy_fires_nothing(played: Played) -> None:
    """On a healthy PBS nothing fires, and nothing is pending that would fire in the end: durations are shortened."""
    assert played.fired["healthy"] == []
    assert told(played.pending["healthy"]) == []


def test_fresh_fires_nothing(played: Played) -> None:
    """On a PBS that has just been installed nothing fires, and nothing is pending."""
    assert played.fired["fresh"] == []
    assert told(played.pending["fresh"]) == []


def test_one_failure_fires_nothing(played: Played) -> None:
    """One scrape that PBS doesn't answer, and one that the exporter doesn't, make alerts pending and none fire."""
    assert played.fired["once"] == []
    assert {"PbsDown", "PbsExporterDown"} <= {labels["alertname"] for labels in played.pending["once"]}
    assert told(played.pending["once"]) == []
    assert len(played.missed["pbs_up"]) == len(played.missed["up"]) == 1


def test_healthy_has_all_that_is_no_fault(played: Played) -> None:
    """The healthy PBS has, on the exporter's page, each of the conditions that look like a fault."""
    page = Page(played.pages["healthy"])
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
    assert page.rows("pbs_tape_media") == [({"pool": "weekly", "status": "full", "location": "online"}, 1.0)]
    assert page.value("pbs_tape_media_expired", pool="weekly") == 1


def test_fresh_has_nothing(played: Played) -> None:
    """The fresh PBS is up, and has no datastore, job, task or tape."""
    page = Page(played.pages["fresh"])
    assert page.value("pbs_up") == 1
    assert page.value("pbs_subscription_status", status="notfound") == 1
    for family in ("pbs_datastore_info", "pbs_snapshot_count", "pbs_job_info", "pbs_task_total", "pbs_tape_media"):
        assert page.rows(family) == []
