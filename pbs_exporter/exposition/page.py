"""The samples of one answer to `/metrics`."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry

from pbs_exporter.exposition.metric import Labels, Metric, Sample, Series
from pbs_exporter.exposition.row_family import RowFamily


class Page:
    """The samples of one answer to `/metrics`, each family once and each series once."""

    def __init__(self) -> None:
        self._families: dict[Metric, dict[Labels, float]] = {}
        # Families whose dict belongs to another page. They are copied before they change.
        self._borrowed: set[Metric] = set()

    def add(self, samples: Iterable[Sample | Series]) -> int:
        """Add samples. Return how many were left out because the page already had their series."""
        duplicates = 0
        for sample in samples:
            if isinstance(sample, Series):
                duplicates += sample.duplicates + self._add_values(sample.metric, sample.values)
                continue
            family = self._families.get(sample.metric)
            if family is None or self._borrowed:
                family = self._own_family(sample.metric)
            before = len(family)
            family.setdefault(sample.labels, sample.value)
            duplicates += before == len(family)
        return duplicates

    @property
    def size(self) -> int:
        """The number of samples."""
        return sum(map(len, self._families.values()))

    @property
    def empty(self) -> bool:
        """Whether it has no samples."""
        return not any(self._families.values())

    def add_missing(self, page: "Page") -> None:
        """Add the families that aren't here yet from another page, which must not change afterwards."""
        for metric, values in page._families.items():  # noqa: SLF001 - its own class
            if metric not in self._families:
                self._borrow(metric, values)

    def add_page(self, page: "Page") -> int:
        """Add the samples of another page, which must not change afterwards. Return what `add` returns."""
        return self.add(Series(metric, values, 0) for metric, values in page._families.items())  # noqa: SLF001 - its own class

    def _add_values(self, metric: Metric, values: dict[Labels, float]) -> int:
        if not values:
            return 0
        if metric not in self._families:
            self._borrow(metric, values)
            return 0
        family = self._own_family(metric)
        before = len(family)
        for labels, value in values.items():
            family.setdefault(labels, value)
        return before + len(values) - len(family)

    def _borrow(self, metric: Metric, values: dict[Labels, float]) -> None:
        self._families[metric] = values
        self._borrowed.add(metric)

    def _own_family(self, metric: Metric) -> dict[Labels, float]:
        family = self._families.setdefault(metric, {})
        if metric in self._borrowed:
            self._borrowed.remove(metric)
            family = self._families[metric] = dict(family)
        return family

    def collect(self) -> Iterator[RowFamily]:
        """Return the samples as families of prometheus_client, so that the page can be registered in a registry."""
        for metric, values in self._families.items():
            yield RowFamily((metric.form, values))

    def registry(self) -> CollectorRegistry:
        """Return a new registry with this page in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry
