"""YAML as a tree of texts: no key twice, no types guessed, nothing constructed.

PyYAML's constructors would make `True` of a user's name `yes`, and take the last of two equal keys. So this module
reads only PyYAML's nodes, and only where they are asked for, so that aliases cost nothing.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml

from pbs_exporter.config.values import InvalidValue, quote

T = TypeVar("T")

_TAG = "tag:yaml.org,2002:"
_PLAIN = frozenset({"str", "int", "float", "bool", "null", "timestamp"})
_TRUE = frozenset({"true", "yes", "on"})


class Section:
    """A mapping of the file. What is wrong in it is added to `problems`, one line each, without any value."""

    def __init__(self, node: yaml.Node | None, name: str, problems: list[str]) -> None:
        self._name = name
        self._problems = problems
        self._fields = self._read(node) if node is not None and not _is_null(node) else {}

    def __contains__(self, key: str) -> bool:
        node = self._fields.get(key)
        return node is not None and not _is_null(node) and node.value != ""

    def section(self, key: str) -> "Section":
        """Return the mapping of a key; an empty one if there is none."""
        return Section(self._fields.get(key), self._path(key), self._problems)

    def get(self, key: str, parse: Callable[[yaml.Node], T], default: T) -> T:
        """Return the parsed value of a key. `default` if there is none, or none that is valid."""
        node = self._fields.get(key)
        if node is None or _is_null(node):
            return default
        try:
            return parse(node)
        except InvalidValue as error:
            self.refuse(key, str(error))
            return default

    def all(self, parse: Callable[[yaml.Node], T]) -> dict[str, T]:
        """Return the parsed value of each key, of those that are valid."""
        found: dict[str, T] = {}
        for key, node in self._fields.items():
            try:
                found[key] = parse(node)
            except InvalidValue as error:
                self.refuse(key, str(error))
        return found

    def know(self, *keys: str) -> None:
        """Refuse all other keys."""
        for key in self._fields.keys() - set(keys):
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
            self.refuse(key, f"is not a key of this file; {hint}")

    def refuse(self, key: str, problem: str) -> None:
        """Add a problem of a key."""
        node = self._fields.get(key)
        line = f" in line {_line(node)}" if node is not None else ""
        self._problems.append(f"{self._path(quote(key)[1:-1])}{line}: {problem}")

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _read(self, node: yaml.Node) -> Mapping[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            where = self._name or "the file"
            self._problems.append(f"{where} in line {_line(node)}: has no keys; write KEY: VALUE")
            return {}
        fields: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            try:
                key = text(key_node)
            except InvalidValue as error:
                self._problems.append(f"a key in line {_line(key_node)}: {error}")
                continue
            if key in fields:
                shown = self._path(quote(key)[1:-1])
                lines = f"lines {_line(fields[key])} and {_line(value)}"
                self._problems.append(f"{shown} in {lines}: is there twice; remove one of them")
            fields[key] = value
        return fields


def parse(data: bytes) -> yaml.Node | None:
    """Return the root of the file; `None` if it is empty. Raises `InvalidValue` with the place of a mistake."""
    try:
        found: yaml.Node | None = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidValue(f"the file is not UTF-8 in line {line}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        # Only the position is taken from the parser's message: the rest may quote a line with a secret.
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidValue(f"the file is not YAML{where}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise InvalidValue("the file is not YAML") from None
    return found


def text(node: yaml.Node) -> str:
    """Return a scalar as it is written, whatever type YAML sees in it."""
    if not isinstance(node, yaml.ScalarNode) or node.tag.removeprefix(_TAG) not in _PLAIN:
        raise InvalidValue("is not text")
    return str(node.value)


def texts(node: yaml.Node) -> list[str]:
    """Return a list of texts."""
    if not isinstance(node, yaml.SequenceNode):
        raise InvalidValue("is not a list; write each value on a line of its own, after a dash")
    return [text(item) for item in node.value]


def boolean(node: yaml.Node) -> bool:
    """Return true or false."""
    if node.tag != f"{_TAG}bool":
        raise InvalidValue("is neither true nor false")
    return text(node).lower() in _TRUE


def whole(node: yaml.Node) -> int:
    """Return a whole number that isn't negative."""
    if node.tag != f"{_TAG}int" or not re.fullmatch("[0-9]{1,9}", text(node)):
        raise InvalidValue("is not a whole number of at least 0")
    return int(text(node))


def is_number(node: yaml.Node) -> bool:
    """Whether YAML sees a whole number."""
    return node.tag == f"{_TAG}int"


def _is_null(node: yaml.Node) -> bool:
    return node.tag == f"{_TAG}null"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
