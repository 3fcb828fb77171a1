"""Text, times, durations and counts as HTML."""

from datetime import UTC, datetime
from html import escape

from pbs_exporter.plain_text import printable

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SHORT_SECONDS = 10

NOTHING = "\N{EN DASH}"
"""The content of a cell without a value."""


def escaped(foreign: str) -> str:
    """Return any text in printable form, escaped for HTML."""
    return escape(printable(foreign))


def name(foreign: str) -> str:
    """Return a name for use in a sentence. Right-to-left letters in it don't affect the sentence."""
    return f"<bdi>{escaped(foreign)}</bdi>"


def span(seconds: float) -> str:
    """Return a duration in at most two units. A negative one (the clock was set back) is 0."""
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
    """Return the age of a time (Unix seconds), as a `<time>` element."""
    if at is None:
        return NOTHING
    return f'<time datetime="{_utc(at):%Y-%m-%dT%H:%M:%SZ}">{span(int(now) - int(at))} ago</time>'


def moment(at: float | None, now: float) -> str:
    """Return a time (Unix seconds) in UTC and its age."""
    if at is None:
        return NOTHING
    return f"{time_of_day(at, now)} <small>{span(int(now) - int(at))} ago</small>"


def time_of_day(at: float, now: float) -> str:
    """Return a time (Unix seconds) in UTC, as a `<time>` element. The date is omitted if it is today."""
    when, today = _utc(at), _utc(now)
    shown = f"{when:%H:%M:%S}" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M}"
    return f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{shown}</time>'


def date(at: float) -> str:
    """Return the date and time of a Unix time, in UTC."""
    when = _utc(at)
    return f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{when:%Y-%m-%d %H:%M:%S} UTC</time>'


def count(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
