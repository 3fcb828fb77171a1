"""Tape drives, media and backup jobs."""

from typing import Final

from pbs_exporter.simulator.answer import Row
from pbs_exporter.simulator.world.job_rows import last_run
from pbs_exporter.simulator.world.layout import DAY
from pbs_exporter.simulator.world.plan import Plan
from pbs_exporter.simulator.world.rhythm import Rhythm

TAPE_BACKUP: Final = Plan("tape-backup-job", "main:weekly:drive0:tape-weekly", Rhythm(600, 30, 200))


def drives(now: int) -> list[Row]:
    """Return `/tape/drive`: one drive that `TAPE_BACKUP` uses from time to time, and one without a device."""
    lto: Row = {
        "changer": "sl3",
        "model": "ULT3580-HH8",
        "name": "drive0",
        "path": "/dev/tape/by-id/scsi-10WT036260-sg",
        "serial": "10WT036260",
        "vendor": "IBM",
    }
    running = TAPE_BACKUP.rhythm.running(now)
    if running is not None:
        lto["state"] = TAPE_BACKUP.upid(running)
    return [{"name": "standalone", "path": "/dev/tape/by-id/scsi-67890-sg"}, lto]


def backup_jobs(now: int) -> list[Row]:
    """Return `/tape/backup`."""
    row = {"drive": "drive0", "id": "tape-weekly", "pool": "weekly", "schedule": "*:0/10", "store": "main"}
    return [row | last_run(TAPE_BACKUP, now)]


def media(now: int) -> list[Row]:
    """Return `/tape/media/list`: the three tapes of a pool, which fill up within a day, and an unassigned one."""
    written = now % DAY / DAY
    rows: list[Row] = [
        {
            "bytes-used": round((12 << 40) * min(1, max(0, 3 * written - number))),
            "catalog": True,
            "expired": number == 2 and written < 0.5,  # noqa: PLR2004 - the last, and half a day
            "label-text": f"WEEK0{number + 1}L8",
            "location": "vault-cellar" if number == 2 else "online-sl3",  # noqa: PLR2004 - the last
            "pool": "weekly",
            "status": "full" if 3 * written > number + 1 else "writable",
        }
        for number in range(3)
    ]
    return [
        *rows,
        {"catalog": True, "expired": False, "label-text": "FREE01L8", "location": "offline", "status": "writable"},
    ]
