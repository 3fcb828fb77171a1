"""The world of the demo: small, with frequent backups, so that graphs change while one watches."""

import time
from collections.abc import Callable
from random import Random

from pbs_exporter.simulator.world.layout import DAY, HOUR, Absence, SimulatedDatastore, add_group, datastore
from pbs_exporter.simulator.world.rhythm import Rhythm
from pbs_exporter.simulator.world.source import World

_TIB = 1 << 40
_MINUTE = 60

_GROUPS = (
    # datastore, namespace, type, ID, comment, minutes between backups, duration in seconds, snapshots kept
    ("main", "", "vm", "100", "web01", 5, 100, 24),
    ("main", "", "vm", "101", "web02", 10, 160, 24),
    ("main", "", "ct", "200", "dns1", 15, 70, 30),
    ("main", "", "host", "pbs1.example.org", None, 60, 40, 14),
    ("main", "prod", "vm", "100", "shop", 7, 130, 20),
    ("main", "prod", "vm", "110", "mail, größer 💾", 12, 240, 20),
    ("main", "prod", "ct", "210", "proxy", 20, 60, 20),
    ("main", "prod/db", "vm", "120", "db-main", 2, 80, 40),
    ("main", "prod/db", "vm", "121", "db-replica", 6, 110, 40),
    ("main", "lab", "vm", "900", "ci-runner", 3, 70, 12),
    ("main", "lab", "host", "laptop.example.org", None, 30, 300, 10),
    ("lab", "", "vm", "900", "ci-runner", 4, 50, 10),
    ("lab", "", "ct", "901", "scratch", 9, 90, 10),
    ("cloud", "", "vm", "100", "web01", 30, 500, 8),
    ("cloud", "copies", "vm", "120", "db-main", 20, 400, 8),
    ("cloud", "copies", "host", "files.example.org", "files", 60, 900, 8),
    ("vault", "", "vm", "100", "web01", 24 * 60, 900, 12),
    ("vault", "", "ct", "200", "dns1", 24 * 60, 300, 12),
    ("usb", "", "vm", "120", "db-main", 24 * 60, 1200, 6),
)

_ENCRYPTED = {"prod/db", "copies"}

_NOTES = {"laptop.example.org": "no-monitor: is away for weeks", "files.example.org": "weekly, max-age=8d"}
"""The groups' own notes, by ID."""


def demo_world(now: Callable[[], float] = time.time) -> World:
    """Return the world of the demo, with live activity.

    It has five datastores: `main`; `lab`, whose GC fails sometimes; `cloud`, on S3; `vault`, which is in maintenance
    for two of every twelve minutes; and `usb`, a disk that is unplugged for ten of every thirty minutes.
    """
    # The GCs of `main` and `cloud` never fail and never overlap: at any time one of the two has succeeded.
    stores = {
        "main": _store("main", "all guests", gc_minutes=10, gc_phase=0, gc_lasts=90),
        "lab": _store("lab", "for trying things", gc_minutes=8, gc_phase=240, gc_lasts=60, gc_fails=0.25),
        "cloud": _store("cloud", "copies in a bucket", gc_minutes=60, gc_phase=1320, gc_lasts=400),
        "vault": _store("vault", None, gc_minutes=12, gc_phase=60, gc_lasts=80),
        "usb": _store("usb", "rotated disk", gc_minutes=30, gc_phase=600, gc_lasts=120),
    }
    stores["cloud"].backend = "s3"
    stores["usb"].removable = True
    check = Rhythm(12 * _MINUTE, phase=7 * _MINUTE, lasts=2 * _MINUTE)
    stores["vault"].absence = Absence(check, "offline,message=disk check")
    stores["usb"].absence = Absence(Rhythm(30 * _MINUTE, phase=20 * _MINUTE, lasts=10 * _MINUTE), None)
    random = Random(1)  # noqa: S311 - reproducible
    for name, namespace, backup_type, backup_id, comment, minutes, lasts, keep in _GROUPS:
        period = minutes * _MINUTE
        add_group(
            stores[name],
            namespace,
            backup_type,
            backup_id,
            rhythm=Rhythm(period, random.randrange(period), lasts),
            keep=keep,
            comment=comment,
            encrypted=namespace in _ENCRYPTED,
            note=_NOTES.get(backup_id),
            random=random,
        )
    # The task window of one day, and the duration of a task.
    return World(now=now, live=True, stores=list(stores.values()), task_history_seconds=DAY + HOUR)


def _store(
    name: str,
    comment: str | None,
    *,
    gc_minutes: int,
    gc_phase: int,
    gc_lasts: int,
    gc_fails: float = 0.0,
) -> SimulatedDatastore:
    store = datastore(
        name,
        gc=Rhythm(gc_minutes * _MINUTE, gc_phase, gc_lasts),
        verify=Rhythm(15 * _MINUTE, 30 * len(name), 150),
        gc_fails=gc_fails,
    )
    store.comment = comment
    store.total = {"main": 8, "lab": 1, "cloud": 2}.get(name, 4) * _TIB
    store.share = {"main": 0.63, "lab": 0.81}.get(name, 0.35)
    return store
