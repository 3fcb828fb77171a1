"""PBS's past: which timeframes are asked for, and what is made of their answers."""

from operator import attrgetter

import pytest

from pbs_exporter.pbs import past
from pbs_exporter.pbs.models import DatastorePast
from pbs_exporter.pbs.past import DAY, HOUR

FIRST = 1_800_000_000 // HOUR * HOUR
"""A time at which steps of all lengths here begin."""

Rows = list[DatastorePast]


def rows(begin: int, step: int, *values: float | None) -> Rows:
    """Return rows with these values from a time on, a step apart."""
    return [DatastorePast(time=begin + number * step, used=value) for number, value in enumerate(values)]


def series(*answers: Rows, begin: float = 0, end: float = 2 * FIRST) -> list[tuple[int, float]]:
    """Return the values by seconds since `FIRST`."""
    return [(time - FIRST, value) for time, value in past.series(answers, attrgetter("used"), begin, end)]


@pytest.mark.parametrize(
    ("since", "until", "wanted"),
    [
        (3660 * DAY, 0, ["hour", "day", "week", "month", "year", "decade"]),
        (3660 * DAY, 3 * HOUR, ["day", "week", "month", "year", "decade"]),
        (HOUR, 0, ["hour"]),
        (DAY, 3 * HOUR, ["day"]),
        (30 * DAY, 3 * HOUR, ["day", "week", "month"]),
        (365 * DAY, 3 * HOUR, ["day", "week", "month", "year", "decade"]),
        (360 * DAY, 30 * DAY, ["year"]),
        (7300 * DAY, 3660 * DAY, []),
    ],
)
def test_timeframes(since: int, until: int, wanted: list[str]) -> None:
    """Only timeframes with a part of the span are asked for; a year of 365 days is more than PBS keeps as a year."""
    assert past.timeframes(since, until) == wanted


@pytest.mark.parametrize("shift", [0, 1, 33, 59])
def test_a_step_has_the_time_of_its_begin(shift: int) -> None:
    """The times in an answer shift with the request, and each is in its step: the step's begin is always the same."""
    assert series(rows(FIRST + shift, 60, 1.0, 2.0, 3.0)) == [(0, 1.0), (60, 2.0), (120, 3.0)]


def test_unknown_values_are_absent() -> None:
    """A step without a value makes no sample, and one with 0 does."""
    assert series(rows(FIRST, 60, None, 0.0, None, 4.0)) == [(60, 0.0), (180, 4.0)]


def test_overlapping_steps_count_once() -> None:
    """A longer step counts up to the first value of shorter steps, and not if one of these is part of it."""
    minutes = rows(FIRST + 7200, 60, None, 10.0, 11.0)
    halves = rows(FIRST, 1800, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert series(minutes, halves) == [(0, 1.0), (1800, 2.0), (3600, 3.0), (5400, 4.0), (7260, 10.0), (7320, 11.0)]


def test_nothing_is_older_than_the_server() -> None:
    """The long step in which a server was set up isn't shown: it began before the server did."""
    minutes = rows(FIRST + 5 * 60, 60, 1.0, 2.0)
    assert series(minutes, rows(FIRST - 7 * DAY, 7 * DAY, None, 1.5)) == [(300, 1.0), (360, 2.0)]


def test_longer_steps_replace_an_answer_without_values() -> None:
    """If the shorter steps have no values, those of the longer ones are taken."""
    assert series(rows(FIRST, 60, None, None), [], rows(FIRST, 1800, 1.0, 2.0)) == [(0, 1.0), (1800, 2.0)]


def test_only_whole_steps_of_the_span() -> None:
    """A step that begins before the span or ends after it is left out; so is one that isn't over."""
    minutes = rows(FIRST, 60, 1.0, 2.0, 3.0, 4.0)
    assert series(minutes, begin=FIRST + 60, end=FIRST + 239) == [(60, 2.0), (120, 3.0)]
    assert series(rows(FIRST, 1800, 1.0, 2.0), end=FIRST + 3599) == [(0, 1.0)]


def test_wrong_rows_are_put_in_order() -> None:
    """Rows in any order, twice, or far away in time make a series with ascending times."""
    wrong = [*rows(FIRST + 120, -60, 3.0, 2.0, 1.0), *rows(FIRST, 60, 7.0), *rows(10**30, 1, 8.0), *rows(-5, 1, 9.0)]
    found = series(wrong, begin=FIRST - DAY, end=FIRST + DAY)
    assert [time for time, _ in found] == [0, 60, 120]


@pytest.mark.parametrize("answer", [[], rows(FIRST + 33, 60, 1.0)], ids=["none", "one"])
def test_few_rows(answer: Rows) -> None:
    """An answer with one row doesn't say how long a step is: the row has its own time. One without rows has none."""
    assert series(answer) == [(33, 1.0)][: len(answer)]
