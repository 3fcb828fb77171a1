"""Garbage collection: the numbers in each state of the last run."""

import pytest

from tests.support.canned_pbs import NOW, Json, page, success
from tests.support.metrics_page import Scraped

UPID = "UPID:pbs:000003F2:00000E10:0000001A:6888240C:garbage_collection:main:root@pam:"
ROW = {
    "store": "main",
    "upid": UPID,
    "index-file-count": 3,
    "index-data-bytes": 900,
    "disk-bytes": 300,
    "disk-chunks": 30,
    "removed-bytes": 20,
    "removed-chunks": 2,
    "pending-bytes": 10,
    "pending-chunks": 1,
    "removed-bad": 5,
    "still-bad": 4,
    "schedule": "daily",
    "next-run": NOW + 60,
}
COUNTERS = {
    "pbs_gc_disk_bytes": 300,
    "pbs_gc_disk_chunks": 30,
    "pbs_gc_index_data_bytes": 900,
    "pbs_gc_pending_bytes": 10,
    "pbs_gc_pending_chunks": 1,
    "pbs_gc_removed_bytes": 20,
    "pbs_gc_removed_chunks": 2,
    "pbs_gc_bad_chunks": 4,
}
NEXT = {"pbs_gc_next_run_timestamp_seconds": NOW + 60}
ENDED = {"pbs_gc_last_run_timestamp": NOW - 50}


def ended(state: str) -> Json:
    """Make the fields that PBS adds to the row for a run with this end."""
    return {"duration": 40, "last-run-endtime": NOW - 50, "last-run-state": state}


def numbers(scraped: Scraped) -> dict[str, float]:
    """Return all values of the garbage collection of `main`."""
    return {
        sample.name: sample.value
        for family in scraped.families.values()
        for sample in family.samples
        if sample.name.startswith("pbs_gc_") and sample.labels == {"datastore": "main"}
    }


GOOD = {"pbs_gc_status": 1, "pbs_gc_duration_seconds": 40}
FAILED = {"pbs_gc_status": 0}


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        pytest.param(ended("OK"), COUNTERS | NEXT | ENDED | GOOD, id="ok"),
        pytest.param(ended("WARNINGS: 3"), COUNTERS | NEXT | ENDED | GOOD, id="with warnings"),
        pytest.param(ended("unable to open chunk store"), COUNTERS | NEXT | ENDED | FAILED, id="failed"),
        pytest.param(ended("OK but then\nnot"), COUNTERS | NEXT | ENDED | FAILED, id="an error that starts like ok"),
        pytest.param(ended("WARNINGS"), COUNTERS | NEXT | ENDED | FAILED, id="an error that starts like a warning"),
        pytest.param(ended("unknown"), COUNTERS | NEXT | ENDED, id="unknown"),
        pytest.param({}, COUNTERS | NEXT, id="running"),
        pytest.param(dict.fromkeys(ended("OK")), COUNTERS | NEXT, id="running, as null"),
        pytest.param({"upid": None}, NEXT, id="never succeeded"),
        pytest.param({"upid": None, "next-run": None}, {}, id="never succeeded, not scheduled"),
        pytest.param(ended("OK") | {"next-run": None}, COUNTERS | ENDED | GOOD, id="not scheduled"),
        pytest.param(
            ended("OK") | {"duration": None}, COUNTERS | NEXT | ENDED | {"pbs_gc_status": 1}, id="no duration"
        ),
        pytest.param(
            ended("OK") | {"duration": -5},
            COUNTERS | NEXT | ENDED | {"pbs_gc_status": 1},
            id="clock set back",
        ),
        pytest.param(ended("OK") | {"removed-bytes": 0}, COUNTERS | NEXT | ENDED | GOOD | {"pbs_gc_removed_bytes": 0}),
    ],
)
async def test_one_datastore(row: Json, shown: dict[str, float]) -> None:
    """The counters are those of the last successful run; duration and status are those of the last run."""
    scraped = await page({"/admin/gc": [ROW | row]}, ["gc"])
    assert numbers(scraped) == shown
    assert success(scraped, "gc") == 1


async def test_counters_that_pbs_leaves_out_are_absent() -> None:
    """A missing counter has no sample, and the others stay."""
    row = {key: value for key, value in ROW.items() if key not in ("still-bad", "pending-bytes")}
    scraped = await page({"/admin/gc": [row]}, ["gc"])
    missing = {"pbs_gc_bad_chunks", "pbs_gc_pending_bytes"}
    assert numbers(scraped) == {name: value for name, value in COUNTERS.items() if name not in missing} | NEXT


async def test_tasks_do_not_change_the_last_run() -> None:
    """Only `/admin/gc` is used: a newer garbage collection in the task list changes nothing."""
    task = {
        "upid": UPID,
        "worker_type": "garbage_collection",
        "worker_id": "main",
        "starttime": NOW - 9,
        "endtime": NOW - 3,
        "status": "failed",
    }
    scraped = await page({"/admin/gc": [ROW | ended("OK")], "/nodes/localhost/tasks": [task]}, ["gc", "tasks"])
    assert numbers(scraped) == COUNTERS | NEXT | ENDED | GOOD
