"""Decoding a long list while it arrives.

A listing can be 100 MB. Decoded in pieces, it is never in memory as a whole, and the event loop runs
between two pieces.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from pbs_exporter.errors import NotJson, TooLarge, WrongShape
from pbs_exporter.pbs.http.decoding import Body, Decoder, Rows, not_json, omission
from pbs_exporter.pbs.http.row_scanner import RowScanner

T = TypeVar("T")

PATIENCE = 50_000
"""Number of invalid rows at which an answer is given up if most of its rows are invalid."""

ROW_BYTES = 1024 * 1024
"""The largest row that is read, and the largest remainder around the list."""

UNSEPARATED_BYTES = 64 * 1024
"""How much without a separator is kept before its rows are looked for. A smaller answer is decoded at once."""

_BLANKS = rb"[ \t\n\r]*"
_BLANKS_LIMIT = 1024  # of a head or a separator
_KEPT_ENDS = 2  # of rows: the last row stays


def collected(decode: Callable[[Body], Rows[T]], objects: int = 1) -> Decoder[Rows[T]]:
    """Return a decoder that decodes a list while it arrives, and returns all rows. `objects` is as in `RowStream`."""

    async def read(chunks: AsyncIterator[bytes]) -> Rows[T]:
        stream = RowStream(decode, objects)
        rows: list[T] = []
        try:
            async for chunk in chunks:
                rows += stream.feed(chunk)
            rows += stream.finish()
        except BaseException:
            # An error or a cancellation keeps this frame for some time.
            rows.clear()
            raise
        finally:
            stream.close()
        return Rows(rows, stream.invalid, stream.reason)

    return read


class RowStream(Generic[T]):
    """Decodes `{"data":[…]}`: call `feed` for each chunk, then `finish`. Both return the rows completed by then.

    Invalid rows are omitted. `objects` is 2 for a list that lies in two objects "data". `close` frees what is left.
    """

    def __init__(self, decode: Callable[[Body], Rows[T]], objects: int = 1) -> None:
        self.invalid = 0
        self.reason = ""
        self._seen = 0
        self._decode = decode
        self._objects = objects
        self._head = b'{"data":' * objects + b"["
        # Up to the first key of the first row, which is empty until it is seen.
        around = rb'\{%b"data"%b:%b' % (_BLANKS, _BLANKS, _BLANKS)
        self._first_row = re.compile(_BLANKS + around * objects + rb'\[%b\{%b("[a-z-]{1,64}")' % (_BLANKS, _BLANKS))
        self._first_key = b""
        self._closing = b"]" + b"}" * objects
        # What isn't decoded yet, always after the head: the start of a body of its own.
        self._rest = bytearray()
        # The bytes between two rows; `None` until two are seen.
        self._separator: bytes | None = None
        # Finds the rows where no separator does.
        self._scanner: RowScanner | None = None
        self._ends: list[int] = []

    @property
    def omitted(self) -> WrongShape | None:
        """One error for all rows omitted so far; `None` if there are none."""
        return omission(self.invalid, self._seen, self.reason)

    def feed(self, chunk: bytes) -> list[T]:
        """Add a chunk of the body, and return the rows that it completes. Raise a `DecodeFailed` to give up."""
        before = len(self._rest)
        self._rest += chunk
        rows = self._scanned() if self._scanner else self._separated(before)
        if len(self._rest) > ROW_BYTES + len(chunk):
            if self._scanner is None or self._scanner.begin is None:
                raise NotJson(not_json(self._rest))
            raise TooLarge(f"a row, or what is around the list, is larger than {ROW_BYTES // 1024} KiB")
        return rows

    def finish(self) -> list[T]:
        """Return the remaining rows. Raises `NotJson` or `WrongShape` if the body wasn't such a list."""
        return self._counted(self._decode(self._rest))

    def close(self) -> None:
        """Free what isn't decoded."""
        self._rest.clear()

    def _separated(self, before: int) -> list[T]:
        """Return the rows up to the last separator. The first `before` bytes have been searched already."""
        if self._separator is None:
            self._find_separator(before)
            before = 0
        separator = self._separator
        end = self._rest.rfind(separator, max(0, before - len(separator))) + 1 if separator else 0
        if not end or separator is None:
            if len(self._rest) > UNSEPARATED_BYTES:
                return self._start_scanning()
            return []
        try:
            rows = self._counted(self._decode(self._rest[:end] + self._closing))
        except NotJson:
            # The separator was inside a row, or this isn't JSON.
            return self._start_scanning()
        self._rest[: end - 1 + separator.index(b"{")] = self._head
        return rows

    def _find_separator(self, before: int) -> None:
        """Find the separator: all rows begin with the same key, and no object inside a row does.

        It can't occur inside a string: a quote there is escaped. Blanks, as a proxy may have added, are part of it.
        """
        if not self._first_key and before < _BLANKS_LIMIT and (first := self._first_row.match(self._rest)):
            before, self._first_key = 0, first[1]
        if self._first_key:
            between = re.compile(rb"\}%b,%b\{%b%b" % (_BLANKS, _BLANKS, _BLANKS, self._first_key))
            found = between.search(self._rest, max(0, before - _BLANKS_LIMIT))
            self._separator = found and found[0]

    def _start_scanning(self) -> list[T]:
        self._scanner = RowScanner(self._objects)
        return self._scanned()

    def _scanned(self) -> list[T]:
        """Return the complete rows but for the last one, behind which there may be a comma too many."""
        scanner = self._scanner
        assert scanner is not None  # noqa: S101 - for the type checker
        self._ends += scanner.scan(self._rest)
        if scanner.begin is None or len(self._ends) < _KEPT_ENDS:
            return []
        end, last = self._ends[-2:]
        rows = self._counted(self._decode(self._head + self._rest[scanner.begin : end] + self._closing))
        del self._rest[scanner.begin : end + 1]
        scanner.forget(end)
        self._ends = [last - (end + 1 - scanner.begin)]
        return rows

    def _counted(self, answer: Rows[T]) -> list[T]:
        self._seen += len(answer.rows) + answer.invalid
        self.invalid += answer.invalid
        self.reason = self.reason or answer.reason
        if self.invalid >= PATIENCE and self.invalid * 2 > self._seen:
            raise WrongShape(f"given up: {self.invalid} of the first {self._seen} rows are invalid: {self.reason}")
        return answer.rows
