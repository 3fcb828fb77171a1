"""The status page in a real browser: laptop and phone, light and dark theme, keyboard, and without scripts."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from pbs_exporter.collectors import DEFAULTS
from tests.monitoring.axe_core import examine
from tests.monitoring.browser import chromium
from tests.monitoring.exporters import LONG_NAME, ExporterProcess, demo, fleet, in_front_of
from tests.monitoring.status_page_pbs import DATASTORES
from tests.support.commands import run
from tests.support.paths import ROOT

LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 400, "height": 800}
SIZES = {"laptop": LAPTOP, "phone": PHONE}
MORE_SIZES = {
    "small phone": {"width": 320, "height": 600},
    "tablet": {"width": 840, "height": 600},
    "small laptop": {"width": 970, "height": 600},
}
THEMES = ("light", "dark")
TARGETS = 200
COLLECTORS = sum(DEFAULTS.values())
"""How many there are by default."""
DOWN = ("closed", "other", "refused")
"""Targets that are down, each for a reason of its own."""
PICTURES = ROOT / "docs" / "pictures"
SECRET_LENGTH = 36

FAILURES = "1 collector and 1 datastore failed, 2 privileges missing"

_SPAN = re.compile(r"\d+(\.\d)? (ms|s|min|h)( \d+ s)?( ago)?|\d\d:\d\d:\d\d")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an exporter of 200 PBS with 20 datastores each, of which a few aren't scraped, and return its URL."""
    with fleet(TARGETS, "trouble", tmp_path_factory.mktemp("fleet")) as running:
        for name in (*DOWN, LONG_NAME, *(f"pbs{number:03}" for number in range(4))):
            running.get(f"/probe?target={name}")
        # Of the others, the collector that fails is enough for a row.
        for number in range(4, TARGETS - 10):
            running.get(f"/probe?target=pbs{number:03}&collect[]=gc")
        yield running.url


@pytest.fixture(scope="module", params=[*DATASTORES, "demo", "", *DOWN, LONG_NAME])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an exporter in front of each scene, or of many PBS, and return the URL of a page after a scrape."""
    folder = tmp_path_factory.mktemp("exporter")
    if request.param in DATASTORES or request.param == "demo":
        with demo(folder) if request.param == "demo" else in_front_of(request.param, folder) as running:
            running.get("/metrics")
            yield f"{running.url}/"
    else:
        url = request.getfixturevalue("many")
        yield f"{url}/?target={request.param}" if request.param else f"{url}/"


@pytest.fixture(scope="module")
def in_trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterProcess]:
    """Run an exporter in front of a PBS with all kinds of problems; it hasn't been scraped yet."""
    with in_front_of("trouble", tmp_path_factory.mktemp("trouble")) as running:
        yield running


@pytest.fixture
def trouble(in_trouble: ExporterProcess) -> ExporterProcess:
    """Return the exporter with problems after a scrape."""
    in_trouble.get("/metrics")
    return in_trouble


