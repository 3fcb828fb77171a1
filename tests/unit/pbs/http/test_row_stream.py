"""Streaming decoding of a long list: the same rows as from the whole body, wherever it is cut."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbs_exporter.errors import NotJson, WrongShape
from pbs_exporter.pbs.http import row_stream
from pbs_exporter.pbs.http.decoding import Rows, many
from pbs_exporter.pbs.http.row_scanner import RowScanner
from pbs_exporter.pbs.http.row_stream import UNSEPARATED_BYTES, RowStream


class Row(msgspec.Struct, frozen=True, rename="kebab"):
    """A row that can contain rows of the same shape."""

    backup_type: str
    parts: list["Row"] = []


decode = many(Row)
texts = st.one_of(st.text(), st.sampled_from(['},{"backup-type":', '"},{"', "\\", '\\"},{"backup-type"', "\ud800"]))
good: st.SearchStrategy[Any] = st.recursive(
    st.builds(dict, **{"backup-type": texts}),
    lambda rows: st.builds(dict, **{"backup-type": texts, "parts": st.lists(rows, max_size=3)}),
    max_leaves=5,
)
bad: st.SearchStrategy[Any] = st.one_of(
    st.just({"backup-type": 7}), st.just({"other": "x"}), st.just([]), st.none(), st.integers()
)
rows_of_all_kinds = st.lists(st.one_of(good, good, good, bad), max_size=8)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut a body at these places."""
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[begin:end] for begin, end in pairwise(edges)]


def streamed(chunks: Sequence[bytes]) -> Rows[Row]:
    """Return the rows that a stream decodes from the chunks of a body."""
    stream = RowStream(decode)
    rows = [row for chunk in chunks for row in stream.feed(chunk)] + stream.finish()
    return Rows(rows, stream.invalid, stream.reason)


@given(
    rows_of_all_kinds,
    st.lists(st.integers(0), max_size=12),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\t:\n")]),
    st.sampled_from([None, None, 0, 2, "\t"]),
    st.sampled_from([{}, {"total": 8}]),
    st.sampled_from([0, 64, 256, UNSEPARATED_BYTES]),
)
def test_any_cut_gives_the_same_rows(  # noqa: PLR0917 - what can differ
    rows: list[Any],
    places: list[int],
    separators: tuple[str, str],
    indent: int | str | None,
    before: dict[str, int],
    unseparated: int,
) -> None:
    """Good rows and the errors of bad ones equal those of the whole body, wherever it is cut, searched and blank."""
    body = json.dumps({**before, "data": rows}, separators=separators, indent=indent, ensure_ascii=not indent).encode(
        errors="surrogatepass"
    )
    whole = decode(body)
    stream = RowStream(decode)
    with patch.object(row_stream, "UNSEPARATED_BYTES", unseparated):
        found = [row for chunk in cut(body, places) for row in stream.feed(chunk)] + stream.finish()
    assert found == whole.rows
    assert str(stream.omitted) == str(whole.omitted)


@given(st.binary(max_size=300), st.lists(st.integers(0), max_size=5))
def test_no_bytes_break_it(body: bytes, places: list[int]) -> None:
    """A body that isn't such a list raises the same kind of error as the whole body."""
    try:
        expected = decode(body).rows
    except (NotJson, WrongShape) as error:
        with pytest.raises(type(error)):
            streamed(cut(body, places))
    else:
        assert streamed(cut(body, places)).rows == expected


@pytest.mark.parametrize("end", range(1, 60))
def test_a_cut_answer_is_no_list(end: int) -> None:
    """A body that ends too early is an error, also right after a row."""
    body = b'{"data":[{"backup-type":"vm"},{"backup-type":"ct"},{"backup-type":"host"}]}'[:-end]
    with pytest.raises((NotJson, WrongShape)):
        streamed([body[:40], body[40:]])


def test_rows_come_as_they_arrive() -> None:
    """Each chunk returns the rows that are complete, except the last one, which may still turn out to be bad."""
    stream = RowStream(decode)
    assert stream.feed(b'{"data":[{"backup-type":"a"},{"backup-ty') == []
    assert stream.feed(b'pe":"b"},{"backup-type":"c"},{"backup-type":"d"}') == [Row("a"), Row("b"), Row("c")]
    assert stream.feed(b"]}") == []
    assert stream.finish() == [Row("d")]


def test_a_long_string_is_read_once() -> None:
    """A string that comes in many pieces is found in time that grows with its length, not with its square."""
    body = json.dumps({"data": [{"comment": '"' * 200_000}, 1]}).encode()
    scanner, arrived, ends = RowScanner(1), bytearray(), []
    for byte in body:
        arrived.append(byte)
        ends += scanner.scan(arrived)
    assert ends == [body.index(b", 1"), scanner.end]


@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
def test_blanks_between_tokens_cost_no_scan(indent: int | str | None) -> None:
    """A list that a proxy wrote anew is cut at its rows as PBS's own: no row waits, and none is scanned."""
    rows = [{"backup-type": "é{}[],\\", "comment": '"},{"'}] * 1000
    body = json.dumps({"data": rows}, indent=indent, ensure_ascii=False).encode()
    stream = RowStream(decode)
    found = 0
    for begin in range(0, len(body), 1024):
        found += len(stream.feed(body[begin : begin + 1024]))
        assert len(stream._rest) < 512
    assert found + len(stream.finish()) == len(rows)
    assert stream._scanner is None
