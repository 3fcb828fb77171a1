"""docs/getting-started.md, followed to the letter. Where the page has the reader edit a file, the test edits it."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.compose_stack import ALERTMANAGER, PROMETHEUS, Checkout
from tests.support.commands import run
from tests.support.documented import section
from tests.support.paths import ROOT
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

PAGE = "docs/getting-started.md"
MINUTE = 60


def shown(line: str) -> re.Pattern[str]:
    """Return the pattern of a line of the page that allows other digits and any whitespace."""
    digits = re.sub(r"\d+", "0", line)
    return re.compile(r"\s+".join(re.escape(word).replace("0", r"\d+") for word in digits.split()) + r"\s*")


def prints(checkout: Checkout, commands: str, expected: str, seconds: float) -> None:
    """Run commands until they print every expected line of the page."""
    lines = [shown(line) for line in expected.splitlines()]
    last = ""

    def look() -> bool:
        nonlocal last
        last = checkout(commands)
        return all(any(line.fullmatch(printed) for printed in last.splitlines()) for line in lines)

    try:
        poll(look, commands, seconds=seconds, pause=2)
    except AssertionError as error:
        raise AssertionError(f"{error}\nexpected:\n{expected}\nprinted:\n{last}") from None


def test_demo(stack: Checkout, record_property: Callable[[str, object], None]) -> None:
    """The page's commands lead from nothing to a firing alert. The test's properties have the duration of each part.

    A silence suppresses the alert, and it ends with its rule. After PBS stops, its alert fires and inhibits the others.
    It resolves once PBS is back. Every rule has been evaluated by that time, and none fails. The last commands leave no
    container and no volume.
    """
    up, asks, answer, shows, rule, query, alert, silence, remove = section(PAGE, "Five minutes with the demo")
    stop, down_query, down, start, end = section(PAGE, "Simulate an outage")

    begun = time.monotonic()
    stack(up.text)
    stack.wait()
    prints(stack, asks.text, answer.text, MINUTE + 15)
    prints(stack, shows.text, alert.text.splitlines()[0], 2 * MINUTE)
    stack(rule.text)
    prints(stack, query.text, alert.text, MINUTE + 15)
    record_property("seconds_to_a_firing_alert", round(time.monotonic() - begun))
    (listed,) = [line for line in stack(silence.text).splitlines() if line.startswith("LabFilling ")]
    assert listed.split()[-1] == "suppressed"
    stack(remove.text)
    poll(lambda: "LabFilling" not in json.dumps(stack.ask(f"{PROMETHEUS}/api/v1/alerts")), "its end", pause=2)

    stopped = time.monotonic()
    stack(stop.text)
    pending = 'ALERTS{alertname="PbsDown",alertstate="pending"}'
    poll(lambda: stack.value(pending), "a pending alert", seconds=MINUTE + 15, pause=2)
    record_property("seconds_to_pending", round(time.monotonic() - stopped))
    prints(stack, down_query.text, down.text, 6 * MINUTE)
    record_property("seconds_to_firing", round(time.monotonic() - stopped))
    told = stack.ask(f"{ALERTMANAGER}/api/v2/alerts?active=true&inhibited=false&silenced=false")
    assert [alert["labels"]["alertname"] for alert in told] == ["PbsDown"]
    # Its rule was removed more than four minutes ago.
    assert "LabFilling" not in stack(silence.text.splitlines()[-1])

    repaired = time.monotonic()
    stack(start.text)
    poll(lambda: "PbsDown" not in stack(down_query.text), "its end", seconds=2 * MINUTE + 15, pause=2)
    record_property("seconds_to_cleared", round(time.monotonic() - repaired))

    assert [(rule["name"], rule["lastError"]) for rule in stack.rules() if rule["health"] != "ok"] == []
    stack(end.text)
    project = "label=com.docker.compose.project=pbs-monitoring"
    assert stack.docker("ps", "--all", "--quiet", "--filter", project) == ""
    assert stack.docker("volume", "ls", "--quiet", "--filter", project) == ""


@pytest.mark.parametrize("programs", [oldest, newest], ids=["oldest", "newest"])
def test_own_prometheus(programs: Callable[[str], Path], tmp_path: Path) -> None:
    """The page's files for one's own Prometheus are valid in the oldest and the newest supported version."""
    install, configuration, check, _ = section(PAGE, "With your own Prometheus")
    etc = tmp_path / "etc"

    def as_shown(commands: str) -> str:
        assert "/etc/prometheus" in commands
        path = f"PATH={tmp_path}:$PATH"
        return run("bash", "-euo", "pipefail", "-c", f"{path}\n{commands.replace('/etc/prometheus', str(etc))}")

    (tmp_path / "promtool").symlink_to(programs("promtool"))
    (tmp_path / "amtool").symlink_to(newest("amtool"))
    as_shown(install.text)
    (etc / "prometheus.yml").write_text(configuration.text)
    shutil.copy(ROOT / "monitoring" / "alertmanager.yml", etc)
    said = as_shown(check.text)
    assert "SUCCESS: 2 rule files found" in said
    assert re.search(r" - [1-9]\d* inhibit rules", said)
