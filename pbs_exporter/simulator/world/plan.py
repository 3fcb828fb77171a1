"""Planned tasks: when they run, their UPIDs and how they end."""

import re
from functools import lru_cache

import msgspec

from pbs_exporter.simulator.world.rhythm import Rhythm, chance

_PID, _PSTART = 0x08F0, 0xD4340

_ERRORS = {
    "backup": "backup ended: connection error: bytes remaining on stream",
    "garbage_collection": "marking used chunks failed: can't open index: index too small (7)",
    "syncjob": "sync failed with some errors.",
    "tape-backup-job": "alloc writable media in pool 'weekly' failed: no usable media found",
    "verificationjob": "verification failed - please check the log for details",
}

_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_.]")


class TaskRow(msgspec.Struct, omit_defaults=True):
    """A row of `/nodes/{node}/tasks`, with its fields in PBS's order."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    worker_type: str
    worker_id: str
    user: str
    endtime: int | None = None
    status: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """A recurring task. `fails` and `warns` are the probabilities of an error and of a warning."""

    worker_type: str
    worker_id: str
    rhythm: Rhythm
    user: str = "root@pam"
    store: str | None = None
    """The datastore to which PBS assigns the task; the filter `store` finds no others."""
    fails: float = 0.01
    warns: float = 0.01
    line: int = 0
    """Distinguishes plans that look the same to PBS: backups of one guest into several namespaces."""

    def upid(self, number: int) -> str:
        """Return the UPID of an occurrence."""
        start = self.rhythm.start(number)
        task_id = (self.line & 0xFFFF) << 16 | number & 0xFFFF
        return (
            f"UPID:pbs1:{_PID:08X}:{_PSTART:08X}:{task_id:08X}:{start:08X}:"
            f"{self.worker_type}:{_escape(self.worker_id)}:{self.user}:"
        )

    def status(self, number: int) -> str:
        """Return the status with which an occurrence ends."""
        luck = chance(self.worker_type, self.worker_id, self.line, number)
        if luck < self.fails:
            return _ERRORS.get(self.worker_type, "ENOENT: No such file or directory")
        return "WARNINGS: 1" if luck < self.fails + self.warns else "OK"

    def succeeds(self, number: int) -> bool:
        """Whether an occurrence ends without an error."""
        return self.status(number) in {"OK", "WARNINGS: 1"}

    def row(self, number: int, now: int) -> TaskRow:
        """Return an occurrence as a row of the task list."""
        row = _finished_row(self, number)
        if row.endtime is None or row.endtime <= now:
            return row
        return msgspec.structs.replace(row, endtime=None, status=None)


@lru_cache(maxsize=1 << 15)
def _finished_row(plan: Plan, number: int) -> TaskRow:
    return TaskRow(
        upid=plan.upid(number),
        node="localhost",
        pid=_PID,
        pstart=_PSTART,
        starttime=plan.rhythm.start(number),
        worker_type=plan.worker_type,
        worker_id=plan.worker_id,
        user=plan.user,
        endtime=plan.rhythm.end(number),
        status=plan.status(number),
    )


@lru_cache(maxsize=1 << 12)
def _escape(worker_id: str) -> str:
    """Escape a worker ID as systemd escapes the name of a unit."""
    return _TO_ESCAPE.sub(
        lambda match: "-" if match[0] == "/" else "".join(f"\\x{byte:02x}" for byte in match[0].encode()),
        worker_id,
    )
