"""Groups: their summaries, built row by row, and which have changed according to `/groups`."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.fingerprints import BATCH, are_many, batch_of, changed_groups, confirmed
from pbs_exporter.pbs.snapshots.group_summary import FinishedSnapshot, GroupSummary, grouped

KEY = ("", ("vm", "100"))
ROW = GroupRow("vm", "100", 2, 20, ("index.json.blob", "disk.img.fidx"), "root@pam")
GROUP = GroupSummary(count=2, owner="root@pam", last=20, newest=FinishedSnapshot(20, 5, "ok", encrypted=False))
UNFINISHED = GroupSummary(count=1, owner="root@pam", last=30)
UNFINISHED_ROW = GroupRow("vm", "100", 1, 30, ("disk.img.fidx",), "root@pam")

CHANGED = {
    "the same row": (ROW, ROW, GROUP, False),
    "another count": (replace(ROW, backup_count=3), ROW, GROUP, True),
    "another last backup": (replace(ROW, last_backup=21), ROW, GROUP, True),
    "other files": (replace(ROW, files=("index.json.blob",)), ROW, GROUP, True),
    "another owner": (replace(ROW, owner="a@pbs"), ROW, GROUP, True),
    "another comment": (replace(ROW, comment="new"), ROW, GROUP, True),
    "the same row of a group that was never listed": (ROW, ROW, None, True),
    "a new group": (ROW, None, None, True),
    "a first row that agrees with the full listing": (ROW, None, GROUP, False),
    "a first row with another count": (replace(ROW, backup_count=3), None, GROUP, True),
    "a first row with another owner": (replace(ROW, owner="a@pbs"), None, GROUP, True),
    "a first row with another last backup": (replace(ROW, last_backup=21), None, GROUP, True),
    "a first row without files": (replace(ROW, files=None), None, GROUP, True),
    "a first row of an unfinished group": (UNFINISHED_ROW, None, UNFINISHED, False),
    "a first row of an unfinished group, and another time": (
        replace(UNFINISHED_ROW, last_backup=31),
        None,
        UNFINISHED,
        True,
    ),
    "an unfinished group that has been finished": (
        replace(UNFINISHED_ROW, files=("index.json.blob",)),
        None,
        UNFINISHED,
        True,
    ),
}


@pytest.mark.parametrize(("row", "before", "group", "changed"), CHANGED.values(), ids=CHANGED)
def test_which_groups_have_changed(
    row: GroupRow, before: GroupRow | None, group: GroupSummary | None, *, changed: bool
) -> None:
    """A group has changed if its row differs from the known one, or from its listing if no row is known."""
    known = {} if before is None else {KEY: before}
    namespaces = {} if group is None else {"": {KEY[1]: group}}
    assert changed_groups({KEY: row}, known, namespaces, ()) == ({KEY} if changed else set())


def test_a_group_whose_listing_failed_is_listed_again() -> None:
    """A group is listed again until its listing succeeds, even if its row stays the same."""
    assert changed_groups({KEY: ROW}, {KEY: ROW}, {"": {KEY[1]: GROUP}}, {KEY}) == {KEY}
    assert changed_groups({}, {KEY: ROW}, {"": {KEY[1]: GROUP}}, {KEY}) == set()


@pytest.mark.parametrize(
    ("changed", "groups", "many"),
    [(20, 20, False), (21, 21, True), (21, 210, False), (22, 210, True), (21, 209, True), (0, 0, False)],
)
def test_many_changed_groups_are_more_than_a_tenth_and_more_than_twenty(
    changed: int, groups: int, *, many: bool
) -> None:
    """Above both limits a full listing is cheaper for PBS."""
    rows = {("", ("vm", str(number))): ROW for number in range(groups)}
    assert are_many(list(rows)[:changed], rows) is many


def test_fingerprints_are_kept_while_they_agree() -> None:
    """A full listing that differs from the row leaves no fingerprint, so the group is listed again."""
    other, gone = ("a/b", ("vm", "100")), ("", ("ct", "1"))
    fingerprints = {KEY: ROW, other: replace(ROW, backup_count=3), gone: ROW}
    assert confirmed(fingerprints, {"": {KEY[1]: GROUP}, "a/b": {KEY[1]: GROUP}}) == {KEY: ROW}


@pytest.mark.parametrize(("changed", "listed"), [(0, 0), (BATCH, BATCH), (BATCH + 1, BATCH), (5 * BATCH, BATCH)])
def test_a_batch_is_bounded_and_has_the_newest_backups(changed: int, listed: int) -> None:
    """Of more changed groups than a batch has, those with the newest backups are listed first."""
    rows = {("", ("vm", str(number))): replace(ROW, last_backup=number) for number in range(changed)}
    batch = batch_of(frozenset(rows), rows)
    assert batch == frozenset(list(rows)[changed - listed :])


def listed(rows: list[dict[str, Any]], limit: int) -> dict[tuple[str, str], GroupSummary]:
    """Return the groups of a listing with these rows."""

    async def chunks() -> AsyncIterator[bytes]:
        body = json.dumps({"data": rows}, separators=(",", ":")).encode()
        for begin in range(0, len(body), 100):
            yield body[begin : begin + 100]

    async def groups() -> dict[tuple[str, str], GroupSummary]:
        return (await grouped(limit)(chunks())).groups

    return asyncio.run(groups())


@given(st.lists(st.integers(0, 200), max_size=150), st.integers(0, 40))
def test_the_newest_are_kept(times: list[int], limit: int) -> None:
    """Each group keeps its newest snapshots up to the limit, newest first; a limit of 0 keeps all."""
    rows: list[dict[str, Any]] = [
        {"backup-type": "vm", "backup-id": str(number % 2), "backup-time": time, "comment": str(number)}
        for number, time in enumerate(times)
    ]
    for (_, backup_id), group in listed(rows, limit).items():
        own = [(row["backup-time"], row["comment"]) for row in rows if row["backup-id"] == backup_id]
        own.sort(key=lambda pair: pair[0], reverse=True)
        assert [kept.time for kept in group.kept] == [time for time, _ in own][: limit or None]
        assert group.count == len(own)
        if not limit:
            assert [(kept.time, kept.note) for kept in group.kept] == own
