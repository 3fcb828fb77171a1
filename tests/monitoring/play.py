"""Plays all scenarios at once on one Prometheus and one Alertmanager, and notes what fired."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pbs_exporter.simulator import Fault
from tests.monitoring.history import MINUTE, Point, of_page, written
from tests.monitoring.scenarios import SCENARIOS, Expected, Scenario
from tests.monitoring.shipped import Rules, rewritten
from tests.monitoring.shortened import shortened
from tests.monitoring.stack import Alert, Alertmanager, Labels, Prometheus, add_samples, alertmanager, prometheus
from tests.monitoring.stage import Background, Stage
from tests.monitoring.stages import BASIS, FAULTLESS, STAGES, UNPLUGGED

SCRAPE_SECONDS, RULES_SECONDS = 5, 3
JOB = "pbs"

_LONGEST = 150.0
"""Seconds for the alerts to fire, and for them to clear."""
_CALM, _STAY = 30.0, 20.0
"""Seconds for which nothing may fire before the faults, and for which what fires is watched for more."""
_LISTING_AGE = 80

OVERRIDES: Rules = {
    "groups": [
        {
            "name": "overrides",
            "rules": [
                {
                    "record": "group:pbs_snapshot_age:override_seconds",
                    "expr": 'pbs_snapshot_count{instance="healthy", backup_id="400"} * 0 + 8 * 86400',
                }
            ],
        }
    ]
}
"""What a user records whose backups of a guest are weekly."""


class Played(NamedTuple):
    """What fired: before the faults, while all of them lasted, and after the last had ended. Alerts by instance."""

    before: Mapping[str, Sequence[Alert]]
    during: Mapping[str, Sequence[Alert]]
    after: Mapping[str, Sequence[Alert]]
    fired: Mapping[str, Sequence[Labels]]
    """The labels of what ever fired on the stages without faults, by instance."""
    pending: Mapping[str, Sequence[Labels]]
    """The labels of what was pending there, once all rules had been evaluated."""
    pages: Mapping[str, str]
    """The pages of the stages without faults, at the end."""
    missed: Mapping[str, Sequence[Labels]]
    """By what was seen to fail once (`up`, `pbs_up`), the labels."""


def play(folder: Path) -> Played:
    """Play all scenarios. Times out, and then gives what fired by then."""
    with ExitStack() as running:
        loop = running.enter_context(Background())
        stages = {name: running.enter_context(_stage(name, loop, folder)) for name in STAGES}
        for stage in stages.values():
            stage.wait()
        add_samples(folder, written(_past(stages)))
        alerts = running.enter_context(alertmanager(folder))
        options = ("--rules.alert.resend-delay=5s",)
        configuration = _configuration(folder, stages, alerts)
        metrics = running.enter_context(prometheus(folder, configuration, options=options))
        _until(lambda: len(metrics.query("up == 1")) == len(STAGES), 60)
        # The first rules may be evaluated before those that they need.
        _until(lambda: all(rule["health"] != "unknown" for rule in metrics.rules()), 30)
        time.sleep(2 * RULES_SECONDS)
        settled = time.time()

        time.sleep(_CALM)
        before = _by_instance(alerts)

        with ExitStack() as faults:
            for scenario in SCENARIOS:
                faults.enter_context(scenario.fault(stages[scenario.stage]))
            missed = _fail_once(stages["once"], metrics)
            _until(lambda: all_there(_by_instance(alerts)), _LONGEST)
            time.sleep(_STAY)
            during = _by_instance(alerts)
        _until(lambda: not any(_by_instance(alerts).values()), _LONGEST)
        after = _by_instance(alerts)
        fired = {name: _ever(metrics, name, "firing", 0.0) for name in FAULTLESS}
        pending = {name: _ever(metrics, name, "pending", settled) for name in FAULTLESS}
        pages = {name: stages[name].page() for name in FAULTLESS}
    return Played(before, during, after, fired, pending, pages, missed)


def expected(stage: str) -> tuple[list[Expected], list[Expected]]:
    """Give what is to fire on a stage, uninhibited and inhibited."""
    played = [scenario for scenario in SCENARIOS if scenario.stage == stage]
    return [*chain(*(one.active for one in played))], [*chain(*(one.inhibited for one in played))]


def differences(alerts: Sequence[Alert], wanted: Sequence[Expected]) -> tuple[list[Expected], list[Alert]]:
    """Pair each alert with what is wanted; gives what is missing, and what is too much."""
    left, missing = list(alerts), []
    # One that says more is paired first, lest one that says less takes its alert.
    for want in sorted(wanted, key=lambda one: -len(one.labels)):
        found = next((alert for alert in left if _is(alert, want)), None)
        if found is None:
            missing.append(want)
        else:
            left.remove(found)
    return missing, left


def all_there(alerts: Mapping[str, Sequence[Alert]]) -> bool:
    """Tell whether all that is to fire does, and is inhibited or not as it is to be."""
    for stage in STAGES:
        for wanted, suppressed in zip(expected(stage), (False, True), strict=True):
            there = [alert for alert in alerts[stage] if alert.suppressed == suppressed]
            if differences(there, wanted)[0]:
                return False
    return True


def of_scenario(scenario: Scenario, alerts: Sequence[Alert]) -> str:
    """Give what is missing of the scenario's alerts, and what fires on its stage, as a text; empty if all is well."""
    lines = []
    for wanted, suppressed in ((scenario.active, False), (scenario.inhibited, True)):
        there = [alert for alert in alerts if alert.suppressed == suppressed]
        missing, _ = differences(there, wanted)
        lines += [f"missing ({'inhibited' if suppressed else 'active'}): {one}" for one in missing]
    return "\n".join((*lines, shown(alerts))) if lines else ""


