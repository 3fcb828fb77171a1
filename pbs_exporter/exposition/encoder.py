"""From families to bytes: the same bytes as prometheus_client's, in a fraction of the time for families of rows.

The form of a family's lines comes from prometheus_client itself, once per family. This module only puts label values
and numbers in their places. tests/unit/exposition/test_encoder.py compares the bytes, so it fails if an upgrade of
prometheus_client changes more than that.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, repeat
from operator import add
from typing import NamedTuple, Protocol

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from pbs_exporter.exposition.row_family import Form, InfoRows, Labels, NumberRows, RowFamily, Rows, Run, SharedLabels

ROWS_AT_ONCE = 500
"""Rows that are encoded together. More aren't faster, and take more memory."""

FEW_ROWS = 32
"""Rows of which each line is begun with a text that is kept. Of more rows, these texts would take memory."""


class FamilySource(Protocol):
    """A source of families: a registry, or anything that can be registered in one."""

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        ...


GenerateLatest = Callable[[FamilySource], bytes]
"""prometheus_client's function `generate_latest` of one format."""


def encode(registry: FamilySource, generate_latest: GenerateLatest) -> list[bytes]:
    """Return what `generate_latest` returns for the registry, in pieces.

    The same rows are the same pieces, whatever else is on the page.
    """
    end = generate_latest(_FixedFamilies())
    pieces: list[bytes] = []
    texts = _LabelTexts()
    for family in registry.collect():
        if isinstance(family, RowFamily) and (forms := family.rows) is not None:
            pieces.append(_template(generate_latest, forms[0][0]).head)
            for form, rows in forms:
                if len(rows) <= FEW_ROWS:
                    starts = [_start(generate_latest, form, labels) for labels in rows]
                    pieces.append(_joined(starts, rows.values()).encode())
                else:
                    pieces.extend(lines.encode() for lines in _lines(generate_latest, form, rows, texts))
        elif family.samples and family.type in _PLAIN_KINDS and all(map(_is_plain, family.samples)):
            first = _form(family, family.samples[0])
            pieces.append(_template(generate_latest, first).head)
            starts = [
                _start(generate_latest, _form(family, sample), tuple(sample.labels.values()))
                for sample in family.samples
            ]
            pieces.append(_joined(starts, (sample.value for sample in family.samples)).encode())
        else:
            pieces.append(generate_latest(_FixedFamilies(family)).removesuffix(end))
    pieces.append(end)
    return pieces


_PLAIN_KINDS = ("counter", "gauge", "histogram", "summary")


def _is_plain(sample: Sample) -> bool:
    """Whether it is a line of name, labels and number. Others can become families of their own in the text formats."""
    return (
        sample.timestamp is None
        and sample.exemplar is None
        and getattr(sample, "native_histogram", None) is None
        and not sample.name.endswith(("_created", "_gsum", "_gcount"))
    )


def _form(family: Family, sample: Sample) -> Form:
    return Form(family.name, family.documentation, family.type, family.unit, sample.name, tuple(sample.labels))


class _FixedFamilies:
    """A source of the given families."""

    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


class _Template(NamedTuple):
    """The fixed text of a family: what precedes its samples, and the pieces of a line.

    The label value of column `columns[i]` follows `pieces[i]`, and the number follows the last piece.
    """

    head: bytes
    pieces: tuple[str, ...]
    columns: tuple[int, ...]


@lru_cache(maxsize=1024)
def _template(generate_latest: GenerateLatest, form: Form) -> _Template:
    """Take apart a sample that `generate_latest` wrote with column numbers between NULs as label values."""
    family = Family(form.name, form.documentation, form.type)
    family.unit = form.unit
    marked = {label: f"\0{column}\0" for column, label in enumerate(form.labels)}
    family.samples = [Sample(form.sample_name, marked, 1)]
    text = generate_latest(_FixedFamilies(family)).removesuffix(generate_latest(_FixedFamilies())).decode()
    *head, line, _ = text.split("\n")
    fields = line.removesuffix("1.0").split("\0")
    return _Template("".join(f"{line}\n" for line in head).encode(), tuple(fields[::2]), tuple(map(int, fields[1::2])))


@lru_cache(maxsize=8192)
def _start(generate_latest: GenerateLatest, form: Form, labels: tuple[str, ...]) -> str:
    """Return the text of a line up to its number."""
    if len(labels) != len(form.labels):
        raise ValueError(f"{form.sample_name} has {len(form.labels)} labels, not {len(labels)}")
    template = _template(generate_latest, form)
    *before, last = template.pieces
    places = zip(before, template.columns, strict=True)
    return "".join([*(piece + _escaped_text(labels[column]) for piece, column in places), last])


