"""A small PBS where all is well until a test makes it fail, and what tells such tests' pages apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from pbs_exporter.simulator import Certificate, Fault, LoggedRequest, SimulatedPbs, Source, World
from pbs_exporter.simulator.exchange import Exchange
from tests.support import Exporter, FakeClock, Scraped, exporting, make_settings

NOW = 1_795_000_000.0

NAMESPACES = "/admin/datastore/{store}/namespace"
SNAPSHOTS = "/admin/datastore/{store}/snapshots"
STATUS = "/admin/datastore/{store}/status"

Facts = dict[tuple[str, frozenset[tuple[str, str]]], float]

_CERTIFICATE = Certificate.make()


def small_world(datastores: int = 2, namespaces: int = 2) -> World:
    """Make a PBS where no collector fails, standing still."""
    return World(datastores, namespaces, 1, 2, seed=1, now=lambda: NOW, task_history_seconds=100_000)


def simulated(source: Source | None = None, **options: Any) -> SimulatedPbs:
    """Make a simulated PBS that refuses without delay."""
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
        """Tell how often PBS has been asked for a path, or a template."""
        return len(self.pbs.requests_to(pattern))


@asynccontextmanager
async def running(source: Source | None = None, **settings: Any) -> AsyncIterator[Setup]:
    """Run an exporter in front of a simulated PBS. `settings` are those of `make_settings`."""
    clock = FakeClock(NOW)
    async with simulated(source) as pbs, exporting(make_settings(pbs, **settings), clock.clock) as exporter:
        yield Setup(pbs, exporter, clock)


def facts(scraped: Scraped) -> Facts:
    """Give all that a page says of PBS, but not how the scrape went."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in scraped.families.values()
        if not family.name.startswith(("pbs_scrape_", "pbs_exporter_", "pbs_collector_"))
        for sample in family.samples
    }


def without(known: Facts, *names: str) -> Facts:
    """Give the facts but for those of the named metrics."""
    return {key: value for key, value in known.items() if key[0] not in names}


LISTING_TIMES = ("pbs_snapshot_listing_timestamp_seconds", "pbs_snapshot_full_listing_timestamp_seconds")


def failed(scraped: Scraped) -> set[str]:
    """Give the collectors that say that they failed."""
    return {name for name, value in scraped.by("pbs_scrape_collector_success", "collector").items() if value == 0}


def failed_datastores(scraped: Scraped) -> set[tuple[str, str]]:
    """Give the pairs of collector and datastore that say that they failed."""
    series = scraped.series("pbs_scrape_datastore_success")
    return {(labels["collector"], labels["datastore"]) for labels, value in series if value == 0}


def listed_at(scraped: Scraped) -> dict[str, float]:
    """Give the time of each datastore's listing on the page."""
    return scraped.by("pbs_snapshot_listing_timestamp_seconds", "datastore")


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, for a bounded time."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it didn't come to that in time")


class Gate:
    """A fault that holds requests, until a test lets them go on to their usual answer."""

    def __init__(self) -> None:
        self.waiting: list[LoggedRequest] = []
        self.most_waiting: list[LoggedRequest] = []
        self.fault = Fault(self._hold)
        self._opening = asyncio.Event()
        self._is_open = False

    def open(self) -> None:
        """Let all go on, also those that come later."""
        self._is_open = True
        self.release()

    def release(self) -> None:
        """Let those go on that wait now."""
        self._opening.set()
        self._opening = asyncio.Event()

    async def settled(self, pbs: SimulatedPbs) -> None:
        """Wait until all that PBS has been asked is answered or held, and nothing new comes.

        Client and server share this event loop: what comes of an answer comes within a few of its turns.
        """
        seen, quiet = -1, 0
        for _ in range(20_000):
            if (len(self.waiting), pbs.in_flight) == (seen, seen):
                quiet += 1
            else:
                seen, quiet = len(self.waiting), 0
            if quiet == 25:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("requests keep coming")

    async def _hold(self, exchange: Exchange) -> web.StreamResponse:
        if not self._is_open:
            self.waiting.append(exchange.log)
            if len(self.waiting) > len(self.most_waiting):
                self.most_waiting = list(self.waiting)
            try:
                await self._opening.wait()
            finally:
                self.waiting.remove(exchange.log)
        return await exchange.send(await exchange.answer())
