import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import runbook
from tests.monitoring.rule_files import ALERTMANAGER_FILE, ALERTS_FILE, RECORDING_FILE
from tests.support.commands import process, run
from tests.support.network_namespace import Namespace
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll
from tools.render_rules import linked, main

VERSIONS = [newest, oldest]
SECTIONS = runbook.sections()
ADDRESS = "https://wiki.example.com/pbs/alerts"
NAMES = sorted({rule["alert"] for rule in runbook.alerts()})


def test_each_alert_has_its_section_and_no_other_has() -> None:
    """The page has one section for each alert of the rules, in the order of the rules, and none for another."""
    assert list(SECTIONS) == list(dict.fromkeys(rule["alert"] for rule in runbook.alerts()))


def test_runbook_urls_lead_to_their_sections() -> None:
    """With an address of the page, each alert's `runbook_url` is the anchor of its section."""
    text = ALERTS_FILE.read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(linked(text, ADDRESS))["groups"] for rule in group["rules"]]
    for rule in rules:
        address, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (address, anchor) == (ADDRESS, rule["alert"].lower())
        assert anchor in runbook.anchors()


def test_linked_rules_are_beside_the_shipped_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make rules RUNBOOK_URL=…` writes rules that load to a folder of their own, and refuses what doesn't open."""
    monkeypatch.setattr("tools.render_rules.WITH_RUNBOOK", tmp_path)
    assert main(["--runbook-url", "docs/alerts.md"]) == 1
    assert "isn't an address" in capsys.readouterr().err
    assert main(["--runbook-url", ADDRESS]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"pbs.rules.yml", "pbs.alerts.yml", "prometheusrule.yaml"}
    run(newest("promtool"), "check", "rules", tmp_path / "pbs.rules.yml", tmp_path / "pbs.alerts.yml")
    operator = yaml.safe_load((tmp_path / "prometheusrule.yaml").read_text(encoding="utf-8"))
    texts = [rule["annotations"] for group in operator["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert all(text["runbook_url"].startswith(f"{ADDRESS}#pbs") for text in texts)


def test_links_within_the_page_lead_somewhere() -> None:
    """Each link leads to a heading of this page, or to a file of this project."""
    for target in re.findall(r"\]\(([^)]+)\)", runbook.page_text()):
        path, _, anchor = target.partition("#")
        assert (runbook.PAGE.parent / path).exists(), target
        assert path or anchor in runbook.anchors(), target


def test_table_agrees_with_the_rules() -> None:
    """The table has a line for each rule, with its severity and how long it must hold, and links to its section."""
    rules = Counter(
        (rule["alert"], rule["labels"]["severity"], rule.get("for", "at once")) for rule in runbook.alerts()
    )
    assert Counter((row.alert, row.severity, row.held) for row in runbook.rows()) == rules
    assert all(row.anchor == row.alert.lower() for row in runbook.rows())


@pytest.mark.parametrize("name", SECTIONS)
def test_section_has_all_parts(name: str) -> None:
    """A section has the meaning, what to check, the threshold, a silence and when the alert resolves, in this order."""
    found = runbook.bold_parts(SECTIONS[name])
    assert tuple(found) == runbook.PARTS
    assert all(part.strip().endswith(".") or part.strip().endswith("?") for part in found.values())


def test_names_of_alerts_exist() -> None:
    """Every name on the page in the form of an alert's name is an alert."""
    assert set(re.findall(r"\bPbs[A-Z]\w+", runbook.page_text())) == set(NAMES)


def test_each_sentence_is_a_line() -> None:
    """Each sentence of prose is a line of its own."""
    prose = re.sub(r"^(?:```.*?^```|\|[^\n]*)$", "", runbook.page_text(), flags=re.MULTILINE | re.DOTALL)
    assert (
        re.findall(r"^.*[a-z`)*]\. [A-Z].*$", re.sub(r"^- \*\*[^*]+\*\*", "", prose, flags=re.MULTILINE), re.MULTILINE)
        == []
    )


def _matches(matcher: str, labels: dict[str, str]) -> bool:
    found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matcher)
    assert found, matcher
    name, how, value = found.groups()
    has = labels.get(name, "")
    same = bool(re.fullmatch(value, has)) if "~" in how else has == value
    return same != how.startswith("!")


def _inhibited() -> Iterator[tuple[str, str]]:
    """Yield source and target of each inhibition, except those that concern all alerts of an instance."""
    for rule in yaml.safe_load(ALERTMANAGER_FILE.read_text(encoding="utf-8"))["inhibit_rules"]:
        if 'alertname=~"Pbs.*"' in (*rule["source_matchers"], *rule["target_matchers"]):
            continue
        sources, targets = (
            [
                name
                for name in NAMES
                if all(_matches(m, {"alertname": name}) for m in rule[side] if m.startswith("alertname"))
            ]
            for side in ("source_matchers", "target_matchers")
        )
        yield from ((source, target) for source in sources for target in targets)


