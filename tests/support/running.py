"""An exporter in front of a small simulated PBS without failures, to which a test adds faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pbs_exporter.simulator import Certificate, SimulatedPbs, Source, World
from tests.support.exporter import Exporter, FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped

NOW = 1_795_000_000.0

NAMESPACES = "/admin/datastore/{store}/namespace"
GROUPS = "/admin/datastore/{store}/groups"
SNAPSHOTS = "/admin/datastore/{store}/snapshots"
STATUS = "/admin/datastore/{store}/status"

_CERTIFICATE = Certificate.make()


def small_world(datastores: int = 2, namespaces: int = 2) -> World:
    """Return a PBS where no collector fails and nothing changes."""
    return World(datastores, namespaces, 1, 2, seed=1, now=lambda: NOW, task_history_seconds=100_000)


def simulated(source: Source | None = None, **options: Any) -> SimulatedPbs:
    """Return a simulated PBS that refuses without delay."""
    values = {"tls": False, "login_delay": 0.0, "forbidden_delay": 0.0, "certificate": _CERTIFICATE}
    return SimulatedPbs(source or small_world(), **{**values, **options})


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
