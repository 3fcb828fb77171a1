"""Snapshots and groups."""

from collections.abc import Iterator

import msgspec

from pbs_exporter.simulator.answer import Answer
from pbs_exporter.simulator.world.layout import SimulatedDatastore, SimulatedGroup
from pbs_exporter.simulator.world.rhythm import chance

_PROTECTED = 0.02
_FAILED_VERIFICATION = 0.01
_KEY = "fb:eb:2f:4a:2c:7f:af:e8:f4:c5:81:45:fb:a6:0d:62:06:1f:4c:dc:45:d6:53:b3:3d:48:c4:d3:7f:51:d3:b7"


class _Kebab(msgspec.Struct, omit_defaults=True, rename="kebab"):
    """Base of structs whose fields are in the order in which PBS sends them."""


class _File(_Kebab):
    filename: str
    crypt_mode: str | None = None
    size: int | None = None


class _Verification(_Kebab):
    upid: str
    state: str


class _Snapshot(_Kebab, kw_only=True):
    backup_type: str
    backup_id: str
    backup_time: int
    comment: str | None = None
    verification: _Verification | None = None
    fingerprint: str | None = None
    files: list[_File]
    size: int | None = None
    owner: str
    protected: bool


class _GroupRow(_Kebab, kw_only=True):
    backup_type: str
    backup_id: str
    last_backup: int
    backup_count: int
    files: list[str]
    owner: str
    comment: str | None = None


_State = tuple[int, bool, int]


class ListingEncoder:
    """Encodes listings, and reuses the encoding of a group until the group changes."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str, str], tuple[_State, bytes]] = {}
        self._answers: dict[tuple[str, str], tuple[list[bytes], Answer]] = {}

    def all(self, store: SimulatedDatastore, namespace: str, now: int) -> Answer:
        """Return `/snapshots` of a namespace."""
        rows = [self._rows(store, namespace, group, now) for group in store.namespaces[namespace]]
        before = self._answers.get((store.name, namespace))
        # An unchanged listing keeps its answer, which caches the compressed body.
        if before is not None and before[0] == rows:
            return before[1]
        answer = _listing(rows)
        self._answers[store.name, namespace] = (rows, answer)
        return answer

    def filtered(self, store: SimulatedDatastore, namespace: str, now: int, wanted: dict[str, str]) -> Answer:
        """Return `/snapshots` of the groups with the `backup-type`, `backup-id` or both that are `wanted`."""
        return _listing(
            [
                self._rows(store, namespace, group, now)
                for group in store.namespaces[namespace]
                if wanted.get("backup-type", group.backup_type) == group.backup_type
                and wanted.get("backup-id", group.backup_id) == group.backup_id
            ],
        )

    def _rows(self, store: SimulatedDatastore, namespace: str, group: SimulatedGroup, now: int) -> bytes:
        key = (store.name, namespace, group.backup_type, group.backup_id)
        rhythm = group.plan.rhythm
        state = (rhythm.newest(now), rhythm.running(now) is not None, store.verify.rhythm.newest_ended(now))
        before = self._groups.get(key)
        if before is not None and before[0] == state:
            return before[1]
        rows = b",".join(msgspec.json.encode(row) for row in _snapshots(store, group, now))
        self._groups[key] = (state, rows)
        return rows


def group_rows(store: SimulatedDatastore, namespace: str, now: int) -> list[object]:
    """Return `/groups` of a namespace."""
    rows: list[object] = []
    for group in store.namespaces[namespace]:
        finished = [n for n in _numbers(group, now) if _is_finished(group, n, now)]
        newest = max(finished, default=group.plan.rhythm.newest(now))
        rows.append(
            _GroupRow(
                backup_type=group.backup_type,
                backup_id=group.backup_id,
                last_backup=group.plan.rhythm.start(newest),
                backup_count=group.keep,
                files=[file.filename for file in _files(group, newest, finished=bool(finished))],
                owner=group.plan.user,
                comment=group.note,
            ),
        )
    return rows


def count(store: SimulatedDatastore) -> dict[str, dict[str, int] | None]:
    """Return the numbers of groups and snapshots by type, as in `status?verbose=1`."""
    counts: dict[str, dict[str, int] | None] = {"ct": None, "host": None, "other": None, "vm": None}
    for groups in store.namespaces.values():
        for group in groups:
            row = counts[group.backup_type] or {"groups": 0, "snapshots": 0}
            row["groups"] += 1
            row["snapshots"] += group.keep
            counts[group.backup_type] = row
    return counts


def _listing(rows: list[bytes]) -> Answer:
    return Answer.stream(b"[%s]" % b",".join(row for row in rows if row))


def _numbers(group: SimulatedGroup, now: int) -> Iterator[int]:
    """Yield the numbers of the group's snapshots, unordered like the entries of a directory."""
    newest = group.plan.rhythm.newest(now)
    yield from range(newest, newest - group.keep, -2)
    yield from range(newest - 1, newest - group.keep, -2)


def _is_finished(group: SimulatedGroup, number: int, now: int) -> bool:
    return group.plan.rhythm.end(number) <= now and group.plan.succeeds(number)


def _snapshots(store: SimulatedDatastore, group: SimulatedGroup, now: int) -> Iterator[_Snapshot]:
    for number in _numbers(group, now):
        finished = _is_finished(group, number, now)
        files = _files(group, number, finished=finished)
        begin = group.plan.rhythm.start(number)
        yield _Snapshot(
            backup_type=group.backup_type,
            backup_id=group.backup_id,
            backup_time=begin,
            # The client sets the notes at the end of a backup.
            comment=group.comment if finished else None,
            verification=_verification(store, group, number, now) if finished else None,
            fingerprint=_KEY if group.encrypted and finished else None,
            files=files,
            size=sum(file.size or 0 for file in files) if finished else None,
            owner=group.plan.user,
            protected=finished and chance("protected", group.plan.worker_id, number) < _PROTECTED,
        )


def _verification(store: SimulatedDatastore, group: SimulatedGroup, number: int, now: int) -> _Verification | None:
    """Return the result of the first verification job after the backup."""
    job = store.verify
    run = job.rhythm.newest(group.plan.rhythm.end(number)) + 1
    if job.rhythm.end(run) > now:
        return None
    bad = chance("verification", group.plan.worker_id, number) < _FAILED_VERIFICATION
    return _Verification(job.upid(run), "failed" if bad else "ok")


def _files(group: SimulatedGroup, number: int, *, finished: bool) -> list[_File]:
    names = {
        "vm": [*(f"drive-scsi{disk}.img.fidx" for disk in range(group.disks)), "qemu-server.conf.blob"],
        "ct": ["root.pxar.didx", "catalog.pcat1.didx", "pct.conf.blob"],
        "host": ["etc.pxar.didx", "catalog.pcat1.didx"],
    }[group.backup_type]
    if not finished:
        return [_File(name) for name in names]
    mode = "encrypt" if group.encrypted else "none"
    # A disk image has the size of the disk; the size of a file archive varies.
    growth = 0 if group.backup_type == "vm" else chance("size", group.plan.worker_id, number) * 0.05
    files = [_File(name, mode, _size(name, group.size, growth)) for name in names]
    index = _File("index.json.blob", "sign-only" if group.encrypted else "none", 511)
    return [*files, index, _File("client.log.blob")]


def _size(name: str, size: int, growth: float) -> int:
    if name.endswith(".blob"):
        return 412
    return round((size >> 12 if name.startswith("catalog") else size) * (1 + growth))
