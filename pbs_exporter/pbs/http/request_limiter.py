"""The limit of concurrent requests to one PBS, and the order in which waiting requests start."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Lane(IntEnum):
    """What a request is for. Waiting requests start in the order of these lanes.

    Requests of slow collectors come first: they make PBS run programs, so they run one by one, which takes longest.
    Then comes what others depend on. `/namespace` and `/groups` block a worker thread of PBS. Listings may take minutes
    and must not starve other requests: a `SLOW_LISTING`, for which PBS took long or which nobody knows yet, leaves
    slots to a `LISTING`, and one in the background to those that a scrape waits for.
    """

    SLOW = 0
    PROMPT = 1
    NAMESPACES = 2
    SLOW_LISTING = 3
    LISTING = 4
    GROUPS = 5
    BACKGROUND = 6


class RequestLimiter:
    """Limits the concurrent requests to one PBS to `number`, with lower limits for some lanes."""

    def __init__(self, number: int) -> None:
        half = max(1, number // 2)
        self._limits = (
            (frozenset(Lane), number),
            (frozenset({Lane.SLOW_LISTING, Lane.LISTING, Lane.GROUPS, Lane.BACKGROUND}), max(1, number - 2)),
            (frozenset({Lane.SLOW_LISTING, Lane.BACKGROUND}), half),
            (frozenset({Lane.NAMESPACES}), half),
            (frozenset({Lane.GROUPS}), 2),
            (frozenset({Lane.SLOW}), 1),
            (frozenset({Lane.BACKGROUND}), max(1, half // 2)),
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
