"""The open connections to our own port, and what they may cost."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

import msgspec


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What connections to our own port may cost.

    At most `number` are open. `request_seconds` is the time for the whole head of a request, `idle_seconds` the time
    between a response and the next request, `stalled_seconds` the time in which a client takes nothing of a response,
    and `response_seconds` the time in which it takes all.
    """

    number: int = sys.maxsize
    request_seconds: float = 30.0
    idle_seconds: float = 180.0
    stalled_seconds: float = 30.0
    response_seconds: float = 60.0


class Connection(Protocol):
    """A connection of a client."""

    head_began_at: float
    """When the head of a request was begun that isn't whole; infinite if none was."""

    def abort(self) -> None:
        """Close it now."""

    def unsent(self) -> int:
        """Return the bytes that the client hasn't taken."""

    def taking(self, now: float) -> tuple[float, float]:
        """Return for how long the client has taken nothing of what is there for it, and not all."""


class OpenConnections:
    """The open connections to our own port. Closes those that cost too much.

    `_idle` are those without a request, `_busy` the others; each begins with the one that has been so for longest.
    """

    def __init__(self, limits: ConnectionLimits, closed_for_another: Callable[[], None]) -> None:
        self._limits = limits
        self._closed_for_another = closed_for_another
        self._idle: dict[Connection, None] = {}
        self._busy: dict[Connection, None] = {}
        self._loop = asyncio.get_running_loop()
        self._interval = min(limits.request_seconds, limits.stalled_seconds, limits.response_seconds) / 10
        self._timer = self._loop.call_later(self._interval, self._look)

    def stop(self) -> None:
        """Close none any more."""
        self._timer.cancel()

    def opened(self, connection: Connection) -> None:
        """Count a new one."""
        self.idle(connection)
        if len(self._idle) + len(self._busy) > self._limits.number:
            reading_slowly = (busy for busy in self._busy if busy.unsent())
            # The new one is the last of the idle ones, so there is always one.
            victim = next(iter(self._idle))
            if victim is connection:
                victim = next(reading_slowly, connection)
            self._end(victim)
            self._closed_for_another()

    def idle(self, connection: Connection) -> None:
        """Count it among those without a request."""
        self._busy.pop(connection, None)
        self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        """Count it among those with one."""
        self._idle.pop(connection, None)
        self._busy[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget it."""
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)

    def _end(self, connection: Connection) -> None:
        self.closed(connection)
        connection.abort()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._look)
        now = self._loop.time()
        for connection in [*self._idle, *self._busy]:
            head_is_late = now - connection.head_began_at >= self._limits.request_seconds
            stalled, taking = connection.taking(now)
            reads_slowly = stalled >= self._limits.stalled_seconds or taking >= self._limits.response_seconds
            if head_is_late or reads_slowly:
                self._end(connection)
