"""Filters for datastores, namespaces and groups: the section `[filters]`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from pbs_exporter.config.values import InvalidValue, Parser, RawValue, quote, takes

Patterns = tuple[str, ...]
"""Shell patterns. Those with a leading `!` exclude."""

_WILD = "*?["


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """The patterns of each kind. An empty tuple keeps everything."""

    datastores: Patterns = ()
    namespaces: Patterns = ()
    """Paths; the root is `""`."""
    groups: Patterns = ()
    """`TYPE/ID`."""


def keeps(patterns: Patterns, name: str) -> bool:
    """Whether the name matches a plain pattern (or there is none) and no `!` pattern.

    A pattern must match the whole name. `*` also matches `/`.
    """
    plain = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(fnmatchcase(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return not plain or any(fnmatchcase(name, pattern) for pattern in plain)


def patterns(example: str, *, empty: bool = False, needs: str = "") -> Parser[Patterns]:
    """Return a parser of a list of patterns. In the environment they are separated by commas.

    `empty` permits the empty pattern, which matches the empty name. A pattern with neither `needs` nor a wildcard is
    invalid, because it can't match.
    """
    hint = f'write a list of patterns, such as ["{example}", "!{example}"]'

    @takes(type="array", items={"type": "string"} if empty else {"type": "string", "pattern": "^(?!!?$)"})
    def parse(raw: RawValue) -> Patterns:
        for pattern in (found := _items(raw, hint)):
            plain = pattern.removeprefix("!")
            if not plain and not empty:
                raise InvalidValue(f"{quote(pattern)} is an empty pattern, which matches nothing; {hint}")
            if "]" not in plain[plain.find("[") + 2 :] and "[" in plain:
                raise InvalidValue(f"{quote(pattern)} has a [ without its ]; {hint}")
            if needs not in plain and not any(wild in plain for wild in _WILD):
                raise InvalidValue(f"{quote(pattern)} has no {needs}, so it matches nothing; {hint}")
        return tuple(found)

    return parse


def _items(raw: RawValue, hint: str) -> Sequence[str]:
    value = raw.value
    if isinstance(value, str) and not raw.typed:
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, list):
        raise InvalidValue(f"{quote(value)} is not a list; {hint}")
    for item in value:
        if not isinstance(item, str):
            raise InvalidValue(f"{quote(item)} is not text; {hint}")
    return value
