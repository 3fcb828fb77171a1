"""Tapes by pool, status and location."""

import pytest

from tests.support.canned_pbs import Json, page, series


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
