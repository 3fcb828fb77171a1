"""What a benchmark is."""

from collections.abc import Callable, Mapping

import msgspec

from benchmarks.inputs import Input
from benchmarks.measurement import Measurement, Thresholds
from benchmarks.programs import Program


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark, which is a row of the tables.

    `input` is what PBS contains, `settings` are keys of `[pbs]`, `headers` are sent with each scrape, and `thresholds`
    are for the measurement. If `compared`, `json.loads` decodes the same listing between the scrapes.
    """

    name: str
    input: Input
    measure: "Measure"
    settings: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    compared: bool = False
    runs: int = 7
    thresholds: Thresholds = Thresholds()

    def quick(self) -> "Benchmark":
        """Return a tiny version, to test the benchmark itself."""
        return msgspec.structs.replace(self, input=self.input.quick(), runs=2, thresholds=Thresholds())


Measure = Callable[[Benchmark, Program], Measurement]
"""Runs a benchmark with an exporter."""
