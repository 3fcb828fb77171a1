"""The simulated PBS that the scenarios are played on: each is calm, and has what its faults need."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pbs_exporter.simulator.world.node_rows import pools
from tests.monitoring.faults import backup_encrypted
from tests.monitoring.history import DAY
from tests.monitoring.stage import Change, ChangingWorld
from tests.monitoring.worlds import DRIVE, calm, calmed, fresh, grow_old, healthy, job, tape

BASIS: Mapping[str, Any] = {"slow_interval_seconds": 0, "listing_mode": "full"}
"""Settings of all exporters: slow collectors ask at each scrape, and so do listings."""


class Set(NamedTuple):
    """What a stage is made of; its world is made when the test begins."""

    make: Callable[[], ChangingWorld]
    settings: Mapping[str, Any] = {}
    collectors: Mapping[str, bool] = {}
    new: bool = False
    """Whether Prometheus knows nothing of it from before."""


def _with(*names: str, groups: int = 2, answers: Mapping[str, object] | None = None, **changes: Any) -> ChangingWorld:
    source = calmed(calm(*names, groups=groups, **changes))
    for pattern, rows in (answers or {}).items():
        source.change(pattern, _always(rows))
    return source


def _always(rows: object) -> Change:
    return lambda _: rows


def _backups() -> ChangingWorld:
    world = calm("main", groups=7)
    backup_encrypted(world.stores[0].namespaces["prod"])
    return calmed(world)


def _rotated() -> ChangingWorld:
    """Give a PBS with a read-only archive, a rotated disk that is there, one that isn't, and a bucket's full cache."""
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
        "/admin/sync": [job(name, "main") | remote for name in ("s-failing", "s-again", "s-warning")],
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
"""Seconds; the default. Elsewhere it is shortened as the ages in the alert are."""

STAGES: Mapping[str, Set] = {
    "host": Set(lambda: _with("main")),
    "disks": Set(lambda: _with("main", answers={"/nodes/{node}/disks/zfs": _pools()}), collectors={"disks": True}),
    "access": Set(lambda: _with("main")),
    "rights": Set(lambda: _with("main")),
    "blind": Set(lambda: _with("main")),
    "login": Set(lambda: _with("main"), collectors={"disks": True}),
    "down": Set(_rotated, collectors={"disks": True}),
    "exporter": Set(lambda: _with("main"), collectors={"disks": True}),
    "unlisted": Set(_rotated),
    "collectors": Set(lambda: _with("main", "cloud", backend="s3")),
    "listing": Set(lambda: _with("main", "other"), {"listing_max_age_seconds": LISTING_AGE}),
    "old": Set(lambda: _with("main"), {"listing_mode": "changes", "listing_refresh_seconds": 5}),
    "backups": Set(_backups),
    "verification": Set(lambda: _with("main", "second", "third")),
    "tasks": Set(lambda: _with("main")),
    "jobs": Set(lambda: _with("main", answers=_jobs())),
    "gc": Set(lambda: _with("failing", "late", "broken", "thin")),
    "space": Set(lambda: _with("estimate", "trend", "full", "fuller")),
    "datastores": Set(lambda: _with("main", "off", "gone"), {"listing_max_age_seconds": LISTING_AGE}),
    "s3": Set(lambda: _with("cloud", "deep", backend="s3")),
    "tape": Set(lambda: _with("main", answers=_tapes())),
    "healthy": Set(healthy, collectors={"disks": True}),
    "fresh": Set(fresh, new=True),
    "once": Set(lambda: _with("main")),
}
"""By instance. The last three are never at fault."""

FAULTLESS = ("healthy", "fresh", "once")

UNPLUGGED = {"datastore": "usb", "instance": "datastores"}, 9 * DAY
"""Labels of a datastore whose disk Prometheus has seen last so many seconds ago."""
