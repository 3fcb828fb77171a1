"""Which datastores, namespaces and groups are of interest: the section `[filters]`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from pbs_exporter.config.values import Given, Parser, Wrong, quote

Patterns = tuple[str, ...]
"""Shell patterns, of which those with `!` in front exclude."""

_WILD = "*?["


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """The patterns. None of a kind keep all."""

    datastores: Patterns = ()
    namespaces: Patterns = ()
    """By path; the root is `""`."""
    groups: Patterns = ()
    """`TYPE/ID`."""


def keeps(patterns: Patterns, name: str) -> bool:
    """Tell whether a plain pattern matches the whole name, or there is none, and no `!` pattern does.

    `*` also matches `/`.
    """
    plain = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(fnmatchcase(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return not plain or any(fnmatchcase(name, pattern) for pattern in plain)


def patterns(example: str, *, empty: bool = False, needs: str = "") -> Parser:
    """Make a parser of a list of patterns; of the environment's text, separated by commas.

    `empty` allows the pattern that matches the empty name. A pattern that neither has `needs` nor a wildcard
    matches nothing.
    """
    right = f'write a list of patterns, such as ["{example}", "!{example}"]'

    def parse(given: Given) -> Patterns:
        for pattern in (found := _items(given, right)):
            plain = pattern.removeprefix("!")
            if not plain and not empty:
                raise Wrong(f"{quote(pattern)} is an empty pattern, which matches nothing; {right}")
            if "]" not in plain[plain.find("[") + 2 :] and "[" in plain:
                raise Wrong(f"{quote(pattern)} has a [ without its ]; {right}")
            if needs not in plain and not any(wild in plain for wild in _WILD):
                raise Wrong(f"{quote(pattern)} has no {needs}, so it matches nothing; {right}")
        return tuple(found)

    return parse


def _items(given: Given, right: str) -> Sequence[str]:
    value = given.value
    if isinstance(value, str) and not given.typed:
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, list):
        raise Wrong(f"{quote(value)} is no list; {right}")
    for item in value:
        if not isinstance(item, str):
            raise Wrong(f"{quote(item)} is no text; {right}")
    return value
