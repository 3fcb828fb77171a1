"""What the PBS keeps of its past: averages over steps, of which the finer ones reach back less far."""

import math
from collections.abc import Callable, Container
from typing import Final

from pbs_exporter.simulator.answer import RefusedError, Row
from pbs_exporter.simulator.api import Params
from pbs_exporter.simulator.world.datastore_rows import sizes
from pbs_exporter.simulator.world.layout import DAY, HOUR, SimulatedDatastore
from pbs_exporter.simulator.world.rhythm import chance

_TIMEFRAMES: Final = {
    "hour": (HOUR, 60),
    "day": (DAY, 60),
    "week": (7 * DAY, 1800),
    "month": (30 * DAY, 1800),
    "year": (365 * DAY, 6 * HOUR),
    "decade": (3660 * DAY, 7 * DAY),
}
"""The seconds that each timeframe asks for, and of its steps."""

_KEPT: Final = {60: 1440, 1800: 1440, 6 * HOUR: 1440, 7 * DAY: 570}
"""The number of steps that are kept, by their seconds. At most as many rows are in an answer."""

_MODES: Final = ("AVERAGE", "MAX")
_GIB = 1 << 30
_GROWTH_A_YEAR = 0.3


def past_rows(params: Params, now: int, values: Callable[[int], Row]) -> list[Row]:
    """Return an answer with `values` of a time. Raises `RefusedError` for wrong parameters.

    As in PBS, the times of the rows depend on `now`, and each has the value of the step that it lies in.
    """
    seconds, step = _TIMEFRAMES[_choice(params, "timeframe", _TIMEFRAMES)]
    _choice(params, "cf", _MODES)
    oldest = (now // step + 1 - _KEPT[step]) * step
    times = range(now - seconds, now + 1, step)[: _KEPT[step]]
    return [{"time": time} | (values(time // step * step) if time >= oldest else {}) for time in times]


def host_past(time: int) -> Row:
    """Return the values of the host at a time."""
    memory, swap, root = 32 * _GIB, 8 * _GIB, 96 * _GIB
    return {
        "cpu": 0.05 + 0.2 * chance("past cpu", time),
        "iowait": 0.002 + 0.01 * chance("past wait", time),
        "loadavg": 0.2 + 1.6 * chance("past load", time),
        "memtotal": memory,
        "memused": memory * (0.25 + 0.03 * math.sin(time / 1900)),
        "netin": 9e6,
        "netout": 2e6,
        "swaptotal": swap,
        "swapused": swap * (0.02 + 0.01 * math.sin(time / 5000)),
        "total": root,
        "used": root * (0.21 + 0.01 * math.sin(time / 2600)),
    }


def datastore_past(store: SimulatedDatastore, now: int, time: int) -> Row:
    """Return the values of a datastore at a time. It grows, and each 700th hour has none: the server was down."""
    if time // HOUR % 700 == 0:
        return {}
    total, used = store.total, sizes(store, time)["used"]
    grown = used / (1 + _GROWTH_A_YEAR * (now - time) / (365 * DAY))
    available = total - grown - total // 100
    return {"available": available, "read_ios": 2.5, "total": total, "used": grown, "write_ios": 5.5}


def _choice(params: Params, name: str, choices: Container[object]) -> str:
    value = params.get(name)
    if value is None:
        text = "parameter is missing and it is not optional."
    elif value in choices:
        return str(value)
    else:
        text = f"value '{value}' is not defined in the enumeration."
    raise RefusedError(400, f"parameter verification failed - '{name}': {text}", by_handler=False)
