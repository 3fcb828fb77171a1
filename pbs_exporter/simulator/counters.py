"""What a generated world counts: `/status/metrics`."""

from collections.abc import Iterable

from pbs_exporter.simulator.layout import DAY, Datastore
from pbs_exporter.simulator.rhythm import chance

_BEGAN = 1_700_000_000
_EVERY = 10
"""PBS measures every so many seconds."""

_HOST = {"net_in": 9e6, "net_out": 2e6, "disk_read": 4e5, "disk_write": 9e5}
_STORE = {"disk_read": 3e6, "disk_write": 7e6}


def points(stores: Iterable[Datastore], now: int) -> list[dict[str, object]]:
    """Return the newest points: counters of the host, and of each datastore that can be used."""
    tick = now // _EVERY * _EVERY
    subjects = {"host": _HOST} | {f"datastore/{s.name}": _STORE for s in stores if s.problem(now) is None}
    return [
        {
            "id": subject,
            "metric": metric,
            "timestamp": tick,
            "type": "derive",
            "value": float(int((tick - _BEGAN + chance(subject) * DAY) * rate)),
        }
        for subject, rates in subjects.items()
        for metric, rate in rates.items()
    ]
