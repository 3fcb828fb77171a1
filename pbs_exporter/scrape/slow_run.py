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
from pbs_exporter.exposition.page import Page
from pbs_exporter.scrape.collector_run import Outcome

INTERVALS_SHOWN = 3
"""For so many of its intervals a collector's last good samples are shown."""

SHOWN_SECONDS = 3600.0
"""And at least for so long."""

Asking = Callable[[AnyCollector], Awaitable[Outcome]]
"""Lets a collector ask once, and gives what came of it. Raises nothing."""


class _Brought(msgspec.Struct, frozen=True):
    """What an ask brought: its samples, when (Unix time), and until when they are shown (monotonic time)."""

    page: Page
    at: float
    until: float


class SlowRun:
    """The asks of one slow collector, for as long as the program runs."""

    def __init__(self, collector: AnyCollector, interval_seconds: float, asking: Asking, clock: Clock) -> None:
        self._collector = collector
        self._interval = interval_seconds * collector.intervals
        self._asking = asking
        self._clock = clock
        not_yet = PbsTimeout("the first ask isn't through yet")
        self._newest = Outcome(collector.name, Page(), 0.0, not_yet, {})
        self._good: _Brought | None = None
        self._partial: _Brought | None = None
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
        """Give how the newest finished ask went, with the last good samples while they aren't too old.

        A family that the newest ask didn't get, because it failed in part, is the last good one.
        """
        now = self._clock.monotonic()
        brought = [one for one in (self._partial, self._good) if one is not None and now <= one.until]
        page = Page()
        for one in brought:
            page.fill(one.page)
        return msgspec.structs.replace(
            self._newest, page=page, data_from=min((one.at for one in brought), default=None)
        )

    async def close(self) -> None:
        """End an ask that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _fly(self) -> None:
        outcome = await self._asking(self._collector)
        self._newest = msgspec.structs.replace(outcome, page=Page())
        shown_seconds = max(SHOWN_SECONDS, INTERVALS_SHOWN * self._interval)
        brought = _Brought(outcome.page, self._clock.now(), self._clock.monotonic() + shown_seconds)
        if outcome.success:
            self._good, self._partial = brought, None
        elif not outcome.page.empty:
            self._partial = brought
        if isinstance(outcome.error, LoginPaused | LoginRefused):
            # PBS has done nothing for it.
            self._due_at = -math.inf
        self._flight = None
