"""Polling, for what can't notify a test."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def poll(look: Callable[[], Found | None], what: str, seconds: float = 30.0, pause: float = 0.1) -> Found:
    """Call `look` until its result is true, and return the result."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
    return found
