"""The tasks of a generated world."""

from collections.abc import Callable
from typing import Any

from pbs_exporter.simulator import World
from tests.support.simulator_client import NOW, SMALL, tasks


def test_tasks_are_sorted_and_cut_as_pbs_does() -> None:
    """Running tasks come first by start, ended ones follow by end, and the default limit is fifty."""
    world = World(2, 2, 20, 2, now=lambda: NOW)
    everything = tasks(world, limit=0)
    rows = everything["data"]
    assert everything["total"] == len(rows) > 51
    running = [row for row in rows if "endtime" not in row]
    assert rows[: len(running)] == sorted(running, key=lambda row: -row["starttime"])
    ends = [row["endtime"] for row in rows[len(running) :]]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] <= NOW
    cut = tasks(world)
    assert (cut["total"], cut["data"]) == (51, rows[:50])
    page = tasks(world, start=10, limit=5)
    assert (page["total"], page["data"]) == (16, rows[10:15])
    end = tasks(world, start=len(rows) - 1, limit=5)
    assert (end["total"], end["data"]) == (len(rows), rows[-1:])
    assert len({row["upid"] for row in rows}) == len(rows)


def test_tasks_are_filtered_as_pbs_does() -> None:
    """Each filter keeps the same rows as PBS."""
    world = World(2, 2, 20, 2, now=lambda: NOW)
    rows = tasks(world, limit=0)["data"]

    def check(keep: Callable[[dict[str, Any]], bool], **query: object) -> None:
        expected = [row for row in rows if keep(row)]
        assert tasks(world, limit=0, **query)["data"] == expected
        assert 0 < len(expected) < len(rows)

    check(lambda row: "status" not in row, running=1)
    check(lambda row: row.get("status") != "OK", errors=1)
    check(lambda row: row["starttime"] >= NOW - 3600 * 9, since=NOW - 3600 * 9)
    check(lambda row: row["starttime"] <= NOW - 3600 * 9, until=NOW - 3600 * 9)
    check(lambda row: "backup" in row["worker_type"], typefilter="backup")
    check(lambda row: "root" in row["user"], userfilter="root")
    check(lambda row: row["worker_type"] == "garbage_collection", typefilter="garbage")
    check(lambda row: row.get("status") == "OK", statusfilter=["ok"])
    check(
        lambda row: row.get("status", "OK") != "OK",
        statusfilter=["warning", "error"],
    )
    check(
        lambda row: not row["worker_type"].startswith("tape") and "main" in row["worker_id"],
        store="main",
    )
    assert tasks(world, limit=0, running=1, since=NOW)["data"] == []


def test_task_ids_are_those_of_pbs() -> None:
    """A UPID has the start in hex and the worker's ID, escaped as by systemd."""
    world = World(**SMALL)
    for row in tasks(world, limit=0)["data"]:
        parts = row["upid"].split(":")
        assert (parts[0], parts[1], parts[9]) == ("UPID", "pbs1", "")
        assert int(parts[5], 16) == row["starttime"]
        assert (int(parts[2], 16), int(parts[3], 16)) == (row["pid"], row["pstart"])
        assert (parts[6], parts[8]) == (row["worker_type"], row["user"])
        escaped = parts[7].replace("\\x3a", ":").replace("\\x2d", "\0").replace("-", "/").replace("\0", "-")
        assert escaped == row["worker_id"]
        assert row["node"] == "localhost"
