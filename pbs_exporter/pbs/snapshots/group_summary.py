"""The summary of a backup group: all that is kept of a listing."""

import math
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec

from pbs_exporter.errors import WrongShape
from pbs_exporter.pbs.http.decoding import Decoder, many
from pbs_exporter.pbs.http.row_stream import RowStream
from pbs_exporter.pbs.models import Snapshot, Verification, upid_start
from pbs_exporter.plain_text import cached, comment, label

GroupId = tuple[str, str]
"""Backup type and backup ID."""


class KeptSnapshot(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a snapshot, its texts as labels have them. `time` is in Unix seconds."""

    time: int
    note: str
    owner: str
    verification: str


class FinishedSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot with a manifest that PBS can read. `size` is logical, in bytes."""

    time: int
    size: int
    verification: str
    encrypted: bool


class GroupSummary(msgspec.Struct):
    """The counts and sums of a backup group's snapshots, and the newest snapshots themselves.

    `last` is the time of the newest snapshot, `first` of the oldest finished one (Unix seconds). `owner` is as PBS
    returns it. `note` is the newest comment, with its snapshot's time. `verified` is the start of the newest
    verification. `kept` has the newest snapshot first. While snapshots are added, those no newer than `kept_after` are
    skipped.
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
    newest: FinishedSnapshot | None = None
    note: tuple[int, str] = (0, "")
    owner: str | None = None
    kept: list[KeptSnapshot] = []
    kept_after: float = -math.inf

    def verification(self, state: str) -> int:
        """Return the number of snapshots in a state of verification."""
        match state:
            case "ok":
                return self.verified_ok
            case "failed":
                return self.verified_failed
            case _:
                return self.count - self.verified_ok - self.verified_failed


class GroupedSnapshots(msgspec.Struct, frozen=True):
    """An answer of `/snapshots`: a summary of each group, and which rows were left out."""

    groups: dict[GroupId, GroupSummary]
    omitted: WrongShape | None


VERIFICATIONS: Final = ("ok", "failed", "none")
"""States of verification. A state that PBS adds later counts as `none`."""

_SLACK: Final = 32
"""How far `kept` may exceed the limit before it is trimmed."""

_UPID_LIMIT: Final = 256
"""The longest UPID whose start is remembered."""

_snapshots = many(Snapshot)
_upid_start = lru_cache(maxsize=512)(upid_start)
_owner = cached(lambda owner: label(owner or ""))
_time = attrgetter("time")


def grouped(limit: int) -> Decoder[GroupedSnapshots]:
    """Return a decoder of `/snapshots` that keeps the newest `limit` snapshots of each group; 0 keeps all."""

    async def decode(chunks: AsyncIterator[bytes]) -> GroupedSnapshots:
        stream = RowStream(_snapshots)
        groups: dict[GroupId, GroupSummary] = {}
        try:
            async for chunk in chunks:
                add(groups, stream.feed(chunk), limit)
            add(groups, stream.finish(), limit)
        except BaseException:
            # An error or a cancellation keeps this frame for some time.
            groups.clear()
            raise
        finally:
            stream.close()
        for group in groups.values():
            _trim(group, limit)
        return GroupedSnapshots(groups, stream.omitted)

    return decode


def add(groups: dict[GroupId, GroupSummary], snapshots: Iterable[Snapshot], limit: int) -> None:
    """Add snapshots to their groups."""
    # A listing can have 100,000 of them. Those of a group follow each other.
    backup_type = backup_id = None
    group = GroupSummary()
    for snapshot in snapshots:
        if snapshot.backup_id != backup_id or snapshot.backup_type != backup_type:
            backup_type, backup_id = snapshot.backup_type, snapshot.backup_id
            group = groups.setdefault((backup_type, backup_id), GroupSummary(owner=snapshot.owner))
        _add(group, snapshot, limit)


def _add(group: GroupSummary, snapshot: Snapshot, limit: int) -> None:
    time, size, encrypted = snapshot.backup_time, snapshot.size, snapshot.encrypted
    state = "none" if snapshot.verification is None else _verify(group, snapshot.verification)
    note = _note(group, snapshot.comment) if snapshot.comment else ""
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
            group.newest = FinishedSnapshot(time, size, state, encrypted)
        if group.first is None or time < group.first:
            group.first = time
    if note and (time, note) > group.note:
        group.note = (time, note)
    if time > group.kept_after:
        group.kept.append(KeptSnapshot(time, note, _owner(snapshot.owner), state))
        if len(group.kept) == limit + _SLACK and limit:
            _trim(group, limit)


def _note(group: GroupSummary, text: str) -> str:
    """Return a comment as a label. Those of a group are often equal: they become one string."""
    note = comment(text)
    return group.note[1] if note == group.note[1] else note


def _add_unreadable(group: GroupSummary, snapshot: Snapshot) -> None:
    if snapshot.has_manifest:
        group.damaged += 1
    else:
        group.unfinished += 1


def _verify(group: GroupSummary, verification: Verification) -> str:
    """Count a snapshot's verification, and return its state."""
    upid = verification.upid
    start = _upid_start(upid) if upid is None or len(upid) <= _UPID_LIMIT else upid_start(upid)
    if start is not None and (group.verified is None or start > group.verified):
        group.verified = start
    if verification.state == "ok":
        group.verified_ok += 1
        return "ok"
    if verification.state == "failed":
        group.verified_failed += 1
        return "failed"
    return "none"


def _trim(group: GroupSummary, limit: int) -> None:
    """Sort the newest snapshots first, and drop those over the limit."""
    group.kept.sort(key=_time, reverse=True)
    if limit and len(group.kept) > limit:
        del group.kept[limit:]
        group.kept_after = group.kept[-1].time
