"""Decoding a long list while it arrives.

A listing can be 100 MB. Decoded in pieces, it is never in memory as a whole, and the event loop runs
between two pieces.
"""

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from pbs_exporter.errors import DecodeFailed, WrongShape
from pbs_exporter.pbs.http.decoding import Body, Rows, omission

T = TypeVar("T")

_HEAD = b'{"data":['
_FIRST_KEY = re.compile(rb'\{"data":\[\{("[a-z-]+")')
_HEAD_LIMIT = 256


class RowStream(Generic[T]):
    """Decodes `{"data":[…]}`: call `feed` for each chunk, then `finish`. Both return the rows completed by then.

    Invalid rows are omitted.
    """

    def __init__(self, decode: Callable[[Body], Rows[T]]) -> None:
        self._seen = 0
        self._invalid: list[WrongShape] = []
        self._decode = decode
        # What isn't decoded yet, always after `_HEAD`: the start of a body of its own.
        self._rest = bytearray()
        # The bytes between two rows: `None` until the first row is seen, empty if unknown.
        self._separator: bytes | None = None

    @property
    def omitted(self) -> WrongShape | None:
        """One error for all rows omitted so far; `None` if there are none."""
        return omission(self._invalid, self._seen)

    def feed(self, chunk: bytes) -> list[T]:
        """Add a chunk of the body, and return the rows that it completes."""
        before = len(self._rest)
        self._rest += chunk
        if self._separator is None:
            before = 0
            self._find_separator()
        # The bytes before this chunk have been searched already.
        end = self._rest.rfind(self._separator, max(0, before - len(self._separator))) + 1 if self._separator else 0
        if not end:
            return []
        try:
            rows = self._counted(self._decode(self._rest[:end] + b"]}"))
        except DecodeFailed:
            # The separator was inside a row, or this isn't JSON: `finish` decodes the whole.
            self._separator = b""
            return []
        self._rest[: end + 1] = _HEAD
        return rows

    def finish(self) -> list[T]:
        """Return the remaining rows. Raises `NotJson` or `WrongShape` if the body wasn't such a list."""
        return self._counted(self._decode(self._rest))

    def _find_separator(self) -> None:
        """Find the separator: all rows begin with the same key, and no object inside a row does.

        It can't occur inside a string: a quote there is escaped.
        """
        first = _FIRST_KEY.match(self._rest)
        if first:
            self._separator = b"},{" + first[1]
        elif len(self._rest) > _HEAD_LIMIT:
            self._separator = b""

    def _counted(self, answer: Rows[T]) -> list[T]:
        self._seen += len(answer.rows) + len(answer.invalid)
        self._invalid += answer.invalid
        return answer.rows
