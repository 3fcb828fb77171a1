"""Tasks and their UPIDs."""

import re
from collections.abc import Iterable

import msgspec

_upid_start = re.compile(r"UPID:[^:]*+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}+:[0-9A-Fa-f]{8,16}+:([0-9A-Fa-f]{8}):").match


class Task(msgspec.Struct, frozen=True):
    """A row of `GET /nodes/localhost/tasks`. `endtime` and `status` are `None` while the task runs."""

    upid: str
    worker_type: str
    starttime: int
    worker_id: str | None = None
    endtime: int | None = None
    status: str | None = None


def upid_start(upid: str | None) -> int | None:
    """Return a task's start (Unix seconds), read from its UPID; `None` if it isn't a UPID."""
    match = _upid_start(upid) if upid else None
    return int(match[1], 16) if match else None


def newest_start(upids: Iterable[str | None]) -> int | None:
    """Return the newest start of tasks (Unix seconds); `None` if none of these is a UPID."""
    starts = [match[1] for match in map(_upid_start, filter(None, upids)) if match]
    # All have eight digits, so they compare as numbers do.
    return int(max(map(str.upper, starts)), 16) if starts else None
