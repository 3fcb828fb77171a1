"""A family of prometheus_client whose samples are rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Protocol

import msgspec
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

Labels = tuple[str, ...]
"""Label values of a sample, in the order of the labels of its metric or form."""


class Rows(Protocol):
    """The label values of samples, each once, and their values in the same order. A dictionary is one."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __iter__(self) -> Iterator[Labels]:
        """Yield the label values."""
        ...

    def values(self) -> Iterable[float]:
        """Return the values."""
        ...


class SharedLabels:
    """Label values that many families have. Whether one is repeated is found out once, and their text made once."""

    def __init__(self, every: Sequence[Labels], *, are_unique: bool | None = None) -> None:
        self.every = every
        self.widths = set(map(len, every))
        self.are_unique = _are_unique(every) if are_unique is None else are_unique

    def with_each(self, last: Sequence[str]) -> "SharedLabels":
        """Return each of them with each of these as another label value."""
        tails = [(text,) for text in last]
        return SharedLabels([labels + tail for labels in self.every for tail in tails], are_unique=self.are_unique)


def _are_unique(every: Sequence[Labels]) -> bool:
    seen = set()
    # Not in one call, which would keep other threads waiting if there are 100,000.
    for labels in every:
        seen.add(labels)
    return len(seen) == len(every)


class NumberRows(msgspec.Struct, frozen=True, eq=False):
    """Rows with shared labels, and a whole number for each."""

    labels: SharedLabels
    numbers: Sequence[int]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.numbers)

    def __iter__(self) -> Iterator[Labels]:
        """Yield the label values."""
        return iter(self.labels.every)

    def values(self) -> Iterable[float]:
        """Return the values."""
        return self.numbers


Run = tuple[Labels, Sequence[int]]
"""Label values, of which one is `""`, and the whole numbers that rows have in its place."""


class InfoRows(msgspec.Struct, frozen=True, eq=False):
    """Rows whose value is 1, as runs of rows that differ in one label: `column`, a whole number.

    `make` makes them when they are read, so that none is kept.
    """

    number: int
    column: int
    make: Callable[[], Iterator[Run]]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.number

    def __iter__(self) -> Iterator[Labels]:
        """Yield the label values."""
        for labels, numbers in self.make():
            before, after = labels[: self.column], labels[self.column + 1 :]
            yield from ((*before, text, *after) for text in map(str, numbers))

    def values(self) -> Iterable[float]:
        """Return the values."""
        return repeat(1.0, self.number)


class Form(msgspec.Struct, frozen=True, cache_hash=True):
    """All that the fixed text of a sample depends on: what its family has, its own name, and its labels.

    The names of the samples of a counter end with `_total`, those of a histogram with `_bucket`, `_count` and `_sum`.
    """

    name: str
    documentation: str
    type: str
    unit: str
    sample_name: str
    labels: tuple[str, ...]


class RowFamily(Family):
    """A family whose samples are rows, one form after another. There is at least one form, maybe without rows.

    Samples of prometheus_client are made when `samples` is read.
    """

    def __init__(self, *rows: tuple[Form, Rows]) -> None:
        form, _ = rows[0]
        super().__init__(form.name, form.documentation, form.type)
        # prometheus_client would add it to a name that doesn't end with it.
        self.unit = form.unit
        self._rows = rows
        del self.samples

    @property
    def rows(self) -> Sequence[tuple[Form, Rows]] | None:
        """The rows, or `None` once anything was changed or `samples` read: what is there counts from then on."""
        form, _ = self._rows[0]
        shown = (self.name, self.documentation, self.type, self.unit)
        is_changed = "samples" in vars(self) or shown != (form.name, form.documentation, form.type, form.unit)
        return None if is_changed else self._rows

    @cached_property
    def samples(self) -> list[Sample]:  # type: ignore[override]
        """The rows as samples of prometheus_client."""
        return [
            Sample(form.sample_name, dict(zip(form.labels, labels, strict=True)), value)
            for form, rows in self._rows
            for labels, value in zip(rows, rows.values(), strict=True)
        ]
