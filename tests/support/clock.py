"""A clock that a test sets."""

from pbs_exporter.clock import Clock


class FakeClock:
    """Time that passes only when a test says so. `clock` is what the program takes."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)

    def ahead(self, seconds: float) -> Clock:
        """Return the clock of a machine whose time of day differs."""
        return Clock(now=lambda: self.time + seconds, monotonic=lambda: self.time)

    def advance(self, seconds: float) -> None:
        self.time += seconds
