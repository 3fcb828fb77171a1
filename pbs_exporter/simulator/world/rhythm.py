"""Recurring events and pseudo-random numbers.

Everything in the world is a function of the time: it needs no background task, and every scrape can be repeated.
"""

from hashlib import blake2b

import msgspec


def chance(*key: object) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the key."""
    digest = blake2b(repr(key).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / (1 << 56)


class Rhythm(msgspec.Struct, frozen=True):
    """An event that recurs every `period` seconds. Its occurrences are numbered."""

    period: int
    phase: int = 0
    lasts: int = 0
    """Maximum duration in seconds, at most the period. If both are equal, there is no gap between occurrences."""

    def newest(self, now: int) -> int:
        """Return the number of the newest occurrence that has started."""
        return (now - self.phase) // self.period

    def newest_ended(self, now: int) -> int:
        """Return the number of the newest occurrence that has ended."""
        newest = self.newest(now)
        return newest if self.end(newest) <= now else newest - 1

    def running(self, now: int) -> int | None:
        """Return the number of the running occurrence; `None` if there is none."""
        newest = self.newest(now)
        return newest if now < self.end(newest) else None

    def start(self, number: int) -> int:
        """Return when an occurrence starts (Unix seconds)."""
        return number * self.period + self.phase

    def end(self, number: int) -> int:
        """Return when an occurrence ends (Unix seconds): after two thirds of `lasts` or more."""
        if self.lasts == self.period:
            return self.start(number + 1)
        return self.start(number) + round(self.lasts * (2 + chance(self.phase, number)) / 3)

    def since(self, begin: int, now: int) -> range:
        """Return the numbers of the occurrences that started from `begin` to `now`."""
        return range(self.newest(begin - 1) + 1, self.newest(now) + 1)
