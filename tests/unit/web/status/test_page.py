"""The status page: what an operator reads there, in each state of PBS, of the token and of the datastores."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import pytest

from pbs_exporter import __version__
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.simulator import Fault, World
from pbs_exporter.web.status.formatting import span
from tests.support.canned_pbs import HandMade
from tests.support.clock import FakeClock
from tests.support.exporter import exporting, make_settings
from tests.support.html_page import Page, information
from tests.support.running import Setup, running
from tests.support.small_pbs import NOW, simulated, small_world
from tests.support.waiting import Gate

ON = [name for name, is_on in DEFAULTS.items() if is_on]
HEADS = ["Datastore", "Result", "Age", "Last listing", "Last full listing", "Took", "Next full listing"]
DASH = "\N{EN DASH}"
EVIL = "<script>alert('&amp;\"')</script>"


async def look(setup: Setup) -> Page:
    """Read the page; nothing is asked of PBS for it."""
    asked = len(setup.pbs.requests)
    page = await information(setup.exporter.client)
    assert len(setup.pbs.requests) == asked
    return page


async def after_a_scrape(setup: Setup, *, seconds: float = 12.0) -> Page:
    """Scrape, let time pass, and read the page."""
    await setup.scrape()
    setup.clock.advance(seconds)
    return await look(setup)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Give an exporter in front of a PBS with two datastores where all is well."""
    async with running() as made:
        yield made


# --- the states


async def test_before_the_first_scrape_it_says_so(setup: Setup) -> None:
    """A page that is read before any scrape says that nothing is known, and what this program is."""
    page = await look(setup)
    assert page.headings == [("h1", "pbs-exporter"), ("h2", "Not scraped yet")]
    assert page.terms == {
        "PBS": setup.pbs.endpoint,
        "State": "unknown",
        "Last scrape": "none yet",
        "Exporter": f"version {__version__}, up for 0 s",
    }
    assert page.tables == {}


async def test_all_is_well(setup: Setup) -> None:
    """Where nothing fails the page says so as of the last scrape, with both versions, times and durations."""
    page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "All well")
    assert page.items[2:] == ["At the last scrape, 12 s ago, PBS answered and nothing failed."]
    assert page.terms["PBS"] == f"{setup.pbs.endpoint}, version 4.2.3"
    assert page.terms["State"] == "up"
    assert re.fullmatch(r"2026-11-18 11:06:40 UTC, 12 s ago, took [\d.]+ m?s", page.terms["Last scrape"])
    assert page.terms["Exporter"] == f"version {__version__}, up for 12 s"
    assert "The token has all privileges that the collectors need. Checked 12 s ago." in page.text


async def test_each_collector_has_a_row(setup: Setup) -> None:
    """A row for each collector that is on tells its result, its age and how long it took; those off are named."""
    page = await after_a_scrape(setup)
    rows = page.tables["collectors"].by_name()
    assert list(rows) == ON
    assert {row["Result"] for row in rows.values()} == {"ok"}
    slow = {one.name: span(300 * one.intervals) for one in COLLECTORS if one.intervals}
    assert {name: row["Age"] for name, row in rows.items()} == {
        name: f"12 s ago every {slow[name]}" if name in slow else "12 s ago" for name in ON
    }
    assert all(re.fullmatch(r"[\d.]+ m?s", row["Took"]) for row in rows.values())
    assert "Disabled: disks." in page.text


async def test_each_datastore_has_a_row(setup: Setup) -> None:
    """A row for each datastore tells its result, when it was listed, in full too, and when that is due again."""
    page = await after_a_scrape(setup)
    assert page.tables["datastores"].heads == HEADS
    row = ["ok", "12 s ago", "11:06:40 12 s ago", "11:06:40 12 s ago", "0 s", "at the next scrape"]
    assert page.tables["datastores"].rows == [["archive", *row], ["main", *row]]


