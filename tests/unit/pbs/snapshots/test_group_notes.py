"""The notes of backup groups: what they set, when they are asked for, and how long they are shown."""

from typing import Any

import pytest

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.pbs.snapshots.group_notes import max_age
from pbs_exporter.simulator import Answer
from tests.support.canned_pbs import DAY, NOW, CannedPbs, Json, page
from tests.support.incremental_listing import WEB, listing_changes, observe, small_history
from tests.support.metrics_page import Scraped, failed, failed_datastores
from tests.support.running import GROUPS, running

MAX_AGES = [
    ("max-age=7d", 7 * DAY),
    ("max-age=36h", 36 * 3600),
    ("max-age=2w", 14 * DAY),
    ("mail server, max-age=07d, weekly", 7 * DAY),
    ("(max-age=7d)", 7 * DAY),
    ("line\nmax-age=7d\nline", 7 * DAY),
    ("x" * 500 + " max-age=99999w", 99_999 * 7 * DAY),
    ("max-age=7d max-age=8d", 7 * DAY),
    ("max-age=soon max-age=8d", 8 * DAY),
    ("max-age=0d max-age=8d", 8 * DAY),
    ("max-age=0h", None),
    ("max-age=7", None),
    ("max-age=7 d", None),
    ("max-age=7days", None),
    ("max-age=7.5d", None),
    ("max-age=-7d", None),
    ("max-age = 7d", None),
    ("max-age=100000h", None),
    ("max-age=\u0667d", None),
    ("max-age=7m", None),
    ("Max-Age=7d", None),
    ("no-max-age=7d", None),
    ("climax-age=7d", None),
    ("", None),
]


@pytest.mark.parametrize(("note", "seconds"), MAX_AGES)
def test_the_maximum_age_in_a_note(note: str, seconds: int | None) -> None:
    """The first valid max-age=N with its unit counts, anywhere in the note."""
    assert max_age(note) == seconds


def snapshot(backup_id: str, time: int = NOW - DAY, **fields: Json) -> Json:
    """Make a row of /snapshots."""
    row = {"backup-type": "vm", "backup-id": backup_id, "backup-time": time, "owner": "backup@pbs", "size": 1}
    return row | {"files": [{"filename": "index.json.blob"}], "protected": False} | fields


def group(backup_id: str, comment: str | None) -> Json:
    """Make a row of /groups."""
    row = {"backup-type": "vm", "backup-id": backup_id, "backup-count": 1, "last-backup": NOW - DAY, "comment": comment}
    return row | {"files": ["index.json.blob"], "owner": "backup@pbs"}


async def noted(snapshots: Json, groups: Json, **settings: Any) -> Scraped:
    """Scrape a datastore with these rows."""
    answers = {
        "/admin/datastore": [{"store": "main"}],
        "/admin/datastore/main/snapshots": {"": snapshots},
        "/admin/datastore/main/groups": groups,
    }
    return await page(answers, ("snapshots", "groups"), **settings)


INFOS = [
    pytest.param([snapshot("1")], [], ("backup@pbs", "", "", None), id="no notes"),
    pytest.param([snapshot("1", owner=None)], [], ("", "", "", None), id="no owner"),
    pytest.param([snapshot("1", comment="web01\nsecond")], [], ("backup@pbs", "web01", "", None), id="a guest's name"),
    pytest.param(
        [snapshot("1", NOW - 1), snapshot("1", NOW - 3, comment="old"), snapshot("1", NOW - 2, comment="new")],
        [],
        ("backup@pbs", "new", "", None),
        id="the newest snapshot that has a comment",
    ),
    pytest.param(
        [snapshot("1")],
        [group("1", "no-monitor: re\x07tired\nmax-age=2d"), group("2", "other")],
        ("backup@pbs", "", "no-monitor: retired", 2 * DAY),
        id="the first line of the note, and the whole note for its limit",
    ),
    pytest.param(
        [snapshot("1")],
        [group("1", "é" * 70 + " max-age=1w")],
        ("backup@pbs", "", "é" * 63 + "…", 7 * DAY),
        id="the limit stands where the label is cut",
    ),
]


@pytest.mark.parametrize("mode", ["full", "auto", "changes"])
@pytest.mark.parametrize(("snapshots", "groups", "wanted"), INFOS)
async def test_each_group_has_its_info(
    mode: str, snapshots: Json, groups: Json, wanted: tuple[str, str, str, float | None]
) -> None:
    """A group has one series with its owner, its snapshots' comment and its note, however few snapshots are shown."""
    scraped = await noted(snapshots, groups, listing_mode=mode, snapshot_history_limit=1)
    (labels, value), *more = scraped.series("pbs_group_info")
    if mode == "changes":
        # The first listing is a full one, and the next asks for the groups.
        wanted = (*wanted[:2], "", None)
    assert (value, more) == (1, [])
    assert (labels["owner"], labels["comment"], labels["group_comment"]) == wanted[:3]
    same = {name: labels[name] for name in ("datastore", "namespace", "backup_type", "backup_id")}
    assert scraped.value("pbs_group_max_age_seconds", **same) == wanted[3]


async def test_a_group_without_snapshots_has_no_info() -> None:
    """A group that has a note and no snapshots has no series."""
    scraped = await noted([], [group("1", "empty, max-age=1d") | {"backup-count": 0}])
    assert not scraped.series("pbs_group_info")
    assert not scraped.series("pbs_group_max_age_seconds")


