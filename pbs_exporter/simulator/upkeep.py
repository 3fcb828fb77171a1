"""What a generated world says of its host's upkeep: subscription, updates, services, disks."""

import datetime as dt

from pbs_exporter.simulator.layout import DAY, HOUR
from pbs_exporter.simulator.rhythm import Rhythm, chance

Row = dict[str, object]

_TERM = 365 * DAY
_TOKEN_TERM = 90 * DAY
_DAEMONS = ("proxmox-backup", "proxmox-backup-proxy", "sshd", "systemd-journald", "cron", "chrony")
_PACKAGES = ("proxmox-backup-server", "libssl3t64", "openssh-server", "zfsutils-linux", "tzdata", "curl", "systemd")

_CRON_RESTARTS = Rhythm(2 * HOUR, lasts=90)


def subscription(now: int) -> Row:
    """Return `/nodes/{node}/subscription`: one that is renewed each year in time."""
    due = dt.datetime.fromtimestamp((now // _TERM + 1) * _TERM, tz=dt.UTC)
    return {"nextduedate": f"{due:%Y-%m-%d}", "productname": "Proxmox Backup Server Basic", "status": "active"}


def token_expires(now: int) -> int:
    """Return when the exporter's token expires; it gets a new term in time."""
    return (now // _TOKEN_TERM + 1) * _TOKEN_TERM


def updates(now: int) -> list[Row]:
    """Return `/nodes/{node}/apt/update`: more each hour, until they are installed."""
    return [
        {"OldVersion": "1.0-1", "Origin": "Proxmox", "Package": name, "Version": "1.0-2"}
        for name in _PACKAGES[: now // HOUR % (len(_PACKAGES) + 1)]
    ]


def services(now: int) -> list[Row]:
    """Return `/nodes/{node}/services`: one of them is down now and then, and one isn't installed."""
    down = {"cron"} if _CRON_RESTARTS.running(now) is not None else set()
    rows: list[Row] = [
        {"name": name, "service": name, "state": "dead" if name in down else "running", "unit-state": "enabled"}
        for name in _DAEMONS
    ]
    return [*rows, {"name": "postfix", "service": "postfix", "state": "dead", "unit-state": "not-found"}]


def disks(now: int, *, smart: bool) -> list[Row]:
    """Return `/nodes/{node}/disks/list`: two SSDs that wear and a disk that doesn't say."""
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
