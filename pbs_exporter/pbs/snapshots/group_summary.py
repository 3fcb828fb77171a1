"""The summary of a backup group: all that is kept of a listing."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from pbs_exporter.errors import WrongShape
from pbs_exporter.pbs.http.decoding import Decoder, many
from pbs_exporter.pbs.http.row_stream import RowStream
from pbs_exporter.pbs.models import ENCRYPTED, Snapshot, newest_start, upid_start
from pbs_exporter.plain_text import cached, comment, label

GroupId = tuple[str, str]
"""Backup type and backup ID."""

Note = tuple[int, str]
"""The time of a snapshot (Unix seconds) and its comment as a label."""

_NO_NOTE: Final[Note] = (0, "")


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
    verification. `kept` has the newest snapshot first.
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
    note: Note = _NO_NOTE
    owner: str | None = None
    kept: list[KeptSnapshot] = []

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

_STATES: Final[Mapping[str | None, str]] = {"ok": "ok", "failed": "failed"}

_snapshots = many(Snapshot)
_owner = cached(lambda owner: label(owner or ""))
_group_id = attrgetter("backup_type", "backup_id")
_backup_time = attrgetter("backup_time")
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
    """Add snapshots to their groups. Those of a group mostly follow each other."""
    for group_id, run in groupby(snapshots, _group_id):
        rows = list(run)
        summary = _of_one(rows[0]) if len(rows) == 1 else _of_many(rows, limit)
        if group_id in groups:
            _merge(groups[group_id], summary, limit)
        else:
            groups[group_id] = summary


def _of_one(row: Snapshot) -> GroupSummary:
    """Return the summary of one snapshot."""
    time, note, state, encrypted = row.backup_time, comment(row.comment), _state(row), row.encrypted
    finished = None if row.size is None else FinishedSnapshot(time, row.size, state, encrypted)
    has_manifest = finished is not None or row.has_manifest
    return GroupSummary(
        count=1,
        unfinished=0 if has_manifest else 1,
        damaged=1 if has_manifest and finished is None else 0,
        protected=1 if row.protected else 0,
        encrypted=1 if encrypted else 0,
        verified_ok=1 if state == "ok" else 0,
        verified_failed=1 if state == "failed" else 0,
        verified=None if row.verification is None else upid_start(row.verification.upid),
        logical_size=row.size or 0,
        first=None if finished is None else time,
        last=time if time > 0 else 0,  # noqa: FURB136 - max() takes a tenth of all this
        newest=finished,
        note=(time, note) if note and time >= 0 else _NO_NOTE,
        owner=row.owner,
        kept=[KeptSnapshot(time, note, _owner(row.owner), state)],
    )


def _of_many(rows: list[Snapshot], limit: int) -> GroupSummary:
    """Return the summary of several snapshots, column by column: a listing can have 100,000 of them."""
    owner = rows[0].owner
    rows.sort(key=_backup_time, reverse=True)
    states = [_state(row) for row in rows]
    sizes = [row.size for row in rows if row.size is not None]
    summary = GroupSummary(
        count=len(rows),
        protected=[row.protected for row in rows].count(True),
        encrypted=_encrypted(rows),
        verified_ok=states.count("ok"),
        verified_failed=states.count("failed"),
        verified=newest_start([row.verification.upid for row in rows if row.verification is not None]),
        logical_size=sum(sizes),
        last=max(0, rows[0].backup_time),
        note=_newest_note(rows),
        owner=owner,
        kept=_kept(rows[: limit or None], states),
    )
    if len(sizes) < len(rows):
        manifests = [row.has_manifest for row in rows if row.size is None]
        summary.damaged, summary.unfinished = manifests.count(True), manifests.count(False)
    if sizes:
        finished = rows if len(sizes) == len(rows) else [row for row in rows if row.size is not None]
        newest, summary.first = finished[0], finished[-1].backup_time
        summary.newest = FinishedSnapshot(newest.backup_time, sizes[0], _state(newest), newest.encrypted)
    return summary


def _state(row: Snapshot) -> str:
    return "none" if row.verification is None else _STATES.get(row.verification.state, "none")


def _encrypted(rows: Sequence[Snapshot]) -> int:
    """Return how many of the snapshots are encrypted: mostly, none is."""
    if ENCRYPTED not in [file.crypt_mode for row in rows for file in row.files or ()]:
        return 0
    return [row.encrypted for row in rows].count(True)


def _newest_note(rows: Sequence[Snapshot]) -> Note:
    """Return the newest note of snapshots that are sorted by time; of those with the same time, the greatest."""
    newest = _NO_NOTE
    for row in rows:
        if row.backup_time < newest[0]:
            break
        if row.comment and (note := comment(row.comment)):
            newest = max(newest, (row.backup_time, note))
    return newest


def _kept(rows: Sequence[Snapshot], states: Iterable[str]) -> list[KeptSnapshot]:
    times = [row.backup_time for row in rows]
    notes = _labels([row.comment for row in rows], comment)
    owners = _labels([row.owner for row in rows], _owner)
    return list(map(KeptSnapshot, times, notes, owners, states))


def _labels(texts: Sequence[str | None], label_of: Callable[[str | None], str]) -> list[str]:
    """Return texts as labels. Equal texts, as they often are, become one string."""
    if texts.count(texts[0]) == len(texts):
        return [label_of(texts[0])] * len(texts)
    labels = {text: label_of(text) for text in set(texts)}
    return [labels[text] for text in texts]


def _merge(group: GroupSummary, later: GroupSummary, limit: int) -> None:
    """Add the summary of later rows of the listing."""
    group.count += later.count
    group.unfinished += later.unfinished
    group.damaged += later.damaged
    group.protected += later.protected
    group.encrypted += later.encrypted
    group.verified_ok += later.verified_ok
    group.verified_failed += later.verified_failed
    group.logical_size += later.logical_size
    group.last = max(group.last, later.last)
    group.note = max(group.note, later.note)
    if group.verified is None or (later.verified is not None and later.verified > group.verified):
        group.verified = later.verified
    if group.first is None or (later.first is not None and later.first < group.first):
        group.first = later.first
    if group.newest is None or (later.newest is not None and later.newest.time > group.newest.time):
        group.newest = later.newest
    group.kept += later.kept
    if limit and len(group.kept) >= limit + _SLACK:
        _trim(group, limit)


def _trim(group: GroupSummary, limit: int) -> None:
    """Sort the newest snapshots first, and drop those over the limit."""
    group.kept.sort(key=_time, reverse=True)
    if limit:
        del group.kept[limit:]
