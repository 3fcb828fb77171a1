"""What a metric, a sample and a page are."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample as FamilySample

COMMENT_LIMIT = 64
"""The longest comment in a label, in code points."""

_UNITS = ("bytes", "seconds", "ratio")


class Metric(msgspec.Struct, frozen=True):
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
        if value is None or not _finite(value):
            return ()
        return (Sample(self, tuple([clean(label) if label else "" for label in labels]), value),)

    @property
    def unit(self) -> str:
        """The unit that the name ends with, or `""`."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in _UNITS else ""


class Sample(NamedTuple):
    """One value of one series."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number that no float can hold.
        return False


def state_set(metric: Metric, states: Iterable[str], current: str, *labels: str | None) -> Iterator[Sample]:
    """Make a sample for each state: 1 for the current one, 0 for the others. The state is the last label."""
    for state in states:
        yield from metric(float(state == current), *labels, state)


class Page:
    """The samples of one answer to `/metrics`, each family once and each series once."""

    def __init__(self) -> None:
        self._families: dict[Metric, dict[tuple[str, ...], float]] = {}

    def add(self, samples: Iterable[Sample]) -> int:
        """Add samples. Those of a series that the page already has are left out; gives their number."""
        doubles = 0
        for metric, labels, value in samples:
            series = self._families.setdefault(metric, {})
            if labels in series:
                doubles += 1
            else:
                series[labels] = value
        return doubles

    def collect(self) -> Iterator[Family]:
        """Give the page as families of prometheus_client: this makes it a collector of a registry."""
        for metric, series in self._families.items():
            family = Family(metric.name.removesuffix("_total"), metric.help, metric.type, metric.unit)
            if metric.type != "counter":
                family.name = metric.name
            family.samples = [
                FamilySample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)
                for labels, value in series.items()
            ]
            yield family

    def registry(self) -> CollectorRegistry:
        """Give a new registry with this page in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry


def clean(text: str) -> str:
    """Take out what no label may hold: control characters and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))


def comment(text: str | None) -> str:
    """Make a label of a text that somebody wrote: its first line, clean, at most `COMMENT_LIMIT` long."""
    line = clean(re.split(r"[\r\n]", text or "", maxsplit=1)[0])
    return line if len(line) <= COMMENT_LIMIT else line[: COMMENT_LIMIT - 1] + "…"
