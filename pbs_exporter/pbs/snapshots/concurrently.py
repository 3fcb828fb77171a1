"""Calls for many items at once, but not for all, and how a call has ended."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

MOST = 100
"""Number of calls that run at once. It is above any number of slots for requests, so that none stays empty.

Starting ten thousand calls would hold the event loop for a second.
"""

T = TypeVar("T")


async def concurrently(call: Callable[[T], Awaitable[None]], items: Collection[T]) -> None:
    """Call for each item, in their order, and wait for all. A call must not raise."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await call(item)
            # A call that fails at once awaits nothing.
            await asyncio.sleep(0)

    if len(items) == 1:
        # The usual number, which needs no task of its own.
        await work()
    else:
        await asyncio.gather(*(work() for _ in range(min(MOST, len(items)))))


def has_failed(call: "asyncio.Future[Any]") -> bool:
    """Whether a call that has ended has no result."""
    return call.cancelled() or call.exception() is not None
