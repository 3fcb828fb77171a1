"""The overview of many PBS: what each row says, and how large the page is."""

from pbs_exporter.simulator import Fault, World
from pbs_exporter.web.app import TARGETS
from pbs_exporter.web.status import POLICY, read_overview, render_overview
from pbs_exporter.web.status.facts import Down
from pbs_exporter.web.status.overview import TargetRow
from tests.support.running import NOW, Setup, running
from tests.support.status_page import Page
from tests.support.waiting import Gate

HUNDREDS = 200


def row(name: str, *, at: float | None = NOW, **known: object) -> TargetRow:
    """Return the row of a PBS that was well at its last scrape, but for what the test says."""
    well = {"version": "4.2.3", "down": None, "failed": (), "waiting": ()}
    return TargetRow(name=name, at=at, **{**well, **known})  # type: ignore[arg-type] # a test's keywords


def overview(*rows: TargetRow) -> Page:
    """Return the parsed page, two minutes after the scrapes."""
    page = Page(render_overview(rows, now=NOW + 120, up_seconds=60))
    assert page.open == []
    return page


def many(setup: Setup) -> list[TargetRow]:
    """Return the rows of hundreds of PBS which are all as the one that was scraped."""
    target = setup.exporter.client.app[TARGETS].all()[""].target
    return read_overview({f"pbs{number}": (target, target.listings()) for number in range(HUNDREDS)})


def test_a_row_says_what_is_wrong() -> None:
    """A row has its state and the reason: down, failed, waiting for first answers, or not scraped lately."""
    page = overview(
        row("well"),
        row("new", at=None, version=None),
        row("left", at=NOW - 1000, failed=("gc",)),
        row("starting", waiting=("snapshots",)),
        row("failing", failed=("gc", "tape")),
        row("down", down=Down("No connection to PBS", "host pbs not found")),
    )
    (table,) = page.tables.values()
    assert [cells[:2] for cells in table.rows] == [
        ["failing", "failed: gc, tape"],
        ["down", "failed: host pbs not found"],
        ["new", "waiting: not scraped yet"],
        ["left", "waiting: not scraped for 18 min 40 s"],
        ["starting", "waiting: snapshots"],
        ["well", "ok"],
    ]
    assert page.headings[1] == ("h2", "2 of 6 PBS servers with failures")
    assert "2 PBS servers not scraped lately" in page.items


def test_the_headline_is_about_collectors() -> None:
    """Without failures the page says so of the collectors, and that backups are judged by alerts."""
    page = overview(row("one"), row("two"))
    assert page.headings[1] == ("h2", "All collectors ok")
    assert any("alerts" in item for item in page.items)
    waiting = overview(row("one"), row("two", waiting=("snapshots",)))
    assert waiting.headings[1] == ("h2", "No failures so far")


async def test_a_first_listing_is_no_failure() -> None:
    """A PBS whose first listing isn't finished is shown as waiting, as on its own page."""
    gate = Gate()
    async with running() as setup:
        setup.pbs.faults.add("/admin/datastore/main/snapshots", gate.fault)
        await setup.scrape(4)
        (first, *_) = many(setup)
        gate.open()
    assert (first.failed, first.waiting) == ((), ("snapshots",))


async def test_hundreds_of_pbs_with_many_datastores_are_a_small_page() -> None:
    """The overview of 200 PBS with 20 failing datastores each has less than 80 kB, and that of a PBS less than 40."""
    world = World(20, 1, 2, 2, seed=1, now=lambda: NOW, task_history_seconds=10_000)
    async with running(world) as setup:
        setup.pbs.faults.add("*/snapshots", Fault.status(400, "x" * 1000))
        await setup.scrape()
        rows = many(setup)
        async with setup.exporter.client.get("/") as response:
            assert len(await response.read()) < 40_000
            assert response.headers["Content-Security-Policy"] == POLICY
    html = render_overview(rows, now=NOW, up_seconds=60)
    assert html.count('<tr class="failed">') == HUNDREDS
    assert len(html.encode()) < 80_000


def test_hundreds_of_pbs_that_are_down_are_a_bounded_page() -> None:
    """The overview of 200 PBS that are all down, for the longest reason that there is, has less than 250 kB."""
    down = Down("No usable answer from PBS", "500 " + "\N{GRINNING FACE}" * 200)
    html = render_overview([row(f"pbs{number}", down=down) for number in range(HUNDREDS)], now=NOW, up_seconds=60)
    assert len(html.encode()) < 250_000
