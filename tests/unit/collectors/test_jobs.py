"""Jobs in each state that they can be in, and tapes, which no recording holds."""

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
    """A job is in exactly one state, and has the numbers that PBS says of its runs."""
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
    """A sync job has its remote, the datastore there and the direction; without one it pulls."""
    job = {"id": "s-one", "store": "main", "ns": "a/b", "schedule": "hourly"} | row
    scraped = await page({"/admin/sync": [job]}, ["jobs"])
    labels = dict(zip(("remote", "remote_datastore", "direction"), about, strict=True))
    of_job = {"job_type": "sync", "job_id": "s-one", "datastore": "main", "namespace": "a/b", "schedule": "hourly"}
    assert series(scraped, "pbs_job_info") == [(of_job | labels, 1)]


@pytest.mark.parametrize(("tape", "kinds"), [(True, {"tape_backup", "prune"}), (False, {"prune"})])
async def test_tape_jobs_are_of_interest_with_tapes(kinds: set[str], *, tape: bool) -> None:
    """Tape backup jobs are asked for while the collector `tape` is on, and a job of an offline datastore is shown."""
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


@pytest.mark.parametrize(
    ("tape", "labels"),
    [
        ({"pool": "a", "status": "full", "location": "online-changer-one"}, ("a", "full", "online")),
        ({"status": "writable", "location": "vault-cellar"}, ("", "writable", "vault")),
        ({"pool": None, "status": "damaged", "location": "offline"}, ("", "damaged", "offline")),
        ({"status": "retired", "location": "offline-somewhere"}, ("", "retired", "unknown")),
        ({"status": "melted", "location": "moon"}, ("", "unknown", "unknown")),
        ({}, ("", "unknown", "unknown")),
    ],
)
async def test_one_tape(tape: Json, labels: tuple[str, str, str]) -> None:
    """A tape is counted under its pool, its status and the kind of its place; what is new there is unknown."""
    scraped = await page({"/tape/media/list": [tape]}, ["tape_media"])
    pool, status, location = labels
    assert series(scraped, "pbs_tape_media") == [({"pool": pool, "status": status, "location": location}, 1)]
    assert scraped.by("pbs_tape_media_expired", "pool") == {pool: 0}
    assert not series(scraped, "pbs_tape_media_used_bytes")


async def test_tapes_of_a_pool_add_up() -> None:
    """Of each pool the expired tapes are counted, and the bytes of those that hold some are added up."""
    tape = {"pool": "a", "status": "full", "location": "offline"}
    tapes = [tape | {"bytes-used": 5, "expired": True}, tape | {"bytes-used": 7, "expired": False}, tape, {"pool": "b"}]
    scraped = await page({"/tape/media/list": tapes}, ["tape_media"])
    assert scraped.value("pbs_tape_media", pool="a", status="full", location="offline") == 3
    assert scraped.by("pbs_tape_media_expired", "pool") == {"a": 1, "b": 0}
    assert scraped.by("pbs_tape_media_used_bytes", "pool") == {"a": 12}


def point(metric: str, value: Json, subject: str = "host", time: int = 1) -> Json:
    """Make a row of `/status/metrics`."""
    return {"id": subject, "metric": metric, "timestamp": time, "type": "derive", "value": value}


async def test_counters_are_the_newest_known_ones() -> None:
    """Of several points the last counts, null is no sample, and what isn't of a host or datastore is left out."""
    points = [
        point("net_in", 5.0),
        point("net_in", 9.0, time=2),
        point("net_out", None),
        point("disk_read", 7.0, "datastore/main"),
        point("uploaded", 3.0, "datastore/main/s3"),
        point("disk_read", 1.0, "moon"),
        {"id": "host", "metric": "disk_write", "value": "much"},
    ]
    scraped = await page({"/status/metrics": {"data": points}}, ["io"])
    assert scraped.value("pbs_host_network_receive_bytes_total") == 9
    assert scraped.value("pbs_host_network_transmit_bytes_total") is None
    assert scraped.value("pbs_host_disk_written_bytes_total") is None
    assert scraped.by("pbs_datastore_read_bytes_total", "datastore") == {"main": 7}
    # A row that can't be read is left out.
    assert success(scraped, "io") == 0


@pytest.mark.parametrize("said", [[], {}, {"data": {}}, {"data": None}, None, "no"])
async def test_counters_of_the_wrong_shape_fail(said: Json) -> None:
    """An answer without a list of points is a failure of the collector alone."""
    scraped = await page({"/status/metrics": said}, ["io"])
    assert (success(scraped, "io"), scraped.value("pbs_up")) == (0, 1)


async def test_buckets() -> None:
    """Each S3 datastore that can be asked is, and has what PBS says of its bucket, be it nothing."""
    numbers = {"get": 1, "put": 2, "post": 0, "head": 4, "uploaded": 6, "downloaded": None}
    scraped = await page(
        {
            "/admin/datastore": [
                {"store": "a", "backend-type": "s3"},
                {"store": "b", "backend-type": "s3"},
                {"store": "c", "backend-type": "s3", "maintenance": "s3-refresh"},
                {"store": "d", "backend-type": "filesystem"},
            ],
            "/admin/datastore/a/status": {"total": 1, "s3-statistics": numbers},
            "/admin/datastore/b/status": {"total": 1},
        },
        ["s3"],
    )
    assert scraped.by("pbs_datastore_s3_requests_total", "method") == {"get": 1, "put": 2, "post": 0, "head": 4}
    assert scraped.by("pbs_datastore_s3_uploaded_bytes_total", "datastore") == {"a": 6}
    assert not series(scraped, "pbs_datastore_s3_downloaded_bytes_total")
    assert scraped.by("pbs_scrape_datastore_success", "datastore") == {"a": 1, "b": 1}