async def test_pbs_that_is_down() -> None:
    """If PBS can't be reached the page says so with the reason, and with the version that PBS had."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("*", Fault.status(503, "proxy is out"))
        page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "2 problems")
    assert page.items[2] == "PBS is down for this token: 503 proxy is out"
    assert page.terms["State"] == "down: 503 proxy is out"
    assert page.terms["PBS"] == f"{setup.pbs.endpoint}, version 4.2.3"


async def test_nothing_that_listens() -> None:
    """Where nothing listens on PBS's port, that is the reason."""
    async with running() as setup:
        await setup.pbs.stop()
        await setup.scrape()
        page = await information(setup.exporter.client)
    assert re.fullmatch(
        r"PBS is down for this token: nothing listens on 127\.0\.0\.1:\d+ \(connection refused\)", page.items[2]
    )
    assert page.terms["PBS"] == setup.pbs.endpoint
    assert page.headings[-1] == ("h2", "Datastores")
    assert "PBS listed no datastores." in page.text


async def test_a_login_that_is_refused() -> None:
    """A refused login is PBS's own words at the top, and the privileges are unknown for the same reason."""
    async with simulated() as pbs, exporting(make_settings(pbs, token_id="nobody@pbs!x"), FakeClock(NOW).clock) as made:
        await made.scrape()
        page = await information(made.client)
    assert "PBS is down for this token: 401" in page.items[2]
    assert page.terms["State"].startswith("down: 401")
    assert any(item.startswith("The token's privileges are unknown: ") for item in page.items)
    assert "The command pbs-exporter check shows them." in page.text


async def test_a_collector_that_fails(setup: Setup) -> None:
    """A collector that failed comes first, with PBS's reason, and the top names it."""
    setup.pbs.faults.add("/admin/gc", Fault.status(403, "permission check failed"))
    page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "1 problem")
    assert page.items[2] == f"1 of {len(ON)} collectors failed: gc"
    rows = page.tables["collectors"].by_name()
    assert list(rows) == ["gc", *(name for name in ON if name != "gc")]
    assert rows["gc"]["Result"] == "failed: 403 permission check failed"
    assert page.all("title") == [{}]
    assert "<title>1 problem · pbs-exporter</title>" in page.html


async def test_a_slow_collector_that_fails(setup: Setup) -> None:
    """A slow collector that fails tells how old the samples are that are still shown."""
    await setup.scrape()
    setup.pbs.faults.add("/nodes/localhost/services", Fault.status(500, "no bus"))
    setup.clock.advance(301)
    page = await after_a_scrape(setup)
    row = page.tables["collectors"].by_name()["services"]
    assert row["Result"] == "failed: 500 no bussamples from 11:06:40 5 min 13 s ago"
    assert row["Age"] == "12 s ago every 5 min"


async def test_a_datastore_that_fails(setup: Setup) -> None:
    """A datastore that failed comes first with its reason, and the collector's row names it without repeating that."""
    await setup.scrape()
    setup.clock.advance(60)
    setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "disk gone"))
    page = await after_a_scrape(setup)
    assert page.items[2:4] == [f"1 of {len(ON)} collectors failed: snapshots", "1 of 2 datastores failed: main"]
    assert page.tables["collectors"].by_name()["snapshots"]["Result"] == "failed: 1 datastore: main"
    assert page.tables["datastores"].rows[0] == [
        "main",
        "failed: snapshots: 400 disk gone",
        "12 s ago",
        "11:06:40 1 min 12 s ago",
        "11:06:40 1 min 12 s ago",
        "0 s",
        "at the next scrape",
    ]
    assert page.tables["datastores"].rows[1][:3] == ["archive", "ok", "12 s ago"]


