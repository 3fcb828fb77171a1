"""Tasks: the window, the newest task, and the comments of guests."""

import pytest

from pbs_exporter.simulator import Answer
from tests.support.canned_pbs import DAY, NOW, Json, page, series, snapshot, success
from tests.support.metrics_page import Scraped

WEEK = 7 * DAY
TASKS = "/nodes/localhost/tasks"


def task(worker_type: str, worker_id: str | None, start: int, end: int | None, status: str | None = "OK") -> Json:
    """Make a task row; start and end are in seconds ago, and an end of `None` means running."""
    row = {
        "upid": f"UPID:pbs:000003F2:00000E10:{NOW - start:08X}:{worker_type}:{worker_id}:{end}:{status}:root@pam:",
        "node": "localhost",
        "starttime": NOW - start,
        "worker_type": worker_type,
        "worker_id": worker_id,
        "user": "root@pam",
    }
    return row if end is None else row | {"endtime": NOW - end, "status": status}


async def tasks_page(*tasks: Json, **settings: Json) -> Scraped:
    """Scrape a PBS with these tasks."""
    scraped = await page({TASKS: list(tasks)}, ["tasks"], **settings)
    assert success(scraped, "tasks") == 1
    return scraped


def totals(scraped: Scraped) -> dict[tuple[str, str], float]:
    """Return the number of tasks per type and status."""
    return {(labels["worker_type"], labels["status"]): value for labels, value in series(scraped, "pbs_task_total")}


def durations(scraped: Scraped) -> dict[tuple[str, str, str], float]:
    """Return the durations per type, ID and status."""
    return {
        (labels["worker_type"], labels["worker_id"], labels["status"]): value
        for labels, value in series(scraped, "pbs_task_duration_seconds")
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("OK", "ok"),
        ("WARNINGS: 1", "warning"),
        ("WARNINGS: 23", "warning"),
        ("unknown", "unknown"),
        ("connection error: timed out", "error"),
        ("", "error"),
        ("ok", "error"),
        ("OK, or so", "error"),
        ("WARNINGS", "error"),
        ("unknown datastore", "error"),
        ("running", "error"),
        ("several\nlines", "error"),
    ],
)
async def test_states(status: str, state: str) -> None:
    """The end of a task is one of four states; the text of an error is no label."""
    scraped = await tasks_page(task("prunejob", "main", 60, 50, status))
    assert totals(scraped) == {("prunejob", state): 1}
    assert durations(scraped) == {("prunejob", "main", state): 10}
    assert scraped.by("pbs_task_last_run_timestamp_seconds", "worker_type") == {"prunejob": NOW - 50}
    assert not scraped.series("pbs_task_running")


@pytest.mark.parametrize(
    ("start", "end", "counted"),
    [
        pytest.param(60, 0, True, id="ended now"),
        pytest.param(DAY - 10, DAY - 20, True, id="began and ended in the window"),
        pytest.param(DAY + 3600, DAY - 1, True, id="began before the window and ended in it"),
        pytest.param(DAY + 3600, DAY + 1, False, id="ended before the window"),
        pytest.param(2 * DAY, 60, True, id="began a day before the window"),
        pytest.param(3 * DAY - 1, 60, True, id="began nearly two days before the window"),
        pytest.param(3 * DAY + 1, 60, False, id="ran for longer than can be seen"),
    ],
)
async def test_window_is_by_the_end(start: int, end: int, counted: bool) -> None:  # noqa: FBT001
    """A task is counted by its end; PBS is asked for tasks that began up to two days before the window."""
    scraped = await tasks_page(task("syncjob", "x", start, end))
    assert totals(scraped) == ({("syncjob", "ok"): 1} if counted else {})
    assert durations(scraped) == ({("syncjob", "x", "ok"): start - end} if counted else {})
    last = {"syncjob": NOW - end} if counted else {}
    assert scraped.by("pbs_task_last_run_timestamp_seconds", "worker_type") == last


