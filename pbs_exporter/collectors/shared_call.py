"""One call that several await."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """One call that several await, started by the first of them. It ends with the `async with` block."""

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
        """Give the call's result, or raise its error. Who stops waiting doesn't stop the call."""
        return await asyncio.shield(self.start())

    def start(self) -> asyncio.Task[T]:
        """Give the call itself, for who may still wait when the block has ended."""
        if self._task is None:
            self._task = asyncio.create_task(self._call())
        return self._task
