"""One run of all scenarios, on one Prometheus and one Alertmanager, and the alerts that fired."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pbs_exporter.simulator import Fault
from tests.monitoring.backfill import MINUTE, Point, of_page, openmetrics_text
from tests.monitoring.monitored_pbs import BackgroundLoop, MonitoredPbs
from tests.monitoring.pbs_specs import BASIS, FAULTLESS, PBS_SPECS, UNPLUGGED
from tests.monitoring.rule_files import Rules, rewritten
from tests.monitoring.scenarios import SCENARIOS, Expected, Scenario
from tests.monitoring.servers import Alert, Alertmanager, Labels, Prometheus, add_samples, alertmanager, prometheus
from tests.monitoring.short_durations import shortened

SCRAPE_SECONDS, RULES_SECONDS = 5, 3
JOB = "pbs"

_LONGEST = 150.0
"""Limit, in seconds, for the alerts to fire, and for them to clear."""
_CALM, _STAY = 30.0, 20.0
"""Seconds without an alert before the faults, and seconds of watching after all expected alerts fire."""
_LISTING_AGE = 80

OVERRIDES: Rules = {
    "groups": [
        {
            "name": "overrides",
            "rules": [
                {
                    "record": "group:pbs_snapshot_age:override_seconds",
                    "expr": 'pbs_snapshot_count{instance="healthy", backup_id="400"} * 0 + 8 * 86400',
                },
                {"record": "instance:pbs_up:override_seconds", "expr": '0 * pbs_up{instance="nightly"} + 20'},
            ],
        }
    ]
}
"""The limits that a user records for a guest with weekly backups, and for a PBS that is off between its backups."""


class ScenarioRun(NamedTuple):
    """The alerts before the faults, while all faults lasted, and after the last one ended, by instance."""

    before: Mapping[str, Sequence[Alert]]
    during: Mapping[str, Sequence[Alert]]
    after: Mapping[str, Sequence[Alert]]
    fired: Mapping[str, Sequence[Labels]]
    """The labels of each alert that ever fired for a PBS without faults, by instance."""
    pending: Mapping[str, Sequence[Labels]]
    """The labels of each alert that was pending there after the first evaluation of all rules."""
    pages: Mapping[str, str]
    """The metrics of each PBS without faults, at the end."""
    missed: Mapping[str, Sequence[Labels]]
    """The labels of the metric that showed one failed scrape, by its name (`up`, `pbs_up`)."""


def run_scenarios(folder: Path) -> ScenarioRun:
    """Run all scenarios at once. After a time limit, return the alerts that have fired."""
    with _priority(), ExitStack() as running:
        loop = running.enter_context(BackgroundLoop())
        by_name = {name: running.enter_context(_monitored(name, loop, folder)) for name in PBS_SPECS}
        for monitored in by_name.values():
            monitored.wait()
        add_samples(folder, openmetrics_text(_past(by_name)))
        alerts = running.enter_context(alertmanager(folder))
        options = ("--rules.alert.resend-delay=5s",)
        configuration = _configuration(folder, by_name, alerts)
        metrics = running.enter_context(prometheus(folder, configuration, options=options))
        _until(lambda: len(metrics.query("up == 1")) == len(PBS_SPECS), 60)
        # The first rules may be evaluated before the rules that they need.
        _until(lambda: all(rule["health"] != "unknown" for rule in metrics.rules()), 30)
        time.sleep(2 * RULES_SECONDS)
        settled = time.time()

        time.sleep(_CALM)
        before = _by_instance(alerts)

        with ExitStack() as faults:
            for scenario in SCENARIOS:
                faults.enter_context(scenario.fault(by_name[scenario.instance]))
            missed = _fail_once(by_name["once"], metrics)
            _until(lambda: all_there(_by_instance(alerts)), _LONGEST)
            time.sleep(_STAY)
            during = _by_instance(alerts)
        _until(lambda: not any(_by_instance(alerts).values()), _LONGEST)
        after = _by_instance(alerts)
        fired = {name: _ever(metrics, name, "firing", 0.0) for name in FAULTLESS}
        pending = {name: _ever(metrics, name, "pending", settled) for name in FAULTLESS}
        pages = {name: by_name[name].page() for name in FAULTLESS}
    return ScenarioRun(before, during, after, fired, pending, pages, missed)


def expected_notifications(instance: str) -> tuple[list[Expected], list[Expected]]:
    """Return the alerts that must fire for a PBS: those that are sent, and those that are inhibited."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.instance == instance]
    return [*chain(*(one.active for one in scenarios))], [*chain(*(one.inhibited for one in scenarios))]


def missing_and_unexpected(alerts: Sequence[Alert], wanted: Sequence[Expected]) -> tuple[list[Expected], list[Alert]]:
    """Pair each alert with an expected one. Return what is missing, and the alerts left over."""
    left, missing = list(alerts), []
    # The expectation with the most labels is first, so that a more general one can't take its alert.
    for want in sorted(wanted, key=lambda one: -len(one.labels)):
        found = next((alert for alert in left if _is(alert, want)), None)
        if found is None:
            missing.append(want)
        else:
            left.remove(found)
    return missing, left


