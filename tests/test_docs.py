import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Setting, settings_table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SETTINGS_FILE = ROOT / "settings.toml"
ENVIRONMENT_FILE = ROOT / ".env.example"
TABLE = settings_table(DEFAULTS)
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")))

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_ENTRY = re.compile(r"^#? ?([a-z_0-9]+) = (.+)$")


def generated(*arguments: str) -> str:
    """Give what docs/generate.py writes to standard output."""
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True).stdout  # noqa: S603 - nothing from outside


def settings_file_entries() -> dict[tuple[str, str], str]:
    """Give section, key and value of every entry of settings.toml, those behind a `#` too."""
    entries = {}
    section = ""
    for line in SETTINGS_FILE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif entry := _ENTRY.fullmatch(line):
            assert (section, entry[1]) not in entries
            entries[section, entry[1]] = entry[2]
    return entries


def test_metrics_page_is_fresh() -> None:
    """docs/metrics.md is what `make docs` makes of the code's declarations."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == generated(), "stale: run `make docs`"


def test_metrics_page_can_be_written_to_a_file(tmp_path: Path) -> None:
    """The generator writes the same to a file as to standard output, and then nothing there."""
    file = tmp_path / "metrics.md"
    assert generated(str(file)) == ""
    assert file.read_text(encoding="utf-8") == generated()


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_metrics_page_has_every_collector(collector: AnyCollector) -> None:
    """Each collector has a heading, its privileges, and a row with name, type and labels for each metric."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {collector.name}$.*?(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    for need in collector.needs:
        assert f"`{need.privilege}` on `{need.path}`" in section[0]
    for metric in collector.metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {metric.type} | {labels} | " in section[0]


@pytest.mark.parametrize("setting", TABLE, ids=str)
def test_readme_has_every_setting(setting: Setting) -> None:
    """The README has a table row for each setting with its variable, its key, and its default if it has one.

    The collectors' switches may share a row.
    """
    variables = [setting.variables[0]] + ["PBS_EXPORTER__COLLECTORS__NAME"] * (setting.section == "collectors")
    rows = [
        line
        for line in README.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and any(f"`{variable}`" in line for variable in variables)
    ]
    assert len(rows) == 1
    assert re.search(rf"\b{setting.key}\b", rows[0].replace(setting.variables[0], ""))
    if setting.default != '""':
        assert f"`{setting.default}`" in rows[0]


@pytest.mark.parametrize("setting", TABLE, ids=str)
def test_settings_file_has_every_setting(setting: Setting) -> None:
    """settings.toml shows each setting in its section, commented out, with its default."""
    value = settings_file_entries().get((setting.section, setting.key))
    assert value is not None
    if setting.default != '""':
        assert value == setting.default


def test_settings_file_has_no_other_settings() -> None:
    """settings.toml is TOML, sets nothing as it is, and shows nothing that no setting has."""
    parsed = tomllib.loads(SETTINGS_FILE.read_text(encoding="utf-8"))
    assert [section for section, keys in parsed.items() if keys] == []
    assert settings_file_entries().keys() == {(setting.section, setting.key) for setting in TABLE}


def bare(setting: Setting) -> str:
    """Give a setting's default as an environment variable holds it: of an empty list nothing."""
    return setting.default.strip('"[]')


def test_environment_file_has_every_setting_and_no_others() -> None:
    """.env.example names each setting in one line with its default, below a line that explains it.

    What must be set is set to nothing, and all else is commented out.
    """
    needed = [setting for setting in TABLE if setting.required]
    assert [setting.key for setting in needed] == ["endpoint", "token_id", "token_secret"]
    lines = ENVIRONMENT_FILE.read_text(encoding="utf-8").splitlines()
    shown = [at for at, line in enumerate(lines) if re.match(r"(# )?PBS_EXPORTER_", line)]
    assert [lines[at] for at in shown] == [
        f"{'' if setting.required else '# '}{setting.variables[0]}={bare(setting)}" for setting in TABLE
    ]
    assert [lines[at] for at in shown if not re.fullmatch(r"# .{8,}\.", lines[at - 1])] == []
    assert [line for line in lines if line and not line.startswith("#")] == [
        f"{setting.variables[0]}=" for setting in needed
    ]


def anchors(page: Path) -> set[str]:
    """Give the fragments that a page's headings can be linked by."""
    headings = _HEADING.findall(
        re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    """Every relative link in a Markdown page leads to a file that is there, and to a heading that it has."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    dead = []
    for link in (inline or reference for inline, reference in _LINK.findall(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in anchors(target)):
            dead.append(link)
    assert dead == []
