"""Datastores: maintenance, mount status, readability, the estimated date when they are full, and S3 backends."""

import json

import pytest

from pbs_exporter.simulator import Answer
from tests.support.canned_pbs import DAY, NOW, Json, page, series, success
from tests.support.metrics_page import Scraped

YEAR_2200 = 7_258_118_400
SIZES = {"total": 1000, "used": 600, "avail": 300}
USAGE = "/status/datastore-usage"
LIST = "/admin/datastore"
UPID = "UPID:pbs:000003F2:00000E10:0000001A:6888240C:garbage_collection:main:root@pam:"


async def one(listed: Json = None, usage: Json = None) -> Scraped:
    """Scrape a PBS with the datastore `main`, with these fields added to its list row and its usage row."""
    row = {"store": "main"}
    return await page(
        {LIST: [row | (listed or {})], USAGE: [row | (SIZES if usage is None else usage)]}, ["datastores"]
    )


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        pytest.param({}, None, id="absent: too few points"),
        pytest.param({"estimated-full-date": None}, None, id="null"),
        pytest.param({"estimated-full-date": 0}, None, id="zero: usage stays as it is"),
        pytest.param({"estimated-full-date": NOW - DAY}, None, id="past: usage falls"),
        pytest.param({"estimated-full-date": NOW}, None, id="now"),
        pytest.param({"estimated-full-date": -62_135_596_800}, None, id="negative"),
        pytest.param({"estimated-full-date": NOW + 1}, NOW + 1, id="a second ahead"),
        pytest.param({"estimated-full-date": NOW + 90 * DAY}, NOW + 90 * DAY, id="ahead"),
        pytest.param({"estimated-full-date": YEAR_2200 - 1}, YEAR_2200 - 1, id="the last second before 2200"),
        pytest.param({"estimated-full-date": YEAR_2200}, None, id="2200"),
        pytest.param({"estimated-full-date": 2**63 - 1}, None, id="saturated"),
        pytest.param({"estimated-full-date": -(2**63)}, None, id="saturated, negative"),
    ],
)
async def test_estimated_full_date(date: Json, shown: float | None) -> None:
    """The date when a datastore will be full is shown only if it is in the future and before the year 2200."""
    scraped = await one(usage=SIZES | date)
    assert scraped.value("pbs_datastore_estimated_full_timestamp_seconds", datastore="main") == shown
    assert scraped.value("pbs_datastore_used_bytes", datastore="main") == 600
    assert success(scraped, "datastores") == 1


@pytest.mark.parametrize(
    ("maintenance", "mode", "readable"),
    [
        pytest.param(None, None, 1, id="null"),
        pytest.param("", None, 1, id="empty"),
        ("read-only", "read-only", 1),
        ("offline", "offline", 0),
        ("delete", "delete", 0),
        ("unmount", "unmount", 0),
        ("s3-refresh", "s3-refresh", 0),
        ("read-only,message=foo", "read-only", 1),
        ("offline,message=disk swap", "offline", 0),
        ("type=read-only", "read-only", 1),
        ("type=offline,message=x", "offline", 0),
        ("message=x,type=offline", "offline", 0),
        ("message=x,read-only", "read-only", 1),
        (r'type=offline,message="say \"hi\""', "offline", 0),
        (r'message="a,b, type=delete",offline', "offline", 0),
        (r'message="with \"quotes\", and more",type=read-only', "read-only", 1),
        pytest.param("offline,message=first, read-only", "offline", 0, id="a comma in an unquoted message"),
        pytest.param("read-only,message=a,type=offline", "read-only", 1, id="only the first counts"),
        pytest.param("frozen,message=x", "unknown", 0, id="a mode that PBS invents later"),
        pytest.param("type=frozen", "unknown", 0, id="the same, with its name"),
        pytest.param("read-only,message=" + '="\\\\' * 100_000, "read-only", 1, id="long behind the mode"),
        pytest.param('="\\\\' * 100_000 + ",type=offline", None, 1, id="behind all that is read"),
        pytest.param('message="' + "x" * 300 + '",offline', "offline", 0, id="behind a long message"),
        pytest.param('"\\"' * 100 + ",type=offline", None, 1, id="in a quote without an end"),
        pytest.param(",,read-only", "read-only", 1, id="empty properties"),
    ],
)
async def test_maintenance(maintenance: str | None, mode: str | None, readable: float) -> None:
    """The mode is the first property that is `type=…` or has no name; every mode but read-only makes it unreadable."""
    scraped = await one({"maintenance": maintenance}, SIZES if readable else {"error": "datastore is unavailable"})
    expected = [] if mode is None else [({"datastore": "main", "mode": mode}, 1.0)]
    assert series(scraped, "pbs_datastore_maintenance") == expected
    assert scraped.value("pbs_datastore_readable", datastore="main") == readable


