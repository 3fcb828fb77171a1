"""One call that several callers await."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """One call that several callers await. The first of them starts it; it ends with the `async with` block."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._task: asyncio.Task[T] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def get(self) -> T:
        """Return the call's result, or raise its error. A caller that stops waiting doesn't stop the call."""
        return await asyncio.shield(self.start())

    def start(self) -> asyncio.Task[T]:
        """Return the call itself, for a caller that may still wait after the block has ended."""
        if self._task is None:
            self._task = asyncio.create_task(self._call())
        return self._task
