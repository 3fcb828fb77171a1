"""The contents of a world: datastores, namespaces and groups."""

from random import Random

import msgspec

from pbs_exporter.simulator.world.plan import Plan
from pbs_exporter.simulator.world.rhythm import Rhythm

HOUR, DAY = 3600, 86400
_MIB, _GIB, _TIB = 1 << 20, 1 << 30, 1 << 40

_GUESTS = ("web01", "web02", "db-main", "mail", "git", "ci-runner", "nextcloud", "dns1", "proxy", "build")
_STORES = ("main", "archive", "offsite", "mirror", "lab")
_NAMESPACES = ("", "prod", "prod/db", "lab", "customers")
_TYPES = ("vm", "vm", "ct", "host")


class SimulatedGroup(msgspec.Struct, frozen=True):
    """A backup group: its newest `keep` snapshots exist, and the newest may be unfinished."""

    backup_type: str
    backup_id: str
    plan: Plan
    keep: int
    size: int
    """Size of the largest archive in bytes."""
    disks: int = 1
    comment: str | None = None
    encrypted: bool = False
    note: str | None = None
    """The group's own note."""


class Absence(msgspec.Struct, frozen=True):
    """When a datastore is unavailable, and why: its maintenance mode, or `None` if it is unplugged."""

    rhythm: Rhythm
    maintenance: str | None


class SimulatedDatastore(msgspec.Struct):
    """A datastore. Tests may change it while the world is served."""

    name: str
    namespaces: dict[str, list[SimulatedGroup]]
    gc: Plan
    verify: Plan
    comment: str | None = None
    backend: str = "filesystem"
    removable: bool = False
    total: int = 4 * _TIB
    share: float = 0.4
    """Approximate share of `total` that is used."""
    maintenance: str | None = None
    """For example `offline,message=disk swap`."""
    mounted: bool = True
    absence: Absence | None = None

    def maintenance_at(self, now: int) -> str | None:
        """Return the maintenance mode and its message, as in `maintenance`."""
        return (self.absence.maintenance if self.absence and self._absent(now) else None) or self.maintenance

    def mount_status(self, now: int) -> str:
        """Return PBS's `mount-status`."""
        if not self.removable:
            return "nonremovable"
        unplugged = self.absence is not None and self.absence.maintenance is None and self._absent(now)
        return "mounted" if self.mounted and not unplugged else "notmounted"

    def problem(self, now: int) -> str | None:
        """Return PBS's error while the datastore is unavailable; `None` if it is available."""
        mode, _, message = (self.maintenance_at(now) or "").partition(",message=")
        reason = {
            "offline": f"offline maintenance mode: {message}",
            "delete": "datastore is being deleted",
            "unmount": "datastore is being unmounted",
            "s3-refresh": f"S3 refresh maintenance mode: {message}",
        }.get(mode)
        if reason is not None:
            return f"datastore '{self.name}' is unavailable: {reason}"
        if self.mount_status(now) == "notmounted":
            return f"datastore '{self.name}' is not mounted"
        return None

    def plans(self) -> list[Plan]:
        """Return all its planned tasks."""
        groups = (group.plan for groups in self.namespaces.values() for group in groups)
        return [*groups, self.gc, self.verify]

    def _absent(self, now: int) -> bool:
        return self.absence is not None and self.absence.rhythm.running(now) is not None


def datastore(name: str, *, gc: Rhythm, verify: Rhythm, gc_fails: float = 0.0) -> SimulatedDatastore:
    """Return a datastore without groups."""
    return SimulatedDatastore(
        name=name,
        namespaces={"": []},
        gc=Plan("garbage_collection", name, gc, store=name, fails=gc_fails),
        verify=Plan("verificationjob", f"{name}:verify-{name}", verify, store=name),
        comment=f"datastore {name}",
    )


def add_group(
    store: SimulatedDatastore,
    namespace: str,
    backup_type: str,
    backup_id: str,
    *,
    rhythm: Rhythm,
    keep: int,
    comment: str | None = None,
    encrypted: bool = False,
    note: str | None = None,
    random: Random,
) -> None:
    """Add a group to a namespace of `store`, and the namespace if it doesn't exist."""
    groups = store.namespaces.setdefault(namespace, [])
    plan = Plan(
        "backup",
        f"{store.name}:{backup_type}/{backup_id}",
        rhythm,
        user="backup@pbs!pve",
        store=store.name,
        line=list(store.namespaces).index(namespace),
    )
    size = {
        "vm": random.choice((8, 16, 32, 64, 128)) * _GIB,
        "ct": random.randrange(200, 9000) * _MIB,
        "host": random.randrange(20, 900) * _MIB,
    }[backup_type]
    groups.append(
        SimulatedGroup(
            backup_type=backup_type,
            backup_id=backup_id,
            plan=plan,
            keep=keep,
            size=size,
            disks=random.choice((1, 1, 1, 2)) if backup_type == "vm" else 1,
            comment=comment,
            encrypted=encrypted,
            note=note,
        ),
    )


def generate(*, datastores: int, namespaces: int, groups: int, snapshots: int, seed: int) -> list[SimulatedDatastore]:
    """Return generated datastores with daily backups.

    `namespaces` are per datastore (including the root), `groups` per namespace, `snapshots` per group.
    """
    random = Random(seed)  # noqa: S311 - reproducible
    stores = []
    for index in range(datastores):
        store = datastore(
            _name(_STORES, index, "store"),
            gc=Rhythm(DAY, random.randrange(DAY), 40 * 60),
            verify=Rhythm(DAY, random.randrange(DAY), 2 * HOUR),
        )
        store.share = random.uniform(0.2, 0.8)
        for level in range(namespaces):
            namespace = _name(_NAMESPACES, level, "site")
            store.namespaces.setdefault(namespace, [])
            for number in range(groups):
                backup_type = _TYPES[number % len(_TYPES)]
                guest = f"{_GUESTS[number % len(_GUESTS)]}-{number}"
                add_group(
                    store,
                    namespace,
                    backup_type,
                    f"{guest}.example.org" if backup_type == "host" else str(100 + number),
                    rhythm=Rhythm(DAY, random.randrange(DAY), random.randrange(60, 1200)),
                    keep=snapshots,
                    comment=guest if random.random() < 0.9 else None,  # noqa: PLR2004 - most have one
                    encrypted=random.random() < 0.1,  # noqa: PLR2004 - some are
                    random=random,
                )
        stores.append(store)
    return stores


def _name(known: tuple[str, ...], index: int, otherwise: str) -> str:
    return known[index] if index < len(known) else f"{otherwise}{index + 1}"