class Seen:
    """A page in the browser, with its requests and console messages."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.page.set_default_timeout(20_000)
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url, wait_until="networkidle")


@pytest.fixture
def see(browser: Browser) -> Iterator[Any]:
    """Open pages, and close them after the test."""
    opened: list[Seen] = []

    def open_page(url: str, **options: Any) -> Seen:
        opened.append(Seen(browser, url, **options))
        return opened[-1]

    yield open_page
    for seen in opened:
        seen.page.close()


@pytest.mark.parametrize("theme", THEMES)
def test_it_loads_nothing_else(address: str, see: Any, theme: str) -> None:
    """The page takes one request, and writes nothing to the console."""
    seen = see(address, color_scheme=theme)
    assert seen.requests == [address]
    assert seen.console == []


@pytest.mark.parametrize("size", SIZES | MORE_SIZES)
def test_it_fits(address: str, see: Any, size: str) -> None:
    """Nothing is wider than the window of a laptop, a tablet or a phone."""
    page = see(address, viewport=(SIZES | MORE_SIZES)[size]).page
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    too_wide = """() => [...document.querySelectorAll('body *')]
        .filter(element => !element.closest('thead') && element.getBoundingClientRect().right > innerWidth + 0.5)
        .map(element => element.outerHTML.slice(0, 80))"""
    assert page.evaluate(too_wide) == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(address: str, see: Any, size: str, theme: str) -> None:
    """axe-core finds no violation and leaves nothing undecided. Its rules for contrast and tables apply."""
    found = examine(see(address, viewport=SIZES[size], color_scheme=theme).page)
    assert found.violations == []
    assert found.undecided == []
    assert {"color-contrast", "link-name", "document-title", "landmark-one-main", "td-headers-attr"} <= found.passed


def test_axe_would_find_a_mistake(trouble: ExporterProcess, see: Any) -> None:
    """axe-core reports a pale text and a page without a title."""
    page = see(f"{trouble.url}/").page
    page.evaluate("document.querySelector('dt').style.color = '#bbb'; document.title = ''")
    assert examine(page).broken == {"color-contrast", "document-title"}


@pytest.mark.parametrize("theme", THEMES)
def test_the_theme_is_followed(trouble: ExporterProcess, see: Any, theme: str) -> None:
    """The page is bright in the light theme, and dark in the dark theme."""
    page = see(f"{trouble.url}/", color_scheme=theme).page
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", color)[:3]) / 3
    assert (brightness > 230) == (theme == "light")
    assert (brightness < 40) == (theme == "dark")


@pytest.mark.parametrize("size", ["laptop", "phone"])
@pytest.mark.parametrize("theme", THEMES)
def test_the_keyboard_reaches_every_link(trouble: ExporterProcess, see: Any, theme: str, size: str) -> None:
    """Tab goes through all links in the order of the page, and each focused link is outlined."""
    page = see(f"{trouble.url}/", color_scheme=theme, viewport=SIZES[size]).page
    links = page.evaluate("[...document.links].map(link => link.getAttribute('href'))")
    assert links == ["metrics", "health", "#collectors", "#datastores", "#rights"]
    reached = []
    for _ in links:
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement)
                return {
                    href: document.activeElement.getAttribute('href'),
                    style: style.outlineStyle, width: parseFloat(style.outlineWidth),
                    color: style.outlineColor, page: getComputedStyle(document.body).backgroundColor,
                }
            }"""
        )
        reached.append(focused["href"])
        assert focused["style"] == "solid"
        assert focused["width"] >= 2
        assert contrast(focused["color"], focused["page"]) >= 3
    assert reached == links
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.url == f"{trouble.url}/#datastores"
    assert page.evaluate("document.querySelector('#datastores').getBoundingClientRect().top < innerHeight")


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, as WCAG defines it."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_keyboard_reaches_every_pbs(many: str, see: Any) -> None:
    """In the overview, Tab goes through the links of all 200 PBS, the focused one is visible, and Enter opens it."""
    page = see(f"{many}/").page
    links = page.evaluate("[...document.links].map(link => link.getAttribute('href'))")
    assert len(links) == 3 + TARGETS
    reached = []
    for _ in links:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('href')"))
    assert reached == links
    top, bottom = page.evaluate(
        "(box => [box.top, box.bottom - innerHeight])(document.activeElement.getBoundingClientRect())"
    )
    assert top >= 0 >= bottom
    page.keyboard.press("Enter")
    page.wait_for_url(f"{many}/{links[-1]}")
    assert (
        page.get_by_role("heading", name="Collectors").count()
        or page.get_by_role("heading", name="Not scraped yet").count()
    )


@pytest.mark.parametrize(
    ("name", "headline", "reason"),
    [
        ("closed", "No connection to PBS", "connection refused"),
        ("other", "No trusted TLS connection to PBS", "not the configured one"),
        ("refused", "PBS refuses the token", "401"),
    ],
)
def test_one_cause_is_said_once(many: str, see: Any, name: str, headline: str, reason: str) -> None:
    """A PBS that is down for one reason has that reason once on its page, and the collectors weren't asked."""
    page = see(f"{many}/?target={name}").page
    assert page.get_by_role("region").get_by_role("heading").all_inner_texts() == [headline]
    assert page.inner_text("body").count(reason) == 1
    assert set(page.locator(".collectors td:nth-child(2)").all_inner_texts()) <= {"not asked: PBS is down", "ok"}


def test_links_lead_to_metrics_and_health(trouble: ExporterProcess, see: Any) -> None:
    """The links beside the title open the metrics and the health check."""
    page = see(f"{trouble.url}/").page
    page.get_by_role("link", name="Health").click()
    assert page.url == f"{trouble.url}/health"
    page.go_back()
    page.get_by_role("link", name="Metrics").click()
    assert page.url == f"{trouble.url}/metrics"
    assert "pbs_up 1.0" in page.content()


def test_without_scripts_it_is_the_same(trouble: ExporterProcess, see: Any) -> None:
    """A browser that runs no scripts shows the same text."""
    texts = [see(f"{trouble.url}/", java_script_enabled=enabled).page.inner_text("body") for enabled in (True, False)]
    with_scripts, without = (_SPAN.sub("#", text) for text in texts)
    assert FAILURES in with_scripts
    assert with_scripts == without


