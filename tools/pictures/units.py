"""Values as Grafana shows them: with a unit, and few digits."""

from collections.abc import Callable, Iterator
from itertools import count

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = ((365 * 86400, "y"), (7 * 86400, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"))
_ROUND_SPANS = (
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 4, 6, 12)),
    *(86400 * days for days in (1, 2, 5, 7, 14, 28, 56, 70, 140, 364, 728)),
)


def shown(value: float, unit: str, now: float) -> str:
    """Return a value with its unit (Grafana's name of it). Times are relative to `now`."""
    return _FORMS[unit](value, now)


def nice_step(span: float, unit: str) -> float:
    """Return a round number in that unit, about a quarter of the span."""
    return next(step for step in _steps(unit) if step * 5 >= span)


def _steps(unit: str) -> Iterator[float]:
    if unit == "s":
        yield from (step / 1000 * size for size in (1, 10, 100) for step in (1, 2, 5))
        yield from _ROUND_SPANS
    base = 1024 if unit in {"bytes", "Bps"} else 1000
    for power in count(-3):
        yield from (base**power * step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def _bytes(value: float) -> str:
    size, step = abs(value), 0
    while size >= 1024 and step < len(_BINARY) - 1:
        size, step = size / 1024, step + 1
    return f"{'-' if value < 0 else ''}{size:.3g} {_BINARY[step]}"


def _span(value: float) -> str:
    for length, name in _SPANS:
        if abs(value) >= length:
            return f"{value / length:.3g} {name}"
    return "0 s"


def _from_now(value: float, now: float) -> str:
    away = value / 1000 - now
    return f"in {_span(away)}" if away > 0 else f"{_span(-away)} ago"


_FORMS: dict[str, Callable[[float, float], str]] = {
    "none": lambda value, _: _short(value),
    "bytes": lambda value, _: _bytes(value),
    "Bps": lambda value, _: f"{_bytes(value)}/s",
    "reqps": lambda value, _: f"{_short(value)} req/s",
    "s": lambda value, _: _span(value),
    "percentunit": lambda value, _: f"{value:.0%}" if abs(value) >= 0.1 else f"{value:.1%}",
    "dateTimeFromNow": _from_now,
}
