"""Calls for many items at once, but not for all, and how a call has ended."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from pbs_exporter.errors import PbsError, bare

MOST = 100
"""Number of calls that run at once. It is above any number of slots for requests, so that none stays empty.

Starting ten thousand calls would hold the event loop for a second.
"""

T = TypeVar("T")
R = TypeVar("R")


async def concurrently(call: Callable[[T], Awaitable[R]], items: Collection[T]) -> dict[T, R | Exception]:
    """Call for each item, and wait for all. Return the result of each, or what it raised, in the order of the items."""
    outcomes: dict[T, R | Exception] = {}
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            try:
                outcomes[item] = await call(item)
            except PbsError as error:
                # The frames of ten thousand tracebacks hold the event loop at each garbage collection.
                outcomes[item] = bare(error)
            except Exception as error:  # noqa: BLE001 - returned
                outcomes[item] = error
            # A call that fails at once awaits nothing.
            await asyncio.sleep(0)

    if len(items) == 1:
        # The usual number, which needs no task of its own.
        await work()
    else:
        # If this is cancelled, it waits until all have ended.
        ended = await asyncio.gather(*(work() for _ in range(min(MOST, len(items)))), return_exceptions=True)
        for error in filter(None, ended):
            raise error
    return {item: outcomes[item] for item in items}


def results(outcomes: Mapping[T, R | Exception]) -> dict[T, R]:
    """Return the results of the calls that raised nothing."""
    return {item: outcome for item, outcome in outcomes.items() if not isinstance(outcome, Exception)}


def failures(outcomes: Mapping[T, R | Exception]) -> dict[T, Exception]:
    """Return what the other calls raised."""
    return {item: outcome for item, outcome in outcomes.items() if isinstance(outcome, Exception)}


def first_failure(failed: Iterable[BaseException]) -> BaseException | None:
    """Return the failure to tell of, or `None`: a fault of this program is never hidden by a failure of PBS."""
    return min(failed, key=lambda error: isinstance(error, PbsError), default=None)


def has_failed(call: "asyncio.Future[Any]") -> bool:
    """Whether a call that has ended has no result."""
    return call.cancelled() or call.exception() is not None
