"""PBS's own past: which answers have it, and one series made of them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from pbs_exporter.pbs.models import PastRow

HOUR, DAY = 3600, 86400

TIMEFRAMES = {
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "year": 360 * DAY,
    "decade": 3660 * DAY,
}
"""The age of the oldest value in the answer to each timeframe, in seconds. A shorter one never has longer steps.

PBS keeps 1,440 steps of six hours, so a year has 360 days.
"""

R = TypeVar("R", bound=PastRow)


class Point(NamedTuple):
    """A value, and when its step began (Unix seconds)."""

    time: int
    value: float


def timeframes(since: float, until: float) -> list[str]:
    """Return the timeframes with values from `since` to `until` seconds ago, the shortest first."""
    shorter = (0, *TIMEFRAMES.values())
    return [
        name for (name, age), before in zip(TIMEFRAMES.items(), shorter, strict=False) if before < since and until < age
    ]


def series(answers: Iterable[Sequence[R]], read: Callable[[R], float | None], begin: float, end: float) -> list[Point]:
    """Return the known values of the steps that lie between two times, in their order.

    `answers` begin with the one of the shortest steps. A longer step counts only if no shorter one is part of it.
    """
    found: list[Point] = []
    for rows in answers:
        step = _step(rows)
        limit = found[0].time if found else end
        values = {row.time // step * step: value for row in rows if (value := read(row)) is not None}
        older = [Point(time, values[time]) for time in sorted(values) if begin <= time and time + step <= limit]
        found = older + found
    return found


def _step(rows: Sequence[PastRow]) -> int:
    """Return the seconds of a step. Steps begin at multiples of it, times shift with the request."""
    times = sorted({row.time for row in rows})
    return min((later - earlier for earlier, later in pairwise(times)), default=1)
