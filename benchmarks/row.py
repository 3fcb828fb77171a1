"""What a row of the tables is."""

from collections.abc import Callable, Mapping

import msgspec

from benchmarks.inputs import Input
from benchmarks.programs import Program
from benchmarks.results import Result, Wanted


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement: what PBS has, the keys of `[pbs]`, what is done, how often, and what it should give.

    `headers` are sent with each scrape. Where `compared`, `json.loads` of the same listing runs between the scrapes.
    """

    name: str
    input: Input
    measure: "Measure"
    settings: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    compared: bool = False
    runs: int = 7
    wanted: Wanted = Wanted()

    def quick(self) -> "Row":
        """Give the same in tiny, to see that it works."""
        return msgspec.structs.replace(self, input=self.input.quick(), runs=2, wanted=Wanted())


Measure = Callable[[Row, Program], Result]
"""Measures a row with an exporter."""
