"""Slow collectors: what they ask changes seldom or costs PBS much, so it is asked now and then and shown in between.

Like a snapshot listing, a slow collector's work belongs to the target and not to a scrape. There is one flight at a
time: scrapes wait for it until their deadline, and it goes on after that.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector, CollectorRequest, Context
from pbs_exporter.collectors.result import Shared
from pbs_exporter.config import shown_seconds
from pbs_exporter.errors import TOKEN_REFUSED, PbsTimeout
from pbs_exporter.exposition.page import Page
from pbs_exporter.scrape.collector_run import Outcome

RETRY_SECONDS = 60.0
"""Maximum delay before a collector that failed asks again."""

Flight = Callable[[AnyCollector], Awaitable[Outcome]]
"""Runs a collector once, outside of any scrape. Raises nothing."""


class _Kept(msgspec.Struct, frozen=True):
    """Samples of a flight, when it ended (Unix time), and until when they are shown (monotonic time)."""

    page: Page
    at: float
    until: float


class _Shown(msgspec.Struct, frozen=True):
    """What scrapes show: how the newest flight went, its samples if it failed in part, and the last good ones.

    A worker thread may read it while a flight ends, so it is replaced as a whole.
    """

    newest: Outcome
    good: _Kept | None = None
    partial: _Kept | None = None


class SlowRun:
    """Runs a slow collector, for all scrapes while the program runs. It is a `CollectorRun`."""

    def __init__(self, collector: AnyCollector, interval_seconds: float, fly: Flight, clock: Clock) -> None:
        self._collector = collector
        self._interval = interval_seconds * collector.intervals
        self._fly = fly
        self._clock = clock
        not_yet = PbsTimeout("the first query isn't finished yet", by_client=True)
        self._shown = _Shown(Outcome(collector.name, Page(), 0.0, not_yet, {}))
        self._due_at = -math.inf
        self._flight: asyncio.Task[None] | None = None

    def fetch(self, request: CollectorRequest) -> Coroutine[Any, Any, Shared] | None:
        """Start a flight if one is due. Return what waits for the one under way until `request.until`, if there is one.

        Nothing else of the request is used, and nothing is shared: a flight outlasts the scrape.
        """
        self._start_if_due()
        return None if self._flight is None else _waiting(self._flight, request.until)

    def verdict(self, _now: float) -> Outcome:
        """Return how the newest finished flight went, without samples."""
        state = self._shown
        return msgspec.structs.replace(
            state.newest, data_from=min((kept.at for kept in self._kept(state)), default=None)
        )

    @property
    def size(self) -> int:
        """Nothing: the samples have been made."""
        return 0

    def outcome(self, _context: Context) -> Outcome:
        """Return how the newest finished flight went, with the last good samples while they aren't too old.

        A family that the newest flight failed to get is taken from the last good one.
        """
        state = self._shown
        shown = self._kept(state)
        page = Page()
        for kept in shown:
            page.add_missing(kept.page)
        return msgspec.structs.replace(
            state.newest, page=page, data_from=min((kept.at for kept in shown), default=None)
        )

    def _kept(self, state: _Shown) -> list[_Kept]:
        """Return the samples that aren't too old."""
        now = self._clock.monotonic()
        return [kept for kept in (state.partial, state.good) if kept is not None and now <= kept.until]

    def retry(self) -> None:
        """Start a flight now if the newest one failed: PBS is up again."""
        if not self._shown.newest.success:
            self._due_at = -math.inf
            self._start_if_due()

    async def close(self) -> None:
        """End the flight that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _start_if_due(self) -> None:
        if self._flight is None and self._clock.monotonic() >= self._due_at:
            self._due_at = self._clock.monotonic() + self._interval
            self._flight = asyncio.create_task(self._run(), name=f"slow collector {self._collector.name}")

    async def _run(self) -> None:
        try:
            self._take(await self._fly(self._collector))
        finally:
            self._flight = None

    def _take(self, outcome: Outcome) -> None:
        newest = msgspec.structs.replace(outcome, page=Page())
        kept = _Kept(outcome.page, self._clock.now(), self._clock.monotonic() + shown_seconds(self._interval))
        if outcome.success:
            self._shown = _Shown(newest, kept)
            return
        partial = self._shown.partial if outcome.page.empty else kept
        self._shown = _Shown(newest, self._shown.good, partial)
        # PBS has done no work for a login that it refused.
        is_free = isinstance(outcome.error, TOKEN_REFUSED)
        self._due_at = -math.inf if is_free else self._clock.monotonic() + min(RETRY_SECONDS, self._interval)


async def _waiting(flight: "asyncio.Task[None]", until: float) -> Shared:
    await asyncio.wait([flight], timeout=max(0.0, until - asyncio.get_running_loop().time()))
    return Shared()
