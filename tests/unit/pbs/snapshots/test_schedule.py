"""Time and kind of a datastore's listings: a table for each decision."""

import math

import pytest
from msgspec.structs import replace

from pbs_exporter.pbs.snapshots import schedule
from pbs_exporter.pbs.snapshots.schedule import Limits, Mode, Schedule

NOW = 10_000.0
LIMITS = Limits(interval=0.0, timeout=600.0, refresh=900.0, max_age=3600.0)
FULL = Schedule("full")
CHANGES = Schedule("changes", scraped_at=NOW)


@pytest.mark.parametrize(
    ("mode", "listed_at", "incremental"),
    [("full", None, False), ("full", NOW, False), ("changes", None, False), ("changes", NOW, True)],
)
def test_the_first_listing_is_full_in_either_mode(mode: Mode, listed_at: float | None, *, incremental: bool) -> None:
    """Scrapes wait for an incremental listing in the mode `changes`, if there is a listing to compare with."""
    assert schedule.is_incremental(Schedule(mode), listed_at) is incremental


DUE = {
    "never listed": (FULL, LIMITS, None, True),
    "listed just now, without an interval": (FULL, LIMITS, NOW, True),
    "younger than the interval": (FULL, replace(LIMITS, interval=60), NOW - 59, False),
    "as old as the interval": (FULL, replace(LIMITS, interval=60), NOW - 60, True),
    "younger than the interval, incremental": (CHANGES, replace(LIMITS, interval=60), NOW - 59, False),
    "a full one that timed out": (replace(FULL, full_not_before=NOW + 1), LIMITS, None, False),
    "a full one that timed out long ago": (replace(FULL, full_not_before=NOW), LIMITS, None, True),
    "an incremental one that timed out": (replace(CHANGES, incremental_not_before=NOW + 1), LIMITS, NOW, False),
    "an incremental one after a full one timed out": (replace(CHANGES, full_not_before=NOW + 1), LIMITS, NOW, True),
    "the first after an incremental one timed out": (
        replace(CHANGES, incremental_not_before=NOW + 1),
        LIMITS,
        None,
        True,
    ),
}


@pytest.mark.parametrize(("now", "limits", "listed_at", "due"), DUE.values(), ids=DUE)
def test_a_scrape_starts_a_listing_that_is_due(
    now: Schedule, limits: Limits, listed_at: float | None, *, due: bool
) -> None:
    """A listing starts unless the shown one is younger than the interval, or PBS still works on a timed-out one."""
    assert schedule.is_due(now, limits, listed_at, NOW) is due


NEXT_FULL = {
    "full, never listed": (FULL, LIMITS, None, -math.inf),
    "full, with an interval": (FULL, replace(LIMITS, interval=60), NOW, NOW + 60),
    "full, after a timeout": (replace(FULL, full_not_before=NOW + 600), LIMITS, NOW, NOW + 600),
    "full, whatever is due in the background": (replace(FULL, full_due_at=NOW + 900), LIMITS, NOW, NOW),
    "changes, the first": (replace(CHANGES, full_due_at=NOW + 900), LIMITS, None, -math.inf),
    "changes": (replace(CHANGES, full_due_at=NOW + 900), LIMITS, NOW, NOW + 900),
    "changes, without regard to the interval": (
        replace(CHANGES, full_due_at=NOW + 900),
        replace(LIMITS, interval=60),
        NOW,
        NOW + 900,
    ),
    "changes, wanted": (replace(CHANGES, full_due_at=NOW + 900, full_is_wanted=True), LIMITS, NOW, -math.inf),
    "changes, wanted after a timeout": (
        replace(CHANGES, full_not_before=NOW + 600, full_is_wanted=True),
        LIMITS,
        NOW,
        NOW + 600,
    ),
}


@pytest.mark.parametrize(("now", "limits", "listed_at", "at"), NEXT_FULL.values(), ids=NEXT_FULL)
def test_when_the_next_full_listing_may_start(
    now: Schedule, limits: Limits, listed_at: float | None, at: float
) -> None:
    """A full listing follows the interval or the refresh, starts at once on demand, and never while PBS is busy."""
    assert schedule.next_full_at(now, limits, listed_at) == at


BACKGROUND = {
    "due later": (replace(CHANGES, full_due_at=NOW + 900), NOW, NOW + 900),
    "due now": (CHANGES, NOW, -math.inf),
    "in the mode full": (replace(FULL, scraped_at=NOW), NOW, None),
    "before the first listing": (CHANGES, None, None),
    "scraped just recently enough": (replace(CHANGES, scraped_at=NOW - 3600), NOW, -math.inf),
    "not scraped any more": (replace(CHANGES, scraped_at=NOW - 3601), NOW, None),
    "while one is under way": (replace(CHANGES, full_began_at=NOW - 5), NOW, None),
}


@pytest.mark.parametrize(("now", "listed_at", "at"), BACKGROUND.values(), ids=BACKGROUND)
def test_what_runs_in_the_background(now: Schedule, listed_at: float | None, at: float | None) -> None:
    """Full listings run in the background in the mode `changes`, one at a time, while the target is scraped."""
    assert schedule.background_at(now, LIMITS, listed_at, NOW) == at


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (FULL, True),
        (replace(FULL, full_began_at=NOW - 5), False),
        (replace(FULL, full_not_before=NOW + 1), False),
        (replace(FULL, full_not_before=NOW), True),
    ],
)
def test_one_full_listing_at_a_time(now: Schedule, *, may: bool) -> None:
    """A full listing starts if no other is running and PBS isn't working on one that timed out."""
    assert schedule.may_list_in_full(now, NOW) is may