def _joined(starts: Iterable[str], values: Iterable[float]) -> str:
    """Return whole lines."""
    return "".join([f"{start}{number}\n" for start, number in zip(starts, _numbers(values), strict=True)])


def _lines(generate_latest: GenerateLatest, form: Form, rows: Rows, texts: "_LabelTexts") -> Iterator[str]:
    """Yield the lines of the samples, about `ROWS_AT_ONCE` at a time."""
    template = _template(generate_latest, form)
    if isinstance(rows, NumberRows):
        yield from _number_lines(template, form.sample_name, rows, texts)
    elif isinstance(rows, InfoRows):
        yield from _info_lines(template, rows)
    else:
        every, values = iter(rows), iter(rows.values())
        while some := list(islice(every, ROWS_AT_ONCE)):
            numbers = _numbers(islice(values, ROWS_AT_ONCE))
            yield "\n".join(map(add, _texts(template, some), numbers)) + "\n"


def _texts(template: _Template, some: Sequence[Labels]) -> Iterator[str]:
    """Yield the text of each line up to its number."""
    columns = list(zip(*some, strict=True))
    *before, last = template.pieces
    places: list[Iterable[str]] = []
    fixed = ""
    for piece, column in zip(before, template.columns, strict=True):
        labels = columns[column]
        fixed += piece
        # What is the same in all lines is joined once.
        if labels.count(labels[0]) == len(labels):
            fixed += _escaped_text(labels[0])
        else:
            places += [repeat(fixed), _escaped(labels)]
            fixed = ""
    return map("".join, zip(*places, repeat(fixed + last, len(some)), strict=False))


class _LabelTexts:
    """The texts of shared labels on a page, each made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[SharedLabels, _Template], list[str]] = {}

    def get(self, labels: SharedLabels, template: _Template) -> list[str]:
        """Return the text that the template makes of each."""
        key = (labels, template)
        if key not in self._known:
            starts = range(0, len(labels.every), ROWS_AT_ONCE)
            parts = (labels.every[at : at + ROWS_AT_ONCE] for at in starts)
            self._known[key] = [text for part in parts for text in _texts(template, part)]
        return self._known[key]


def _number_lines(template: _Template, name: str, rows: NumberRows, texts: _LabelTexts) -> Iterator[str]:
    first, *others = template.pieces
    # Other families have the same text after the name.
    unnamed = template._replace(head=b"", pieces=(first.removeprefix(name), *others))
    labels = texts.get(rows.labels, unnamed)
    start = first.removesuffix(unnamed.pieces[0])
    for at in range(0, len(labels), ROWS_AT_ONCE):
        numbers = map(_whole_number, rows.numbers[at : at + ROWS_AT_ONCE])
        lines = map(add, labels[at : at + ROWS_AT_ONCE], numbers)
        yield start + f"\n{start}".join(lines) + "\n"


def _info_lines(template: _Template, rows: InfoRows) -> Iterator[str]:
    at = template.columns.index(rows.column)
    before = template._replace(pieces=template.pieces[: at + 1], columns=template.columns[:at])
    after = template._replace(
        pieces=(*template.pieces[at + 1 : -1], f"{template.pieces[-1]}{_whole_number(1)}\n"),
        columns=template.columns[at + 1 :],
    )
    for runs in _parts(rows.make()):
        labels, numbers = zip(*runs, strict=True)
        starts, ends = _texts(before, labels), _texts(after, labels)
        yield "".join(
            [
                start + f"{end}{start}".join(map(str, some)) + end
                for start, end, some in zip(starts, ends, numbers, strict=True)
            ]
        )


def _parts(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Split the runs into parts of about `ROWS_AT_ONCE` rows."""
    part: list[Run] = []
    number = 0
    for labels, numbers in runs:
        for at in range(0, len(numbers), ROWS_AT_ONCE):
            some = numbers[at : at + ROWS_AT_ONCE]
            part.append((labels, some))
            number += len(some)
            if number >= ROWS_AT_ONCE:
                yield part
                part, number = [], 0
    if part:
        yield part


def _escaped(column: Sequence[str]) -> Iterable[str]:
    """Escape the values of a column. Few columns need it."""
    text = "".join(column)
    if "\\" in text or "\n" in text or '"' in text:
        return map(_escaped_text, column)
    return column


def _escaped_text(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


number = lru_cache(maxsize=8192)(floatToGoString)
"""Write a value as prometheus_client does."""


_whole_number = lru_cache(maxsize=8192)(floatToGoString)
"""The same for whole numbers. There is one 0 of these, while 0.0 and -0.0 are one key of a cache."""


def _numbers(values: Iterable[float]) -> list[str]:
    return [number(value) if value else "0.0" if math.copysign(1, value) > 0 else "-0.0" for value in values]
