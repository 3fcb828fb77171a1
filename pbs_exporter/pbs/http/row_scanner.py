"""Finds the rows of a list in JSON without decoding them: in linear time, and however deeply they are nested."""

import re

_TOKEN = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPENING = (b"[", b"{")
_CLOSING = (b"]", b"}")
_KEY = b'"data"'
_QUOTE = b'"'
_DEEPEST = 200


class RowScanner:
    """Scans a body that grows, and finds the list under the key "data", which lies in `objects` such objects.

    `begin` is where the first row begins, `end` where the list's closing bracket is; `None` while it isn't found.
    Whether the body is JSON isn't checked: a row that isn't is found all the same. Only what is nested more deeply than
    any JSON decoder takes ends the search.
    """

    def __init__(self, objects: int) -> None:
        self.begin: int | None = None
        self.end: int | None = None
        self._objects = objects
        self._position = 0
        self._depth = 0
        # Where the string begins that hasn't ended yet, before its quotation mark.
        self._string_begin: int | None = None
        # How many of the objects around the list are open.
        self._entered = 0
        self._before = b""
        self._list_depth = 0
        self._row_begin = 0

    def scan(self, body: bytes | bytearray) -> list[int]:
        """Go on to the end of the body. Return where rows end that are complete now: at a comma, the last at `end`."""
        ends: list[int] = []
        while self.end is None and self._depth <= _DEEPEST:
            token, at = self._next(body)
            if token is None:
                break
            if self.begin is None:
                self._seek(token)
            elif self._is_end(token, at, body):
                ends.append(at)
                self._row_begin = self._position
        return ends

    def forget(self, end: int) -> None:
        """Go on although the rows up to the comma at `end` have been deleted from the body, with the comma."""
        assert self.begin is not None  # noqa: S101 - for the type checker
        deleted = end + 1 - self.begin
        self._position -= deleted
        if self._string_begin is not None:
            self._string_begin -= deleted
        self._row_begin -= deleted

    def _next(self, body: bytes | bytearray) -> tuple[bytes | None, int]:
        """Return the next bracket, comma or string, and where it is; `None` if it hasn't come to its end yet."""
        if self._string_begin is None:
            match = _TOKEN.search(body, self._position)
            self._position = len(body) if match is None else match.end()
            if match is None or match[0] != _QUOTE:
                return (None, 0) if match is None else (match[0], match.start())
            self._string_begin = match.start()
        # What has been read of a string isn't read again when more of it has come.
        read = _IN_STRING.match(body, self._position)
        end = self._position if read is None else read.end()
        if body[end : end + 1] != _QUOTE:
            self._position = end
            return None, 0
        begin, self._string_begin, self._position = self._string_begin, None, end + 1
        return bytes(body[begin : min(end + 1, begin + len(_KEY) + 1)]), begin

    def _seek(self, token: bytes) -> None:
        """Take a token before the list's first row."""
        if token in _OPENING:
            on_path = self._depth == self._entered and (self._before == _KEY if self._depth else True)
            self._depth += 1
            if on_path and token == b"{" and self._entered < self._objects:
                self._entered = self._depth
            elif on_path and token == b"[" and self._entered == self._objects:
                self._list_depth = self._depth
                self.begin = self._row_begin = self._position
        elif token in _CLOSING:
            self._depth -= 1
            self._entered = min(self._entered, self._depth)
        self._before = token

    def _is_end(self, token: bytes, at: int, body: bytes | bytearray) -> bool:
        """Take a token of the list. Return whether a row ends before it."""
        if token in _OPENING:
            self._depth += 1
        elif token in _CLOSING:
            self._depth -= 1
            if self._depth < self._list_depth:
                self.end = at
                # An empty list has no row, but there is one, if a blank one, behind a comma.
                return self._row_begin != self.begin or bool(body[self._row_begin : at].strip())
        return token == b"," and self._depth == self._list_depth
