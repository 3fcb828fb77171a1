"""The status page as HTML: its form, its size, durations, and foreign text in it."""

import base64
import hashlib
import re
from html import escape
from typing import Any

import pytest

from pbs_exporter.simulator import Fault, World
from pbs_exporter.web.status.formatting import span
from tests.support.canned_pbs import CannedPbs
from tests.support.running import NOW, Setup, running, small_world
from tests.support.status_page import EVIL, after_a_scrape


async def test_more_than_two_hundred_datastores() -> None:
    """Of more than 200 datastores those in the worst state are shown, and the number of the others."""
    world = small_world(203)
    async with running(world) as setup:
        bad = world.stores[-1].name
        setup.pbs.faults.add(f"/admin/datastore/{bad}/snapshots", Fault.status(400, "disk gone"))
        page = await after_a_scrape(setup)
    rows = page.tables["datastores"].rows
    assert (len(rows), rows[0][0]) == (200, bad)
    assert f"1 of {len(world.stores)} datastores failed: {bad}" in page.items
    assert f"And {len(world.stores) - 200} more datastores, none in a worse state." in page.text


async def test_two_hundred_datastores() -> None:
    """With 200 datastores problems come first, the top names a few, and the page stays small."""
    world = World(200, 1, 1, 1, seed=1, now=lambda: NOW, task_history_seconds=10_000)
    async with running(world) as setup:
        bad = [store.name for store in world.stores[100:120]]
        for store in bad:
            setup.pbs.faults.add(f"/admin/datastore/{store}/snapshots", Fault.status(400, "disk gone"))
        page = await after_a_scrape(setup)
    assert len(page.tables["datastores"].rows) == 200
    assert [row[0] for row in page.tables["datastores"].rows[:21]] == [*sorted(bad), "archive"]
    assert page.items[2] == f"20 of 200 datastores failed: {', '.join(sorted(bad)[:8])} and 12 more"
    assert len(page.html) < 100_000


async def test_names_with_numbers_are_sorted_as_people_do() -> None:
    """`store9` comes before `store10`."""
    async with running(small_world(12)) as setup:
        page = await after_a_scrape(setup)
    names = [row[0] for row in page.tables["datastores"].rows]
    assert names[-7:] == [f"store{number}" for number in range(6, 13)]


async def test_foreign_text_is_escaped() -> None:
    """Text from PBS and names of datastores are text on the page and never markup."""
    answers: dict[str, Any] = {
        "/version": {"version": "<i>4", "release": "&amp;", "repoid": "abc"},
        "/admin/datastore": [{"store": "<b>&"}, {"store": "x", "maintenance": "<u>,message=a"}],
    }
    async with running(CannedPbs(answers), collectors={"groups": False}) as setup:
        setup.pbs.faults.add("/admin/gc", Fault.status(500, EVIL))
        setup.pbs.faults.add("*/namespace", Fault.status(500, EVIL))
        page = await after_a_scrape(setup)
        setup.pbs.faults.add("/version", Fault.status(500, EVIL))
        down = await after_a_scrape(setup)
    assert page.tables["collectors"].by_name()["gc"]["Result"] == f"failed: 500 {EVIL}"
    assert page.tables["datastores"].by_name()["<b>&"]["Result"] == f"failed: snapshots: 500 {EVIL}"
    assert page.tables["datastores"].by_name()["x"]["Result"] == "not listed: in maintenance: <u>"
    assert page.terms["PBS"].endswith(", version <i>4.&amp;")
    assert "1 of 2 datastores failed: <b>&" in page.items
    assert down.items[2] == f"500 {EVIL}"
    for tag in ("script", "u", "i"):
        assert page.all(tag) == down.all(tag) == []
    assert {attributes["class"] for attributes in page.all("b")} == {"ok", "failed", "unreadable"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x" * 2000, "x" * 2000),
        ("a\x00b\nc\x1b[31m", "abc[31m"),
        ("{0}{style}%s", "{0}{style}%s"),
        ('" onclick="x', '" onclick="x'),
        ("\u202edetrevni", "\u202edetrevni"),
        ("größer 💾", "größer 💾"),
    ],
    ids=["long", "control", "format", "quote", "bidi", "unicode"],
)
async def test_any_name_is_shown_as_it_is(name: str, shown: str) -> None:
    """A datastore's row has its name without control characters, and the page stays valid."""
    async with running(CannedPbs({"/admin/datastore": [{"store": name}]})) as setup:
        setup.pbs.faults.add("*/namespace", Fault.status(500, "no"))
        page = await after_a_scrape(setup)
    assert [row[0] for row in page.tables["datastores"].rows] == [shown]
    assert f"1 of 1 datastore failed: {shown}" in page.items
    # Right-to-left letters in it don't reverse the sentence around it.
    assert f"<bdi>{escape(shown)}</bdi>" in page.html
    assert not [attributes for _, attributes in page.elements if "onclick" in attributes]


