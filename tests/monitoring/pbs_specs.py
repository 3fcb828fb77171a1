"""The simulated PBS of the scenarios: each is calm, and has what its faults need."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pbs_exporter.simulator.world.node_rows import pools
from tests.monitoring.backfill import DAY
from tests.monitoring.calm_pbs import DRIVE, calm, calmed, fresh, grow_old, healthy, job, tape
from tests.monitoring.faults import backup_encrypted
from tests.monitoring.monitored_pbs import Change, EditableWorld

BASIS: Mapping[str, Any] = {"slow_interval_seconds": 0, "listing_mode": "full"}
"""Settings of all exporters: slow collectors and listings send requests at each scrape."""


class PbsSpec(NamedTuple):
    """How to make a PBS and its exporter. The world is made when the test begins."""

    make: Callable[[], EditableWorld]
    settings: Mapping[str, Any] = {}
    collectors: Mapping[str, bool] = {}
    new: bool = False
    """Whether Prometheus has no past samples of it."""


def _with(*names: str, groups: int = 2, answers: Mapping[str, object] | None = None, **changes: Any) -> EditableWorld:
    source = calmed(calm(*names, groups=groups, **changes))
    for pattern, rows in (answers or {}).items():
        source.change(pattern, _always(rows))
    return source


def _always(rows: object) -> Change:
    return lambda _: rows


def _backups() -> EditableWorld:
    world = calm("main", groups=7)
    backup_encrypted(world.stores[0].namespaces["prod"])
    return calmed(world)


def _rotated() -> EditableWorld:
    """Return a PBS with a read-only archive, two rotated disks (one is mounted) and a full S3 cache."""
    world = calm("main", "archive", "usb", "other", "cloud")
    _, archive, usb, other, cloud = world.stores
    archive.maintenance = "read-only,message=archive"
    usb.removable = other.removable = True
    other.mounted = False
    cloud.backend, cloud.share = "s3", 0.95
    grow_old(archive, world.now)
    grow_old(usb, world.now, 3)
    return calmed(world)


def _pools() -> list[dict[str, object]]:
    return [pools(0)[0] | {"name": name} for name in ("tank", "backup", "scratch")]


def _jobs() -> dict[str, object]:
    remote = {"remote": "pbs2", "remote-store": "offsite"}
    return {
        "/admin/sync": [job(name, "main") | remote for name in ("s-failing", "s-again", "s-cut", "s-warning")],
        "/admin/prune": [job("p-late", "main"), job("p-off", "main", disable=True, last_run_state="unexpected EOF")],
        "/tape/backup": [job("t-weekly", "main") | {"drive": "drive0", "pool": "weekly"}],
    }


def _tapes() -> dict[str, object]:
    return {
        "/tape/drive": [DRIVE],
        "/tape/media/list": [
            tape("WEEK01L8", "weekly", "writable", "online-sl3"),
            tape("WEEK02L8", "weekly", "writable", "vault-cellar"),
        ],
    }


LISTING_AGE = 3600
"""In seconds, the default. The other PBS have a shorter one, as the ages in the alert are shortened."""

PBS_SPECS: Mapping[str, PbsSpec] = {
    "host": PbsSpec(lambda: _with("main")),
    "disks": PbsSpec(lambda: _with("main", answers={"/nodes/{node}/disks/zfs": _pools()}), collectors={"disks": True}),
    "access": PbsSpec(lambda: _with("main")),
    "privileges": PbsSpec(lambda: _with("main")),
    "blind": PbsSpec(lambda: _with("main")),
    "login": PbsSpec(lambda: _with("main"), collectors={"disks": True}),
    "down": PbsSpec(_rotated, collectors={"disks": True}),
    "certificate": PbsSpec(lambda: _with("main"), {"verify_tls": True}),
    "nightly": PbsSpec(lambda: _with("main")),
    "exporter": PbsSpec(lambda: _with("main"), collectors={"disks": True}),
    "absent": PbsSpec(lambda: _with("main")),
    "slow": PbsSpec(lambda: _with("main"), {"scrape_timeout_seconds": 4}),
    "odd": PbsSpec(lambda: _with("main", "alone", "filling", "cut")),
    "removed": PbsSpec(lambda: _with("main", groups=4)),
    "unlisted": PbsSpec(_rotated),
    "collectors": PbsSpec(lambda: _with("main", "cloud", backend="s3")),
    "listing": PbsSpec(lambda: _with("main", "other"), {"listing_max_age_seconds": LISTING_AGE}),
    "old": PbsSpec(
        lambda: _with("main"), {"listing_mode": "changes", "listing_refresh_seconds": 5, "listing_idle_seconds": 0}
    ),
    "backups": PbsSpec(_backups),
    "verification": PbsSpec(lambda: _with("main", "second", "third")),
    "tasks": PbsSpec(lambda: _with("main")),
    "jobs": PbsSpec(lambda: _with("main", answers=_jobs())),
    "gc": PbsSpec(lambda: _with("failing", "late", "broken", "thin")),
    "space": PbsSpec(lambda: _with("estimate", "trend", "full", "fuller")),
    "datastores": PbsSpec(lambda: _with("main", "off", "gone"), {"listing_max_age_seconds": LISTING_AGE}),
    "s3": PbsSpec(lambda: _with("cloud", "deep", backend="s3")),
    "tape": PbsSpec(lambda: _with("main", answers=_tapes())),
    "healthy": PbsSpec(healthy, collectors={"disks": True}),
    "fresh": PbsSpec(fresh, new=True),
    "once": PbsSpec(lambda: _with("main")),
}
"""By instance. The last three have no fault."""

FAULTLESS = ("healthy", "fresh", "once")

UNPLUGGED = {"datastore": "usb", "instance": "datastores"}, 9 * DAY
"""Labels of a datastore, and the seconds since Prometheus last saw its disk."""