@pytest.mark.parametrize(
    ("now", "promising"),
    [
        (CHANGES, True),
        (replace(CHANGES, full_failed=True), False),
        (replace(CHANGES, full_not_before=NOW + 1), False),
        (replace(CHANGES, full_began_at=NOW - 5), True),
    ],
)
def test_many_changes_are_listed_in_full_where_that_works(now: Schedule, *, promising: bool) -> None:
    """After a full listing that failed or timed out, changed groups are listed one by one."""
    assert schedule.full_is_promising(now, NOW) is promising


def test_a_full_listing_that_begins_is_wanted_no_more() -> None:
    """A full listing that begins meets the demand for one; a later demand needs another one."""
    assert schedule.full_began(replace(CHANGES, full_is_wanted=True), NOW) == replace(CHANGES, full_began_at=NOW)


ENDED = {
    "good": (LIMITS, True, False, NOW + 810, -math.inf),
    "failed": (LIMITS, False, False, NOW + 60, -math.inf),
    "failed, with a refresh below the retry": (replace(LIMITS, refresh=30), False, False, NOW + 30, -math.inf),
    "timed out": (LIMITS, False, True, NOW + 60, NOW + 600),
    "good, while PBS goes on with a namespace that is gone": (LIMITS, True, True, NOW + 810, NOW + 600),
}


@pytest.mark.parametrize(("limits", "is_good", "goes_on", "due_at", "not_before"), ENDED.values(), ids=ENDED)
def test_what_follows_a_full_listing(
    limits: Limits, due_at: float, not_before: float, *, is_good: bool, goes_on: bool
) -> None:
    """A successful listing is refreshed, a failed one repeated soon, and a timed-out one leaves PBS time."""
    before = replace(CHANGES, full_began_at=NOW - 5)
    after = schedule.full_ended(before, limits, NOW, is_good=is_good, goes_on=goes_on, spread=0.9)
    assert after == replace(CHANGES, full_due_at=due_at, full_not_before=not_before, full_failed=not is_good)


def test_a_timeout_is_remembered_past_a_listing_that_fails_otherwise() -> None:
    """A later result doesn't shorten the pause after a timeout."""
    before = replace(CHANGES, full_began_at=NOW - 5, full_not_before=NOW + 300)
    after = schedule.full_ended(before, LIMITS, NOW, is_good=False, goes_on=False, spread=1.0)
    assert after.full_not_before == NOW + 300


@pytest.mark.parametrize(
    ("before", "goes_on", "full_is_wanted", "after"),
    [
        (CHANGES, False, False, CHANGES),
        (CHANGES, True, False, replace(CHANGES, incremental_not_before=NOW + 600)),
        (CHANGES, False, True, replace(CHANGES, full_is_wanted=True)),
        (replace(CHANGES, full_is_wanted=True), False, False, replace(CHANGES, full_is_wanted=True)),
    ],
)
def test_what_follows_an_incremental_listing(
    before: Schedule, after: Schedule, *, goes_on: bool, full_is_wanted: bool
) -> None:
    """A timeout postpones the next full listing, and the demand for it stays until it begins."""
    ended = schedule.incremental_ended(before, LIMITS, NOW, goes_on=goes_on, full_is_wanted=full_is_wanted)
    assert ended == after


def test_a_scrape_is_remembered() -> None:
    """The time of the newest scrape decides whether full listings are needed."""
    assert schedule.scraped(replace(CHANGES, scraped_at=0.0), NOW) == CHANGES


@pytest.mark.parametrize(
    ("mode", "seconds", "chosen"),
    [
        ("full", 0.0, "full"),
        ("full", 0.49, "full"),
        ("full", 0.5, "changes"),
        ("changes", 0.5, "changes"),
        ("changes", 0.25, "changes"),
        ("changes", 0.24, "full"),
    ],
)
def test_the_mode_follows_the_longest_answer(mode: Mode, seconds: float, chosen: Mode) -> None:
    """A datastore becomes incremental at half a second, and full again below a quarter."""
    assert schedule.choose_mode(mode, seconds) == chosen


DAY = schedule.IDLE_SECONDS
DUE_LATER = replace(CHANGES, full_due_at=NOW + 900)
UNCHANGED_SINCE = {
    "nothing has changed": (DUE_LATER, LIMITS, NOW + DAY),
    "with a refresh of more than a day": (DUE_LATER, replace(LIMITS, refresh=2 * DAY), NOW + 900),
    "after a verification": (replace(DUE_LATER, full_is_wanted=True), LIMITS, -math.inf),
    "the last one failed": (replace(DUE_LATER, full_failed=True), LIMITS, NOW + 900),
    "a timeout": (replace(DUE_LATER, full_not_before=NOW + 2 * DAY), LIMITS, NOW + 2 * DAY),
}


@pytest.mark.parametrize(("now", "limits", "at"), UNCHANGED_SINCE.values(), ids=UNCHANGED_SINCE)
def test_a_full_listing_waits_for_a_day_while_nothing_changes(now: Schedule, limits: Limits, at: float) -> None:
    """While nothing has changed since a good full listing, the next one is due a day later."""
    assert schedule.next_full_at(now, limits, NOW, is_as_listed=True) == at


SKIPPED = {
    "younger": (300.0, NOW - 299, True),
    "as old": (300.0, NOW - 300, False),
    "never listed": (300.0, None, False),
    "looks at every scrape": (0.0, NOW, False),
}


@pytest.mark.parametrize(("seconds", "listed_at", "skipped"), SKIPPED.values(), ids=SKIPPED)
def test_an_unchanged_datastore_is_skipped_for_a_while(
    seconds: float, listed_at: float | None, *, skipped: bool
) -> None:
    """A datastore in which nothing has changed isn't looked at while its listing is younger than the setting."""
    assert schedule.may_skip(replace(LIMITS, idle=seconds), listed_at, NOW) is skipped
