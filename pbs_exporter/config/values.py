"""From a value as somebody wrote it to a checked one: the plain kinds.

A parser takes a `Given` and gives the setting's value or raises `Wrong`, whose text says what is wrong and
what would be right. Text of the environment is read as the setting needs it; a TOML value already has a type,
which must be the right one.
"""

import math
import re
from collections.abc import Callable

import msgspec

from pbs_exporter.plain_text import first_line

YEAR_SECONDS = 365 * 86400
"""The longest duration that can be set: far above all use, far below what overflows a timer."""
WHOLE_LIMIT = 1_000_000_000
QUOTED_LIMIT = 60

_NUMBER = re.compile(r"-?[0-9]{1,1000}(\.[0-9]{1,1000})?")
_SWITCHES = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


class Wrong(Exception):
    """A value can't be used. The text, without secrets, is what follows the setting's name on the line."""


class Given(msgspec.Struct, frozen=True):
    """One value as it was found, and what its author calls it.

    The name travels with the value through the layers, so that a complaint names the very variable or key
    that won. It also keeps the value from dynaconf, which would look for `@tokens` in a plain text.
    """

    name: str
    """`PBS_EXPORTER__PBS__ENDPOINT`, or `[pbs] endpoint in /etc/pbs-exporter.toml`."""
    value: object
    typed: bool
    """True for a TOML value, False for the environment's text."""

    def __repr__(self) -> str:
        return f"Given({self.name!r})"


Parser = Callable[[Given], object]


def clean(text: str) -> str:
    """Show a foreign text that is no secret as one line, without characters that aren't to be seen."""
    return "".join(c for c in first_line(text) if c.isprintable())


def quote(value: object) -> str:
    """Show a value that is no secret on a line, cut and clean."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value) if abs(value) <= WHOLE_LIMIT else "that number"
        case str():
            line = clean(value)
            return f'"{line[:QUOTED_LIMIT]}…"' if len(line) > QUOTED_LIMIT else f'"{line}"'
        case list():
            return "a list"
        case _:
            return "a date or time"


def text(given: Given) -> str:
    """Take any text. The value is never shown, because it may be a secret."""
    if not isinstance(given.value, str):
        raise Wrong("is not text; put the value in quotes")
    return given.value


def choice(*names: str, also: dict[str, str] | None = None) -> Parser:
    """Make a parser of one of `names`, in any case; `also` maps other spellings to them."""
    known = {**{name: name for name in names}, **(also or {})}
    right = f"{', '.join(names[:-1])} or {names[-1]}"

    def parse(given: Given) -> str:
        found = known.get(text(given).lower())
        if found is None:
            raise Wrong(f"{quote(given.value)} is none of the choices; write {right}")
        return found

    return parse


def switch(given: Given) -> bool:
    """Take true or false; from the environment also 1/0, yes/no, on/off, in any case."""
    value = given.value
    if not given.typed and isinstance(value, str):
        value = _SWITCHES.get(value.lower(), value)
    if isinstance(value, bool):
        return value
    unquoted = ", without quotes" if given.typed and isinstance(value, str) else ""
    raise Wrong(f"{quote(value)} is neither true nor false; write true or false{unquoted}")


def seconds(*, least: float | None = None) -> Parser:
    """Make a parser of a duration from `least` seconds on; above 0 where that isn't given. At most a year."""
    low = 0.0 if least is None else least
    from_where = "above 0" if least is None else f"from {least:g} on"
    right = f"a number of seconds {from_where}, such as 5 or 2.5"

    def parse(given: Given) -> float:
        value = _number(given, right)
        if value < low or (least is None and value == low):
            raise Wrong(f"{quote(value)} is too small; write {right}")
        if value > YEAR_SECONDS:
            raise Wrong(f"{quote(value)} is longer than a year; write {right}")
        return float(value)

    return parse


def whole(*, least: int) -> Parser:
    """Make a parser of a whole number from `least` on. A fraction of nothing (8.0) isn't whole either."""
    right = f"a whole number from {least} on"

    def parse(given: Given) -> int:
        value = _number(given, right)
        if not isinstance(value, int):
            raise Wrong(f"{quote(value)} is not a whole number; write {right}, without a decimal point")
        if value < least:
            raise Wrong(f"{quote(value)} is too small; write {right}")
        if value > WHOLE_LIMIT:
            raise Wrong(f"{quote(value)} is too large; write {right}, at most {WHOLE_LIMIT}")
        return value

    return parse


def _number(given: Given, right: str) -> int | float:
    value = given.value
    if isinstance(value, str):
        if given.typed:
            raise Wrong(f"{quote(value)} is text, not a number; write {right}, without quotes")
        # float() and int() would take "1_0", "inf" and the digits of every script.
        if not _NUMBER.fullmatch(value):
            raise Wrong(f"{quote(value)} is not a number; write {right}")
        return float(value) if "." in value else int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(f"{value} is not a number that can be used; write {right}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"{quote(value)} is not a number; write {right}")
    return value