async def test_a_datastore_that_fails_for_several_collectors(setup: Setup) -> None:
    """Each collector's reason for a datastore is in its row."""
    setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "one is bad"))
    setup.pbs.faults.add("/admin/datastore/main/status", Fault.status(500, "cold"))
    setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "disk gone"))
    page = await after_a_scrape(setup)
    result = page.tables["datastores"].by_name()["main"]["Result"]
    assert result == "failed: datastores: 500 coldsnapshots: 400 disk gone"
    assert page.tables["collectors"].by_name()["datastores"]["Result"] == "failed: 400 one is bad1 datastore: main"


async def test_a_first_listing_that_takes_its_time(setup: Setup) -> None:
    """A datastore whose first listing isn't through waits, which is no failure; the page says for how long."""
    gate = Gate()
    setup.pbs.faults.add("/admin/datastore/main/snapshots", gate.fault)
    await setup.scrape(2)
    setup.clock.advance(95)
    page = await look(setup)
    assert page.headings[1] == ("h2", "No problems so far")
    assert "Not listed yet: main" in page.items
    waiting = "waiting: snapshots: the first listing isn't finished yet"
    row = ["main", waiting, DASH, DASH, DASH, DASH, "running for 1 min 35 s"]
    assert page.tables["datastores"].rows[0] == row
    assert page.tables["collectors"].by_name()["snapshots"]["Result"] == "waiting: 1 datastore: main"
    gate.open()
    await gate.settled(setup.pbs)
    row_now = (await look(setup)).tables["datastores"].by_name()["main"]
    assert row_now["Result"] == "ok"
    assert row_now["Took"] == "1 min 35 s"


async def test_a_slow_collector_that_hasnt_answered_yet(setup: Setup) -> None:
    """A slow collector whose first ask isn't through waits, and has neither age nor duration."""
    gate = Gate()
    setup.pbs.faults.add("/nodes/localhost/services", gate.fault)
    await setup.scrape(2)
    page = await look(setup)
    assert page.headings[1] == ("h2", "No problems so far")
    # What is behind it in the queue waits too.
    (waiting,) = [item for item in page.items if item.startswith("Waiting for the first answers: ")]
    assert "services" in waiting
    row = page.tables["collectors"].by_name()["services"]
    assert row == {
        "Result": "waiting: the first query isn't finished yet",
        "Age": f"{DASH} every 5 min",
        "Took": DASH,
    }
    gate.open()


async def test_listings_in_the_background() -> None:
    """Where scrapes look for changes only, the page tells both listings apart and when the next full one is due."""
    async with running(listing_mode="changes", listing_refresh_seconds=1000.0) as setup:
        await setup.scrape()
        setup.clock.advance(300)
        page = await after_a_scrape(setup)
    row = page.tables["datastores"].by_name()["main"]
    assert (row["Last listing"], row["Last full listing"]) == ("11:11:40 12 s ago", "11:06:40 5 min 12 s ago")
    minutes = re.fullmatch(r"in (\d+) min(?: \d+ s)?", row["Next full listing"])
    assert minutes is not None
    # Spread between 0.8 and 1.0 of 1000 s, of which 312 are over.
    assert 8 <= int(minutes[1]) <= 11


async def test_a_full_listing_in_the_background_that_fails() -> None:
    """A full listing that goes on after the scrape is under way, and when it fails the page says so at once."""
    gate = Gate()
    async with running(small_world(1), listing_mode="changes", listing_refresh_seconds=1000.0) as setup:
        await setup.scrape()
        setup.pbs.faults.add("*/snapshots", Fault.status(500, "disk gone"))
        setup.pbs.faults.add("*/snapshots", gate.fault, times=1)
        setup.clock.advance(1000)
        page = await after_a_scrape(setup, seconds=40)
        row = page.tables["datastores"].by_name()["main"]
        assert (row["Result"], row["Next full listing"]) == ("ok", "running for 40 s")
        gate.open()
        setup.clock.advance(20)
        await gate.settled(setup.pbs)
        row = (await look(setup)).tables["datastores"].by_name()["main"]
    assert row["Result"] == "failed: snapshots: 500 disk gone"
    assert row["Age"] == "0 s ago"
    assert row["Next full listing"] == "in 1 min"
    assert row["Last full listing"] == "11:06:40 17 min 40 s ago"


