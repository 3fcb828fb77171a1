"""Faults of the host, its disks and its ZFS pools."""

import datetime as dt

from tests.monitoring import faults
from tests.monitoring.backfill import DAY
from tests.monitoring.faults import changed_answer, row
from tests.monitoring.scenarios.scenario import NODE, Scenario, alert

_DISKS = "/nodes/{node}/disks/list"
_ZFS = "/nodes/{node}/disks/zfs"


def _day(time: float) -> str:
    return f"{dt.datetime.fromtimestamp(time, tz=dt.UTC):%Y-%m-%d}"


HOST = (
    Scenario(
        "root file system full",
        "host",
        changed_answer(NODE, lambda node, _: node | {"root": node["root"] | {"avail": node["root"]["total"] // 20}}),
        (alert("PbsHostRootFull", "warning"),),
    ),
    Scenario(
        "memory full and swap growing",
        "host",
        changed_answer(NODE, faults.swap_grows),
        (alert("PbsHostMemory", "warning"),),
    ),
    Scenario(
        "CPU busy",
        "host",
        changed_answer(NODE, lambda node, _: node | {"cpu": 0.97}),
        (alert("PbsHostCpuBusy", "info"),),
    ),
    Scenario(
        "disks busy",
        "host",
        changed_answer(NODE, lambda node, _: node | {"wait": 0.5}),
        (alert("PbsHostIoWait", "info"),),
    ),
    Scenario(
        "service down",
        "host",
        changed_answer("/nodes/{node}/services", row("service", "chrony", state="dead")),
        (alert("PbsServiceDown", "warning", service="chrony"),),
    ),
    Scenario(
        "updates not installed",
        "host",
        changed_answer(
            "/nodes/{node}/apt/update", lambda rows, _: [*rows, {"Package": "libssl3t64", "Version": "1.0-2"}]
        ),
        (alert("PbsUpdatesPending", "info"),),
    ),
    Scenario(
        "subscription expired",
        "host",
        changed_answer("/nodes/{node}/subscription", lambda answer, _: answer | {"status": "expired"}),
        (alert("PbsSubscription", "warning", status="expired"),),
    ),
    Scenario(
        "subscription due",
        "odd",
        changed_answer("/nodes/{node}/subscription", lambda answer, now: answer | {"nextduedate": _day(now + 3 * DAY)}),
        (alert("PbsSubscriptionExpiring", "warning"),),
    ),
    Scenario(
        "host restarted",
        "odd",
        changed_answer(NODE, lambda node, _: node | {"uptime": 600}),
        (alert("PbsHostRebooted", "info"),),
    ),
    Scenario("clock off", "odd", faults.clock_ahead(600), (alert("PbsClockOff", "warning"),)),
    Scenario(
        "release too old",
        "odd",
        changed_answer("/version", lambda version, _: version | {"version": "3.4", "release": "2"}),
        (alert("PbsReleaseUnsupported", "info", version="3.4"),),
    ),
    Scenario(
        "root file system quite full",
        "disks",
        changed_answer(NODE, lambda node, _: node | {"root": node["root"] | {"avail": node["root"]["total"] // 50}}),
        (alert("PbsHostRootFull", "critical"),),
        (alert("PbsHostRootFull", "warning"),),
    ),
    Scenario(
        "disk fails",
        "disks",
        changed_answer(_DISKS, row("name", "sda", status="failed")),
        (alert("PbsDiskFailed", "critical", disk="sda"),),
    ),
    Scenario(
        "SSD worn out",
        "disks",
        changed_answer(_DISKS, row("name", "sdb", wearout=5.0)),
        (alert("PbsDiskWearout", "warning", disk="sdb"),),
    ),
    Scenario(
        "ZFS pool degraded",
        "disks",
        changed_answer(_ZFS, row("name", "tank", health="DEGRADED")),
        (alert("PbsZfsPoolUnhealthy", "critical", pool="tank", status="degraded"),),
    ),
    Scenario(
        "ZFS pool failed",
        "disks",
        changed_answer(_ZFS, lambda rows, _: [row for row in rows if row["name"] != "backup"]),
        (alert("PbsZfsPoolMissing", "critical", pool="backup"),),
    ),
    Scenario(
        "ZFS pool fragmented",
        "disks",
        changed_answer(_ZFS, row("name", "tank", frag=80)),
        (alert("PbsZfsPoolFragmented", "info", pool="tank"),),
    ),
    Scenario(
        "ZFS pool full",
        "disks",
        changed_answer(_ZFS, row("name", "scratch", alloc=95 * (5 << 40) // 100)),
        (alert("PbsZfsPoolFull", "warning", pool="scratch"),),
    ),
)
