"""The program's only source of time."""

import time
from collections.abc import Callable

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """One moment by both clocks: Unix seconds, and seconds that never go back."""

    unix: float
    monotonic: float


def _monotonic() -> float:
    """Return seconds that count while the machine sleeps, where the system has such a clock.

    Otherwise hours-old data would count as fresh after a machine wakes up.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock(msgspec.Struct, frozen=True):
    """`now` returns Unix seconds, `monotonic` seconds that never decrease, asleep or not. Tests replace both."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = _monotonic

    def instant(self) -> Instant:
        """Return the current time by both."""
        return Instant(self.now(), self.monotonic())
