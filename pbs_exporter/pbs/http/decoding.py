"""Decoders: from the body of an answer to Structs.

An answer is only what it seems: whatever can't be read is one `DecodeFailed` of its request, and a row that can't be
read costs itself.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from pbs_exporter.errors import NotJson, WrongShape
from pbs_exporter.pbs.http.row_scanner import RowScanner
from pbs_exporter.plain_text import first_line

T = TypeVar("T")
R = TypeVar("R")

Body = bytes | bytearray

Decoder = Callable[[AsyncIterator[bytes]], Awaitable[T]]
"""Decodes a body while it arrives. It keeps nothing of the body if it doesn't return."""

_LARGEST_NUMBER = 308
"""Number of digits of the largest number that a float can hold, without its first one."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for what it can't decode."""

_WRONG = (msgspec.ValidationError, UnicodeError, RecursionError)
"""What is raised for JSON of a wrong shape, with a text that names types and fields, but no value.

A lone surrogate in a key is a UnicodeEncodeError, a byte that isn't UTF-8 a UnicodeDecodeError.
"""

_OUT_OF_RANGE = "out of range"


class Rows(msgspec.Struct, Generic[T], frozen=True):
    """A list from PBS: its valid rows, the number of invalid ones, and what is wrong with the first of these."""

    rows: list[T]
    invalid: int = 0
    reason: str = ""

    @property
    def omitted(self) -> WrongShape | None:
        """One error for all invalid rows; `None` if there are none."""
        return omission(self.invalid, len(self.rows) + self.invalid, self.reason)


def omission(invalid: int, rows: int, reason: str) -> WrongShape | None:
    """Return one error for all invalid rows of a list with this number of rows; `None` if there are none."""
    return WrongShape(f"{invalid} of {rows} rows omitted: {reason}") if invalid else None


class _Envelope(msgspec.Struct, Generic[T]):
    data: T


def buffered(decode: Callable[[Body], T]) -> Decoder[T]:
    """Return a decoder that collects the whole body first."""

    async def read(chunks: AsyncIterator[bytes]) -> T:
        body = bytearray()
        try:
            async for chunk in chunks:
                body += chunk
            return decode(body)
        finally:
            # An error or a cancellation keeps this frame for some time.
            body.clear()

    return read


def one(kind: type[T]) -> Callable[[Body], T]:
    """Return a decoder for an answer that is one object. It raises `NotJson` or `WrongShape`."""
    decoder = msgspec.json.Decoder(_Envelope[kind])  # type: ignore[valid-type]

    def decode(body: Body) -> T:
        try:
            return decoder.decode(body).data
        except _UNREADABLE:
            return _convert(_data(body), kind)

    return decode


def many(kind: type[T]) -> Callable[[Body], Rows[T]]:
    """Return a decoder for an answer that is a list. It omits invalid rows.

    It raises `NotJson`, or `WrongShape` if the answer isn't a list.
    """
    return _list_decoder(kind, msgspec.json.Decoder(_Envelope[list[kind]]), 1)  # type: ignore[valid-type]


def nested(kind: type[T]) -> Callable[[Body], Rows[T]]:
    """Return a decoder like `many`, for an answer whose list is the key "data" of a further object."""
    return _list_decoder(kind, msgspec.json.Decoder(_Envelope[_Envelope[list[kind]]]), 2)  # type: ignore[valid-type]


def _list_decoder(kind: type[T], whole: "msgspec.json.Decoder[Any]", objects: int) -> Callable[[Body], Rows[T]]:
    row_decoder = msgspec.json.Decoder(kind)

    def decode(body: Body) -> Rows[T]:
        try:
            data = whole.decode(body).data
            return Rows(data if objects == 1 else data.data)
        except _UNREADABLE:
            return row_by_row(body)

    def row_by_row(body: Body) -> Rows[T]:
        scanner = RowScanner(objects)
        ends = scanner.scan(body)
        if scanner.begin is None:
            return _collected(_list(_data(body), objects), lambda value: msgspec.convert(value, kind))
        if scanner.end is None:
            raise NotJson(not_json(body))
        begins = [scanner.begin, *(end + 1 for end in ends)]
        rows = _collected((bytes(body[begin:end]) for begin, end in zip(begins, ends, strict=False)), row)
        # What is around the rows is an answer of its own, with an empty list.
        _list(_data(body[: scanner.begin] + body[scanner.end :]), objects)
        return rows

    def row(raw: bytes) -> T:
        try:
            return row_decoder.decode(raw)
        except msgspec.ValidationError as error:
            # The standard library makes a difference only for numbers, and an answer may have 100,000 such rows.
            if _OUT_OF_RANGE not in str(error):
                raise
        except _UNREADABLE:
            pass
        value = _loads(raw.decode(errors="replace"), raw)
        # Text with a replaced byte isn't what PBS has.
        raw.decode()
        return msgspec.convert(value, kind)

    return decode


def _collected(raw: Iterable[R], read: Callable[[R], T]) -> Rows[T]:
    """Read each row, and omit those that can't be read."""
    rows: list[T] = []
    invalid, reason = 0, ""
    for row in raw:
        try:
            rows.append(read(row))
        except _WRONG as error:
            invalid += 1
            reason = reason or first_line(str(error))
    return Rows(rows, invalid, reason)


def _list(data: object, objects: int) -> list[object]:
    """Return the list that lies in `data`, of which there are `objects` around each other."""
    for _ in range(1, objects):
        if not isinstance(data, dict):
            raise WrongShape('expected an object with the key "data"')
        data = data.get("data")
    if not isinstance(data, list):
        raise WrongShape(f"expected a list, got {_json_type(data)}")
    return data


def _convert(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except _WRONG as error:
        raise WrongShape(first_line(str(error))) from None


def _data(body: Body) -> object:
    """Return the `data` of a body that msgspec refused."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotJson(not_json(body)) from None
    answer = _loads(text, body)
    if not isinstance(answer, dict) or "data" not in answer:
        raise WrongShape('expected an object with the key "data"')
    return answer["data"]


def _loads(text: str, shown: Body) -> object:
    """Return what the standard library reads, which is more than msgspec does.

    It accepts a lone surrogate in a string, which must not cost the whole answer. NaN and numbers that no float can
    hold are `None`: unknown.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_int=_integer, parse_float=_float)
    except (ValueError, RecursionError):
        raise NotJson(not_json(shown)) from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LARGEST_NUMBER else None


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if abs(value) != float("inf") else None


def not_json(body: Body) -> str:
    """Return the text of the error, with the body's start: it tells a proxy's page from a truncated answer."""
    return f"not JSON, or truncated: {bytes(body[:60]).decode(errors='replace')!r}"


def _json_type(value: object) -> str:
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
