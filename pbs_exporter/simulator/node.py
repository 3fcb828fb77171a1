"""What a generated world says of its host, its tape drives and its users."""

import math
from collections.abc import Iterable

from pbs_exporter.simulator.layout import DAY
from pbs_exporter.simulator.plan import Plan
from pbs_exporter.simulator.rhythm import chance

_GIB = 1 << 30
_CPUS = 8
PRIVILEGES = frozenset({"Datastore.Audit", "Remote.Audit", "Sys.Audit", "Tape.Audit"})

VERSION = {"release": "3", "repoid": "bc863d45e7", "version": "4.2"}
PING = {"pong": True}


def status(now: int, running: int, fingerprint: str) -> object:
    """Return `/nodes/{node}/status` while `running` tasks are at work."""
    # PBS measures every ten seconds, so nothing moves in between.
    tick = now // 10
    load1, load5, load15 = (_load(tick, ticks, running) for ticks in (6, 30, 90))
    cpu = min(0.98, load1 / _CPUS + 0.04 * chance("cpu", tick))
    memory, swap, root = 32 * _GIB, 8 * _GIB, 96 * _GIB
    used = round(memory * (0.22 + 0.05 * running / (running + 4) + 0.03 * _wave(now, 1900)))
    swapped = round(swap * (0.02 + 0.01 * _wave(now, 5000)))
    root_used = round(root * (0.21 + 0.01 * _wave(now, 2600)))
    return {
        "boot-info": {"mode": "efi", "secureboot": True},
        "cpu": cpu,
        "cpuinfo": {"cpus": _CPUS, "model": "AMD EPYC 3251 8-Core Processor", "sockets": 1},
        "current-kernel": {
            "machine": "x86_64",
            "release": "6.14.8-2-pve",
            "sysname": "Linux",
            "version": "#1 SMP PREEMPT_DYNAMIC",
        },
        "info": {"fingerprint": fingerprint},
        "kversion": "Linux 6.14.8-2-pve #1 SMP PREEMPT_DYNAMIC",
        "loadavg": [load1, load5, load15],
        "memory": {"free": memory - used - 6 * _GIB, "total": memory, "used": used},
        "root": {"avail": root - root_used - root // 20, "total": root, "used": root_used},
        "swap": {"free": swap - swapped, "total": swap, "used": swapped},
        # It is booted anew every three months.
        "uptime": 3 * DAY + now % (90 * DAY),
        "wait": 0.002 + 0.03 * chance("wait", tick) * min(1, running / 3),
    }


def tape_drives(tape: Plan, now: int) -> list[dict[str, object]]:
    """Return `/tape/drive`: one drive that `tape` holds now and then, and one whose device is off."""
    lto: dict[str, object] = {
        "changer": "sl3",
        "model": "ULT3580-HH8",
        "name": "drive0",
        "path": "/dev/tape/by-id/scsi-10WT036260-sg",
        "serial": "10WT036260",
        "vendor": "IBM",
    }
    running = tape.rhythm.running(now)
    if running is not None:
        lto["state"] = tape.upid(running)
    return [{"name": "standalone", "path": "/dev/tape/by-id/scsi-67890-sg"}, lto]


def permissions(privileges: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Return `/access/permissions` of a token that has them on `/`: PBS always looks at these paths."""
    return {
        path: dict.fromkeys(sorted(privileges), True) for path in ("/", "/access", "/datastore", "/remote", "/system")
    }


def users(token_expires: int) -> list[dict[str, object]]:
    """Return `/access/users` with tokens; PBS leaves them out unless asked."""
    return [
        {
            "comment": "metrics reader",
            "tokens": [{"comment": "prometheus", "expire": token_expires, "tokenid": "exporter@pbs!metrics"}],
            "userid": "exporter@pbs",
        },
        {"tokens": [{"tokenid": "backup@pbs!pve"}], "userid": "backup@pbs"},
        {"comment": "Superuser", "userid": "root@pam"},
    ]


def _load(tick: int, ticks: int, running: int) -> float:
    """Return a load average: the mean of what the last `ticks` looked like."""
    noise = sum(chance("load", tick - back) for back in range(ticks)) / ticks
    return round(0.2 + 1.6 * noise + 0.35 * running, 2)


def _wave(now: int, period: int) -> float:
    return math.sin(now * 2 * math.pi / period)
