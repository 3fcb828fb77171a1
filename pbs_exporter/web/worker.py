"""Whether a response is computed on the event loop or in a worker thread."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE_SECONDS = 0.005
"""Computing time below which a response needs no thread, which would add a tenth of it."""

T = TypeVar("T")


class Worker:
    """Computes responses. Takes its thread unless the last response was quick and this one is no larger.

    The event loop stays free that way, however large a response is. There is one thread: two would take twice the
    memory, and hardly less time, because only one at a time can run Python.
    """

    def __init__(self, counter: Callable[[], float] = time.perf_counter) -> None:
        self._counter = counter
        # Its own thread: those that the event loop offers to all may be taken.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._last_seconds, self._last_size = math.inf, 0

    async def compute(self, work: Callable[[], T], size: int, /) -> T:
        """Return the work's result. `size` is the number of things that it is about."""
        if self._last_seconds < AT_ONCE_SECONDS and size <= self._last_size:
            return self._measured(work, size)
        try:
            computed = asyncio.get_running_loop().run_in_executor(self._thread, self._measured, work, size)
        except RuntimeError:
            # No thread can be started: there are too many in the container or of the user.
            return self._measured(work, size)
        return await computed

    def close(self) -> None:
        """End the thread, and drop what waits for it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _measured(self, work: Callable[[], T], size: int) -> T:
        started = self._counter()
        result = work()
        self._last_seconds, self._last_size = self._counter() - started, size
        return result
