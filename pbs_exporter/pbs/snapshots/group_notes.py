"""The notes of backup groups. `/groups` alone has them."""

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec

from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.group_summary import GroupId
from pbs_exporter.plain_text import comment

_MAX_AGE = re.compile(r"(?<![\w-])max-age=([0-9]{1,5})([hdw])(?!\w)")
_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}


class GroupNote(msgspec.Struct, frozen=True, gc=False):
    """A group's own note as a label has it, and the maximum age of its newest backup that the note sets (seconds)."""

    text: str
    max_age: int | None


Notes = Mapping[str, Mapping[GroupId, GroupNote]]
"""The groups of a datastore that have a note, by namespace."""


class NoteBook:
    """The newest notes of a datastore's groups. Whoever asks for `/groups` adds them."""

    def __init__(self) -> None:
        # By namespace, with the time of the answer (monotonic seconds).
        self._namespaces: dict[str, tuple[float, Mapping[GroupId, GroupNote]]] = {}

    def take(self, namespace: str, rows: Iterable[GroupRow], now: float) -> None:
        """Replace the notes of a namespace by those of an answer."""
        self._namespaces[namespace] = (now, notes_of(rows))

    def forget_others(self, namespaces: Collection[str]) -> None:
        """Forget all namespaces but these."""
        self._namespaces = {name: one for name, one in self._namespaces.items() if name in namespaces}

    def since(self, oldest: float) -> Notes:
        """Return the notes that aren't older than that (monotonic seconds)."""
        return {name: notes for name, (at, notes) in self._namespaces.items() if notes and at >= oldest}


def notes_of(rows: Iterable[GroupRow]) -> dict[GroupId, GroupNote]:
    """Return the notes of the groups that have one."""
    return {
        (row.backup_type, row.backup_id): GroupNote(comment(row.comment), max_age(row.comment))
        for row in rows
        if row.comment
    }


def max_age(note: str) -> int | None:
    """Return the seconds of the first valid `max-age=N` with its unit `h`, `d` or `w` in a note, `None` without one."""
    found = (int(number) * _SECONDS[unit] for number, unit in _MAX_AGE.findall(note))
    return next(filter(None, found), None)