async def test_the_page_is_accessible(setup: Setup) -> None:
    """The page has a language, a title, landmarks, headings in order, headed and captioned tables, and fits a phone."""
    setup.pbs.faults.add("/access/permissions", Fault.json({}))
    page = await after_a_scrape(setup)
    assert page.all("html") == [{"lang": "en"}]
    assert [len(page.all(tag)) for tag in ("title", "main", "header", "nav", "footer", "h1")] == [1] * 6
    assert [heading for heading, _ in page.headings] == ["h1", "h2", "h2", "h2", "h2"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all(table.caption for table in page.tables.values())
    assert list(page.tables) == ["rights", "collectors", "datastores"]
    heads = sum(len(table.heads) for table in page.tables.values())
    rows = sum(len(table.rows) for table in page.tables.values())
    scopes = [heading["scope"] for heading in page.all("th")]
    assert (scopes.count("col"), scopes.count("row"), len(scopes)) == (heads, rows, heads + rows)
    for table in page.tables.values():
        assert {len(row) for row in table.rows} == {len(table.heads)}
    assert page.all("script") == page.all("img") == page.all("link") == []
    assert not [attributes for _, attributes in page.elements if "style" in attributes or "onclick" in attributes]


async def test_links_are_relative_or_lead_within_the_page(setup: Setup) -> None:
    """Links work behind a proxy's path, and those within the page have a target."""
    setup.pbs.faults.add("/access/permissions", Fault.json({}))
    setup.pbs.faults.add("*/snapshots", Fault.status(500, "no"))
    page = await after_a_scrape(setup)
    links = [str(link["href"]) for link in page.all("a")]
    assert links == ["metrics", "health", "#datastores", "#rights"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


async def test_times_can_be_read_by_programs(setup: Setup) -> None:
    """Each time is an element with the time in UTC to the second."""
    page = await after_a_scrape(setup)
    times = {str(element["datetime"]) for element in page.all("time")}
    assert times == {"2026-11-18T11:06:40Z", "2026-11-18T11:06:52Z"}


async def test_a_clock_that_goes_back(setup: Setup) -> None:
    """After the clock was set back no age is negative."""
    page = await after_a_scrape(setup, seconds=-3600)
    assert page.tables["datastores"].by_name()["main"]["Last listing"] == "11:06:40 0 s ago"
    assert not re.search(r"-\d+ (ms|s|min|h|d)\b", page.text)


async def test_yesterday_has_a_date(setup: Setup) -> None:
    """A time on another day is shown with its date."""
    page = await after_a_scrape(setup, seconds=50 * 3600)
    assert page.tables["datastores"].by_name()["main"]["Last listing"] == "2026-11-18 11:06 2 d 2 h ago"


async def test_the_policy_allows_the_pages_own_style_alone(setup: Setup) -> None:
    """The Content-Security-Policy has the hash of the page's style, and forbids everything else."""
    async with setup.exporter.client.get("/") as response:
        html = await response.text()
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        assert response.content_type == "text/html"
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "color-scheme: light dark" in style


async def test_no_cache_keeps_the_page(setup: Setup) -> None:
    """An old copy of the page is never shown as the current one."""
    async with setup.exporter.client.get("/") as response:
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5.0, "0 s"),
        (0.0, "0 s"),
        (0.0042, "4 ms"),
        (1.0, "1 s"),
        (1.25, "1.2 s"),
        (59.7, "60 s"),
        (60.0, "1 min"),
        (61.9, "1 min 1 s"),
        (3600.0, "1 h"),
        (86_399.0, "23 h 59 min"),
        (86_400.0, "1 d"),
        (400_000.0, "4 d 15 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """A duration has its two largest units."""
    assert span(seconds) == words
