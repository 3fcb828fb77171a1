"""The status page in each state of PBS, of the token and of the datastores."""

import re

from pbs_exporter import __version__
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.simulator import Fault
from pbs_exporter.web.status.formatting import span
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.running import NOW, Setup, running, simulated, small_world
from tests.support.status_page import DASH, HEADS, ON, after_a_scrape, read_status_page, status_page
from tests.support.waiting import Gate


async def test_before_the_first_scrape_it_says_so(setup: Setup) -> None:
    """A page before any scrape says that nothing is known, and describes the program."""
    page = await read_status_page(setup)
    assert page.headings == [("h1", "pbs-exporter"), ("h2", "Not scraped yet")]
    assert page.terms == {
        "PBS": setup.pbs.endpoint,
        "State": "unknown",
        "Last scrape": "none yet",
        "Exporter": f"version {__version__}, up for 0 s",
    }
    assert page.tables == {}


async def test_all_is_well(setup: Setup) -> None:
    """If nothing fails, the page says so of the collectors and not of the backups, with versions and times."""
    page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "All collectors ok")
    assert page.items[2:] == [
        "At the last scrape, 12 s ago, PBS answered and nothing failed.",
        "This is about the exporter. Whether backups are recent and verified is for the alerts to judge.",
    ]
    assert page.terms["PBS"] == f"{setup.pbs.endpoint}, version 4.2.3"
    assert page.terms["State"] == "up"
    assert re.fullmatch(r"2026-11-18 11:06:40 UTC, 12 s ago, took [\d.]+ m?s", page.terms["Last scrape"])
    assert page.terms["Exporter"] == f"version {__version__}, up for 12 s"
    assert "The token has all privileges that the collectors need. Checked 12 s ago." in page.text


async def test_each_collector_has_a_row(setup: Setup) -> None:
    """A row for each active collector has its result, age and duration; inactive collectors are named."""
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
    """A row for each datastore has its result, its last listing and full listing, and when the next one is due."""
    page = await after_a_scrape(setup)
    assert page.tables["datastores"].heads == HEADS
    row = ["ok", "12 s ago", "11:06:40 12 s ago", "11:06:40 12 s ago", "0 s", "at the next scrape"]
    assert page.tables["datastores"].rows == [["archive", *row], ["main", *row]]


async def test_pbs_that_is_down() -> None:
    """If PBS has no usable answer the page says so with the reason, and with the last known version."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("*", Fault.status(503, "proxy is out"))
        page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "No usable answer from PBS")
    assert page.items[2:] == ["503 proxy is out"]
    assert page.terms["State"] == "down"
    assert page.terms["PBS"] == f"{setup.pbs.endpoint}, version 4.2.3"


async def test_nothing_that_listens() -> None:
    """If nothing listens on PBS's port, the page has that reason once, and nothing else was asked."""
    async with running() as setup:
        await setup.pbs.stop()
        await setup.scrape()
        page = await status_page(setup.exporter.client)
    assert page.headings[1] == ("h2", "No connection to PBS")
    assert len(page.items) == 3
    assert re.fullmatch(r"nothing listens on 127\.0\.0\.1:\d+ \(connection refused\)", page.items[2])
    assert page.text.count("connection refused") == 1
    assert {row["Result"] for row in page.tables["collectors"].by_name().values()} <= {"not asked: PBS is down", "ok"}
    assert page.terms["PBS"] == setup.pbs.endpoint
    assert page.headings[-1] == ("h2", "Datastores")
    assert "Not asked: PBS is down." in page.text


async def test_a_login_that_is_refused() -> None:
    """A refused login is at the top, once and with the time of the next try if there is a pause."""
    async with simulated() as pbs, exporting(make_settings(pbs, token_id="nobody@pbs!x"), FakeClock(NOW).clock) as made:
        await made.scrape()
        first = await status_page(made.client)
        for _ in range(3):
            await made.scrape()
        paused = await status_page(made.client)
    assert first.items[2:] == ["401 authentication failed"]
    assert paused.items[2:] == ["the token was refused (3 in a row): next try after 11:07:40 UTC"]
    for page in (first, paused):
        assert page.headings[1] == ("h2", "PBS refuses the token")
        results = {row["Result"] for row in page.tables["collectors"].by_name().values()}
        assert results == {"not asked: PBS is down", "ok"}
        assert "Unknown: PBS is down." in page.text


