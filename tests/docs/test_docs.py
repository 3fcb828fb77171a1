import re
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pbs_exporter.__main__ import parsers
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Setting, settings_table
from tests.support.documented import MARKDOWN, PAGES, RECOMMENDED
from tests.support.paths import ROOT
from tools import docs

DOCS = ROOT / "docs"
SETTINGS_FILE = ROOT / "settings.toml"
ENVIRONMENT_FILE = ROOT / ".env.example"
TABLE = settings_table(DEFAULTS)

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"\[[^\]]*\]\(<?(?P<inline>[^)>\s]+)[^)]*\)|^\[[^\]]+\]:\s*(?P<reference>\S+)|<img src=\"(?P<image>[^\"]+)\"",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_ENTRY = re.compile(r"^#? ?([a-z_0-9]+) = (.+)$")


def section_of(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or a higher one."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[2]


def settings_file_entries() -> dict[tuple[str, str], str]:
    """Return the value of every entry of settings.toml by section and key, including commented-out ones."""
    entries = {}
    section = ""
    for line in SETTINGS_FILE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif entry := _ENTRY.fullmatch(line):
            assert (section, entry[1]) not in entries
            entries[section, entry[1]] = entry[2]
    return entries


def test_generated_parts_are_fresh() -> None:
    """Metrics, settings and commands in docs/ are what `make docs` generates from the code."""
    command = [sys.executable, "-m", "tools.docs", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False)  # noqa: S603 - nothing from outside
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_stale_page_is_reported_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` names a page with a stale part and leaves it alone; otherwise the part is renewed, and nothing else."""
    fresh = {page.name: page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")}
    for name, text in fresh.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    stale = fresh["settings.md"].replace("| `timeout_seconds` |", "| `timeout` |")
    assert stale != fresh["settings.md"]
    (tmp_path / "settings.md").write_text(stale, encoding="utf-8")
    monkeypatch.setattr(docs, "PAGES", tmp_path)

    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/settings.md is stale: run `make docs`\n"
    assert (tmp_path / "settings.md").read_text(encoding="utf-8") == stale
    assert docs.main([]) == 0
    assert {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.md")} == fresh


@pytest.mark.parametrize(
    "places", [["one"], ["one", "two", "two"], ["one", "three"]], ids=["missing", "twice", "unknown"]
)
def test_each_part_has_one_place(places: list[str]) -> None:
    """A generated part without a place, with two of them, or a place of an unknown part is an error."""
    page = "".join(f"<!-- make docs: {name} -->\n<!-- end -->\n" for name in places)
    with pytest.raises(ValueError, match="places"):
        docs.updated({Path("page.md"): page}, {"one": "1\n", "two": "2\n"})


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.prog)
def test_command_line_page_has_every_command(parser: ArgumentParser) -> None:
    """docs/cli.md has the usage and every option of each command, below the command's heading."""
    heading = parser.prog.removeprefix("pbs-exporter").strip() or "Command line"
    section = section_of("cli.md", heading)
    assert f"usage: {parser.prog} [" in section
    for action in parser._actions:
        assert all(option in section for option in action.option_strings)


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_metrics_page_has_every_collector(collector: AnyCollector) -> None:
    """Each collector has a heading, its privileges, and a row with name, type and labels for each metric."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {collector.name}$.*?(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    for need in collector.needs:
        assert f"`{need.privilege}` on `{need.path}`" in section[0]
    for metric in collector.metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {metric.type} | {labels} | " in section[0]


@pytest.mark.parametrize("setting", TABLE, ids=str)
def test_settings_page_has_every_setting(setting: Setting) -> None:
    """docs/settings.md has one table row for each setting, with its variable, its key, and its default, if any."""
    lines = (DOCS / "settings.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and f"`{setting.variables[0]}`" in line]
    assert len(rows) == 1
    assert f"`{setting.key}`" in rows[0].split("|")[1]
    if setting.default != '""':
        assert f"`{setting.default}`" in rows[0]


@pytest.mark.parametrize("setting", TABLE, ids=str)
def test_settings_page_has_short_variables(setting: Setting) -> None:
    """docs/settings.md names exactly the settings that have a variable with single underscores."""
    assert (f"`{setting.key}`" in section_of("settings.md", "Single underscores")) == (len(setting.variables) > 1)


@pytest.mark.parametrize("setting", TABLE, ids=str)
def test_settings_file_has_every_setting(setting: Setting) -> None:
    """settings.toml shows each setting in its section, commented out, with its default."""
    value = settings_file_entries().get((setting.section, setting.key))
    assert value is not None
    if setting.default != '""':
        assert value == setting.default


def test_settings_file_has_no_other_settings() -> None:
    """settings.toml is TOML, sets nothing, and shows no key that isn't a setting."""
    parsed = tomllib.loads(SETTINGS_FILE.read_text(encoding="utf-8"))
    assert [section for section, keys in parsed.items() if keys] == []
    assert settings_file_entries().keys() == {(setting.section, setting.key) for setting in TABLE}


def bare(setting: Setting) -> str:
    """Return a setting's default as an environment variable holds it; an empty list is empty."""
    return setting.default.strip('"[]')


def test_environment_file_has_every_setting_and_no_others() -> None:
    """.env.example names each setting in one line with its default, below a line that explains it.

    Required settings are empty, and all others are commented out, but for the one that is recommended.
    """
    recommended = {row: value for row in TABLE if (value := RECOMMENDED.get((row.section, row.key))) is not None}
    assert len(recommended) == len(RECOMMENDED) == 1
    needed = [setting for setting in TABLE if setting.required]
    assert [setting.key for setting in needed] == ["endpoint", "token_id", "token_secret"]
    lines = ENVIRONMENT_FILE.read_text(encoding="utf-8").splitlines()
    shown = [at for at, line in enumerate(lines) if re.match(r"(# )?PBS_EXPORTER_", line)]
    assert [lines[at] for at in shown] == [
        f"{'' if row.required or row in recommended else '# '}{row.variables[0]}={recommended.get(row, bare(row))}"
        for row in TABLE
    ]
    assert [lines[at] for at in shown if not re.fullmatch(r"# .{8,}\.", lines[at - 1])] == []
    assert [line for line in lines if line and not line.startswith("#")] == [
        *(f"{setting.variables[0]}=" for setting in needed),
        *(f"{setting.variables[0]}={value}" for setting, value in recommended.items()),
    ]


def test_compose_stack_sets_what_is_recommended() -> None:
    """The Compose stack sets the same for its simulated PBS, and a .env comes after it and takes precedence."""
    stack = ROOT / "deploy" / "compose"
    lines = (stack / "simulated-pbs.env").read_text(encoding="utf-8").splitlines()
    for row in TABLE:
        if (value := RECOMMENDED.get((row.section, row.key))) is not None:
            assert f"{row.variables[0]}={value}" in lines
    files = re.findall(r"simulated-pbs\.env|path: \.env", (stack / "compose.yaml").read_text(encoding="utf-8"))
    assert files == ["simulated-pbs.env", "path: .env"]


def anchors(page: Path) -> set[str]:
    """Return the fragments by which a page's headings can be linked."""
    headings = _HEADING.findall(
        re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    """Every relative link in a Markdown file leads to an existing file, and to an existing heading in it."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    dead = []
    for link in (found[found.lastgroup or 0] for found in _LINK.finditer(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """Every path with a file extension that a Markdown file names, from the top of the checkout, exists."""
    folders = "|".join(folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name[0] != ".")
    named = re.findall(rf"`((?:{folders})/[\w./*-]+\.[a-z]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_sentence_has_its_own_line(page: str) -> None:
    """No line of hand-written prose continues after the end of a sentence, except for a bold sentence at its start."""
    text = re.sub(r"<!-- make docs: .*?<!-- end -->", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    prose = re.sub(r"^(?: *```.*?^ *```|\|[^\n]*)$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.sub(r"^- \*\*[^*]+\*\*", "", prose, flags=re.MULTILINE).splitlines()
    assert [line for line in lines if re.search(r"[a-z`)*][.?] [A-Z]", line)] == []


def test_distribution_is_not_the_other_program() -> None:
    """The distribution has a name of its own, and no page or workflow installs the other program of PyPI."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "prometheus-pbs-exporter"
    assert list(project["scripts"]) == ["pbs-exporter"]
    other = re.compile(r"\b(?:pip3?|pipx|uv|tool) (?:install|run|upgrade|add)\b[^\n]*[ '\"]pbs[-_]exporter\b(?![-/_])")
    assert other.search("pip install --upgrade pbs-exporter")
    pages = [*MARKDOWN, *(ROOT / ".github").rglob("*.yml"), ROOT / "Dockerfile", ROOT / "Makefile"]
    assert [page for page in pages if other.search(page.read_text(encoding="utf-8"))] == []


def test_other_program_is_warned_of() -> None:
    """README and the page on installation warn of the other program once each."""
    for page in (ROOT / "README.md", DOCS / "install.md"):
        assert page.read_text(encoding="utf-8").count("**Never install `pbs-exporter` from PyPI**") == 1
