"""Times, durations and numbers in the words of the page."""

from datetime import UTC, datetime
from html import escape

from pbs_exporter.plain_text import printable

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SHORT_SECONDS = 10

NOTHING = "\N{EN DASH}"
"""What stands in a cell where nothing is known."""


def text(foreign: str) -> str:
    """Give any text as it may stand in the page."""
    return escape(printable(foreign))


def name(foreign: str) -> str:
    """Give a name within a sentence, which its letters can't turn around."""
    return f"<bdi>{text(foreign)}</bdi>"


def span(seconds: float) -> str:
    """Give a duration with the two units that matter. What is negative, after a clock was set, is none."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds else "0 s"
    if seconds < _SHORT_SECONDS and seconds != int(seconds):
        return f"{seconds:.1f} s"
    for unit, name_of, smaller, name_of_smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = int(seconds % unit // smaller)
            return f"{seconds // unit:.0f} {name_of}" + (f" {rest} {name_of_smaller}" if rest else "")
    return f"{seconds:.0f} s"


def age(at: float | None, now: float) -> str:
    """Give how long ago a time (Unix seconds) is, as an element that has the time."""
    if at is None:
        return NOTHING
    return f'<time datetime="{_utc(at):%Y-%m-%dT%H:%M:%SZ}">{span(int(now) - int(at))} ago</time>'


def moment(at: float | None, now: float) -> str:
    """Give a time (Unix seconds, UTC) and how long ago that is. Today has no date."""
    if at is None:
        return NOTHING
    when, today = _utc(at), _utc(now)
    shown = f"{when:%H:%M:%S}" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M}"
    return f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{shown}</time> <small>{span(int(now) - int(at))} ago</small>'


def date(at: float) -> str:
    """Give a time (Unix seconds) with its date, to the second."""
    when = _utc(at)
    return f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{when:%Y-%m-%d %H:%M:%S} UTC</time>'


def count(number: int, noun: str) -> str:
    """Give a number and what it counts."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
