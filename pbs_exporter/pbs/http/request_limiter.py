"""The limit of concurrent requests to one PBS, and the order in which waiting requests start."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Lane(IntEnum):
    """What a request is for. Waiting requests start in the order of these lanes.

    Listings may take minutes and must not starve other requests; background listings must not starve those that a
    scrape waits for. `/groups` blocks a worker thread of PBS, and requests of slow collectors make PBS run programs.
    """

    PROMPT = 0
    SLOW = 1
    LISTING = 2
    GROUPS = 3
    NAMESPACES = 4
    BACKGROUND = 5


class RequestLimiter:
    """Limits the concurrent requests to one PBS to `number`, with lower limits for some lanes."""

    def __init__(self, number: int) -> None:
        listings = max(1, number - 2)
        self._limits = (
            (frozenset(Lane), number),
            (frozenset({Lane.LISTING, Lane.GROUPS, Lane.BACKGROUND}), listings),
            (frozenset({Lane.GROUPS}), 2),
            (frozenset({Lane.SLOW}), 1),
            (frozenset({Lane.BACKGROUND}), max(1, listings // 2)),
        )
        self._held: Counter[Lane] = Counter()
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._assignment: asyncio.Handle | None = None

    @asynccontextmanager
    async def take(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for the `async with` block."""
        await self._wait(lane)
        try:
            yield
        finally:
            self._free(lane)

    async def _wait(self, lane: Lane) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        self._schedule_assignment()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._free(lane)
            raise

    def _free(self, lane: Lane) -> None:
        self._held[lane] -= 1
        self._schedule_assignment()

    def _schedule_assignment(self) -> None:
        """Assign slots after all ready tasks have run: the task that freed a slot may queue in an earlier lane."""
        if self._assignment is None:
            self._assignment = asyncio.get_running_loop().call_later(0, self._assign)

    def _assign(self) -> None:
        self._assignment = None
        for lane, waiting in self._waiting.items():
            while waiting and self._is_free(lane):
                turn = waiting.popleft()
                if not turn.done():
                    self._held[lane] += 1
                    turn.set_result(None)

    def _is_free(self, lane: Lane) -> bool:
        return all(sum(self._held[other] for other in lanes) < most for lanes, most in self._limits if lane in lanes)
