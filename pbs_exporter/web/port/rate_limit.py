"""`rate_limit`: how many requests the port answers."""

import re
from decimal import Decimal

import msgspec

from pbs_exporter.config.values import InvalidValue

_UNITS = {"ns": -9, "us": -6, "µs": -6, "μs": -6, "ms": -3, "s": 0, "m": 60, "h": 3600}
_NUMBER = r"(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"\+?(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+")


class RateLimit(msgspec.Struct, frozen=True):
    """One request per `interval` seconds, and at most `burst` at once."""

    interval: float
    burst: int


class TokenBucket:
    """Permits requests. It begins full."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether there is a place for a request, which is then taken."""
        gained = (now - self._at) / self._limit.interval
        self._tokens = min(self._tokens + gained, self._limit.burst)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def seconds(written: str) -> float:
    """Parse a duration as Go writes it, such as `1.5s`, `100ms` or `1m30s`."""
    if written in ("0", "+0"):
        return 0.0
    if not _WHOLE.fullmatch(written):
        raise InvalidValue("is not a duration; write a number and its unit, such as 100ms, 1.5s or 1m30s")
    return float(sum(Decimal(number) * _factor(unit) for number, unit in _PART.findall(written)))


def _factor(unit: str) -> Decimal:
    power = _UNITS[unit]
    return Decimal(power) if power > 0 else Decimal(1).scaleb(power)
