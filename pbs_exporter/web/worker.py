"""Whether a response is computed on the event loop or in a worker thread."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pbs_exporter.scrape.target import Compute

AT_ONCE_SECONDS = 0.005
"""Computing time below which a response needs no thread, which would add a tenth of it."""

THREADS = 4
"""Responses that are computed at the same time; the others wait. Only their compression can use several cores."""

T = TypeVar("T")


class Worker:
    """Computes responses in steps. Takes a thread unless the last response was quick and this one is no larger.

    The event loop stays free that way, however large a response is.
    """

    def __init__(self, counter: Callable[[], float] = time.perf_counter, threads: int = THREADS) -> None:
        self._counter = counter
        # Its own threads: those that the event loop offers to all may be taken.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="page")
        self._last: dict[str, tuple[float, int]] = {}

    def step(self, name: str) -> Compute:
        """Return what computes one step of the response."""
        self._last[name] = math.inf, 0

        async def compute(work: Callable[[], T], size: int, /) -> T:
            started = self._counter()
            quick = sum(seconds for seconds, _ in self._last.values()) < AT_ONCE_SECONDS
            result = work() if quick and size <= self._last[name][1] else await self._in_thread(work)
            self._last[name] = self._counter() - started, size
            return result

        return compute

    def close(self) -> None:
        """End the threads, and drop what waits for one."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _in_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work)
