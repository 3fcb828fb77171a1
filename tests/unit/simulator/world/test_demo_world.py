"""The world of the demo, and the tasks of a generated world."""

from collections.abc import Callable
from typing import Any

from pbs_exporter.simulator import World, demo_world
from tests.support.simulator_client import NOW, SMALL, ask, tasks


def test_every_moment_of_the_demo_has_something_for_every_metric() -> None:
    """At any time a task is running, one has ended, and a GC, a snapshot and a drive have values."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])
    for clock[0] in range(NOW, NOW + 2 * 3600, 13):
        gc = [row for row in ask(world, "/admin/gc") if row.get("last-run-state") in {"OK", "WARNINGS: 1"}]
        assert gc
        assert {"duration", "last-run-endtime", "removed-bytes", "pending-bytes"} <= gc[0].keys()
        assert tasks(world, running=1)["data"]
    assert any("endtime" in row for row in tasks(world, since=NOW - 3 * 86400)["data"])
    assert any("size" in row for row in ask(world, "/admin/datastore/main/snapshots", ("ns", "prod/db")))
    assert any("total" in row for row in ask(world, "/status/datastore-usage"))
    drives = ask(world, "/tape/drive", ("query-activity", "0"))
    assert [sorted({"vendor", "model", "serial"} & drive.keys()) for drive in drives] == [
        [],
        ["model", "serial", "vendor"],
    ]
    host = ask(world, "/nodes/localhost/status")
    assert {"cpu", "wait", "loadavg", "memory", "swap", "root", "uptime"} <= host.keys()


def test_five_minutes_of_the_demo_move() -> None:
    """Within five minutes backups arrive, tasks end, and sizes and the host's numbers change."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])

    def look() -> list[Any]:
        host = ask(world, "/nodes/localhost/status")
        return [
            {row["backup-time"] for row in ask(world, "/admin/datastore/main/snapshots", ("ns", "prod/db"))},
            {row["upid"] for row in tasks(world)["data"]},
            [row.get("used") for row in ask(world, "/status/datastore-usage")],
            host["cpu"],
            host["loadavg"][0],
            host["memory"]["used"],
            host["uptime"],
        ]

    before = look()
    clock[0] += 300
    assert all(old != new for old, new in zip(before, look(), strict=True))


def test_datastores_of_the_demo_come_and_go() -> None:
    """A datastore goes into maintenance and returns, a disk is unplugged, and a drive is busy now and then."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])
    seen: set[tuple[str, bool]] = set()
    for clock[0] in range(NOW, NOW + 1800, 30):
        rows = ask(world, "/admin/datastore")
        seen.add(("maintenance", any("maintenance" in row for row in rows)))
        seen.add(("unplugged", any(row["mount-status"] == "notmounted" for row in rows)))
        drive = ask(world, "/tape/drive")[1]
        seen.add(("busy", "state" in drive))
        if "state" in drive:
            assert drive["state"] in {row["upid"] for row in tasks(world, running=1)["data"]}
    assert seen == {(name, yes) for name in ("maintenance", "unplugged", "busy") for yes in (True, False)}
    assert {row["backend-type"] for row in ask(world, "/admin/datastore")} == {"filesystem", "s3"}


def test_a_verified_snapshot_names_a_task_of_the_list() -> None:
    """The demo's parts agree: the newest verification of a snapshot is in the task list."""
    world = demo_world(now=lambda: NOW)
    rows = ask(world, "/admin/datastore/main/snapshots")
    upids = {row["verification"]["upid"] for row in rows if "verification" in row}
    listed = {row["upid"] for row in tasks(world, limit=0, typefilter="verif", since=NOW - 7200)["data"]}
    assert upids & listed
    unfinished = {
        (row["backup-type"], row["backup-id"], row["backup-time"])
        for namespace in ("", "prod", "prod/db", "lab")
        for row in ask(world, "/admin/datastore/main/snapshots", ("ns", namespace))
        if "size" not in row
    }
    for row in tasks(world, running=1, typefilter="backup", store="main")["data"]:
        kind, _, backup_id = row["worker_id"].removeprefix("main:").partition("/")
        assert (kind, backup_id, row["starttime"]) in unfinished


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