async def test_a_listing_that_is_kept_for_a_while() -> None:
    """With `listing_interval_seconds` the next full listing is due after that."""
    async with running(listing_mode="full", listing_interval_seconds=600.0) as setup:
        page = await after_a_scrape(setup, seconds=60)
    assert page.tables["datastores"].by_name()["main"]["Next full listing"] == "in 9 min"


async def test_datastores_that_cant_be_read() -> None:
    """A datastore in maintenance or not mounted is on the page with that reason, and is no failure."""
    world = small_world(3)
    world.stores[0].maintenance = "offline,message=check"
    world.stores[1].removable, world.stores[1].mounted = True, False
    async with running(world) as setup:
        page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "All well")
    assert "Can't be read: archive (not mounted), main (in maintenance: offline)" in page.items
    assert [row[:3] for row in page.tables["datastores"].rows] == [
        ["archive", "not listed: not mounted", "12 s ago"],
        ["main", "not listed: in maintenance: offline", "12 s ago"],
        ["offsite", "ok", "12 s ago"],
    ]


async def test_datastores_that_werent_asked(setup: Setup) -> None:
    """Of a datastore that the last scrape couldn't ask for it isn't said that it is well; its last listing stays."""
    for path in ("*", "/admin/datastore"):
        await setup.scrape()
        armed = setup.pbs.faults.add(path, Fault.status(503, "proxy is out"))
        page = await after_a_scrape(setup)
        armed.remove()
        rows = page.tables["datastores"].by_name()
        assert {row["Result"] for row in rows.values()} == {"not listed: not queried in the last scrape"}
        assert all(row["Last listing"].endswith("12 s ago") for row in rows.values())
        assert not [item for item in page.items if item.startswith("Can't be read")]


async def test_a_datastore_that_goes_into_maintenance() -> None:
    """A datastore that was listed and has gone into maintenance is there with that reason."""
    world = small_world(2)
    async with running(world) as setup:
        await setup.scrape()
        world.stores[0].maintenance = "offline"
        page = await after_a_scrape(setup)
    assert page.tables["datastores"].by_name()["main"]["Result"] == "not listed: in maintenance: offline"


async def test_nobody_scrapes_any_more(setup: Setup) -> None:
    """What was well long ago isn't said to be well: after ten minutes the page says for how long nobody has asked."""
    page = await after_a_scrape(setup, seconds=600)
    assert page.headings[1] == ("h2", "All well")
    setup.clock.advance(1)
    page = await look(setup)
    assert page.headings[1] == ("h2", "Not scraped for 10 min 1 s")
    assert page.items[2] == "At the last scrape, 10 min 1 s ago, PBS answered and nothing failed."


# --- privileges


async def test_a_right_that_is_missing(setup: Setup) -> None:
    """What the token lacks is on the page with who needs it, and with the very commands that `check` prints."""
    setup.pbs.faults.add("/access/permissions", Fault.json({"/": {"Sys.Audit": True, "Datastore.Audit": True}}))
    page = await after_a_scrape(setup)
    assert page.items[2] == "The token lacks 2 privileges: Tape.Audit on /tape, Remote.Audit on /remote"
    assert page.tables["rights"].rows == [
        ["Tape.Audit", "/tape", "tape, tape_media, jobs"],
        ["Remote.Audit", "/remote", "jobs"],
    ]
    grant = "proxmox-backup-manager acl update / {} --auth-id '{}'"
    commands = [
        grant.format(role, who)
        for role in ("TapeAudit", "RemoteAudit")
        for who in (setup.pbs.token_id.partition("!")[0], setup.pbs.token_id)
    ]
    assert "\n".join(commands) in page.text
    assert "Checked 12 s ago" in page.text