def shown(alerts: Sequence[Alert]) -> str:
    """Give alerts as lines of text."""
    return "\n".join(sorted(f"fires ({'inhibited' if one.suppressed else 'active'}): {one}" for one in alerts))


def _is(alert: Alert, want: Expected) -> bool:
    return alert.name == want.name and want.labels.items() <= alert.labels.items()


@contextmanager
def _stage(name: str, loop: Background, folder: Path) -> Iterator[Stage]:
    made = STAGES[name]
    settings = {**BASIS, "listing_max_age_seconds": _LISTING_AGE, **made.settings}
    with Stage(name, made.make(), loop, folder, settings=settings, collectors=made.collectors) as stage:
        yield stage


def _past(stages: Mapping[str, Stage]) -> Iterator[Point]:
    for name, stage in stages.items():
        if not STAGES[name].new:
            yield from of_page(stage.page(), _target(name))
    labels, ago = UNPLUGGED
    now = time.time()
    mounted = "datastore:pbs_datastore_mounted:last_timestamp_seconds"
    yield mounted, labels | {"job": JOB}, now - ago, now - 30 * MINUTE


def _target(name: str) -> dict[str, str]:
    return {"job": JOB, "instance": name}


def _configuration(folder: Path, stages: Mapping[str, Stage], alerts: Alertmanager) -> dict[str, Any]:
    targets = [{"targets": [stage.exporter.address], "labels": {"instance": name}} for name, stage in stages.items()]
    overrides = folder / "overrides.yml"
    overrides.write_text(yaml.safe_dump(OVERRIDES))
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{RULES_SECONDS}s"},
        "scrape_configs": [
            {"job_name": JOB, "scrape_timeout": f"{SCRAPE_SECONDS}s", "static_configs": targets},
        ],
        "rule_files": [*rewritten(folder, shortened), str(overrides)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts.address]}]}]},
    }


def _fail_once(stage: Stage, metrics: Prometheus) -> dict[str, list[Labels]]:
    """Let one scrape of PBS fail, and then one of the exporter."""
    of_stage = f'{{instance="{stage.name}"}} == 0'
    armed = stage.pbs.faults.add("*", Fault.reset())
    _until(lambda: bool(metrics.query(f"pbs_up{of_stage}")), 20)
    armed.remove()
    missed = {"pbs_up": [labels for labels, _ in metrics.query(f"pbs_up{of_stage}")]}
    _until(lambda: not metrics.query(f"pbs_up{of_stage}"), 20)
    stage.stop_exporter()
    _until(lambda: bool(metrics.query(f"up{of_stage}")), 20)
    stage.start_exporter()
    return missed | {"up": [labels for labels, _ in metrics.query(f"up{of_stage}")]}


def _ever(metrics: Prometheus, instance: str, state: str, since: float) -> list[Labels]:
    # An hour is longer than the test can have taken.
    ago = min(3600, math.ceil(time.time() - since))
    alerts = f'ALERTS{{instance="{instance}", alertstate="{state}"}}'
    return [labels for labels, _ in metrics.query(f"last_over_time({alerts}[{ago}s])")]


def _by_instance(alerts: Alertmanager) -> dict[str, list[Alert]]:
    by: dict[str, list[Alert]] = {name: [] for name in STAGES}
    for alert in alerts.alerts():
        by.setdefault(alert.instance, []).append(alert)
    return by


def _until(look: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so, or no longer."""
    until = time.monotonic() + seconds
    while not look() and time.monotonic() < until:
        time.sleep(0.5)
