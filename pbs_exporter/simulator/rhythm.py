"""Time in a generated world: what repeats, and what looks like chance.

All that happens there is a function of the time: nothing has to run for it, and a scrape can be repeated.
"""

from hashlib import blake2b

import msgspec


def chance(*key: object) -> float:
    """Return a number in [0, 1) that is always the same for the same key."""
    digest = blake2b(repr(key).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / (1 << 56)


class Rhythm(msgspec.Struct, frozen=True):
    """Something that begins every `period` seconds; its occurrences are numbered."""

    period: int
    phase: int = 0
    lasts: int = 0
    """Seconds; less than the period, or the same: then one follows the other without a gap."""

    def newest(self, now: int) -> int:
        """Return the number of the newest occurrence that has begun."""
        return (now - self.phase) // self.period

    def newest_ended(self, now: int) -> int:
        """Return the number of the newest occurrence that is over."""
        newest = self.newest(now)
        return newest if self.end(newest) <= now else newest - 1

    def running(self, now: int) -> int | None:
        """Return the number of the occurrence that goes on, if any."""
        newest = self.newest(now)
        return newest if now < self.end(newest) else None

    def start(self, number: int) -> int:
        """Return when an occurrence begins."""
        return number * self.period + self.phase

    def end(self, number: int) -> int:
        """Return when an occurrence is over: after two thirds of `lasts`, or more."""
        if self.lasts == self.period:
            return self.start(number + 1)
        return self.start(number) + round(self.lasts * (2 + chance(self.phase, number)) / 3)

    def since(self, begin: int, now: int) -> range:
        """Return the numbers of the occurrences that began from `begin` to `now`."""
        return range(self.newest(begin - 1) + 1, self.newest(now) + 1)
