"""An exporter in front of a small simulated PBS, and the time that it sees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pbs_exporter.simulator import SimulatedPbs, Source
from tests.support.clock import FakeClock
from tests.support.exporter import Exporter, exporting, make_settings
from tests.support.metrics_page import Scraped
from tests.support.small_pbs import NOW, simulated


class Setup:
    """An exporter in front of a simulated PBS, and the time that it sees."""

    def __init__(self, pbs: SimulatedPbs, exporter: Exporter, clock: FakeClock) -> None:
        self.pbs = pbs
        self.exporter = exporter
        self.clock = clock

    async def scrape(self, timeout_seconds: float | str | None = None) -> Scraped:
        return await self.exporter.scrape(timeout_seconds)

    def asked(self, pattern: str) -> int:
        """Return the number of requests for a path or template."""
        return len(self.pbs.requests_to(pattern))


@asynccontextmanager
async def running(source: Source | None = None, **settings: Any) -> AsyncIterator[Setup]:
    """Run an exporter in front of a simulated PBS. `settings` are those of `make_settings`."""
    clock = FakeClock(NOW)
    async with simulated(source) as pbs, exporting(make_settings(pbs, **settings), clock.clock) as exporter:
        yield Setup(pbs, exporter, clock)
