"""What the node lists: its services, its subscription, its updates, its disks and its ZFS pools."""

import pytest

from tests.support.canned_pbs import Json, page, series, success


@pytest.mark.parametrize(
    ("row", "running"),
    [
        ({"state": "running", "unit-state": "enabled"}, 1),
        ({"state": "running", "unit-state": "static"}, 1),
        ({"state": "dead", "unit-state": "enabled"}, 0),
        ({"state": "failed"}, 0),
        ({"state": "dead", "unit-state": "disabled"}, None),
        ({"state": "dead", "unit-state": "masked"}, None),
        ({"state": "dead", "unit-state": "not-found"}, None),
        ({"state": None, "unit-state": "enabled"}, None),
    ],
)
async def test_services(row: Json, running: float | None) -> None:
    """A service runs or doesn't; one that is disabled or has no state in the answer has no series."""
    scraped = await page({"/nodes/localhost/services": [{"service": "cron", "name": "cron"} | row]}, ["services"])
    assert scraped.value("pbs_service_running", service="cron") == running
    assert success(scraped, "services") == 1


@pytest.mark.parametrize(
    ("said", "state", "due"),
    [
        pytest.param({"status": "active", "nextduedate": "2026-03-31"}, "active", 1_774_915_200, id="active"),
        pytest.param({"status": "new", "nextduedate": "0000-00-00"}, "new", None, id="no day"),
        pytest.param({"status": "expired", "nextduedate": "soon"}, "expired", None, id="no date at all"),
        pytest.param({"status": "suspended", "nextduedate": None}, "suspended", None, id="null"),
        pytest.param({"status": "invalid"}, "invalid", None, id="invalid"),
        pytest.param({"status": "notfound", "message": "none"}, "notfound", None, id="none"),
        pytest.param({"status": "golden"}, "unknown", None, id="a status of tomorrow"),
        pytest.param({}, "unknown", None, id="nothing said"),
    ],
)
async def test_subscription(said: Json, state: str, due: float | None) -> None:
    """The subscription is in exactly one state, and is due at midnight UTC of its due date, if it has one."""
    scraped = await page({"/nodes/localhost/subscription": said}, ["subscription"])
    states = scraped.by("pbs_subscription_status", "status")
    assert states.keys() == {"new", "notfound", "active", "invalid", "expired", "suspended", "unknown"}
    assert [name for name, value in states.items() if value] == [state]
    assert scraped.value("pbs_subscription_next_due_timestamp_seconds") == due


@pytest.mark.parametrize("number", [0, 1, 7])
async def test_updates_are_counted(number: int) -> None:
    """Each row is a package with an upgrade; an empty list is 0."""
    rows = [{"Package": f"p{index}", "OldVersion": "1", "Version": "2"} for index in range(number)]
    scraped = await page({"/nodes/localhost/apt/update": rows}, ["updates"])
    assert scraped.value("pbs_updates_pending") == number


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
