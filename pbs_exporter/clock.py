"""The program's one source of time."""

import time
from collections.abc import Callable

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """`now` gives Unix seconds, `monotonic` seconds that never go back. Tests put in their own."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
