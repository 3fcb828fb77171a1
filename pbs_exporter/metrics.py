"""What a metric, a sample and a page are."""

import sys
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry

from pbs_exporter.family import RowFamily
from pbs_exporter.text import clean

_UNITS = ("bytes", "seconds", "ratio")
_MOST = sys.float_info.max

Labels = tuple[str, ...]
"""Label values, one for each label of a metric, in their order."""


class Metric(msgspec.Struct, frozen=True, cache_hash=True):
    """A metric family as it is declared: its name, what it means, and the names of its labels.

    `help` names the API path and field that the value comes from.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    type: Literal["gauge", "counter", "histogram"] = "gauge"

    def __call__(self, value: float | None, *labels: str | None) -> tuple["Sample", ...]:
        """Make the sample with that value, or none where the value is unknown (`None`, not finite).

        One label value for each label, in their order; `None` is `""`. Raises `TypeError` for too few or
        too many, because prometheus_client would drop them without a word.
        """
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has {len(self.labels)} labels, not {len(labels)}")
        if value is None or not -_MOST <= value <= _MOST:
            return ()
        texts = tuple([label or "" for label in labels])
        # Nearly all are clean, which one look at all of them tells.
        if not "".join(texts).isprintable():
            texts = tuple(map(clean, texts))
        return (Sample(self, texts, value),)

    def series(self, rows: Iterable[tuple[Labels, float | None]]) -> "Series":
        """Make many samples, in a fraction of the time: `rows` are their label values and their values.

        The label values must be clean already (`text.clean`). Unknown values and wrong numbers of labels are as
        in a call.
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

    @property
    def unit(self) -> str:
        """The unit that the name ends with, or `""`."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in _UNITS else ""


class Sample(NamedTuple):
    """One value of one series."""

    metric: Metric
    labels: Labels
    value: float


class Series(NamedTuple):
    """Many series of one metric, with their values. `doubles` is how many were left out, as they were there already."""

    metric: Metric
    values: dict[Labels, float]
    doubles: int


def state_set(metric: Metric, states: Iterable[str], current: str, *labels: str | None) -> Iterator[Sample]:
    """Make a sample for each state: 1 for the current one, 0 for the others. The state is the last label."""
    for state in states:
        yield from metric(float(state == current), *labels, state)


class Page:
    """The samples of one answer to `/metrics`, each family once and each series once."""

    def __init__(self) -> None:
        self._families: dict[Metric, dict[Labels, float]] = {}

    def add(self, samples: Iterable[Sample | Series]) -> int:
        """Add samples. Those of a series that the page already has are left out; gives their number."""
        doubles = 0
        for sample in samples:
            if isinstance(sample, Series):
                doubles += sample.doubles + self._take(sample.metric, sample.values)
                continue
            family = self._families.get(sample.metric)
            if family is None:
                family = self._families[sample.metric] = {}
            before = len(family)
            family.setdefault(sample.labels, sample.value)
            doubles += before == len(family)
        return doubles

    @property
    def empty(self) -> bool:
        """Whether it has no samples."""
        return not any(self._families.values())

    def fill(self, page: "Page") -> None:
        """Add the families that aren't here yet, of another page to which no samples are added any more."""
        for metric, values in page._families.items():  # noqa: SLF001 - its own class
            self._families.setdefault(metric, values)

    def take(self, page: "Page") -> int:
        """Add the samples of another page, to which none are added any more. Gives the doubles, as `add` does."""
        return self.add(Series(metric, values, 0) for metric, values in page._families.items())  # noqa: SLF001 - its own class

    def _take(self, metric: Metric, values: dict[Labels, float]) -> int:
        if not values:
            return 0
        family = self._families.setdefault(metric, values)
        if family is values:
            return 0
        before = len(family)
        for labels, value in values.items():
            family.setdefault(labels, value)
        return before + len(values) - len(family)

    def collect(self) -> Iterator[RowFamily]:
        """Give the page as families of prometheus_client: this makes it a collector of a registry."""
        for metric, values in self._families.items():
            family = RowFamily(
                metric.name.removesuffix("_total"),
                metric.help,
                metric.type,
                metric.unit,
                sample_name=metric.name,
                labels=metric.labels,
                rows=values,
            )
            if metric.type != "counter":
                family.name = metric.name
            yield family

    def registry(self) -> CollectorRegistry:
        """Give a new registry with this page in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry
