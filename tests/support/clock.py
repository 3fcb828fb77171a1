"""A clock that a test sets."""

from pbs_exporter.clock import Clock


class FakeClock:
    """A clock that moves only when a test moves it. The program takes `clock`."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)

    def ahead(self, seconds: float) -> Clock:
        """Return the clock of a machine whose time of day differs."""
        return Clock(now=lambda: self.time + seconds, monotonic=lambda: self.time)

    def advance(self, seconds: float) -> None:
        self.time += seconds
