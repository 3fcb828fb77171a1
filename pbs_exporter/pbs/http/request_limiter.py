"""The limit of concurrent requests to one PBS, and the order in which waiting requests start."""

import asyncio
from collections import deque
from enum import IntEnum
from types import TracebackType


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
        limits = (
            (tuple(Lane), number),
            ((Lane.SLOW_LISTING, Lane.LISTING, Lane.GROUPS, Lane.BACKGROUND), max(1, number - 2)),
            ((Lane.SLOW_LISTING, Lane.BACKGROUND), half),
            ((Lane.NAMESPACES,), half),
            ((Lane.GROUPS,), 2),
            ((Lane.SLOW,), 1),
            ((Lane.BACKGROUND,), max(1, half // 2)),
        )
        self._number = number
        # Each by lane.
        self._limits = [[(lanes, most) for lanes, most in limits if lane in lanes] for lane in Lane]
        self._held = [0 for _ in Lane]
        self._waiting: list[deque[asyncio.Future[None]]] = [deque() for _ in Lane]
        self._assignment: asyncio.Handle | None = None

    def take(self, lane: Lane) -> "_Slot":
        """Wait for a slot, and hold it for the `async with` block."""
        return _Slot(self, lane)

    async def wait(self, lane: Lane) -> None:
        """Wait for a slot. Whoever gets one must `free` it."""
        if lane is Lane.PROMPT and not any(self._waiting) and sum(self._held) + 1 < self._number:
            # No earlier lane can want the slot: one is left for `SLOW`, which takes no more.
            self._held[lane] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        self._schedule_assignment()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.free(lane)
            raise

    def free(self, lane: Lane) -> None:
        """Free a slot."""
        self._held[lane] -= 1
        if any(self._waiting):
            self._schedule_assignment()

    def _schedule_assignment(self) -> None:
        """Assign slots after all ready tasks have run: the task that freed a slot may queue in an earlier lane."""
        if self._assignment is None:
            self._assignment = asyncio.get_running_loop().call_later(0, self._assign)

    def _assign(self) -> None:
        self._assignment = None
        for lane, waiting in zip(Lane, self._waiting, strict=True):
            while waiting and self._is_free(lane):
                turn = waiting.popleft()
                if not turn.done():
                    self._held[lane] += 1
                    turn.set_result(None)

    def _is_free(self, lane: Lane) -> bool:
        return all(sum([self._held[other] for other in lanes]) < most for lanes, most in self._limits[lane])


class _Slot:
    """A slot of a lane, for an `async with` block."""

    def __init__(self, limiter: RequestLimiter, lane: Lane) -> None:
        self._limiter = limiter
        self._lane = lane

    async def __aenter__(self) -> None:
        await self._limiter.wait(self._lane)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._limiter.free(self._lane)