async def test_rights_are_those_that_pbs_told_last(setup: Setup) -> None:
    """If PBS no longer reports the privileges, the page shows the last ones with their age."""
    await setup.scrape()
    setup.pbs.faults.add("/access/permissions", Fault.status(500, "no"))
    setup.clock.advance(301)
    page = await after_a_scrape(setup)
    assert page.tables["collectors"].by_name()["access"]["Result"].startswith("failed: 500 no")
    assert "The token has all privileges that the collectors need. Checked 5 min 13 s ago." in page.text


async def test_rights_without_the_collector_access() -> None:
    """Without the collector `access` the privileges are unknown, and the page says so."""
    async with running(collectors={"access": False}) as setup:
        page = await after_a_scrape(setup)
    assert "The token's privileges are unknown: the collector access is disabled" in page.items
    assert "Unknown: the collector access is disabled." in page.text


# --- 200 datastores


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
    assert page.items[3] == f"20 of 200 datastores failed: {', '.join(sorted(bad)[:8])} and 12 more"
    assert len(page.html) < 100_000


async def test_names_with_numbers_are_sorted_as_people_do() -> None:
    """`store9` comes before `store10`."""
    async with running(small_world(12)) as setup:
        page = await after_a_scrape(setup)
    names = [row[0] for row in page.tables["datastores"].rows]
    assert names[-7:] == [f"store{number}" for number in range(6, 13)]


# --- foreign text


async def test_foreign_text_is_escaped() -> None:
    """What PBS says, and what datastores are called, is text on the page and never markup."""
    answers: dict[str, Any] = {
        "/version": {"version": "<i>4", "release": "&amp;", "repoid": "abc"},
        "/admin/datastore": [{"store": "<b>&"}, {"store": "x", "maintenance": "<u>,message=a"}],
    }
    async with running(HandMade(answers)) as setup:
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
    assert down.terms["State"] == f"down: 500 {EVIL}"
    assert down.items[2] == f"PBS is down for this token: 500 {EVIL}"
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
    """Whatever a datastore is called, its row has that name without control characters, and the page stays whole."""
    async with running(HandMade({"/admin/datastore": [{"store": name}]})) as setup:
        setup.pbs.faults.add("*/namespace", Fault.status(500, "no"))
        page = await after_a_scrape(setup)
    assert [row[0] for row in page.tables["datastores"].rows] == [shown]
    assert f"1 of 1 datastore failed: {shown}" in page.items
    # Its letters can't turn the sentence around that it stands in.
    assert f"<bdi>{escape(shown)}</bdi>" in page.html
    assert not [attributes for _, attributes in page.elements if "onclick" in attributes]


# --- the form


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
    """Links work behind a proxy's path, and those within the page lead to something that is there."""
    setup.pbs.faults.add("/access/permissions", Fault.json({}))
    setup.pbs.faults.add("*/snapshots", Fault.status(500, "no"))
    page = await after_a_scrape(setup)
    links = [str(link["href"]) for link in page.all("a")]
    assert links == ["metrics", "health", "#collectors", "#datastores", "#rights"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "README.md and docs/ in the source of version" in page.text


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
    """A time of another day is shown with its date."""
    page = await after_a_scrape(setup, seconds=50 * 3600)
    assert page.tables["datastores"].by_name()["main"]["Last listing"] == "2026-11-18 11:06 2 d 2 h ago"


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
    """A duration has the two units that matter."""
    assert span(seconds) == words


async def test_the_policy_allows_the_pages_own_style_alone(setup: Setup) -> None:
    """The Content-Security-Policy has the hash of the style that is on the page, and forbids all else."""
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
    """A page of a while ago is never shown as today's."""
    async with setup.exporter.client.get("/") as response:
        assert response.headers["Cache-Control"] == "no-store"
