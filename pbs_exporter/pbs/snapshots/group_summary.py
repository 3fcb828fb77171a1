"""What the snapshots of each backup group add up to: all that is kept of a listing."""

import math
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import Final

import msgspec

from pbs_exporter.errors import WrongShape
from pbs_exporter.pbs.http.decoding import Decoder, many
from pbs_exporter.pbs.http.row_stream import RowStream
from pbs_exporter.pbs.models import Snapshot, Verification, upid_start
from pbs_exporter.plain_text import comment, printable

GroupId = tuple[str, str]
"""Backup type and backup ID."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a snapshot, the texts as labels show them. `time` is in Unix seconds."""

    time: int
    note: str
    owner: str
    verification: str


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A snapshot with a manifest that PBS can read. `size` is logical, in bytes."""

    time: int
    size: int
    verification: str
    encrypted: bool


class Group(msgspec.Struct):
    """A backup group's snapshots, counted and summed up, and the newest of them as they are.

    `last` is the time of the newest snapshot, `first` of the oldest finished one. `owner` is as PBS says it.
    `note` is the newest snapshot's that has one, with its time. `verified` is the start of the newest verification.
    `kept` are the newest snapshots first; while they are added, one that isn't from after `kept_after` is none of them.
    """

    count: int = 0
    unfinished: int = 0
    damaged: int = 0
    protected: int = 0
    encrypted: int = 0
    verified_ok: int = 0
    verified_failed: int = 0
    verified: int | None = None
    logical_size: int = 0
    first: int | None = None
    last: int = 0
    newest: Finished | None = None
    note: tuple[int, str] = (0, "")
    owner: str | None = None
    kept: list[Kept] = []
    kept_after: float = -math.inf

    def verification(self, state: str) -> int:
        """Count the snapshots in a state of verification."""
        match state:
            case "ok":
                return self.verified_ok
            case "failed":
                return self.verified_failed
            case _:
                return self.count - self.verified_ok - self.verified_failed


Groups = dict[GroupId, Group]


class Listed(msgspec.Struct, frozen=True):
    """An answer of `/snapshots`: its groups, and which rows had to be left out."""

    groups: Groups
    left_out: WrongShape | None


VERIFICATIONS: Final = ("ok", "failed", "none")
"""States of verification; one that PBS invents later is `none`."""

_SLACK: Final = 32
"""So many snapshots more than wanted are kept, before the oldest are sorted out."""

_snapshots = many(Snapshot)
_upid_start = lru_cache(maxsize=4096)(upid_start)
_owner = lru_cache(maxsize=4096)(printable)


def grouped(limit: int) -> Decoder[Listed]:
    """Make a decoder of `/snapshots` that keeps the newest `limit` snapshots of each group; 0 is all."""

    async def decode(chunks: AsyncIterator[bytes]) -> Listed:
        stream = RowStream(_snapshots)
        groups: Groups = {}
        async for chunk in chunks:
            add(groups, stream.feed(chunk), limit)
        add(groups, stream.finish(), limit)
        for group in groups.values():
            _cut(group, limit)
        return Listed(groups, stream.left_out)

    return decode


def add(groups: Groups, snapshots: Iterable[Snapshot], limit: int) -> None:
    """Add snapshots to their groups."""
    # 100,000 of them come in one listing, a group's one after the other.
    backup_type = backup_id = None
    group = Group()
    for snapshot in snapshots:
        if snapshot.backup_id != backup_id or snapshot.backup_type != backup_type:
            backup_type, backup_id = snapshot.backup_type, snapshot.backup_id
            group = groups.setdefault((backup_type, backup_id), Group(owner=snapshot.owner))
        _add(group, snapshot, limit)


def _add(group: Group, snapshot: Snapshot, limit: int) -> None:
    time, size, encrypted = snapshot.backup_time, snapshot.size, snapshot.encrypted
    state = "none" if snapshot.verification is None else _verify(group, snapshot.verification)
    note = comment(snapshot.comment) if snapshot.comment else ""
    group.count += 1
    group.last = max(group.last, time)
    if encrypted:
        group.encrypted += 1
    if snapshot.protected:
        group.protected += 1
    if size is None:
        _add_unreadable(group, snapshot)
    else:
        group.logical_size += size
        if group.newest is None or time > group.newest.time:
            group.newest = Finished(time, size, state, encrypted)
        if group.first is None or time < group.first:
            group.first = time
    if note and (time, note) > group.note:
        group.note = (time, note)
    if time > group.kept_after:
        group.kept.append(Kept(time, note, _owner(snapshot.owner or ""), state))
        if len(group.kept) == limit + _SLACK and limit:
            _cut(group, limit)


def _add_unreadable(group: Group, snapshot: Snapshot) -> None:
    if snapshot.has_manifest:
        group.damaged += 1
    else:
        group.unfinished += 1


def _verify(group: Group, verification: Verification) -> str:
    """Count a snapshot's verification, and give its state."""
    start = _upid_start(verification.upid)
    if start is not None and (group.verified is None or start > group.verified):
        group.verified = start
    if verification.state == "ok":
        group.verified_ok += 1
        return "ok"
    if verification.state == "failed":
        group.verified_failed += 1
        return "failed"
    return "none"


def _cut(group: Group, limit: int) -> None:
    """Sort the newest snapshots first, and forget those over the limit."""
    group.kept.sort(key=_time, reverse=True)
    if limit and len(group.kept) > limit:
        del group.kept[limit:]
        group.kept_after = group.kept[-1].time


def _time(kept: Kept) -> int:
    return kept.time
