"""Decoders: from the body of an answer to Structs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from pbs_exporter.errors import NotJson, WrongShape
from pbs_exporter.plain_text import first_line

T = TypeVar("T")

Body = bytes | bytearray

Decoder = Callable[[AsyncIterator[bytes]], Awaitable[T]]
"""Decodes a body while it arrives."""


class Rows(msgspec.Struct, Generic[T], frozen=True):
    """A list from PBS: its valid rows, and an error for each invalid one."""

    rows: list[T]
    invalid: list[WrongShape] = []

    @property
    def omitted(self) -> WrongShape | None:
        """One error for all invalid rows; `None` if there are none."""
        return omission(self.invalid, len(self.rows) + len(self.invalid))


def omission(invalid: Sequence[WrongShape], rows: int) -> WrongShape | None:
    """Return one error for all errors of a list with this number of rows; `None` if there are none."""
    return WrongShape(f"{len(invalid)} of {rows} rows omitted: {invalid[0]}") if invalid else None


class _Envelope(msgspec.Struct, Generic[T]):
    data: T


def buffered(decode: Callable[[Body], T]) -> Decoder[T]:
    """Return a decoder that collects the whole body first."""

    async def read(chunks: AsyncIterator[bytes]) -> T:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
        return decode(body)

    return read


def one(kind: type[T]) -> Callable[[Body], T]:
    """Return a decoder for an answer that is one object. It raises `NotJson` or `WrongShape`."""
    decoder = msgspec.json.Decoder(_Envelope[kind])  # type: ignore[valid-type]

    def decode(body: Body) -> T:
        try:
            return decoder.decode(body).data
        except msgspec.MsgspecError:
            return _convert(_data(body), kind)

    return decode


def nested(kind: type[T]) -> Callable[[Body], Rows[T]]:
    """Return a decoder like `many`, for an answer whose list is the key "data" of a further object."""

    def decode(body: Body) -> Rows[T]:
        data = _data(body)
        if not isinstance(data, dict):
            raise WrongShape('expected an object with the key "data"')
        return _row_by_row(data.get("data"), kind)

    return decode


def many(kind: type[T]) -> Callable[[Body], Rows[T]]:
    """Return a decoder for an answer that is a list. It omits invalid rows.

    It raises `NotJson`, or `WrongShape` if the answer isn't a list.
    """
    decoder = msgspec.json.Decoder(_Envelope[list[kind]])  # type: ignore[valid-type]

    def decode(body: Body) -> Rows[T]:
        try:
            return Rows(decoder.decode(body).data)
        except msgspec.MsgspecError:
            return _row_by_row(_data(body), kind)

    return decode


def _row_by_row(data: object, kind: type[T]) -> Rows[T]:
    if not isinstance(data, list):
        raise WrongShape(f"expected a list, got {_json_type(data)}")
    rows: list[T] = []
    invalid: list[WrongShape] = []
    for row in data:
        try:
            rows.append(_convert(row, kind))
        except WrongShape as error:
            # A copy without the traceback, which would keep the whole answer in memory.
            invalid.append(WrongShape(str(error)))
    return Rows(rows, invalid)


def _convert(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        # msgspec's message names types and fields, never a value. A lone surrogate in a key is a UnicodeEncodeError.
        raise WrongShape(first_line(str(error))) from error


def _data(body: Body) -> object:
    """Return the `data` of a body that msgspec refused, parsed by the standard library.

    The standard library also accepts a lone surrogate in a string and a bare NaN (read as `None`), which must not
    cost the whole answer.
    """
    try:
        answer = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"not JSON, or truncated: {_shown(body)}") from error
    if not isinstance(answer, dict) or "data" not in answer:
        raise WrongShape('expected an object with the key "data"')
    return answer["data"]


def _shown(body: Body) -> str:
    """Return the start of a body that isn't JSON: it tells a proxy's page from a truncated answer."""
    return repr(bytes(body[:60]).decode(errors="replace"))


def _json_type(value: object) -> str:
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
