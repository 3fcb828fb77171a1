"""The commands in the documentation: each ```sh block of each page.

`<!-- not run: needs a cluster -->` in front of a block says why no test runs it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from textwrap import dedent
from typing import NamedTuple

from tests.support.paths import ROOT

MARKDOWN = tuple(
    sorted(
        page
        for top in (ROOT, *(folder for folder in ROOT.iterdir() if folder.is_dir() and folder.name[0] != "."))
        for page in (top.glob("*.md") if top == ROOT else top.rglob("*.md"))
        if "node_modules" not in page.parts
    )
)
"""Every Markdown file of the project."""
PAGES = tuple(
    str(page.relative_to(ROOT))
    for page in MARKDOWN
    if page.name in {"README.md", "CONTRIBUTING.md"} or page.is_relative_to(ROOT / "docs")
)
"""The pages whose commands are tested."""

RECOMMENDED = {("pbs", "snapshot_history_limit"): 1}
"""The one setting that .env.example, the Compose stack, the chart and the kustomization set to other than the default.

By default every snapshot has a series, as specified; of a fleet these were 60 % of all series.
"""

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
    """Position among the blocks of its language below that heading, from 1."""
    language: str
    text: str
    reason: str | None
    """The reason why no test runs it, if the page has one."""

    def __str__(self) -> str:
        """Return its name: page, heading and number."""
        return f"{self.page}: {self.heading} {self.number}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of code in a page's text, in the page's order."""
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
    """Return the blocks of code in a page, in the page's order."""
    return list(blocks_of(page, (ROOT / page).read_text(encoding="utf-8")))


def commands() -> list[Block]:
    """Return every block of commands in every page."""
    return [block for page in PAGES for block in blocks(page) if block.language == "sh"]


def block(name: str, language: str = "sh") -> str:
    """Return the text of a block by name (`docs/install.md: pip 1`). Raise `KeyError` if there is none."""
    page = name.partition(":")[0]
    return {str(found): found.text for found in blocks(page) if found.language == language}[name]


def section(page: str, *headings: str) -> list[Block]:
    """Return the blocks of code below these headings of a page, in the page's order."""
    found = [block for block in blocks(page) if block.heading in headings]
    assert {block.heading for block in found} == set(headings)
    return found
