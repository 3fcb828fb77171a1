"""Measuring time on a machine that other tests keep busy."""

import time
from pathlib import Path


class Stopwatch:
    """Elapsed time, without the time in which this process waited for a core."""

    def __init__(self) -> None:
        self._begun = time.monotonic() - _waited()

    @property
    def seconds(self) -> float:
        return time.monotonic() - _waited() - self._begun


def _waited() -> float:
    """Return how long the main thread has waited for a core, in seconds; 0 where the system doesn't count that."""
    try:
        nanoseconds = Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0.0
    return int(nanoseconds) / 1e9