async def test_a_collector_that_fails(setup: Setup) -> None:
    """A failed collector comes first, with PBS's reason, and the top names it."""
    setup.pbs.faults.add("/admin/gc", Fault.status(403, "permission check failed"))
    page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "1 collector failed")
    assert page.items[2] == f"1 of {len(ON)} collectors failed: gc"
    rows = page.tables["collectors"].by_name()
    assert list(rows) == ["gc", *(name for name in ON if name != "gc")]
    assert rows["gc"]["Result"] == "failed: 403 permission check failed"
    assert page.all("title") == [{}]
    assert "<title>1 collector failed · pbs-exporter</title>" in page.html


async def test_a_slow_collector_that_fails(setup: Setup) -> None:
    """A failed slow collector has the age of the samples that are still shown."""
    await setup.scrape()
    setup.pbs.faults.add("/nodes/localhost/services", Fault.status(500, "no bus"))
    setup.clock.advance(301)
    page = await after_a_scrape(setup)
    row = page.tables["collectors"].by_name()["services"]
    assert row["Result"] == "failed: 500 no bussamples from 11:06:40 5 min 13 s ago"
    assert row["Age"] == "12 s ago every 5 min"


async def test_a_datastore_that_fails(setup: Setup) -> None:
    """A failed datastore comes first with its reason and counts once, and the collector's row only names it."""
    await setup.scrape()
    setup.clock.advance(60)
    setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.status(400, "disk gone"))
    page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "1 datastore failed")
    assert page.items[2:] == ["1 of 2 datastores failed: main"]
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
    """A datastore waits until its first listing is finished, which is no failure; the page shows the duration."""
    gate = Gate()
    setup.pbs.faults.add("/admin/datastore/main/snapshots", gate.fault)
    await setup.scrape(4)
    setup.clock.advance(95)
    page = await read_status_page(setup)
    assert page.headings[1] == ("h2", "No failures so far")
    assert "Not listed yet: main" in page.items
    waiting = "waiting: snapshots: the first listing isn't finished yet"
    row = ["main", waiting, DASH, DASH, DASH, DASH, "running since 11:06:40"]
    assert page.tables["datastores"].rows[0] == row
    assert page.tables["collectors"].by_name()["snapshots"]["Result"] == "waiting: 1 datastore: main"
    gate.open()
    await gate.settled(setup.pbs)
    row_now = (await read_status_page(setup)).tables["datastores"].by_name()["main"]
    assert row_now["Result"] == "ok"
    assert row_now["Took"] == "1 min 35 s"


async def test_a_slow_collector_that_hasnt_answered_yet(setup: Setup) -> None:
    """A slow collector waits until its first query is finished, and has neither age nor duration until that."""
    gate = Gate()
    setup.pbs.faults.add("/nodes/localhost/services", gate.fault)
    await setup.scrape(4)
    page = await read_status_page(setup)
    assert page.headings[1] == ("h2", "No failures so far")
    # Collectors behind it in the queue wait too.
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
    """If scrapes list incrementally, the page shows both listings separately, and the next full listing's due time."""
    async with running(listing_mode="changes", listing_refresh_seconds=1000.0) as setup:
        await setup.scrape()
        setup.clock.advance(300)
        page = await after_a_scrape(setup)
    row = page.tables["datastores"].by_name()["main"]
    assert (row["Last listing"], row["Last full listing"]) == ("11:11:40 12 s ago", "11:06:40 5 min 12 s ago")
    # Spread between 0.8 and 1.0 of 1000 s.
    assert "after 11:20:00" <= row["Next full listing"] <= "after 11:23:20"