def all_there(alerts: Mapping[str, Sequence[Alert]]) -> bool:
    """Whether each expected alert fires, and is inhibited or not as expected."""
    for instance in PBS_SPECS:
        for wanted, suppressed in zip(expected_notifications(instance), (False, True), strict=True):
            there = [alert for alert in alerts[instance] if alert.suppressed == suppressed]
            if missing_and_unexpected(there, wanted)[0]:
                return False
    return True


def of_scenario(scenario: Scenario, alerts: Sequence[Alert]) -> str:
    """Return the missing alerts of a scenario, and those that fire on its PBS, as text. Empty if none is missing."""
    lines = []
    for wanted, suppressed in ((scenario.active, False), (scenario.inhibited, True)):
        there = [alert for alert in alerts if alert.suppressed == suppressed]
        missing, _ = missing_and_unexpected(there, wanted)
        lines += [f"missing ({'inhibited' if suppressed else 'active'}): {one}" for one in missing]
    return "\n".join((*lines, alert_lines(alerts))) if lines else ""


def alert_lines(alerts: Sequence[Alert]) -> str:
    """Return alerts as lines of text."""
    return "\n".join(sorted(f"fires ({'inhibited' if one.suppressed else 'active'}): {one}" for one in alerts))


def _is(alert: Alert, want: Expected) -> bool:
    return alert.name == want.name and want.labels.items() <= alert.labels.items()


@contextmanager
def _priority() -> Iterator[None]:
    """Raise the priority of this thread and of all that it starts: a scrape that waits for a CPU fails."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    # A container may not allow it.
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before - 10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@contextmanager
def _monitored(name: str, loop: BackgroundLoop, folder: Path) -> Iterator[MonitoredPbs]:
    spec = PBS_SPECS[name]
    settings = {**BASIS, "listing_max_age_seconds": _LISTING_AGE, **spec.settings}
    with MonitoredPbs(name, spec.make(), loop, folder, settings=settings, collectors=spec.collectors) as monitored:
        yield monitored


def _past(by_name: Mapping[str, MonitoredPbs]) -> Iterator[Point]:
    for name, monitored in by_name.items():
        if not PBS_SPECS[name].new:
            yield from of_page(monitored.page(), _target(name))
    labels, ago = UNPLUGGED
    now = time.time()
    mounted = "datastore:pbs_datastore_mounted:last_timestamp_seconds"
    yield mounted, labels | {"job": JOB}, now - ago, now - 30 * MINUTE


def _target(name: str) -> dict[str, str]:
    return {"job": JOB, "instance": name}


def _configuration(folder: Path, by_name: Mapping[str, MonitoredPbs], alerts: Alertmanager) -> dict[str, Any]:
    for name, one in by_name.items():
        one.target_file.parent.mkdir(exist_ok=True)
        found = [{"targets": [one.exporter.address], "labels": {"instance": name}}]
        one.target_file.write_text(json.dumps(found))
    discovered = [{"files": [str(folder / "targets" / "*.json")], "refresh_interval": "5s"}]
    overrides = folder / "overrides.yml"
    overrides.write_text(yaml.safe_dump(OVERRIDES))
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{RULES_SECONDS}s"},
        "scrape_configs": [
            {"job_name": JOB, "scrape_timeout": f"{SCRAPE_SECONDS}s", "file_sd_configs": discovered},
        ],
        "rule_files": [*rewritten(folder, shortened), str(overrides)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts.address]}]}]},
    }


def _fail_once(monitored: MonitoredPbs, metrics: Prometheus) -> dict[str, list[Labels]]:
    """Make PBS fail, and afterwards the exporter, each until Prometheus has evaluated the alert on it.

    That is one scrape, or two where a busy machine evaluates late.
    """

    def failed(metric: str, alert: str) -> list[Labels]:
        pending = f'ALERTS{{alertname="{alert}", alertstate="pending", instance="{monitored.name}"}}'
        _until(lambda: bool(metrics.query(pending)), 20)
        return [labels for labels, _ in metrics.query(f'{metric}{{instance="{monitored.name}"}} == 0')]

    armed = monitored.pbs.faults.add("*", Fault.reset())
    missed = {"pbs_up": failed("pbs_up", "PbsDown")}
    armed.remove()
    _until(lambda: bool(metrics.query(f'pbs_up{{instance="{monitored.name}"}} == 1')), 20)
    monitored.stop_exporter()
    missed["up"] = failed("up", "PbsExporterDown")
    monitored.start_exporter()
    return missed


def _ever(metrics: Prometheus, instance: str, state: str, since: float) -> list[Labels]:
    # The test takes less than an hour.
    ago = min(3600, math.ceil(time.time() - since))
    alerts = f'ALERTS{{instance="{instance}", alertstate="{state}"}}'
    return [labels for labels, _ in metrics.query(f"last_over_time({alerts}[{ago}s])")]


def _by_instance(alerts: Alertmanager) -> dict[str, list[Alert]]:
    by: dict[str, list[Alert]] = {name: [] for name in PBS_SPECS}
    for alert in alerts.alerts():
        by.setdefault(alert.instance, []).append(alert)
    return by


def _until(look: Callable[[], bool], seconds: float) -> None:
    """Wait until `look` is true, or until the time is over."""
    until = time.monotonic() + seconds
    while not look() and time.monotonic() < until:
        time.sleep(0.5)
