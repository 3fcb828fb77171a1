"""Waiting for an event, holding requests until a test releases them, and measuring time on a busy machine."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from pbs_exporter.simulator import Fault, LoggedRequest, SimulatedPbs
from pbs_exporter.simulator.exchange import Exchange


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds. Raise `AssertionError` after a bounded time."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it didn't come to that in time")


class Gate:
    """A fault that holds requests until a test releases them to their usual answer."""

    def __init__(self) -> None:
        self.waiting: list[LoggedRequest] = []
        self.most_waiting: list[LoggedRequest] = []
        self.fault = Fault(self._hold)
        self._opening = asyncio.Event()
        self._is_open = False

    def open(self) -> None:
        """Release all requests, and those that come later."""
        self._is_open = True
        self.release()

    def release(self) -> None:
        """Release the requests that wait now."""
        self._opening.set()
        self._opening = asyncio.Event()

    async def settled(self, pbs: SimulatedPbs) -> None:
        """Wait until each request to PBS is answered or held, and no new one comes.

        Client and server share this event loop, so the effects of an answer follow within a few of its iterations.
        """
        seen, quiet = -1, 0
        for _ in range(20_000):
            if (len(self.waiting), pbs.in_flight) == (seen, seen):
                quiet += 1
            else:
                seen, quiet = len(self.waiting), 0
            if quiet == 25:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("requests keep coming")

    async def _hold(self, exchange: Exchange) -> web.StreamResponse:
        if not self._is_open:
            self.waiting.append(exchange.log)
            if len(self.waiting) > len(self.most_waiting):
                self.most_waiting = list(self.waiting)
            try:
                await self._opening.wait()
            finally:
                self.waiting.remove(exchange.log)
        return await exchange.send(await exchange.answer())


class Stopwatch:
    """Elapsed time, without the time in which this process waited for a core."""

    def __init__(self) -> None:
        self._begun = time.monotonic() - _waited()

    @property
    def seconds(self) -> float:
        return time.monotonic() - _waited() - self._begun


def _waited() -> float:
    """Return the seconds that the main thread has waited for a core, or 0 if the system doesn't count them."""
    try:
        nanoseconds = Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0.0
    return int(nanoseconds) / 1e9


Found = TypeVar("Found")


def poll(look: Callable[[], Found | None], what: str, seconds: float = 60.0, pause: float = 0.1) -> Found:
    """Call `look` until its result is true, and return the result."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
    return found