@pytest.mark.parametrize(
    ("maintenance", "asked"),
    [(None, True), ("read-only", True), ("type=read-only,message=x", True), ("offline", False), ("frozen", False)],
)
async def test_datastores_in_maintenance_are_not_asked(maintenance: str | None, asked: bool) -> None:  # noqa: FBT001
    """Snapshots are listed only for datastores without maintenance or in read-only mode."""
    scraped = await page({LIST: [{"store": "main", "maintenance": maintenance}]}, ["snapshots"])
    expected = {"main": 1.0} if asked else {}
    assert scraped.by("pbs_scrape_datastore_success", "datastore") == expected
    assert success(scraped, "snapshots") == 1


@pytest.mark.parametrize(
    ("status", "mounted", "readable"),
    [
        pytest.param({}, None, 1, id="absent"),
        pytest.param({"mount-status": None}, None, 1, id="null"),
        pytest.param({"mount-status": "nonremovable"}, None, 1, id="not removable"),
        pytest.param({"mount-status": "mounted"}, 1, 1, id="mounted"),
        pytest.param({"mount-status": "notmounted"}, 0, 0, id="not mounted"),
        pytest.param({"mount-status": "levitating"}, None, 1, id="one that PBS invents later"),
    ],
)
async def test_mount_status(status: Json, mounted: float | None, readable: float) -> None:
    """Only a removable datastore has a mount status; an unmounted one isn't readable and has no sizes."""
    scraped = await one(status, status | (SIZES if readable else {}))
    assert scraped.value("pbs_datastore_mounted", datastore="main") == mounted
    assert scraped.value("pbs_datastore_readable", datastore="main") == readable
    assert scraped.value("pbs_datastore_total_bytes", datastore="main") == (1000 if readable else None)


@pytest.mark.parametrize(
    ("usage", "readable", "total"),
    [
        pytest.param(SIZES, 1, 1000, id="numbers"),
        pytest.param({"total": 1000}, 1, 1000, id="some numbers"),
        pytest.param({"error": "unable to open chunk store"}, 0, None, id="error"),
        pytest.param({}, None, None, id="no numbers: rights are missing"),
        pytest.param(dict.fromkeys(SIZES), None, None, id="null"),
    ],
)
async def test_readable_by_the_usage(usage: Json, readable: float | None, total: float | None) -> None:
    """A row with numbers is readable, a row with an error isn't, and a row with neither is unknown."""
    scraped = await one(usage=usage)
    assert scraped.value("pbs_datastore_readable", datastore="main") == readable
    assert scraped.value("pbs_datastore_total_bytes", datastore="main") == total
    assert success(scraped, "datastores") == 1


VANISHED = Answer.text(400, "unable to stat: No such file or directory")
NO_RIGHT = Answer.text(403, "permission check failed.")


@pytest.mark.parametrize(
    ("status", "readable", "total", "good"),
    [
        pytest.param(SIZES, 1, 1000, 1, id="numbers"),
        pytest.param(VANISHED, 0, None, 0, id="refused with 400"),
        pytest.param(NO_RIGHT, None, None, 0, id="forbidden"),
        pytest.param(Answer.text(500, "oops"), None, None, 0, id="another error"),
        pytest.param({"total": 0, "used": 0, "avail": 0}, None, None, 1, id="zeros: rights are missing"),
    ],
)
async def test_readable_by_its_own_status(
    status: Json, readable: float | None, total: float | None, good: float
) -> None:
    """If the usage of all fails, each datastore's own status is used, and one failure doesn't affect the others."""
    scraped = await page(
        {
            USAGE: VANISHED,
            LIST: [{"store": "main"}, {"store": "other"}, {"store": "shut", "maintenance": "offline"}],
            "/admin/datastore/main/status": status,
            "/admin/datastore/other/status": SIZES,
        },
        ["datastores"],
    )
    readables = {"main": readable, "other": 1, "shut": 0}
    expected = {store: value for store, value in readables.items() if value is not None}
    assert scraped.by("pbs_datastore_readable", "datastore") == expected
    totals = {"main": total, "other": 1000}
    assert scraped.by("pbs_datastore_total_bytes", "datastore") == {k: v for k, v in totals.items() if v is not None}
    assert scraped.by("pbs_scrape_datastore_success", "datastore") == {"main": good, "other": 1}
    assert success(scraped, "datastores") == 0


