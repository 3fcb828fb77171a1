"""The page docs/alerts.md, in the parts that tests compare with the rules."""

import re
from dataclasses import dataclass
from functools import cache

import yaml

from tests.monitoring.rule_files import ALERTS_FILE, Rule, rules_of
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "alerts.md"
PARTS = ("Meaning", "Check", "Threshold", "Silence", "Resolves")

_ROW = re.compile(r"\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| ([^|]+) \| ([^|]+) \|")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Row:
    """A line of the table of alerts."""

    alert: str
    anchor: str
    severity: str
    held: str


def page_text() -> str:
    """Return the page's source."""
    return PAGE.read_text(encoding="utf-8")


def rows() -> list[Row]:
    """Return the table's rows."""
    return [Row(alert, anchor, severity, held) for alert, anchor, severity, _, held in _ROW.findall(page_text())]


def sections() -> dict[str, str]:
    """Return each alert's section by its heading: a second-level heading without a space that begins with Pbs."""
    found = re.split(r"^## (.+)\n", page_text(), flags=re.MULTILINE)
    headings, bodies = found[1::2], found[2::2]
    assert len(headings) == len(set(headings)), "two sections have the same heading"
    return {name: body for name, body in zip(headings, bodies, strict=True) if re.fullmatch(r"Pbs\w+", name)}


def bold_parts(section: str) -> dict[str, str]:
    """Return the bold parts of a section, in their order."""
    found = re.split(r"^\*\*([^*]+)\*\*: ", section, flags=re.MULTILINE)
    assert not found[0].strip(), f"text before the first part: {found[0]}"
    return dict(zip(found[1::2], found[2::2], strict=True))


def anchors() -> set[str]:
    """Return the anchors of the page, made from headings as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", page_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def runbook_blocks(language: str) -> list[str]:
    """Return the examples in that language."""
    return [block for name, block in _BLOCK.findall(page_text()) if name == language]


def example(key: str, word: str) -> str:
    """Return the only YAML example with that key at the top and that word in it."""
    (found,) = [block for block in runbook_blocks("yaml") if key in yaml.safe_load(block) and word in block]
    return found


@cache
def alerts() -> tuple[Rule, ...]:
    """Return each alerting rule. An alert with two severities has two."""
    return tuple(rules_of(ALERTS_FILE))
