"""Measurements and their thresholds."""

from collections.abc import Sequence
from statistics import median

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Upper limits of the median and the largest value (in the benchmark's unit), the ratio, and memory in MiB.

    `drift` limits the difference between the ratio and 1.
    """

    median: float | None = None
    largest: float | None = None
    ratio: float | None = None
    drift: float | None = None
    peak: float | None = None
    steady: float | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a benchmark. `peak` and `steady` are the exporter's memory in MiB, `details` is text."""

    unit: str
    values: Sequence[float]
    compared_with: Sequence[float] = ()
    peak: float | None = None
    steady: float | None = None
    details: str = ""

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median, divided by the median of `compared_with`; `None` without a comparison."""
        return self.median / median(self.compared_with) if self.compared_with else None

    def exceeded(self, thresholds: Thresholds) -> list[str]:
        """Return the names of the thresholds that are exceeded."""
        drift = None if self.ratio is None else abs(self.ratio - 1)
        pairs = (
            ("median", self.median, thresholds.median),
            ("max", max(self.values), thresholds.largest),
            ("ratio", self.ratio, thresholds.ratio),
            ("ratio", drift, thresholds.drift),
            ("peak", self.peak, thresholds.peak),
            ("steady", self.steady, thresholds.steady),
        )
        return [name for name, is_, limit in pairs if limit is not None and (is_ is None or is_ > limit)]
