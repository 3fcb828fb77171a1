"""How many requests to one PBS are under way at a time, and which of those that wait goes next."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Lane(IntEnum):
    """What a request is for. Of those that wait, the first lane's go first.

    Listings may take minutes: they must not starve the rest, nor must those that nobody waits for starve those
    that a scrape waits for. `/groups` blocks a thread of PBS, and what slow collectors ask runs programs there.
    """

    PROMPT = 0
    SLOW = 1
    LISTING = 2
    GROUPS = 3
    NAMESPACES = 4
    BACKGROUND = 5


class RequestLimiter:
    """The requests that may be under way to one PBS: `number` of them."""

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
        self._giving: asyncio.Handle | None = None

    @asynccontextmanager
    async def take(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for a `with` block."""
        await self._wait(lane)
        try:
            yield
        finally:
            self._free(lane)

    async def _wait(self, lane: Lane) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        self._give_soon()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._free(lane)
            raise

    def _free(self, lane: Lane) -> None:
        self._held[lane] -= 1
        self._give_soon()

    def _give_soon(self) -> None:
        """Give slots away when all that can run has run: who has freed one may want the next, and go first."""
        if self._giving is None:
            self._giving = asyncio.get_running_loop().call_later(0, self._give)

    def _give(self) -> None:
        self._giving = None
        for lane, waiting in self._waiting.items():
            while waiting and self._is_free(lane):
                turn = waiting.popleft()
                if not turn.done():
                    self._held[lane] += 1
                    turn.set_result(None)

    def _is_free(self, lane: Lane) -> bool:
        return all(sum(self._held[other] for other in lanes) < most for lanes, most in self._limits if lane in lanes)