def spoken(page: Page) -> Iterator[tuple[str, str]]:
    """Yield the roles and names that the browser gives to a screen reader, in their order."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}
    left = [nodes[0]]
    while left:
        node = left.pop()
        left += [by_id[child] for child in reversed(node.get("childIds", [])) if child in by_id]
        if not node["ignored"]:
            yield node["role"]["value"], node.get("name", {}).get("value", "")


@pytest.mark.parametrize("size", ["laptop", "phone"])
def test_what_a_screen_reader_gets(trouble: ExporterProcess, see: Any, size: str) -> None:
    """A screen reader gets landmarks, headings and tables with their names, for stacked rows too."""
    page = see(f"{trouble.url}/", viewport=SIZES[size]).page
    told = list(spoken(page))
    roles = [role for role, _ in told]
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert roles.count(role) == 1
    assert ("region", FAILURES) in told
    assert [name for role, name in told if role == "heading"] == [
        "pbs-exporter",
        FAILURES,
        "Privileges of the token",
        "Collectors",
        "Datastores",
    ]
    assert [name for role, name in told if role == "table"] == [
        "Privileges that collectors need and the token lacks",
        "The last result of each enabled collector, failures first",
        "The last result of each datastore and of the listing of its snapshots, failures first",
    ]
    assert roles.count("columnheader") == 3 + 4 + 7
    rows = [name for role, name in told if role == "rowheader"]
    assert len(rows) == 2 + COLLECTORS + DATASTORES["trouble"]
    assert rows[2:4] == ["snapshots", "gc"]
    assert rows[2 + COLLECTORS] == "archive"


def test_a_phone_says_what_each_number_is(trouble: ExporterProcess, see: Any) -> None:
    """On a phone, each cell has a label."""
    page = see(f"{trouble.url}/", viewport=PHONE).page
    label = "cell => getComputedStyle(cell, '::before').content"
    row = page.locator(".datastores tbody tr:has(th:text-is('main'))")
    labels = row.locator("td").evaluate_all(f"cells => cells.map({label})")
    assert labels == [
        "none",
        *(f'"{text} "' for text in ("result", "listed", "in full", "which took", "next in full")),
    ]


def test_problems_can_be_told_without_colors(trouble: ExporterProcess, see: Any) -> None:
    """With forced colors, each state is still a word that marks the rows of problems."""
    page = see(f"{trouble.url}/", forced_colors="active").page
    marked = page.locator("tr.failed td:nth-child(2)").all_inner_texts()
    states = [text.partition(":")[0] for text in marked if not text.startswith("/")]
    assert states == ["failed"] * 3


def test_commands_can_be_copied(trouble: ExporterProcess, see: Any) -> None:
    """The commands that grant privileges copy as whole lines, even if a phone wraps them."""
    for size in (LAPTOP, PHONE):
        lines = see(f"{trouble.url}/", viewport=size).page.inner_text("pre").splitlines()
        assert len(lines) == 4
        assert all(re.fullmatch(r"proxmox-backup-manager acl update / \w+ --auth-id '\S+'", line) for line in lines)


def test_it_holds_no_secret_and_asks_nothing(trouble: ExporterProcess) -> None:
    """Reading the page sends no request for the version, with which each scrape begins, and shows no secret."""
    counts = re.compile(r'^pbs_exporter_api_requests_total\{[^}]*endpoint="/version"[^}]*\} (\S+)', re.MULTILINE)

    def count() -> float:
        return sum(float(value) for value in counts.findall(trouble.get("/metrics")))

    before = count()
    pages = [trouble.get("/") for _ in range(20)]
    # One for the scrape of the counter itself.
    assert count() == before + 1
    assert trouble.secret is not None
    assert len(trouble.secret) == SECRET_LENGTH
    assert all(trouble.secret not in page for page in pages)


@pytest.mark.parametrize("name", ["light", "dark", "phone"])
def test_pictures_are_there_and_small(name: str) -> None:
    """The documentation shows each picture, which has less than 150 kB."""
    file = PICTURES / f"status-{name}.png"
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < 150_000
    assert f"pictures/{file.name}" in (ROOT / "docs" / "status-page.md").read_text(encoding="utf-8")


def test_pictures_can_be_taken_again(tmp_path: Path) -> None:
    """The script takes the same pictures each time: those of the documentation."""
    for folder in ("once", "again"):
        run(sys.executable, "-m", "tools.pictures.status_page", tmp_path / folder)
    once, again = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("once", "again"))
    assert once.keys() == {file.name for file in PICTURES.glob("status-*.png")}
    assert once == again
