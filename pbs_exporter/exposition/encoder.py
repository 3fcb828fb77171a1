"""From families to bytes: the same bytes as prometheus_client's, and fast for families that keep rows.

How a line looks is asked of prometheus_client itself, once for each family. What is left to this module is to put
label values and numbers in their places. tests/unit/exposition/test_encoder.py compares the bytes, so that an upgrade
which changes more than that is noticed.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import NamedTuple, Protocol

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from pbs_exporter.exposition.row_family import RowFamily

ROWS_AT_ONCE = 500
"""More at once aren't faster, and take more memory."""


class Collector(Protocol):
    """Whatever gives families: a registry, or anything that can be registered in one."""

    def collect(self) -> Iterable[Family]:
        """Give the families."""
        ...


Model = Callable[[Collector], bytes]
"""prometheus_client's `generate_latest` of one format."""


def encode(registry: Collector, model: Model) -> bytes:
    """Write all families as the model does."""
    end = model(_Families())
    page = io.BytesIO()
    for family in registry.collect():
        if isinstance(family, RowFamily) and family.rows is not None:
            template = _template(model, _look(family, family.sample_name, family.labels))
            page.write(template.head)
            for lines in _lines(template, family.rows):
                page.write(lines.encode())
        elif family.samples and family.type in _PLAIN_KINDS and all(map(_is_plain, family.samples)):
            first = family.samples[0]
            page.write(_template(model, _look(family, first.name, tuple(first.labels))).head)
            page.write("".join([_line(model, family, sample) for sample in family.samples]).encode())
        else:
            page.write(model(_Families(family)).removesuffix(end))
    page.write(end)
    return page.getvalue()


_PLAIN_KINDS = ("counter", "gauge", "histogram", "summary")


def _is_plain(sample: Sample) -> bool:
    """Whether it is a line of name, labels and number. The text formats make families of their own of others."""
    return (
        sample.timestamp is None
        and sample.exemplar is None
        and getattr(sample, "native_histogram", None) is None
        and not sample.name.endswith(("_created", "_gsum", "_gcount"))
    )


def _line(model: Model, family: Family, sample: Sample) -> str:
    """Write one sample."""
    template = _template(model, _look(family, sample.name, tuple(sample.labels)))
    values = tuple(sample.labels.values())
    *before, last = template.pieces
    places = [piece + _escaped_text(values[column]) for piece, column in zip(before, template.columns, strict=True)]
    return f"{''.join(places)}{last}{_number(sample.value)}\n"


class _Families:
    """A registry for the model: of one family, or of none."""

    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


class _Template(NamedTuple):
    """How a family looks: what comes before its samples, and a line's fixed pieces.

    The label value of column `columns[i]` comes after `pieces[i]`, the number after the last piece.
    """

    head: bytes
    pieces: tuple[str, ...]
    columns: tuple[int, ...]


class _Look(NamedTuple):
    """What a family's lines have in common."""

    name: str
    documentation: str
    kind: str
    unit: str
    sample_name: str
    labels: tuple[str, ...]


def _look(family: Family, sample_name: str, labels: tuple[str, ...]) -> _Look:
    return _Look(family.name, family.documentation, family.type, family.unit, sample_name, labels)


@lru_cache(maxsize=1024)
def _template(model: Model, look: _Look) -> _Template:
    """Let the model write a sample whose label values are their columns, between NULs, and take it to pieces."""
    family = Family(look.name, look.documentation, look.kind)
    family.unit = look.unit
    marked = {label: f"\0{column}\0" for column, label in enumerate(look.labels)}
    family.samples = [Sample(look.sample_name, marked, 1)]
    text = model(_Families(family)).removesuffix(model(_Families())).decode()
    *head, line, _ = text.split("\n")
    fields = line.removesuffix("1.0").split("\0")
    return _Template("".join(f"{line}\n" for line in head).encode(), tuple(fields[::2]), tuple(map(int, fields[1::2])))


def _lines(template: _Template, rows: Mapping[tuple[str, ...], float]) -> Iterator[str]:
    """Write the samples, so many at once."""
    every, values = iter(rows), iter(rows.values())
    while some := list(islice(every, ROWS_AT_ONCE)):
        columns = list(zip(*some, strict=True))
        labels = [_escaped(columns[column]) for column in template.columns]
        *before, last = map(repeat, template.pieces)
        places = chain.from_iterable(zip(before, labels, strict=True))
        numbers = _numbers(islice(values, ROWS_AT_ONCE))
        yield "".join(chain.from_iterable(zip(*places, last, numbers, repeat("\n"), strict=False)))


def _escaped(column: Iterable[str]) -> Iterable[str]:
    """Escape those values that need it, which are few."""
    text = "".join(column)
    if "\\" in text or "\n" in text or '"' in text:
        return map(_escaped_text, column)
    return column


def _escaped_text(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_number = lru_cache(maxsize=8192)(floatToGoString)


def _numbers(values: Iterable[float]) -> list[str]:
    # 0.0 and -0.0 are one key of a cache.
    return [_number(value) if value else "0.0" if math.copysign(1, value) > 0 else "-0.0" for value in values]
