"""The order of requests, and the limits of simultaneous ones."""

import asyncio
from collections import Counter

import pytest

from pbs_exporter.pbs.http.request_limiter import Lane, RequestLimiter


class Traffic:
    """Requests that hold their slots until they are released."""

    def __init__(self, number: int) -> None:
        self.slots = RequestLimiter(number)
        self.held: list[Lane] = []
        self._requests: list[tuple[Lane, asyncio.Task[None], asyncio.Event]] = []

    def send(self, lane: Lane, number: int = 1) -> None:
        for _ in range(number):
            end = asyncio.Event()
            self._requests.append((lane, asyncio.create_task(self._request(lane, end)), end))

    async def settle(self) -> Counter[Lane]:
        """Wait until all tasks are idle, and return the requests that hold slots."""
        for _ in range(20):
            await asyncio.sleep(0)
        return Counter(self.held)

    async def end(self, lane: Lane, number: int = 1) -> None:
        """End the oldest requests of a lane."""
        ending = [end for of, _, end in self._requests if of is lane and not end.is_set()][:number]
        assert len(ending) == number
        for end in ending:
            end.set()

    def cancel(self, lane: Lane) -> None:
        """Cancel all requests of a lane."""
        for of, task, _ in self._requests:
            if of is lane:
                task.cancel()

    async def _request(self, lane: Lane, end: asyncio.Event) -> None:
        async with self.slots.take(lane):
            self.held.append(lane)
            try:
                await end.wait()
            finally:
                self.held.remove(lane)


@pytest.mark.parametrize(
    ("number", "lane", "most"),
    [
        (8, Lane.PROMPT, 8),
        (8, Lane.NAMESPACES, 4),
        (8, Lane.LISTING, 6),
        (8, Lane.SLOW_LISTING, 4),
        (8, Lane.BACKGROUND, 2),
        (8, Lane.GROUPS, 2),
        (1, Lane.PROMPT, 1),
        (1, Lane.LISTING, 1),
        (1, Lane.NAMESPACES, 1),
        (1, Lane.SLOW_LISTING, 1),
        (1, Lane.BACKGROUND, 1),
        (1, Lane.GROUPS, 1),
        (3, Lane.LISTING, 1),
        (4, Lane.BACKGROUND, 1),
        (100, Lane.GROUPS, 2),
        (100, Lane.LISTING, 98),
        (12, Lane.PROMPT, 12),
        (12, Lane.NAMESPACES, 6),
        (12, Lane.LISTING, 10),
        (12, Lane.SLOW_LISTING, 6),
        (12, Lane.BACKGROUND, 3),
        (12, Lane.GROUPS, 2),
        (12, Lane.SLOW, 1),
    ],
)
async def test_each_lane_has_its_limit(number: int, lane: Lane, most: int) -> None:
    """Listings leave two slots to other requests, those that are slow half of all, and those in the background more."""
    traffic = Traffic(number)
    traffic.send(lane, 200)
    assert await traffic.settle() == {lane: most}
    traffic.cancel(lane)
    assert await traffic.settle() == {}


async def test_all_listings_together_have_one_limit() -> None:
    """Listings for scrapes, in the background and of groups share the six slots, and two stay free for the rest."""
    traffic = Traffic(8)
    for lane in (Lane.BACKGROUND, Lane.GROUPS, Lane.LISTING, Lane.SLOW_LISTING):
        traffic.send(lane, 20)
    held = await traffic.settle()
    assert held.total() == 6
    traffic.send(Lane.PROMPT, 5)
    assert (await traffic.settle())[Lane.PROMPT] == 2


async def test_slow_listings_leave_slots_to_quick_ones() -> None:
    """However many slow listings there are, for scrapes and in the background, some slots stay free for quick ones."""
    traffic = Traffic(12)
    for lane in (Lane.SLOW_LISTING, Lane.BACKGROUND):
        traffic.send(lane, 20)
    assert (await traffic.settle()).total() == 6
    traffic.send(Lane.LISTING, 20)
    assert (await traffic.settle())[Lane.LISTING] == 4


async def test_the_first_lane_goes_first() -> None:
    """A free slot goes to the first lane with waiting requests, whatever their order of arrival."""
    traffic = Traffic(1)
    first = next(iter(Lane))
    traffic.send(first)
    assert await traffic.settle() == {first: 1}
    for lane in reversed(Lane):
        traffic.send(lane)
    for lane in Lane:
        await traffic.end(first if lane is first else list(Lane)[lane - 1])
        assert await traffic.settle() == {lane: 1}


async def test_what_overtakes_nothing_starts_at_once() -> None:
    """A prompt request doesn't wait for other tasks if there is a slot for it and another one for a slow collector."""
    traffic = Traffic(3)
    traffic.send(Lane.PROMPT, 3)
    await asyncio.sleep(0)
    assert traffic.held == [Lane.PROMPT] * 2
    assert await traffic.settle() == {Lane.PROMPT: 3}


async def test_the_last_slot_goes_to_the_first_lane() -> None:
    """A slow collector's request gets the last slot, though prompt ones came a moment earlier."""
    traffic = Traffic(3)
    traffic.send(Lane.PROMPT, 3)
    traffic.send(Lane.SLOW)
    assert await traffic.settle() == {Lane.PROMPT: 2, Lane.SLOW: 1}


async def test_who_frees_a_slot_may_ask_first() -> None:
    """A follow-up request overtakes waiting requests if its lane has priority."""
    slots = RequestLimiter(1)
    order: list[str] = []

    async def datastore(name: str) -> None:
        async with slots.take(Lane.NAMESPACES):
            await asyncio.sleep(0)
        async with slots.take(Lane.LISTING):
            order.append(name)

    await asyncio.gather(*(datastore(name) for name in "abc"))
    assert order == ["a", "b", "c"]


async def test_who_stops_waiting_takes_no_slot() -> None:
    """A request that is cancelled while it waits, or just as it gets its slot, leaves the slot to others."""
    traffic = Traffic(1)
    traffic.send(Lane.PROMPT)
    await traffic.settle()
    traffic.send(Lane.LISTING, 3)
    await traffic.settle()
    await traffic.end(Lane.PROMPT)
    await asyncio.sleep(0)
    traffic.cancel(Lane.LISTING)
    assert await traffic.settle() == {}
    traffic.send(Lane.LISTING)
    assert await traffic.settle() == {Lane.LISTING: 1}
    traffic.cancel(Lane.LISTING)
    await traffic.settle()
