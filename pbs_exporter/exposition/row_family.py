"""A family of prometheus_client whose samples are rows."""

from collections.abc import Mapping
from functools import cached_property

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample


class RowFamily(Family):
    """A family whose samples are rows: label values, in the order of `labels`, and the sample's value.

    Samples of prometheus_client are made when `samples` is read. `sample_name` is the name of all samples: that of a
    counter ends with `_total`.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        typ: str,
        unit: str,
        *,
        sample_name: str,
        labels: tuple[str, ...],
        rows: Mapping[tuple[str, ...], float],
    ) -> None:
        super().__init__(name, documentation, typ, unit)
        self.sample_name = sample_name
        self.labels = labels
        self._rows = rows
        del self.samples

    @property
    def rows(self) -> Mapping[tuple[str, ...], float] | None:
        """The rows, or `None` once `samples` has been read: that list can be changed, and counts from then on."""
        return None if "samples" in vars(self) else self._rows

    @cached_property
    def samples(self) -> list[Sample]:  # type: ignore[override]
        """The rows as samples of prometheus_client."""
        return [
            Sample(self.sample_name, dict(zip(self.labels, row, strict=True)), value)
            for row, value in self._rows.items()
        ]
