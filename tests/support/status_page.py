"""The status page of a running exporter, parsed: its elements, its text, and its tables."""

from html.parser import HTMLParser

from pbs_exporter.collectors import DEFAULTS
from tests.support.exporter import Client
from tests.support.running import Setup


class Table:
    """A table: its caption, its heads, and its rows as texts, by column."""

    def __init__(self) -> None:
        self.caption = ""
        self.heads: list[str] = []
        self.rows: list[list[str]] = []

    def by_name(self) -> dict[str, dict[str, str]]:
        """Return the rows by first cell, each as values by column head."""
        return {row[0]: dict(zip(self.heads[1:], row[1:], strict=True)) for row in self.rows}


class Page(HTMLParser):
    """The elements of a page, whether they are closed, and its text."""

    VOID = ("meta", "link", "br", "hr", "img", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[str] = []
        self.items: list[str] = []
        self.tables: dict[str, Table] = {}
        self.headings: list[tuple[str, str]] = []
        self.terms: dict[str, str] = {}
        self._term = ""
        self._table = Table()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._table = Table()
            self.tables[str(dict(attrs)["class"])] = self._table
        elif tag == "tr" and "tbody" in self.open:
            self._table.rows.append([])
        elif tag in ("th", "td"):
            self.cells.append("")
            (self._table.rows[-1] if "tbody" in self.open else self._table.heads).append("")
        elif tag == "li":
            self.items.append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))
        elif tag == "dt":
            self._term = ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost element is the one that ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        if "style" not in self.open:
            self.text += data
        if set(self.open) & {"th", "td"}:
            self.cells[-1] += data
            (self._table.rows[-1] if "tbody" in self.open else self._table.heads)[-1] += data
        elif "caption" in self.open:
            self._table.caption += data
        elif "li" in self.open:
            self.items[-1] += data
        elif self.open and self.open[-1] in ("h1", "h2", "h3"):
            tag, text = self.headings[-1]
            self.headings[-1] = (tag, text + data)
        elif "dt" in self.open:
            self._term += data
        elif "dd" in self.open:
            self.terms[self._term] = self.terms.get(self._term, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


async def status_page(client: Client) -> Page:
    """Return the parsed status page, which must be complete."""
    async with client.get("/") as response:
        assert response.status == 200
        page = Page(await response.text())
    assert page.open == []
    return page


ON = [name for name, is_on in DEFAULTS.items() if is_on]
HEADS = ["Datastore", "Result", "Age", "Last listing", "Last full listing", "Took", "Next full listing"]
DASH = "\N{EN DASH}"
EVIL = "<script>alert('&amp;\"')</script>"


async def read_status_page(setup: Setup) -> Page:
    """Read the page, which must cause no request to PBS."""
    asked = len(setup.pbs.requests)
    page = await status_page(setup.exporter.client)
    assert len(setup.pbs.requests) == asked
    return page


async def after_a_scrape(setup: Setup, *, seconds: float = 12.0) -> Page:
    """Scrape, let time pass, and read the page."""
    await setup.scrape()
    setup.clock.advance(seconds)
    return await read_status_page(setup)
