"""The program's only source of time."""

import time
from collections.abc import Callable

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """`now` returns Unix seconds, `monotonic` seconds that never decrease. Tests replace both."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
