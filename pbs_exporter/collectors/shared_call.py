"""One call that several callers await."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from pbs_exporter.errors import PbsTimeout
from pbs_exporter.waiting import shared_result

T = TypeVar("T")


class SharedCall(Generic[T]):
    """One call that several callers await. The first of them starts it; it ends with the `async with` block."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._task: asyncio.Task[T] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *error: object) -> None:
        if self._task is not None:
            # Unless the client has left, whoever wanted the result has no time left.
            self._task.cancel(None if kind is asyncio.CancelledError else PbsTimeout.SCRAPE_OVER)
            await asyncio.gather(self._task, return_exceptions=True)

    async def get(self) -> T:
        """Return the call's result, or raise its error. A caller that stops waiting doesn't stop the call."""
        return await shared_result(self.start())

    def result(self) -> T | None:
        """Return the result if the call has ended well, otherwise `None`."""
        task = self._task
        return None if task is None or not task.done() or task.cancelled() or task.exception() else task.result()

    def start(self) -> asyncio.Task[T]:
        """Return the call itself, for a caller that may still wait after the block has ended."""
        if self._task is None:
            self._task = asyncio.create_task(self._call())
        return self._task