async def test_names_that_are_equal_once_cut_are_told() -> None:
    """Of two groups whose IDs begin with the same 1,023 characters one is shown, and the success is 0."""
    scraped = await noted([snapshot("i" * 1024 + "1"), snapshot("i" * 1024 + "2")], [])
    assert len(scraped.series("pbs_group_info")) == 1
    assert failed(scraped) == {"snapshots"}


def shown(scraped: Scraped) -> dict[str, str]:
    """Return the note of each group on a page, by its ID."""
    return {labels["backup_id"]: labels["group_comment"] for labels, _ in scraped.series("pbs_group_info")}


PLACE = "/admin/datastore/{}/{}"
ONLY = dict.fromkeys(DEFAULTS, False) | {"snapshots": True, "groups": True}


def two_datastores() -> CannedPbs:
    """Return a PBS whose groups all have a note: two in `main`, one of them in a namespace, and one in `archive`."""
    return CannedPbs(
        {
            "/admin/datastore": [{"store": "main"}, {"store": "archive"}],
            PLACE.format("main", "snapshots"): {"": [snapshot("1")], "prod": [snapshot("2")]},
            PLACE.format("main", "groups"): {"": [group("1", "one")], "prod": [group("2", "two")]},
            PLACE.format("archive", "snapshots"): {"": [snapshot("3")]},
            PLACE.format("archive", "groups"): {"": [group("3", "three")]},
        }
    )


ALL = {"1": "one", "2": "two", "3": "three"}


async def test_notes_are_read_once_an_interval() -> None:
    """Where listings don't ask for groups, a slow collector does: once in its interval, each namespace."""
    source = two_datastores()
    async with running(source, collectors=ONLY) as setup:
        for _ in range(3):
            assert shown(await setup.scrape()) == ALL
        assert setup.asked(GROUPS) == 3
        source.answers[PLACE.format("archive", "groups")] = {"": [group("3", "another")]}
        setup.clock.advance(300)
        assert shown(await setup.scrape()) == ALL | {"3": "another"}
        assert setup.asked(GROUPS) == 6


@pytest.mark.parametrize(("off", "notes"), [("groups", {"1": "", "2": "", "3": ""}), ("snapshots", {})])
async def test_a_collector_that_is_off_reads_no_notes(off: str, notes: dict[str, str]) -> None:
    """Without the collector `groups` notes are unknown, and without `snapshots` nobody needs them."""
    async with running(two_datastores(), collectors=ONLY | {off: False}) as setup:
        page = await setup.scrape()
        assert shown(page) == notes
        assert failed(page) == set()
        assert setup.asked(GROUPS) == 0


async def test_a_namespace_that_fails_costs_its_own_notes() -> None:
    """Notes that can't be read again are those of the last good answer, for an hour."""
    source = two_datastores()
    of_main = source.answers[PLACE.format("main", "groups")]
    good, refused = of_main["prod"], Answer(400, b"ENOENT")
    async with running(source, collectors=ONLY) as setup:
        of_main["prod"] = refused
        page = await setup.scrape()
        assert shown(page) == ALL | {"2": ""}
        assert (failed(page), failed_datastores(page)) == ({"groups"}, {("groups", "main")})
        for of_main["prod"] in (good, *[refused] * 12):
            setup.clock.advance(300)
            assert shown(await setup.scrape()) == ALL
        setup.clock.advance(300)
        assert shown(await setup.scrape()) == ALL | {"2": ""}


async def test_a_group_that_cant_be_read_costs_itself() -> None:
    """A row of another shape makes the success of its datastore 0, and the other notes are shown."""
    source = two_datastores()
    source.answers[PLACE.format("main", "groups")][""] += [{"backup-type": 7}]
    async with running(source, collectors=ONLY) as setup:
        page = await setup.scrape()
    assert shown(page) == ALL
    assert failed_datastores(page) == {("groups", "main")}


async def test_notes_of_a_datastore_that_is_closed_are_forgotten() -> None:
    """A datastore in maintenance isn't asked, and its groups have no series."""
    source = two_datastores()
    async with running(source, collectors=ONLY) as setup:
        await setup.scrape()
        source.answers["/admin/datastore"][1]["maintenance"] = "offline"
        setup.clock.advance(300)
        page = await setup.scrape()
    assert shown(page) == {"1": "one", "2": "two"}
    assert failed(page) == set()


async def test_listings_of_changes_read_the_notes() -> None:
    """In the mode `changes` the groups that listings ask for tell the notes, and nobody asks for more."""
    history = small_history()
    history.note_group(WEB, "first, max-age=2d")
    async with listing_changes(history, collectors={"groups": True}, listing_idle_seconds=0) as setup:
        seen = await observe(setup)
        assert (shown(seen.page)["100"], seen.groups) == ("", [])
        for note in ("first, max-age=2d", "second", ""):
            history.note_group(WEB, note)
            history.clock.advance(300)
            seen = await observe(setup)
            notes = {labels["group_comment"] for labels, _ in seen.page.series("pbs_group_info")}
            assert notes == {note, ""}
            assert len(seen.page.series("pbs_group_max_age_seconds")) == ("max-age" in note)
            assert len(seen.groups) == len(set(seen.groups)) == 4
            assert not failed(seen.page)
