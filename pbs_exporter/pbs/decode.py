"""From the body of an answer to Structs."""

import json
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from pbs_exporter.errors import DecodeFailed, NotJson, WrongShape, first_line

T = TypeVar("T")


class Rows(msgspec.Struct, Generic[T], frozen=True):
    """A list that PBS answered. `left_out` says which rows had the wrong shape, if any had."""

    rows: list[T]
    left_out: DecodeFailed | None = None


class _Envelope(msgspec.Struct, Generic[T]):
    data: T


def one(kind: type[T]) -> Callable[[bytes], T]:
    """Make a decoder of an answer that is one object. It raises `NotJson` or `WrongShape`."""
    decoder = msgspec.json.Decoder(_Envelope[kind])  # type: ignore[valid-type]

    def decode(body: bytes) -> T:
        try:
            return decoder.decode(body).data
        except msgspec.MsgspecError:
            return _convert(_data(body), kind)

    return decode


def many(kind: type[T]) -> Callable[[bytes], Rows[T]]:
    """Make a decoder of an answer that is a list. A row of the wrong shape costs itself only.

    It raises `NotJson`, or `WrongShape` where the answer is no list.
    """
    decoder = msgspec.json.Decoder(_Envelope[list[kind]])  # type: ignore[valid-type]

    def decode(body: bytes) -> Rows[T]:
        try:
            return Rows(decoder.decode(body).data)
        except msgspec.MsgspecError:
            return _row_by_row(_data(body), kind)

    return decode


def _row_by_row(data: object, kind: type[T]) -> Rows[T]:
    if not isinstance(data, list):
        raise WrongShape(f"expected a list, got {_json_type(data)}")
    rows: list[T] = []
    errors: list[WrongShape] = []
    for row in data:
        try:
            rows.append(_convert(row, kind))
        except WrongShape as error:
            errors.append(error)
    if not errors:
        return Rows(rows)
    return Rows(rows, WrongShape(f"{len(errors)} of {len(data)} rows left out: {errors[0]}"))


def _convert(value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        # msgspec's text names types and fields, never a value. It can't take a lone surrogate in a key.
        raise WrongShape(first_line(str(error))) from error


def _data(body: bytes) -> object:
    """Read a body that msgspec refused, with the standard library.

    It takes what msgspec doesn't and what must not cost a whole answer: a lone surrogate in one text, a
    bare NaN, which stands for nothing.
    """
    try:
        answer = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"no JSON, or cut off: {_shown(body)}") from error
    if not isinstance(answer, dict) or "data" not in answer:
        raise WrongShape('expected an object with the key "data"')
    return answer["data"]


def _shown(body: bytes) -> str:
    """Give the start of a body that is no JSON: it tells a proxy's page from a cut answer."""
    return repr(bytes(body[:60]).decode(errors="replace"))


def _json_type(value: object) -> str:
    names = {dict: "an object", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
