"""Answers that are much larger than any real PBS's, to measure what the event loop does meanwhile."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

Row = dict[str, Any]


def _task(number: int) -> Row:
    # All ended within the last day, one after the other.
    start = int(time.time()) - 3600 - number % 80_000
    return {
        "upid": f"UPID:pbs:{number:08X}:00000000:{number:08X}:{start:08X}:backup:main\\x3avm-{number}:root@pam:",
        "worker_type": "backup",
        "worker_id": f"main:vm/{number}",
        "starttime": start,
        "endtime": start + 5,
        "status": "OK",
    }


FLOODS: Final[dict[str, tuple[str, Callable[[int], Row]]]] = {
    "tasks": ("/nodes/localhost/tasks", _task),
    "wrong-rows": ("/nodes/localhost/tasks", lambda _: {"upid": 1}),
    "datastores": ("/admin/datastore", lambda number: {"store": f"s{number}"}),
    "namespaces": ("/admin/datastore/main/namespace", lambda number: {"ns": f"n{number}"}),
    "pools": ("/nodes/localhost/disks/zfs", lambda number: {"name": f"p{number}", "health": "ONLINE"}),
}
"""By name: the path whose list is flooded, and what makes a row of it."""


def flooded(name: str, rows: int) -> tuple[str, bytes]:
    """Return the path of this flood, and its body with that number of rows."""
    path, row = FLOODS[name]
    return path, json.dumps({"data": [row(number) for number in range(rows)]}, separators=(",", ":")).encode()
