"""Datastores: the list, their usage, and garbage collection."""

import math
from functools import lru_cache

from pbs_exporter.simulator.answer import Row
from pbs_exporter.simulator.world.layout import DAY, HOUR, SimulatedDatastore
from pbs_exporter.simulator.world.rhythm import chance

_HISTORY_POINTS, _HISTORY_STEP = 1440, 1800
_CHUNK = 2 << 20
_DEDUPLICATION = 17
_S3_COUNTED_SINCE = 1_700_000_000


def list_row(store: SimulatedDatastore, now: int) -> Row:
    """Return a row of `/admin/datastore`."""
    row: Row = {
        "backend-type": store.backend,
        "comment": store.comment,
        "mount-status": store.mount_status(now),
        "store": store.name,
    }
    maintenance = store.maintenance_at(now)
    return row if maintenance is None else row | {"maintenance": maintenance}


def usage_row(store: SimulatedDatastore, now: int) -> Row:
    """Return a row of `/status/datastore-usage`."""
    row: Row = {
        "backend-type": store.backend,
        "mount-status": store.mount_status(now),
        "store": store.name,
    }
    problem = store.problem(now)
    if row["mount-status"] == "notmounted":
        return row
    if problem is not None:
        return row | {"error": problem}
    newest = now // _HISTORY_STEP * _HISTORY_STEP
    return row | {
        **sizes(store, now),
        "estimated-full-date": now // DAY * DAY + DAY * round(400 * (1 - store.share)),
        "gc-status": gc_status(store, now),
        "history": _history(store.name, store.share, newest),
        "history-delta": _HISTORY_STEP,
        "history-start": newest - (_HISTORY_POINTS - 1) * _HISTORY_STEP,
    }


def sizes(store: SimulatedDatastore, now: int) -> dict[str, int]:
    """Return the sizes of the file system in bytes: backups fill it, and each GC frees space."""
    gc = store.gc.rhythm
    since = (now - gc.end(gc.newest_ended(now))) / gc.period
    used = round(store.total * store.share * (1 + 0.02 * since + 0.005 * math.sin(now / 700)))
    # A hundredth is reserved blocks.
    return {"avail": store.total - used - store.total // 100, "total": store.total, "used": used}


def s3_statistics(store: SimulatedDatastore, now: int) -> Row:
    """Return the counters of an S3 datastore."""
    seconds = now - _S3_COUNTED_SINCE + chance(store.name) * DAY
    rates = {"delete": 0.02, "downloaded": 9e3, "get": 0.9, "head": 2.2, "post": 0.01, "put": 1.3, "uploaded": 2e5}
    return {name: int(seconds * rate) for name, rate in rates.items()}


def gc_row(store: SimulatedDatastore, now: int) -> Row:
    """Return a row of `/admin/gc`: counters of the last successful run, and the state of the last run."""
    gc, rhythm = store.gc, store.gc.rhythm
    row = gc_status(store, now) | {
        "next-run": rhythm.start(rhythm.newest(now) + 1),
        "schedule": {HOUR: "hourly", DAY: "daily"}.get(rhythm.period, f"*:0/{rhythm.period // 60}"),
        "store": store.name,
    }
    if rhythm.running(now) is not None:
        return row
    last = rhythm.newest(now)
    return row | {
        # From the start of the last successful run, as in PBS: wrong after a failed one.
        "duration": rhythm.end(last) - rhythm.start(_last_success(store, now)),
        "last-run-endtime": rhythm.end(last),
        "last-run-state": gc.status(last),
    }


def gc_status(store: SimulatedDatastore, now: int) -> Row:
    """Return the counters of the last successful run."""
    run = _last_success(store, now)
    luck = chance("gc", store.name, run)
    disk = round(store.total * store.share * (0.97 + 0.02 * luck))
    removed = round(disk * 0.004 * luck) // _CHUNK
    pending = round(disk * 0.001 * (1 - luck)) // _CHUNK
    return {
        "cache-stats": {"hits": round(9e5 * (1 + luck)), "misses": round(6e4 * (1 + luck))},
        "disk-bytes": disk,
        "disk-chunks": disk // _CHUNK,
        "index-data-bytes": round(disk * (_DEDUPLICATION + luck)),
        "index-file-count": 2 * sum(g.keep for groups in store.namespaces.values() for g in groups),
        "pending-bytes": pending * _CHUNK,
        "pending-chunks": pending,
        "removed-bad": 0,
        "removed-bytes": removed * _CHUNK,
        "removed-chunks": removed,
        "still-bad": 0,
        "upid": store.gc.upid(run),
    }


def _last_success(store: SimulatedDatastore, now: int) -> int:
    run = store.gc.rhythm.newest_ended(now)
    # Bounded, because a plan may always fail.
    for number in range(run, run - 50, -1):
        if store.gc.succeeds(number):
            return number
    return run


@lru_cache(maxsize=256)
def _history(name: str, share: float, newest: int) -> list[float | None]:
    """Return a month of usage, with gaps of an hour, in which the server was down."""
    first = newest // _HISTORY_STEP - _HISTORY_POINTS + 1
    return [
        None
        if (number // 2) % 700 == 0
        else round(share * (0.9 + 0.1 * point / _HISTORY_POINTS) + 0.01 * chance(name, number // 48), 6)
        for point, number in enumerate(range(first, first + _HISTORY_POINTS))
    ]
