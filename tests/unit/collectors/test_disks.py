"""Disks and ZFS pools in states that no recording contains."""

import pytest

from tests.support.canned_pbs import Json, page, series


@pytest.mark.parametrize(
    ("row", "state", "size", "life"),
    [
        ({"status": "passed", "size": 5, "wearout": 98.0}, "passed", 5, 0.98),
        ({"status": "failed", "size": 5, "wearout": 0}, "failed", 5, 0),
        ({"status": "unknown", "wearout": None}, "unknown", None, None),
        ({"status": "odd"}, "unknown", None, None),
    ],
)
async def test_disks(row: Json, state: str, size: float | None, life: float | None) -> None:
    """A disk is in exactly one state, and a missing size or wearout has no sample."""
    disk = {"name": "sda", "model": "M", "serial": None}
    scraped = await page({"/nodes/localhost/disks/list": [disk | row]}, ["disks"])
    labels = {"disk": "sda", "model": "M", "serial": ""}
    health = series(scraped, "pbs_disk_health")
    assert health == [(labels | {"status": name}, name == state) for name in ("passed", "failed", "unknown")]
    assert scraped.value("pbs_disk_size_bytes", disk="sda") == size
    assert scraped.value("pbs_disk_life_remaining_ratio", disk="sda") == life


@pytest.mark.parametrize(
    ("health", "state"),
    [
        *((name.upper(), name) for name in ("online", "degraded", "faulted", "offline", "removed", "unavail")),
        ("SUSPENDED", "suspended"),
        ("SPLIT", "unknown"),
        (None, "unknown"),
    ],
)
async def test_pools(health: str | None, state: str) -> None:
    """A pool is in exactly one state, has its sizes in bytes, and its fragmentation as a ratio."""
    pool = {"name": "tank", "health": health, "size": 10, "alloc": 4, "free": 6, "frag": 12, "dedup": 1.0}
    scraped = await page({"/nodes/localhost/disks/zfs": [pool]}, ["disks"])
    states = scraped.by("pbs_zfs_pool_health", "status")
    assert [name for name, value in states.items() if value] == [state]
    assert len(states) == 8
    numbers = {"size_bytes": 10, "allocated_bytes": 4, "free_bytes": 6, "fragmentation_ratio": 0.12}
    assert {name: scraped.value(f"pbs_zfs_pool_{name}", pool="tank") for name in numbers} == numbers