def test_inhibition_is_told_on_both_sides() -> None:
    """If one alert inhibits another, each names the other one under *Resolves*; one without inhibitions says so."""
    pairs = list(_inhibited())
    assert pairs
    for name, other in (*pairs, *((target, source) for source, target in pairs)):
        assert other in runbook.bold_parts(SECTIONS[name])["Resolves"], (name, other)
    named = {name for pair in pairs for name in pair}
    for name in NAMES:
        says_none = "No specific inhibition applies" in runbook.bold_parts(SECTIONS[name])["Resolves"]
        assert not (says_none and name in named), name


def _labels(name: str) -> set[str]:
    """Return the labels that the alert's annotations name."""
    shown = " ".join(str(rule["annotations"]) for rule in runbook.alerts() if rule["alert"] == name)
    return {"alertname", "severity", "job", "instance", *re.findall(r"\$labels\.(\w+)", shown)}


def _silences() -> Iterator[tuple[str, str]]:
    """Yield each alert with the matchers of its section."""
    for name, section in SECTIONS.items():
        (matchers, *_) = re.findall(r"`(alertname=[^`]+)`", runbook.bold_parts(section)["Silence"])
        yield name, matchers


def test_silences_name_labels_that_the_alert_has() -> None:
    """The matchers of each section name that alert, and labels and severities that it has."""
    for name, line in _silences():
        matchers = dict(re.findall(r'(\w+)="([^"]*)"', line))
        assert matchers["alertname"] == name
        assert matchers.keys() <= _labels(name), name
        severities = {rule["labels"]["severity"] for rule in runbook.alerts() if rule["alert"] == name}
        assert matchers.get("severity") in {None, *severities}, name


@contextmanager
def _alertmanager(version: Any, folder: Path) -> Iterator[Namespace]:
    """Run an Alertmanager at the address that the page's commands have, in a network of its own."""
    with Namespace("silences") as network:
        command = (
            version("prometheus-alertmanager"),
            f"--config.file={ALERTMANAGER_FILE}",
            f"--storage.path={folder}",
            "--web.listen-address=127.0.0.1:9093",
            "--cluster.listen-address=",
        )
        with process(*network.inside(*command), log=folder / "log"):
            poll(lambda: "OK" in (network.try_get("http://127.0.0.1:9093/-/ready") or ""), "Alertmanager is ready")
            yield network


@pytest.mark.parametrize("version", VERSIONS)
def test_silences_can_be_made(version: Any, tmp_path: Path) -> None:
    """The page's commands and all sections' matchers work unchanged, and Alertmanager lists their silences."""
    commands = [line for block in runbook.runbook_blocks("sh") for line in block.splitlines()]
    add = next(line for line in commands if " silence add " in line)
    start = add[: add.index(" 'instance=")]
    quoted = {name: " ".join(f"'{matcher}'" for matcher in line.split()) for name, line in _silences()}
    commands += [f"{start} {matchers}" for matchers in quoted.values()]
    with _alertmanager(version, tmp_path) as network:
        for line in commands:
            program, *words = shlex.split(line)
            run(*network.inside(version(program), *words))
        found = json.loads(network.get("http://127.0.0.1:9093/api/v2/silences"))
    assert len(found) == sum(" silence add " in line for line in commands)
    made = {frozenset((m["name"], m["value"]) for m in silence["matchers"]) for silence in found}
    assert made == {
        frozenset(re.findall(r"""'(\w+)="([^"]*)"'""", line)) for line in commands if " silence add " in line
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_yaml_examples_are_valid(version: Any, tmp_path: Path) -> None:
    """The program that each YAML example is for accepts it: rules, Prometheus's or Alertmanager's configuration."""
    kinds: Counter[str] = Counter()
    (tmp_path / "rules").mkdir()
    for number, block in enumerate(runbook.runbook_blocks("yaml")):
        content = yaml.safe_load(block)
        if "groups" in content:
            kind, check = "rules", [version("promtool"), "check", "rules"]
        elif "rule_files" in content:
            kind, check = "prometheus", [version("promtool"), "check", "config"]
        else:
            assert {"route", "receivers"} == set(content), block
            kind, check = "alertmanager", [version("amtool"), "check-config"]
        kinds[kind] += 1
        file = tmp_path / f"{number}.yml"
        file.write_text(block, encoding="utf-8")
        if kind == "prometheus":
            (tmp_path / "rules" / "pbs.yml").write_bytes(RECORDING_FILE.read_bytes())
        run(*check, file)
    assert kinds == {"rules": 5, "prometheus": 1, "alertmanager": 2}
