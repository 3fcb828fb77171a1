"""The commands that the documentation shows: each ```sh block of each page, and what the page's source says of it.

`<!-- not run: needs a cluster -->` in front of a block says why no test runs it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = tuple(
    str(page.relative_to(ROOT))
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(ROOT.glob("docs/**/*.md")),
        *sorted(ROOT.glob("deploy/**/README.md")),
    )
)

_PART = re.compile(
    r"^#{1,6} +(?P<heading>.+?) *#*$"
    r"|(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n\n?)?^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of code."""

    page: str
    """Its path in the checkout."""
    heading: str
    number: int
    """Which of the blocks of its language below that heading; the first is 1."""
    language: str
    text: str
    reason: str | None
    """Why no test runs it, where the page says so."""

    def __str__(self) -> str:
        """Where it stands, as a table names it."""
        return f"{self.page}: {self.heading} {self.number}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Give the blocks of code in a page's text, in the page's order."""
    heading = ""
    numbers: Counter[str] = Counter()
    for part in _PART.finditer(text):
        if part["heading"] is not None:
            heading = part["heading"]
            numbers.clear()
        else:
            numbers[part["language"]] += 1
            number = numbers[part["language"]]
            yield Block(page, heading, number, part["language"], dedent(part["text"]), part["reason"])


def blocks(page: str) -> list[Block]:
    """Give the blocks of code in a page, in the page's order."""
    return list(blocks_of(page, (ROOT / page).read_text(encoding="utf-8")))


def commands() -> list[Block]:
    """Give every block of commands in every page."""
    return [block for page in PAGES for block in blocks(page) if block.language == "sh"]


def block(name: str, language: str = "sh") -> str:
    """Give the text of the block of that name (`README.md: Helm 1`). Raises `KeyError` where there is none."""
    page = name.partition(":")[0]
    return {str(found): found.text for found in blocks(page) if found.language == language}[name]
