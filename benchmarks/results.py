"""What a measurement gives, and what it should give."""

from collections.abc import Sequence
from statistics import median

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Upper limits: of the median and of the largest value (in the row's unit), of the ratio, and of memory in MiB.

    `drift` is how far the ratio may be from 1.
    """

    median: float | None = None
    largest: float | None = None
    ratio: float | None = None
    drift: float | None = None
    peak: float | None = None
    steady: float | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one row. `peak` and `steady` are the exporter's memory in MiB, `details` are words."""

    unit: str
    values: Sequence[float]
    compared_with: Sequence[float] = ()
    peak: float | None = None
    steady: float | None = None
    details: str = ""

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median, as a share of the median of what it is compared with."""
        return self.median / median(self.compared_with) if self.compared_with else None

    def misses(self, wanted: Wanted) -> list[str]:
        """Tell which limits aren't kept."""
        drift = None if self.ratio is None else abs(self.ratio - 1)
        pairs = (
            ("median", self.median, wanted.median),
            ("max", max(self.values), wanted.largest),
            ("ratio", self.ratio, wanted.ratio),
            ("ratio", drift, wanted.drift),
            ("peak", self.peak, wanted.peak),
            ("steady", self.steady, wanted.steady),
        )
        return [name for name, is_, limit in pairs if limit is not None and (is_ is None or is_ > limit)]
