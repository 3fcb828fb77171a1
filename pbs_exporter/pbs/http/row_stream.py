"""A long list, decoded while it arrives.

A listing has a hundred megabytes. Decoded in pieces it is never held as a whole, and the event loop is free
between two of them.
"""

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from pbs_exporter.errors import DecodeFailed, WrongShape
from pbs_exporter.pbs.http.decoding import Body, Rows, left_out

T = TypeVar("T")

_HEAD = b'{"data":['
_FIRST_KEY = re.compile(rb'\{"data":\[\{("[a-z-]+")')
_HEAD_LIMIT = 256


class RowStream(Generic[T]):
    """Decodes `{"data":[…]}`: `feed` it as it arrives, then `finish`. Both give the rows that are whole by then.

    A row of the wrong shape costs itself only.
    """

    def __init__(self, decode: Callable[[Body], Rows[T]]) -> None:
        self._seen = 0
        self._wrong: list[WrongShape] = []
        self._decode = decode
        # At any time the start of a body of its own.
        self._rest = bytearray()
        # What two rows have between them; `None` as long as nothing is known of the rows.
        self._between: bytes | None = None

    @property
    def left_out(self) -> WrongShape | None:
        """Which rows had the wrong shape so far, if any had."""
        return left_out(self._wrong, self._seen)

    def feed(self, chunk: bytes) -> list[T]:
        """Take more of the body."""
        before = len(self._rest)
        self._rest += chunk
        if self._between is None:
            before = 0
            self._begin()
        # What was there has been looked through.
        end = self._rest.rfind(self._between, max(0, before - len(self._between))) + 1 if self._between else 0
        if not end:
            return []
        try:
            rows = self._taken(self._decode(self._rest[:end] + b"]}"))
        except DecodeFailed:
            # It was within a row, or this is no JSON: the end of the body tells.
            self._between = b""
            return []
        self._rest[: end + 1] = _HEAD
        return rows

    def finish(self) -> list[T]:
        """Take the body's end. Raises `NotJson` or `WrongShape` where it wasn't such a list."""
        return self._taken(self._decode(self._rest))

    def _begin(self) -> None:
        """Look for the first row's first key: rows begin alike, and what is inside of them doesn't.

        In a text a quote can't be followed by a letter, so it isn't found in one.
        """
        first = _FIRST_KEY.match(self._rest)
        if first:
            self._between = b"},{" + first[1]
        elif len(self._rest) > _HEAD_LIMIT:
            self._between = b""

    def _taken(self, answer: Rows[T]) -> list[T]:
        self._seen += len(answer.rows) + len(answer.wrong)
        self._wrong += answer.wrong
        return answer.rows
