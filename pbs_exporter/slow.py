"""Collectors whose answers change seldom and cost PBS much: asked now and then, and shown in between.

Like a listing, an ask belongs to the target and not to a scrape: there is one at a time, scrapes wait for it
until their deadline, and it goes on after that.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import msgspec

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector, Context
from pbs_exporter.errors import LoginPaused, LoginRefused, PbsTimeout
from pbs_exporter.metrics import Page
from pbs_exporter.run import Outcome

INTERVALS_SHOWN = 3
"""For so many of its intervals a collector's last good samples are shown."""

SHOWN_SECONDS = 3600.0
"""And at least for so long."""

Asking = Callable[[AnyCollector], Awaitable[Outcome]]
"""Lets a collector ask once, and gives what came of it. Raises nothing."""


class SlowRun:
    """The asks of one slow collector, for as long as the program runs."""

    def __init__(self, collector: AnyCollector, interval_seconds: float, asking: Asking, clock: Clock) -> None:
        self._collector = collector
        self._interval = interval_seconds * collector.intervals
        self._asking = asking
        self._clock = clock
        not_yet = PbsTimeout("the first ask isn't through yet")
        self._newest = Outcome(collector.name, Page(), 0.0, not_yet, {})
        self._shown = Page()
        self._shown_from: float | None = None
        self._shown_until = -math.inf
        self._due_at = -math.inf
        self._flight: asyncio.Task[None] | None = None

    async def fetch(self, until: float) -> None:
        """Ask PBS where that is due, and wait for it until `until` (the event loop's time)."""
        if self._flight is None and self._clock.monotonic() >= self._due_at:
            self._due_at = self._clock.monotonic() + self._interval
            self._flight = asyncio.create_task(self._fly(), name=f"slow collector {self._collector.name}")
        if self._flight is not None:
            await asyncio.wait([self._flight], timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def outcome(self, _context: Context) -> Outcome:
        """Give how the newest finished ask went, with the last good samples while they aren't too old."""
        if self._clock.monotonic() > self._shown_until:
            return self._newest
        return msgspec.structs.replace(self._newest, page=self._shown, data_from=self._shown_from)

    async def close(self) -> None:
        """End an ask that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _fly(self) -> None:
        outcome = await self._asking(self._collector)
        self._newest = msgspec.structs.replace(outcome, page=Page())
        if outcome.success or not outcome.page.empty:
            self._shown = outcome.page
            self._shown_from = self._clock.now()
            self._shown_until = self._clock.monotonic() + max(SHOWN_SECONDS, INTERVALS_SHOWN * self._interval)
        if isinstance(outcome.error, LoginPaused | LoginRefused):
            # PBS has done nothing for it.
            self._due_at = -math.inf
        self._flight = None
