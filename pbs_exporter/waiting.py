"""Waiting for what others wait for too."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def shared_result(future: "asyncio.Future[T]") -> T:
    """Return a future's result, or raise its error. A caller that stops waiting doesn't end it."""
    # `asyncio.shield` of Python 3.14 logs an error for which nobody waits any more.
    if not future.done():
        await asyncio.wait([future])
    return future.result()
