"""The host: load, services, updates, subscription and disks, and PBS's own metrics."""

import datetime as dt
import math
from collections.abc import Iterable

from pbs_exporter.simulator.answer import Row
from pbs_exporter.simulator.world.layout import DAY, HOUR, SimulatedDatastore
from pbs_exporter.simulator.world.rhythm import Rhythm, chance

VERSION = {"release": "3", "repoid": "bc863d45e7", "version": "4.2"}
PING = {"pong": True}

_GIB = 1 << 30
_CPUS = 8
_SUBSCRIPTION_TERM = 365 * DAY
_DAEMONS = ("proxmox-backup", "proxmox-backup-proxy", "sshd", "systemd-journald", "cron", "chrony")
_PACKAGES = ("proxmox-backup-server", "libssl3t64", "openssh-server", "zfsutils-linux", "tzdata", "curl", "systemd")
_CRON_RESTARTS = Rhythm(2 * HOUR, lasts=90)

_COUNTED_SINCE = 1_700_000_000
_MEASURED_EVERY = 10
"""Interval of PBS's measurements, in seconds."""

_HOST_RATES = {"net_in": 9e6, "net_out": 2e6, "disk_read": 4e5, "disk_write": 9e5}
_DATASTORE_RATES = {"disk_read": 3e6, "disk_write": 7e6}


def status(now: int, running: int, fingerprint: str) -> object:
    """Return `/nodes/{node}/status` while `running` tasks run."""
    tick = now // _MEASURED_EVERY
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
        # Rebooted every 90 days.
        "uptime": 3 * DAY + now % (90 * DAY),
        "wait": 0.002 + 0.03 * chance("wait", tick) * min(1, running / 3),
    }


def points(stores: Iterable[SimulatedDatastore], now: int) -> list[dict[str, object]]:
    """Return the newest points of `/status/metrics`: counters of the host, and of each available datastore."""
    tick = now // _MEASURED_EVERY * _MEASURED_EVERY
    subjects = {"host": _HOST_RATES} | {
        f"datastore/{s.name}": _DATASTORE_RATES for s in stores if s.problem(now) is None
    }
    return [
        {
            "id": subject,
            "metric": metric,
            "timestamp": tick,
            "type": "derive",
            "value": float(int((tick - _COUNTED_SINCE + chance(subject) * DAY) * rate)),
        }
        for subject, rates in subjects.items()
        for metric, rate in rates.items()
    ]


def subscription(now: int) -> Row:
    """Return `/nodes/{node}/subscription`. It is always renewed in time."""
    due = dt.datetime.fromtimestamp((now // _SUBSCRIPTION_TERM + 1) * _SUBSCRIPTION_TERM, tz=dt.UTC)
    return {"nextduedate": f"{due:%Y-%m-%d}", "productname": "Proxmox Backup Server Basic", "status": "active"}


def updates(now: int) -> list[Row]:
    """Return `/nodes/{node}/apt/update`: one more package each hour, until all are installed."""
    return [
        {"OldVersion": "1.0-1", "Origin": "Proxmox", "Package": name, "Version": "1.0-2"}
        for name in _PACKAGES[: now // HOUR % (len(_PACKAGES) + 1)]
    ]


def services(now: int) -> list[Row]:
    """Return `/nodes/{node}/services`: one is down from time to time, and one isn't installed."""
    down = {"cron"} if _CRON_RESTARTS.running(now) is not None else set()
    rows: list[Row] = [
        {"name": name, "service": name, "state": "dead" if name in down else "running", "unit-state": "enabled"}
        for name in _DAEMONS
    ]
    return [*rows, {"name": "postfix", "service": "postfix", "state": "dead", "unit-state": "not-found"}]


def disks(now: int, *, smart: bool) -> list[Row]:
    """Return `/nodes/{node}/disks/list`: two SSDs that wear, and a hard disk without a `wearout`."""
    worn = now // DAY % 100 / 10
    life = {"sda": 97.0 - worn, "sdb": 95.0 - worn, "sdc": None}
    return [
        {
            "devpath": f"/dev/{name}",
            "disk-type": "hdd" if left is None else "ssd",
            "model": "ST8000NM000A" if left is None else "SAMSUNG_MZ7L3960",
            "name": name,
            "serial": f"S6{number}NX0R",
            "size": (8 << 40) if left is None else 960_197_124_096,
            "status": "passed" if smart else "unknown",
            "wearout": left if smart else None,
        }
        for number, (name, left) in enumerate(life.items())
    ]


def pools(now: int) -> list[Row]:
    """Return `/nodes/{node}/disks/zfs`."""
    size = 5 << 40
    used = round(size * (0.4 + 0.1 * chance("pool", now // HOUR)))
    return [
        {"alloc": used, "dedup": 1.0, "frag": 12, "free": size - used, "health": "ONLINE", "name": "tank", "size": size}
    ]


def _load(tick: int, ticks: int, running: int) -> float:
    """Return a load average: the mean of the last `ticks` measurements."""
    noise = sum(chance("load", tick - back) for back in range(ticks)) / ticks
    return round(0.2 + 1.6 * noise + 0.35 * running, 2)


def _wave(now: int, period: int) -> float:
    return math.sin(now * 2 * math.pi / period)
