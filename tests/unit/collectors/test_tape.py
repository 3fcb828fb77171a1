"""Tape drives with devices, which no recording contains, and tapes by pool, status and location."""

import pytest

from tests.support.canned_pbs import Json, page, series, success

FULL = {"vendor": "HPE", "model": "Ultrium 8-SCSI", "serial": "CZJ1230ABC"}
UPID = "UPID:pbs:000003F2:00000E10:0000001A:6888240C:tape-backup:main\\x3apool\\x3adrive0:root@pam:"


@pytest.mark.parametrize(
    ("drive", "info", "busy", "available"),
    [
        pytest.param(FULL, FULL, 0, 1, id="idle"),
        pytest.param(FULL | {"state": UPID}, FULL, 1, 0, id="held by a task"),
        pytest.param(FULL | {"state": ""}, FULL, 1, 0, id="held, by whom it does not say"),
        pytest.param(FULL | {"state": None}, FULL, 0, 1, id="null is not there"),
        pytest.param({}, {"vendor": "", "model": "", "serial": ""}, 0, 0, id="no device"),
        pytest.param(dict.fromkeys(FULL), {"vendor": "", "model": "", "serial": ""}, 0, 0, id="no device, as null"),
        pytest.param({"vendor": "HPE"}, {"vendor": "HPE", "model": "", "serial": ""}, 0, 1, id="only a vendor"),
        pytest.param({"model": "LTO"}, {"vendor": "", "model": "LTO", "serial": ""}, 0, 1, id="only a model"),
        pytest.param({"serial": "S1"}, {"vendor": "", "model": "", "serial": "S1"}, 0, 1, id="only a serial"),
        pytest.param({"state": UPID}, {"vendor": "", "model": "", "serial": ""}, 1, 0, id="held without a device"),
    ],
)
async def test_one_drive(drive: Json, info: dict[str, str], busy: float, available: float) -> None:
    """A drive is available if its device exists and no task holds it."""
    scraped = await page({"/tape/drive": [{"name": "drive0", "path": "/dev/sg0"} | drive]}, ["tape"])
    assert series(scraped, "pbs_tape_drive_info") == [({"name": "drive0"} | info, 1)]
    assert scraped.by("pbs_tape_drive_busy", "name") == {"drive0": busy}
    assert scraped.value("pbs_tape_drive_available") == available


async def test_drives_are_counted_and_told_apart() -> None:
    """The free drives are counted, and each drive has its own series."""
    drives = [
        {"name": "a", **FULL},
        {"name": "b", **FULL, "state": UPID},
        {"name": "c"},
        {"name": "d", "serial": "S4"},
    ]
    scraped = await page({"/tape/drive": drives}, ["tape"])
    assert scraped.value("pbs_tape_drive_available") == 2
    assert scraped.by("pbs_tape_drive_busy", "name") == {"a": 0, "b": 1, "c": 0, "d": 0}
    assert scraped.by("pbs_tape_drive_info", "name") == dict.fromkeys("abcd", 1)


async def test_no_drives() -> None:
    """If PBS lists no drive, 0 drives are available, which is no failure."""
    scraped = await page({"/tape/drive": []}, ["tape"])
    assert scraped.value("pbs_tape_drive_available") == 0
    assert not scraped.series("pbs_tape_drive_info")
    assert success(scraped, "tape") == 1


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
    """A tape is counted by pool, status and kind of location; a new status or location is unknown."""
    scraped = await page({"/tape/media/list": [tape]}, ["tape_media"])
    pool, status, location = labels
    assert series(scraped, "pbs_tape_media") == [({"pool": pool, "status": status, "location": location}, 1)]
    assert scraped.by("pbs_tape_media_expired", "pool") == {pool: 0}
    assert not series(scraped, "pbs_tape_media_used_bytes")


async def test_tapes_of_a_pool_add_up() -> None:
    """Each pool has the number of its expired tapes and the sum of the bytes used."""
    tape = {"pool": "a", "status": "full", "location": "offline"}
    tapes = [tape | {"bytes-used": 5, "expired": True}, tape | {"bytes-used": 7, "expired": False}, tape, {"pool": "b"}]
    scraped = await page({"/tape/media/list": tapes}, ["tape_media"])
    assert scraped.value("pbs_tape_media", pool="a", status="full", location="offline") == 3
    assert scraped.by("pbs_tape_media_expired", "pool") == {"a": 1, "b": 0}
    assert scraped.by("pbs_tape_media_used_bytes", "pool") == {"a": 12}
