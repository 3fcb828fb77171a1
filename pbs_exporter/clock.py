"""The program's only source of time."""

import time
from collections.abc import Callable

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """One moment by both clocks: Unix seconds, and seconds that never go back."""

    unix: float
    monotonic: float


class Clock(msgspec.Struct, frozen=True):
    """`now` returns Unix seconds, `monotonic` seconds that never decrease. Tests replace both."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def instant(self) -> Instant:
        """Return the current time by both."""
        return Instant(self.now(), self.monotonic())
