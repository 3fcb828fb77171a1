"""The summary of a group, built row by row."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pbs_exporter.pbs.snapshots.group_summary import GroupSummary, grouped


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
