"""A family of prometheus_client whose samples are rows."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import msgspec
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

Rows = Mapping[tuple[str, ...], float]
"""Values of samples, by their label values in the order of the labels of their form."""


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
            for labels, value in rows.items()
        ]