async def test_a_full_listing_in_the_background_that_fails() -> None:
    """A full listing that continues after the scrape is shown as running, and its failure is shown at once."""
    gate = Gate()
    async with running(small_world(1), listing_mode="changes", listing_refresh_seconds=1000.0) as setup:
        await setup.scrape()
        setup.pbs.faults.add("*/snapshots", Fault.status(500, "disk gone"))
        setup.pbs.faults.add("*/snapshots", gate.fault, times=1)
        setup.clock.advance(1000)
        page = await after_a_scrape(setup, seconds=40)
        row = page.tables["datastores"].by_name()["main"]
        assert (row["Result"], row["Next full listing"]) == ("ok", "running since 11:23:20")
        gate.open()
        setup.clock.advance(20)
        await gate.settled(setup.pbs)
        row = (await read_status_page(setup)).tables["datastores"].by_name()["main"]
    assert row["Result"] == "failed: snapshots: namespace prod: 500 disk gone"
    assert row["Age"] == "0 s ago"
    assert row["Next full listing"] == "after 11:25:20"
    assert row["Last full listing"] == "11:06:40 17 min 40 s ago"


async def test_a_listing_that_is_kept_for_a_while() -> None:
    """With `listing_interval_seconds`, the next full listing is due after that interval."""
    async with running(listing_mode="full", listing_interval_seconds=600.0) as setup:
        page = await after_a_scrape(setup, seconds=60)
    assert page.tables["datastores"].by_name()["main"]["Next full listing"] == "after 11:16:40"


async def test_datastores_that_cant_be_read() -> None:
    """An unmounted datastore or one in maintenance is shown with that reason, and is no failure."""
    world = small_world(3)
    world.stores[0].maintenance = "offline,message=check"
    world.stores[1].removable, world.stores[1].mounted = True, False
    async with running(world) as setup:
        page = await after_a_scrape(setup)
    assert page.headings[1] == ("h2", "All collectors ok")
    assert "Can't be read: archive (not mounted), main (in maintenance: offline)" in page.items
    assert [row[:3] for row in page.tables["datastores"].rows] == [
        ["archive", "not listed: not mounted", "12 s ago"],
        ["main", "not listed: in maintenance: offline", "12 s ago"],
        ["offsite", "ok", "12 s ago"],
    ]


async def test_datastores_that_werent_asked(setup: Setup) -> None:
    """A datastore that the last scrape couldn't ask isn't shown as OK; its last listing stays."""
    expected = {"*": "not asked: PBS is down", "/admin/datastore": "not listed: not queried in the last scrape"}
    for path, result in expected.items():
        await setup.scrape()
        armed = setup.pbs.faults.add(path, Fault.status(503, "proxy is out"))
        page = await after_a_scrape(setup)
        armed.remove()
        rows = page.tables["datastores"].by_name()
        assert {row["Result"] for row in rows.values()} == {result}
        assert all(row["Last listing"].endswith("12 s ago") for row in rows.values())
        assert not [item for item in page.items if item.startswith("Can't be read")]


async def test_a_datastore_that_goes_into_maintenance() -> None:
    """A datastore that was listed before its maintenance is shown with that reason."""
    world = small_world(2)
    async with running(world) as setup:
        await setup.scrape()
        world.stores[0].maintenance = "offline"
        page = await after_a_scrape(setup)
    assert page.tables["datastores"].by_name()["main"]["Result"] == "not listed: in maintenance: offline"


async def test_nobody_scrapes_any_more(setup: Setup) -> None:
    """After ten minutes without a scrape the page doesn't say that all is well, but how long ago the last one was."""
    page = await after_a_scrape(setup, seconds=600)
    assert page.headings[1] == ("h2", "All collectors ok")
    setup.clock.advance(1)
    page = await read_status_page(setup)
    assert page.headings[1] == ("h2", "Not scraped for 10 min 1 s")
    assert page.items[2] == "At the last scrape, 10 min 1 s ago, PBS answered and nothing failed."


async def test_a_right_that_is_missing(setup: Setup) -> None:
    """Missing privileges are shown with the collectors that need them, and with the same commands as in `check`."""
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
