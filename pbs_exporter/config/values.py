"""Values of settings as they were written, and parsers for the basic types.

A parser takes a `RawValue` and returns the setting's value, or raises `InvalidValue` with what is wrong and what to
write instead. A variable's text is converted to the type of the setting; a TOML value must already have that type.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pbs_exporter.plain_text import first_line, has_surrogates

YEAR_SECONDS = 365 * 86400
"""The longest permitted duration, far below the limit of timers."""
WHOLE_LIMIT = 1_000_000_000
QUOTED_LIMIT = 60

_NUMBER = re.compile(r"-?[0-9]{1,1000}(\.[0-9]{1,1000})?")
LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
TARGET_LABELS = ("instance", "job")
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


class InvalidValue(Exception):
    """A value is invalid. The text has no secrets and follows the setting's name in the message."""


class RawValue(msgspec.Struct, frozen=True):
    """A value before parsing, and the name under which it was set.

    The name stays with the value through the merge, so that an error names the variable or key that has precedence.
    The wrapper also hides the value from dynaconf, which would interpret `@tokens` in a string.
    """

    name: str
    """`PBS_EXPORTER__PBS__ENDPOINT`, or `[pbs] endpoint in /etc/pbs-exporter.toml`."""
    value: object
    typed: bool
    """`True` for a TOML value, `False` for the text of a variable."""
    folder: Path = Path()
    """Where a relative path in the value begins: at the settings file that has it, else at the working directory."""

    def __repr__(self) -> str:
        return f"RawValue({self.name!r})"


T_co = TypeVar("T_co", covariant=True)


class Parser(msgspec.Struct, Generic[T_co], frozen=True, eq=False):
    """A parser of a setting, and the JSON schema of what it takes from a file, as far as a schema can say it."""

    parse: Callable[[RawValue], T_co]
    schema: Mapping[str, Any]

    def __call__(self, raw: RawValue) -> T_co:
        """Return the setting's value, or raise `InvalidValue`."""
        return self.parse(raw)


def takes(**schema: object) -> Callable[[Callable[[RawValue], T_co]], Parser[T_co]]:
    """Make a function a parser, with the keywords of its JSON schema."""
    return lambda parse: Parser(parse, schema)


def in_any_case(word: str) -> str:
    """Return a pattern of the word for a JSON schema, whose patterns have no flags."""
    return "".join(f"[{letter.lower()}{letter.upper()}]" for letter in word)


def visible(text: str) -> str:
    """Return one line for an error, without invisible characters. Not for secrets."""
    return "".join(c for c in first_line(text) if c.isprintable())


def quote(value: object) -> str:
    """Return a value for an error, in one line of limited length. Not for secrets."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value) if abs(value) <= WHOLE_LIMIT else "that number"
        case str():
            line = visible(value)
            return f'"{line[:QUOTED_LIMIT]}…"' if len(line) > QUOTED_LIMIT else f'"{line}"'
        case list():
            return "a list"
        case _:
            return "a date or time"


def quoted(value: str) -> bool:
    """Whether a value has quotes around it, which an `.env` file passed on."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"


def string(raw: RawValue) -> str:
    """Parse any string. The error never shows the value, which may be a secret."""
    if not isinstance(raw.value, str):
        raise InvalidValue("is not text; put the value in quotes")
    return raw.value


def label(name: str) -> Parser[str]:
    """Return a parser of the value of the label with this name, which refuses a name that can't be one."""

    @takes(type="string")
    def parse(raw: RawValue) -> str:
        if name in TARGET_LABELS:
            raise InvalidValue("is a label that Prometheus sets; choose another name")
        if not LABEL.fullmatch(name):
            raise InvalidValue("is no name for a label; write letters, digits and _, not a digit or __ first")
        value = string(raw)
        if has_surrogates(value):
            raise InvalidValue("is not UTF-8; write it in UTF-8")
        return value

    return parse


def choice(*names: str, also: dict[str, str] | None = None) -> Parser[str]:
    """Return a parser of one of `names`, ignoring case. `also` maps other spellings to them."""
    known = {**{name: name for name in names}, **(also or {})}
    hint = f"{', '.join(names[:-1])} or {names[-1]}"

    # An editor completes the list.
    @takes(anyOf=[{"enum": [*known]}, {"type": "string", "pattern": f"^({'|'.join(map(in_any_case, known))})$"}])
    def parse(raw: RawValue) -> str:
        found = known.get(string(raw).lower())
        if found is None:
            raise InvalidValue(f"{quote(raw.value)} is not one of the choices; write {hint}")
        return found

    return parse


@takes(type="boolean")
def boolean(raw: RawValue) -> bool:
    """Parse true or false. A variable may also be 1/0, yes/no or on/off, ignoring case."""
    value = raw.value
    if not raw.typed and isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if isinstance(value, bool):
        return value
    unquoted = ", without quotes" if raw.typed and isinstance(value, str) else ""
    raise InvalidValue(f"{quote(value)} is neither true nor false; write true or false{unquoted}")


def seconds(*, minimum: float | None = None) -> Parser[float]:
    """Return a parser of a duration in seconds, up to a year. Without `minimum` it must be above 0."""
    low = 0.0 if minimum is None else minimum
    range_text = " above 0" if minimum is None else f", at least {minimum:g}"
    hint = f"a number of seconds{range_text}, such as 5 or 2.5"

    @takes(type="number", maximum=YEAR_SECONDS, **{"exclusiveMinimum" if minimum is None else "minimum": low})
    def parse(raw: RawValue) -> float:
        value = _number(raw, hint)
        if value < low or (minimum is None and value == low):
            raise InvalidValue(f"{quote(value)} is too small; write {hint}")
        if value > YEAR_SECONDS:
            raise InvalidValue(f"{quote(value)} is longer than a year; write {hint}")
        return float(value)

    return parse


def integer(*, minimum: int) -> Parser[int]:
    """Return a parser of an integer from `minimum` on. 8.0 is not an integer."""
    hint = f"a whole number of at least {minimum}"

    @takes(type="integer", minimum=minimum, maximum=WHOLE_LIMIT)
    def parse(raw: RawValue) -> int:
        value = _number(raw, hint)
        if not isinstance(value, int):
            raise InvalidValue(f"{quote(value)} is not a whole number; write {hint}, without a decimal point")
        if value < minimum:
            raise InvalidValue(f"{quote(value)} is too small; write {hint}")
        if value > WHOLE_LIMIT:
            raise InvalidValue(f"{quote(value)} is too large; write {hint}, at most {WHOLE_LIMIT}")
        return value

    return parse


def _number(raw: RawValue, hint: str) -> int | float:
    value = raw.value
    if isinstance(value, str):
        if raw.typed:
            raise InvalidValue(f"{quote(value)} is text, not a number; write {hint}, without quotes")
        # float() and int() also accept "1_0", "inf" and the digits of every script.
        if not _NUMBER.fullmatch(value):
            raise InvalidValue(f"{quote(value)} is not a number; write {hint}")
        return float(value) if "." in value else int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue(f"{value} is not a usable number; write {hint}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{quote(value)} is not a number; write {hint}")
    return value