@pytest.mark.parametrize(("window", "counted"), [(3600.0, 1), (7200.0, 2), (86_400.0, 3), (float(WEEK), 4)])
async def test_window_can_be_set(window: float, counted: int) -> None:
    """The length of the window is `task_window_seconds`."""
    ends = (1800, 5400, DAY // 2, WEEK - 60)
    tasks = [task("prune", "main", end + 10, end) for end in ends]
    assert totals(await tasks_page(*tasks, task_window_seconds=window)) == {("prune", "ok"): counted}


@pytest.mark.parametrize("start", [pytest.param(0, id="just began"), 60, DAY, pytest.param(WEEK, id="for a week")])
async def test_running_task(start: int) -> None:
    """A running task is counted whatever its start; it has no duration and no end."""
    scraped = await tasks_page(task("syncjob", "x", start, None))
    assert totals(scraped) == {("syncjob", "running"): 1}
    assert series(scraped, "pbs_task_running") == [({"worker_type": "syncjob", "comment": ""}, 1)]
    assert scraped.by("pbs_task_running_start_timestamp_seconds", "worker_type") == {"syncjob": NOW - start}
    assert not scraped.series("pbs_task_duration_seconds")
    assert not scraped.series("pbs_task_last_run_timestamp_seconds")


async def test_start_of_the_longest_running() -> None:
    """The start of the oldest running task of a type is shown."""
    scraped = await tasks_page(
        task("backup", "main:vm/1", 10, None),
        task("backup", "main:vm/2", WEEK, None),
        task("backup", "main:vm/3", 500, None),
        task("verify", "main", 7, None),
    )
    starts = {"backup": NOW - WEEK, "verify": NOW - 7}
    assert scraped.by("pbs_task_running_start_timestamp_seconds", "worker_type") == starts
    assert scraped.by("pbs_task_running", "worker_type") == {"backup": 3, "verify": 1}


@pytest.mark.parametrize("ended_first", [True, False])
async def test_a_task_that_ends_between_the_two_answers_counts_once(ended_first: bool) -> None:  # noqa: FBT001
    """A task that is running in one answer and ended in the other is one ended task."""
    ended = task("prune", "main", 60, 1)
    running = {key: value for key, value in ended.items() if key not in ("endtime", "status")}
    scraped = await tasks_page(*((ended, running) if ended_first else (running, ended)))
    assert totals(scraped) == {("prune", "ok"): 1}
    assert durations(scraped) == {("prune", "main", "ok"): 59}
    assert not scraped.series("pbs_task_running")


@pytest.mark.parametrize(
    ("tasks", "newest"),
    [
        pytest.param(
            [task("prune", "main", 90, 50, "failed"), task("prune", "main", 80, 60)],
            {("prune", "main", "error"): 40},
            id="the latest end, whatever its start and state",
        ),
        pytest.param(
            [task("prune", "main", 80, 60), task("prune", "main", 90, 50, "failed")],
            {("prune", "main", "error"): 40},
            id="the same, whatever the order",
        ),
        pytest.param(
            [task("prune", "main", 90, 50, "failed"), task("prune", "main", 80, 50)],
            {("prune", "main", "ok"): 30},
            id="of equal ends the latest start",
        ),
        pytest.param(
            [task("prune", "main", 90, 50, "WARNINGS: 1"), task("prune", "main", 90, 50)],
            {("prune", "main", "warning"): 40},
            id="of equal ends and starts the first in order",
        ),
        pytest.param(
            [task("prune", "main", 90, 50), task("prune", "main", 90, 50, "WARNINGS: 1")],
            {("prune", "main", "ok"): 40},
            id="the first in order, the other way round",
        ),
        pytest.param(
            [task("prune", "main", 90, 50), task("prune", "main", 40, None)],
            {("prune", "main", "ok"): 40},
            id="not a running one",
        ),
        pytest.param(
            [task("prune", "a", 90, 50), task("prune", "b", 70, 60), task("verify", "a", 30, 29)],
            {("prune", "a", "ok"): 40, ("prune", "b", "ok"): 10, ("verify", "a", "ok"): 1},
            id="each type and ID has its own",
        ),
        pytest.param([task("logrotate", None, 9, 8)], {("logrotate", "", "ok"): 1}, id="no ID"),
        pytest.param([task("prune", "a", 9, 12)], {("prune", "a", "ok"): 0}, id="PBS's clock was set back"),
    ],
)
async def test_duration_is_of_the_newest(tasks: list[Json], newest: dict[tuple[str, str, str], float]) -> None:
    """Each type and ID has the duration of one task: latest end first, latest start next, PBS's order last."""
    assert durations(await tasks_page(*tasks)) == newest


@pytest.mark.parametrize(
    ("worker_type", "said", "shown"),
    [
        ("reader", "main:vm/100/6888240C", "main:vm/100"),
        ("reader", "main:vm/100/6888240c", "main:vm/100"),
        ("reader", "main:host/DEADBEEF/6888240C", "main:host/DEADBEEF"),
        ("reader", "main:ns/a/ns/b/vm/100/6888240C", "main:ns/a/ns/b/vm/100"),
        ("verify_snapshot", "main:ns/prod/vm/100/6888240C", "main:ns/prod/vm/100"),
        ("verify_snapshot", "main:/vm/100/6888240C", "main:/vm/100"),
        ("verify_snapshot", "main:vm/100", "main:vm/100"),
        ("verify_snapshot", "main:vm/100/6888240", "main:vm/100/6888240"),
        ("verify_snapshot", "main:vm/100/6888240CA", "main:vm/100/6888240CA"),
        ("verify_snapshot", "main:vm/100/6888240G", "main:vm/100/6888240G"),
        ("verify_group", "main:host/DEADBEEF", "main:host/DEADBEEF"),
        ("backup", "main:host/DEADBEEF", "main:host/DEADBEEF"),
        ("prune", "main:vm/100/6888240C", "main:vm/100/6888240C"),
    ],
)
async def test_time_of_a_snapshot_is_cut_off(worker_type: str, said: str, shown: str) -> None:
    """Only `reader` and `verify_snapshot` lose the last slash and eight hex digits of their ID."""
    scraped = await tasks_page(task(worker_type, said, 30, 20))
    assert durations(scraped) == {(worker_type, shown, "ok"): 10}


@pytest.mark.parametrize("worker_type", ["reader", "verify_snapshot"])
async def test_newest_is_looked_for_after_the_cut(worker_type: str) -> None:
    """Tasks for several snapshots of a group have the same ID, and the newest of them counts."""
    scraped = await tasks_page(
        task(worker_type, "main:vm/100/6888240C", 90, 80),
        task(worker_type, "main:vm/100/68892400", 30, 10, "failed"),
        task(worker_type, "main:vm/100/68880000", 60, 30),
    )
    assert durations(scraped) == {(worker_type, "main:vm/100", "error"): 20}
    assert totals(scraped) == {(worker_type, "ok"): 2, (worker_type, "error"): 1}


SnapshotsByPath = dict[str, dict[str, Json]]
BACKUP = task("backup", "main:vm/100", 60, 50)


async def comments(
    listings: SnapshotsByPath, *tasks: Json, collectors: tuple[str, ...] = ("snapshots", "tasks")
) -> set[str]:
    """Return the comments in the task series of a PBS with these snapshots."""
    stores: Json = [{"store": store} for store in listings]
    paths: Json = {f"/admin/datastore/{store}/snapshots": listing for store, listing in listings.items()}
    scraped = await page({"/admin/datastore": stores, TASKS: list(tasks) or [BACKUP], **paths}, collectors)
    names = ("pbs_task_total", "pbs_task_duration_seconds", "pbs_task_running")
    return {labels["comment"] for name in names for labels, _ in scraped.series(name)}


NOTED = snapshot(NOW - 10, comment="web")


@pytest.mark.parametrize(
    ("listings", "comment"),
    [
        pytest.param({"main": {"": [NOTED]}}, "web", id="its one snapshot"),
        pytest.param({"main": {"a/b": [NOTED]}}, "web", id="in some namespace"),
        pytest.param(
            {"main": {"": [snapshot(NOW - 20, comment="old"), NOTED, snapshot(NOW - 30, comment="older")]}},
            "web",
            id="the newest",
        ),
        pytest.param(
            {"main": {"": [snapshot(NOW, comment=None), snapshot(NOW - 1, comment=""), NOTED]}},
            "web",
            id="the newest that has a note",
        ),
        pytest.param(
            {"main": {"": [NOTED, snapshot(NOW - 1, size=None, comment="unfinished")]}},
            "unfinished",
            id="also of an unfinished one",
        ),
        pytest.param({"main": {"": [snapshot(NOW)]}}, "", id="no note"),
        pytest.param({"main": {"": [snapshot(NOW, comment="a" * 65)]}}, "a" * 63 + "…", id="a long note"),
        pytest.param({"main": {"": [snapshot(NOW, comment="one\ntwo")]}}, "one", id="several lines"),
        pytest.param({"main": {"": [NOTED], "a": [NOTED]}}, "", id="two namespaces, one note"),
        pytest.param({"main": {"": [NOTED], "a": [snapshot(NOW)]}}, "", id="two namespaces, one with a note"),
        pytest.param({"main": {"": [NOTED], "a": []}}, "web", id="another namespace without the group"),
        pytest.param(
            {"main": {"": [NOTED], "a": [snapshot(NOW, "ct", comment="ct"), snapshot(NOW, "vm", "101", comment="x")]}},
            "web",
            id="other groups elsewhere",
        ),
        pytest.param({"main": {"": [snapshot(NOW, "ct", comment="ct")]}}, "", id="the same ID of another type"),
        pytest.param({"other": {"": [NOTED]}}, "", id="another datastore"),
        pytest.param({"main": {"": [NOTED]}, "other": {"": [NOTED]}}, "web", id="another datastore has it too"),
        pytest.param({"main": {"": Answer.text(400, "ENOENT")}}, "", id="no listing"),
        pytest.param({"main": {"": [NOTED], "a": Answer.text(400, "ENOENT")}}, "", id="half a listing"),
        pytest.param({}, "", id="no datastore"),
    ],
)
async def test_comment_of_a_backup(listings: SnapshotsByPath, comment: str) -> None:
    """A backup has the comment of the guest's newest snapshot with one, if only one namespace has the guest."""
    assert await comments(listings) == {comment}


@pytest.mark.parametrize("worker_type", ["reader", "verify_group", "prune", "tape-backup", "verify_snapshot"])
async def test_other_tasks_have_no_comment(worker_type: str) -> None:
    """Only backups have a comment."""
    assert await comments({"main": {"": [NOTED]}}, task(worker_type, "main:vm/100", 9, 8)) == {""}


@pytest.mark.parametrize("worker_id", [None, "", "main", "main:", "main:vm", "main:vm/", ":vm/100", "vm/100"])
async def test_comment_of_an_id_that_cannot_be_read(worker_id: str | None) -> None:
    """A backup whose ID names no guest has no comment, which is no failure."""
    assert await comments({"main": {"": [NOTED]}}, task("backup", worker_id, 9, 8)) == {""}


async def test_comment_of_a_running_backup() -> None:
    """A running backup has its guest's comment too."""
    assert await comments({"main": {"": [NOTED]}}, task("backup", "main:vm/100", 9, None)) == {"web"}


async def test_without_the_snapshots_there_are_no_comments() -> None:
    """If the collector `snapshots` is off, no listing is available, and no task has a comment."""
    assert await comments({"main": {"": [NOTED]}}, collectors=("tasks",)) == {""}


async def test_guests_with_one_id_have_their_own_comments() -> None:
    """Backups of guests with the same ID but another type or datastore have their own guest's comment."""
    listings: SnapshotsByPath = {
        "main": {"": [snapshot(NOW, "vm", comment="vm note"), snapshot(NOW, "ct", comment="ct note")]},
        "other": {"a": [snapshot(NOW, "vm", comment="other note")]},
    }
    tasks = [task("backup", worker_id, 60, 50) for worker_id in ("main:vm/100", "main:ct/100", "other:vm/100")]
    assert await comments(listings, *tasks) == {"vm note", "ct note", "other note"}


async def test_totals_are_per_comment() -> None:
    """Tasks of one type and status are counted together only if they have the same comment."""
    listings: Json = {"": [snapshot(NOW, comment="a"), snapshot(NOW, "ct", comment="a"), snapshot(NOW, "host")]}
    tasks = [task("backup", f"main:{kind}/100", 60, 50) for kind in ("vm", "ct", "host")]
    scraped = await page(
        {"/admin/datastore": [{"store": "main"}], "/admin/datastore/main/snapshots": listings, TASKS: tasks},
        ["snapshots", "tasks"],
    )
    assert scraped.by("pbs_task_total", "comment") == {"a": 2, "": 1}


async def test_long_ids_that_are_cut_to_the_same_are_one_series() -> None:
    """IDs beyond 1,024 code points are cut; two that become the same are one series, and the collector isn't well."""
    ids = ("x" * 1023 + "a", "y" * 2000 + "b", "y" * 2000 + "c")
    scraped = await page({TASKS: [task("prune", worker_id, 9, 8) for worker_id in ids]}, ["tasks"])
    assert [worker_id for _, worker_id, _ in durations(scraped)] == [ids[0], "y" * 1023 + "…"]
    assert success(scraped, "tasks") == 0
