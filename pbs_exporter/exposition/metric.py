"""Metrics and samples."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from pbs_exporter.exposition.row_family import Form, Labels, NumberRows, Rows, SharedLabels
from pbs_exporter.plain_text import LABEL_LIMIT, label

_UNITS = ("bytes", "seconds", "ratio")
_MOST = sys.float_info.max


class Metric(msgspec.Struct, frozen=True, cache_hash=True):
    """The declaration of a metric: its name, its help, and the names of its labels.

    `help` names the API path and field that the value comes from.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    type: Literal["gauge", "counter", "histogram"] = "gauge"

    def __call__(self, value: float | None, *labels: str | None) -> tuple["Sample", ...]:
        """Return a sample, or none if the value is unknown (`None` or not finite).

        `labels` are the label values, in the order of the metric's labels; `None` is `""`. Raise `TypeError` if there
        are too few or too many, which prometheus_client would drop silently.
        """
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has {len(self.labels)} labels, not {len(labels)}")
        if value is None or not -_MOST <= value <= _MOST:
            return ()
        texts = tuple([text or "" for text in labels])
        # Nearly all are printable and short, so they are checked together first.
        joined = "".join(texts)
        if len(joined) > LABEL_LIMIT or not joined.isprintable():
            texts = tuple(map(label, texts))
        return (Sample(self, texts, value),)

    def series(self, rows: Iterable[tuple[Labels, float | None]]) -> "Series":
        """Return many samples, in a fraction of the time. `rows` are their label values and their values.

        The label values must be as labels are already (`plain_text.label`). Unknown values and wrong numbers of labels
        are treated as in a call.
        """
        values: dict[Labels, float] = {}
        given, width = 0, len(self.labels)
        for labels, value in rows:
            if len(labels) != width:
                raise TypeError(f"{self.name} has {width} labels, not {len(labels)}")
            if value is not None and -_MOST <= value <= _MOST:
                given += 1
                values.setdefault(labels, value)
        return Series(self, values, given - len(values))

    def numbers(self, labels: SharedLabels, values: Sequence[int | None]) -> "Series":
        """Return what `series` returns for these labels and their values, in a fraction of its time.

        If labels are repeated or a value is unknown, it takes the time of `series`.
        """
        if not labels.widths <= {len(self.labels)}:
            raise TypeError(f"{self.name} has {len(self.labels)} labels, not {max(labels.widths)}")
        known = [value for value in values if value is not None]
        are_finite = min(known, default=0) >= -_MOST and max(known, default=0) <= _MOST
        if labels.are_unique and are_finite and len(known) == len(values) == len(labels.every):
            return Series(self, NumberRows(labels, known), 0)
        return self.series(zip(labels.every, values, strict=True))

    def infos(self, rows: Iterable[Labels]) -> "Series":
        """Return many samples whose value is 1. `rows` are their label values, as for `series`."""
        given = list(rows)
        for width in set(map(len, given)) - {len(self.labels)}:
            raise TypeError(f"{self.name} has {len(self.labels)} labels, not {width}")
        values = dict.fromkeys(given, 1.0)
        return Series(self, values, len(given) - len(values))

    @property
    def form(self) -> Form:
        """The form of its samples in a family of prometheus_client."""
        return _form(self)

    @property
    def unit(self) -> str:
        """The unit at the end of the name, or `""`."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in _UNITS else ""


@lru_cache(maxsize=1024)
def _form(metric: Metric) -> Form:
    name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
    return Form(name, metric.help, metric.type, metric.unit, metric.name, metric.labels)


class Sample(NamedTuple):
    """A value of a series."""

    metric: Metric
    labels: Labels
    value: float


class Series(NamedTuple):
    """Many series of one metric. `duplicates` is the number of repeated series that were omitted."""

    metric: Metric
    rows: Rows
    duplicates: int


def ratio(part: float, whole: float) -> float | None:
    """Return a part of a whole, or `None` if the whole is 0 or no float can hold the result."""
    try:
        return part / whole
    except (ZeroDivisionError, OverflowError):
        return None


def known_duration(seconds: float | None) -> float | None:
    """Return a duration, or `None` if PBS's clock made it negative."""
    return None if seconds is None or seconds < 0 else seconds


def state_set(metric: Metric, states: Iterable[str], current: str, *labels: str | None) -> Iterator[Sample]:
    """Yield a sample for each state: 1 for the current one, 0 for the others. The state is the last label."""
    for state in states:
        yield from metric(float(state == current), *labels, state)
