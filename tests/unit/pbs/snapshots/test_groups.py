"""Groups: their summaries, built row by row, and which have changed according to `/groups`."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pbs_exporter.pbs.models import GroupRow, upid_start
from pbs_exporter.pbs.snapshots.fingerprints import BATCH, are_many, batch_of, changed_groups, confirmed
from pbs_exporter.pbs.snapshots.group_summary import FinishedSnapshot, GroupSummary, KeptSnapshot, grouped
from pbs_exporter.plain_text import comment, label

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


def listed(rows: list[dict[str, Any]], limit: int, piece: int = 100) -> dict[tuple[str, str], GroupSummary]:
    """Return the groups of a listing with these rows, which arrives in pieces of this number of bytes."""

    async def chunks() -> AsyncIterator[bytes]:
        body = json.dumps({"data": rows}, separators=(",", ":")).encode()
        for begin in range(0, len(body), piece):
            yield body[begin : begin + piece]

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


UPIDS = [None, "", "none", "UPID:n:1:1:1:FFFFFFFF:a:b:r@pam:"] + [
    f"UPID:n{'x' * n}:00000001:00000001:00000001:0000000{digit}:a:b:r@pam:" for n, digit in enumerate("09aB")
]
STATES = ["ok", "failed", "new"]
FILES = st.lists(
    st.builds(
        lambda name, mode: {"filename": name} | ({"crypt-mode": mode} if mode else {}),
        st.sampled_from(["index.json.blob", "disk.img.fidx"]),
        st.sampled_from([None, "none", "sign-only", "encrypt"]),
    ),
    max_size=3,
)
LISTINGS = st.lists(
    st.fixed_dictionaries(
        {
            "backup-type": st.sampled_from(["vm", "ct"]),
            "backup-id": st.sampled_from(["1", "1", "1", "2"]),
            "backup-time": st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 2**80]),
        },
        optional={
            "comment": st.sampled_from(["a", "b", "c\nsecond", "d\x00", "x" * 70, "\nsecond", "\x07", "", None]),
            "size": st.one_of(st.none(), st.integers(0, 2**40)),
            "owner": st.sampled_from(["root@pam", "a@pbs", "a\x00@pbs", "", None]),
            "protected": st.sampled_from([True, False, None]),
            "verification": st.one_of(
                st.none(),
                st.fixed_dictionaries({"state": st.sampled_from(STATES), "upid": st.sampled_from(UPIDS)}),
            ),
            "files": FILES,
        },
    ),
    min_size=8,
    max_size=16,
)


@given(LISTINGS, st.integers(0, 4), st.sampled_from([50, 1000, 100_000]))
def test_a_summary_is_that_of_its_rows(rows: list[dict[str, Any]], limit: int, piece: int) -> None:
    """A summary is what its rows say one by one, whether those of a group follow each other or not."""
    own: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        own.setdefault((row["backup-type"], row["backup-id"]), []).append(row)
    expected = {group_id: summary(those, limit) for group_id, those in own.items()}
    assert listed(rows, limit, piece) == expected
    assert listed([row for those in own.values() for row in those], limit, piece) == expected


def summary(rows: list[dict[str, Any]], limit: int) -> GroupSummary:
    """Return the summary of a group's rows, one attribute after another.

    Of rows of the same time, the first one is the newest, but the greatest note counts.
    """

    def state(row: dict[str, Any]) -> str:
        said = (row.get("verification") or {}).get("state")
        return said if said in ("ok", "failed") else "none"

    def encrypted(row: dict[str, Any]) -> bool:
        return any(file.get("crypt-mode") == "encrypt" for file in row.get("files", ()))

    newest_first = sorted(rows, key=lambda row: row["backup-time"], reverse=True)
    finished = [row for row in newest_first if row.get("size") is not None]
    manifests = [
        any(file["filename"] == "index.json.blob" for file in row.get("files", ()))
        for row in rows
        if row.get("size") is None
    ]
    newest = finished[0] if finished else None
    notes = [(row["backup-time"], note) for row in rows if (note := comment(row.get("comment")))]
    starts = [upid_start(row["verification"]["upid"]) for row in rows if row.get("verification")]
    return GroupSummary(
        count=len(rows),
        unfinished=manifests.count(False),
        damaged=manifests.count(True),
        protected=sum(row.get("protected") is True for row in rows),
        encrypted=sum(map(encrypted, rows)),
        verified_ok=sum(state(row) == "ok" for row in rows),
        verified_failed=sum(state(row) == "failed" for row in rows),
        verified=max((start for start in starts if start is not None), default=None),
        logical_size=sum(row["size"] for row in finished),
        first=finished[-1]["backup-time"] if finished else None,
        last=max(0, newest_first[0]["backup-time"]),
        newest=None
        if newest is None
        else FinishedSnapshot(newest["backup-time"], newest["size"], state(newest), encrypted(newest)),
        note=max([(0, ""), *notes]),
        owner=rows[0].get("owner"),
        kept=[
            KeptSnapshot(row["backup-time"], comment(row.get("comment")), label(row.get("owner") or ""), state(row))
            for row in newest_first[: limit or None]
        ],
    )
