"""The samples of one answer to `/metrics`."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry

from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.exposition.row_family import Labels, RowFamily, Rows


class Page:
    """The samples of one answer to `/metrics`, each family once and each series once."""

    def __init__(self) -> None:
        self._families: dict[Metric, Rows] = {}
        # Those that may change. Others can belong to another page too.
        self._own: dict[Metric, dict[Labels, float]] = {}

    def add(self, samples: Iterable[Sample | Series]) -> int:
        """Add samples. Return how many were left out because the page already had their series."""
        duplicates = 0
        for sample in samples:
            if isinstance(sample, Series):
                duplicates += sample.duplicates + self._add_rows(sample.metric, sample.rows)
                continue
            family = self._own.get(sample.metric)
            if family is None:
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
        return not self.size

    def add_missing(self, page: "Page") -> None:
        """Add the families that aren't here yet from another page, which must not change afterwards."""
        for metric, rows in page._families.items():  # noqa: SLF001 - its own class
            self._families.setdefault(metric, rows)

    def add_page(self, page: "Page") -> int:
        """Add the samples of another page, which must not change afterwards. Return what `add` returns."""
        return self.add(Series(metric, rows, 0) for metric, rows in page._families.items())  # noqa: SLF001 - its own class

    def _add_rows(self, metric: Metric, rows: Rows) -> int:
        if not len(rows):
            return 0
        if metric not in self._families:
            self._families[metric] = rows
            return 0
        family = self._own_family(metric)
        before = len(family)
        for labels, value in zip(rows, rows.values(), strict=True):
            family.setdefault(labels, value)
        return before + len(rows) - len(family)

    def _own_family(self, metric: Metric) -> dict[Labels, float]:
        family = self._own.get(metric)
        if family is None:
            rows = self._families.get(metric)
            family = {} if rows is None else dict(zip(rows, rows.values(), strict=True))
            self._families[metric] = self._own[metric] = family
        return family

    def collect(self) -> Iterator[RowFamily]:
        """Return the samples as families of prometheus_client, so that the page can be registered in a registry."""
        for metric, rows in self._families.items():
            yield RowFamily((metric.form, rows))

    def registry(self) -> CollectorRegistry:
        """Return a new registry with this page in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry
