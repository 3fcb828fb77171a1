"""Jobs of each type in each state."""

import pytest

from tests.support.canned_pbs import NOW, Json, page, series, success

START = 0x6B03AD28
UPID = f"UPID:pbs1:00006261:000502DA:00000044:{START:08X}:verificationjob:main\\x3av\\x2done:admin@pbs:"
ENDED = {"last-run-upid": UPID, "last-run-endtime": START + 20}
DUE = {"schedule": "daily", "next-run": NOW + 60}
LABELS = {"job_type": "verify", "job_id": "v-one", "datastore": "main"}
LAST = "pbs_job_last_run_timestamp_seconds"
TOOK = "pbs_job_last_run_duration_seconds"
NEXT = "pbs_job_next_run_timestamp_seconds"
RAN = {LAST: START + 20, TOOK: 20}


@pytest.mark.parametrize(
    ("row", "status", "numbers"),
    [
        pytest.param(ENDED | DUE | {"last-run-state": "OK"}, "ok", RAN | {NEXT: NOW + 60}, id="ok"),
        pytest.param(ENDED | {"last-run-state": "WARNINGS: 3"}, "warning", RAN, id="warnings, without schedule"),
        pytest.param(ENDED | {"last-run-state": "disk away\nsecond line"}, "error", RAN, id="failed in two lines"),
        pytest.param(ENDED | {"last-run-state": "OK\nnot quite"}, "error", RAN, id="failed with a good beginning"),
        pytest.param(
            ENDED | {"last-run-state": "OK", "last-run-endtime": START - 5},
            "ok",
            {LAST: START - 5},
            id="clock set back",
        ),
        pytest.param(ENDED | {"last-run-state": "unknown"}, "unknown", RAN, id="nobody knows how it ended"),
        pytest.param({"last-run-upid": UPID} | DUE, "running", {NEXT: NOW + 60}, id="running"),
        pytest.param(DUE, "never", {NEXT: NOW + 60}, id="never run"),
        pytest.param({"next-run": NOW + 60}, "never", {}, id="due without a schedule"),
        pytest.param(DUE | {"disable": True}, "never", {}, id="disabled"),
        pytest.param(dict.fromkeys([*ENDED, *DUE, "last-run-state", "disable"]), "never", {}, id="null is not there"),
        pytest.param(ENDED | {"last-run-upid": "odd", "last-run-state": "OK"}, "ok", {LAST: START + 20}, id="odd UPID"),
    ],
)
async def test_one_job(row: Json, status: str, numbers: dict[str, float]) -> None:
    """A job is in exactly one state, and has the numbers of its runs that PBS returns."""
    scraped = await page({"/admin/verify": [{"id": "v-one", "store": "main"} | row]}, ["jobs"])
    states = scraped.by("pbs_job_status", "status")
    assert {name for name, value in states.items() if value == 1} == {status}
    assert states.keys() == {"ok", "warning", "error", "unknown", "running", "never"}
    assert {name: scraped.value(name, **LABELS) for name in (LAST, TOOK, NEXT)} == {
        name: numbers.get(name) for name in (LAST, TOOK, NEXT)
    }
    assert scraped.value("pbs_job_enabled", **LABELS) == (not row.get("disable"))
    assert "second line" not in scraped.text
    assert success(scraped, "jobs") == 1


@pytest.mark.parametrize(
    ("row", "about"),
    [
        pytest.param({}, ("", "", "pull"), id="nothing said"),
        pytest.param({"remote-store": "other"}, ("", "other", "pull"), id="local"),
        pytest.param({"remote": "r", "remote-store": "s"}, ("r", "s", "pull"), id="a remote"),
        pytest.param({"remote": "r", "remote-store": "s", "sync-direction": "push"}, ("r", "s", "push"), id="push"),
        pytest.param({"sync-direction": "both\nways"}, ("", "", "unknown"), id="a direction of tomorrow"),
    ],
)
async def test_a_sync_job_says_where_from_and_where_to(row: Json, about: tuple[str, str, str]) -> None:
    """A sync job has its remote, the remote datastore and the direction; the default direction is pull."""
    job = {"id": "s-one", "store": "main", "ns": "a/b", "schedule": "hourly"} | row
    scraped = await page({"/admin/sync": [job]}, ["jobs"])
    labels = dict(zip(("remote", "remote_datastore", "direction"), about, strict=True))
    of_job = {"job_type": "sync", "job_id": "s-one", "datastore": "main", "namespace": "a/b", "schedule": "hourly"}
    assert series(scraped, "pbs_job_info") == [(of_job | labels, 1)]


@pytest.mark.parametrize(("tape", "kinds"), [(True, {"tape_backup", "prune"}), (False, {"prune"})])
async def test_tape_jobs_are_of_interest_with_tapes(kinds: set[str], *, tape: bool) -> None:
    """Tape backup jobs are asked for if the collector `tape` is on, and a job of an offline datastore is shown."""
    job = {"id": "one", "store": "main"}
    answers = {
        "/tape/backup": [job],
        "/admin/prune": [job],
        "/admin/datastore": [{"store": "main", "maintenance": "offline"}],
    }
    scraped = await page(answers, ["jobs", "tape"] if tape else ["jobs"])
    assert {labels["job_type"] for labels, _ in series(scraped, "pbs_job_info")} == kinds
    for labels, _ in series(scraped, "pbs_job_info"):
        assert (labels["direction"], labels["remote"], labels["remote_datastore"]) == ("", "", "")
