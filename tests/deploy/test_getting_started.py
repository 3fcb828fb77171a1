"""docs/getting-started.md, followed to the letter. Where the page lets a person edit a file, the test does."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.compose_stack import ALERTMANAGER, PROMETHEUS, STACK, Checkout
from tests.deploy.docker_engine import HOST, Docker
from tests.deploy.machine import ROOT, eventually, run
from tests.deploy.prometheus_programs import newest, oldest
from tests.deploy.simulated_pbs import Simulate
from tests.deploy.test_compose import filled_in
from tests.support.documented import Block, blocks

PAGE = "docs/getting-started.md"
MINUTE = 60


def section(*headings: str) -> list[Block]:
    """Give the page's blocks below these headings."""
    found = [block for block in blocks(PAGE) if block.heading in headings]
    assert {block.heading for block in found} == set(headings)
    return found


def shown(line: str) -> re.Pattern[str]:
    """Give the pattern of a line that a command may print: the page's, with other digits, and blanks as it likes."""
    digits = re.sub(r"\d+", "0", line)
    return re.compile(r"\s+".join(re.escape(word).replace("0", r"\d+") for word in digits.split()) + r"\s*")


def prints(checkout: Checkout, commands: str, expected: str, seconds: float) -> None:
    """Run commands until they print all that is expected, a line of the page each, at most for so long."""
    lines = [shown(line) for line in expected.splitlines()]
    last = ""

    def look() -> bool:
        nonlocal last
        last = checkout(commands)
        return all(any(line.fullmatch(printed) for printed in last.splitlines()) for line in lines)

    try:
        eventually(look, commands, seconds=seconds, pause=2)
    except AssertionError as error:
        raise AssertionError(f"{error}\nexpected:\n{expected}\nprinted:\n{last}") from None


@pytest.fixture
def stack(checkout: Checkout) -> Iterator[Checkout]:
    """Take down what the page brings up in a copy of the checkout."""
    yield checkout
    checkout.docker.compose(checkout.folder / STACK, "--profile", "demo", "down", "--volumes", "--timeout", "5")


def test_demo(stack: Checkout, record_property: Callable[[str, object], None]) -> None:
    """From nothing to a firing alert, with the page's commands; how long each part took is in the test's properties.

    A silence takes it away, and so does the end of its cause. Then PBS goes: its alert fires, keeps the others back,
    and clears when PBS is back. By then every rule has been looked at, and none fails. The end leaves no container and
    no volume.
    """
    up, asks, answer, shows, rule, query, alert, silence, remove = section("Five minutes with the demo")
    stop, down_query, down, start, end = section("Simulate an outage")

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
    eventually(lambda: "LabFilling" not in json.dumps(stack.ask(f"{PROMETHEUS}/api/v1/alerts")), "its end", pause=2)

    stopped = time.monotonic()
    stack(stop.text)
    pending = 'ALERTS{alertname="PbsDown",alertstate="pending"}'
    eventually(lambda: stack.value(pending), "a pending alert", seconds=MINUTE + 15, pause=2)
    record_property("seconds_to_pending", round(time.monotonic() - stopped))
    prints(stack, down_query.text, down.text, 6 * MINUTE)
    record_property("seconds_to_firing", round(time.monotonic() - stopped))
    told = stack.ask(f"{ALERTMANAGER}/api/v2/alerts?active=true&inhibited=false&silenced=false")
    assert [alert["labels"]["alertname"] for alert in told] == ["PbsDown"]
    # More than four minutes after its rule was removed.
    assert "LabFilling" not in stack(silence.text.splitlines()[-1])

    repaired = time.monotonic()
    stack(start.text)
    eventually(lambda: "PbsDown" not in stack(down_query.text), "its end", seconds=2 * MINUTE + 15, pause=2)
    record_property("seconds_to_cleared", round(time.monotonic() - repaired))

    assert [(rule["name"], rule["lastError"]) for rule in stack.rules() if rule["health"] != "ok"] == []
    stack(end.text)
    project = "label=com.docker.compose.project=pbs-monitoring"
    assert stack.docker("ps", "--all", "--quiet", "--filter", project) == ""
    assert stack.docker("volume", "ls", "--quiet", "--filter", project) == ""


def test_own_pbs(stack: Checkout, docker: Docker, simulated_pbs: Simulate) -> None:
    """The page's commands for one's own PBS: check, an age for one group, a silence, and a receiver."""
    copy, up = section("With your own PBS")
    (age,) = section("Set another age limit")
    (silence,) = section("Silence an alert")
    take, receiver, again = section("Notifications")
    with simulated_pbs(docker.machine, HOST) as pbs:
        stack.directory = stack.folder / STACK
        stack(copy.text)
        (stack.folder / STACK / ".env").write_text(filled_in(pbs.variables))
        assert "\nlogin       ok, as " in stack(up.text)
        stack.wait()
        eventually(lambda: stack.value("pbs_up") == 1, "a scrape", seconds=MINUTE + 15, pause=2)

        assert "SUCCESS: 1 rules found" in stack(age.text)
        limit = 'group:pbs_snapshot_age:limit_seconds{namespace="prod",backup_id="100"}'
        eventually(lambda: stack.value(limit) == 8 * 86400, "another limit", seconds=MINUTE + 15, pause=2)

        assert "moves to the new host" in stack(silence.text)

        stack(take.text)
        file = stack.folder / STACK / "alertmanager.yml"
        nobody = re.search(r"^  - name: nobody\n", file.read_text(), re.MULTILINE)
        assert nobody is not None
        file.write_text(file.read_text().replace(nobody[0], receiver.text.partition("\n")[2]))
        assert "SUCCESS" in stack(again.text)
        stack.wait()
        loaded = stack.ask(f"{ALERTMANAGER}/api/v2/status")["config"]["original"]
        assert "webhook_configs" in loaded
        assert "inhibit_rules" in loaded


@pytest.mark.parametrize("programs", [oldest, newest], ids=["oldest", "newest"])
def test_own_prometheus(programs: Callable[[str], Path], tmp_path: Path) -> None:
    """The page's files for one's own Prometheus are right for the oldest and the newest that the rules are for."""
    install, configuration, check, _ = section("With your own Prometheus")
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