@pytest.mark.parametrize(
    ("gc", "factor"),
    [
        pytest.param({"upid": UPID, "index-data-bytes": 900, "disk-bytes": 300}, 3, id="data over disk"),
        pytest.param({"upid": UPID, "index-data-bytes": 0, "disk-bytes": 300}, 0, id="no data"),
        pytest.param({"upid": UPID, "index-data-bytes": 900, "disk-bytes": 0}, None, id="nothing on disk"),
        pytest.param({"upid": None, "index-data-bytes": 900, "disk-bytes": 300}, None, id="never ran"),
        pytest.param({"upid": UPID, "disk-bytes": 300}, None, id="no data said"),
        pytest.param(None, None, id="no status"),
    ],
)
async def test_deduplication_factor(gc: Json, factor: float | None) -> None:
    """The deduplication factor is shown only for a successful garbage collection that found data on disk."""
    scraped = await one(usage=SIZES | {"gc-status": gc})
    assert scraped.value("pbs_datastore_deduplication_factor", datastore="main") == factor
    assert scraped.value("pbs_datastore_total_bytes", datastore="main") == 1000
    assert success(scraped, "datastores") == 1


async def test_an_old_pbs_says_less() -> None:
    """PBS 3.2 has no mount status and no backend: sizes are shown, and the missing fields have no samples."""
    scraped = await one({"comment": None})
    assert series(scraped, "pbs_datastore_info") == [({"datastore": "main", "backend": "", "comment": ""}, 1)]
    assert not scraped.series("pbs_datastore_mounted")
    assert scraped.by("pbs_datastore_total_bytes", "datastore") == {"main": 1000}
    assert scraped.by("pbs_datastore_used_bytes", "datastore") == {"main": 600}
    assert scraped.by("pbs_datastore_available_bytes", "datastore") == {"main": 300}


async def test_sizes_beyond_what_a_float_holds() -> None:
    """Sizes above 2**53 lose precision and nothing else."""
    scraped = await one(usage={"total": 2**63 + 1, "used": 2**53, "avail": 0})
    assert scraped.value("pbs_datastore_total_bytes", datastore="main") == float(2**63)
    assert scraped.value("pbs_datastore_used_bytes", datastore="main") == 2**53
    assert scraped.value("pbs_datastore_available_bytes", datastore="main") == 0


@pytest.mark.parametrize("zeros", [400, 5000])
@pytest.mark.parametrize("sign", ["", "-"])
async def test_a_number_beyond_any_float_costs_itself_alone(sign: str, zeros: int) -> None:
    """Where one number is beyond any float, what is made of it is unknown, and all else is there."""
    row: Json = SIZES | {"store": "main", "used": "HUGE", "gc-status": {"upid": UPID, "index-data-bytes": "HUGE"}}
    row["gc-status"]["disk-bytes"] = 5
    body = json.dumps({"data": [row]}).replace('"HUGE"', f"{sign}1{'0' * zeros}")
    scraped = await page({LIST: [{"store": "main"}], USAGE: Answer(200, body.encode())}, ["datastores"])
    assert scraped.value("pbs_datastore_total_bytes", datastore="main") == 1000
    assert scraped.value("pbs_datastore_used_bytes", datastore="main") is None
    assert not scraped.series("pbs_datastore_deduplication_factor")
    assert success(scraped, "datastores") == 1


async def test_buckets() -> None:
    """Each available S3 datastore is asked, and has the statistics that PBS returns, if any."""
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


async def test_a_list_without_end_is_cut() -> None:
    """Of more than a thousand datastores the first ones are asked and shown, and the collectors tell of the rest."""
    rows = [{"store": f"s{number}"} for number in range(1_002)]
    scraped = await page({LIST: rows, USAGE: []}, ["datastores", "snapshots"])
    assert {labels["datastore"] for labels, _ in scraped.series("pbs_datastore_info")} == {
        row["store"] for row in rows[:1_000]
    }
    assert success(scraped, "datastores") == success(scraped, "snapshots") == 0
