"""Who does work that may take long."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Compute(Protocol):
    """Does work that may take long, maybe in a thread. `size` is the number of things that it is about."""

    def __call__(self, work: Callable[[], T], size: int, /) -> Awaitable[T]:
        """Return the work's result."""
        ...


async def at_once(work: Callable[[], T], _size: int, /) -> T:
    """Run the work on the event loop."""
    return work()
