"""The host's numbers when PBS returns only some of them, and the counters of its networks and disks."""

import math

import pytest

from pbs_exporter.collectors.host import HostCollector
from tests.support.canned_pbs import Json, page, series, success
from tests.support.metrics_page import Scraped

STATUS = {
    "cpu": 0.25,
    "wait": 0.125,
    "loadavg": [1.5, 2.5, 3.5],
    "uptime": 100,
    "memory": {"total": 11, "used": 12, "free": 13},
    "swap": {"total": 21, "used": 22, "free": 23},
    "root": {"total": 31, "used": 32, "avail": 33},
    "cpuinfo": {"model": "EPYC", "sockets": 1, "cpus": 8},
    "current-kernel": {"sysname": "Linux", "release": "6.14.8-2-pve", "version": "#1", "machine": "x86_64"},
    "boot-info": {"mode": "efi", "secureboot": True},
}
NUMBERS = {
    "pbs_host_cpu_usage": 0.25,
    "pbs_host_io_wait": 0.125,
    "pbs_host_load1": 1.5,
    "pbs_host_load5": 2.5,
    "pbs_host_load15": 3.5,
    "pbs_host_uptime_seconds": 100,
    "pbs_host_memory_total_bytes": 11,
    "pbs_host_memory_used_bytes": 12,
    "pbs_host_memory_free_bytes": 13,
    "pbs_host_swap_total_bytes": 21,
    "pbs_host_swap_used_bytes": 22,
    "pbs_host_swap_free_bytes": 23,
    "pbs_host_rootfs_total_bytes": 31,
    "pbs_host_rootfs_used_bytes": 32,
    "pbs_host_rootfs_avail_bytes": 33,
    "pbs_host_cpus": 8,
}
INFO = {"cpu_model": "EPYC", "kernel": "6.14.8-2-pve", "boot_mode": "efi", "secureboot": "1"}
LOADS = {"pbs_host_load1", "pbs_host_load5", "pbs_host_load15"}
NAMES = {metric.name for metric in HostCollector.metrics}
MEMORY = {name for name in NUMBERS if "_memory_" in name}


def numbers(scraped: Scraped) -> dict[str, float]:
    """Return all values of the collector."""
    return {
        sample.name: sample.value
        for family in scraped.families.values()
        for sample in family.samples
        if sample.name in NAMES and sample.name != "pbs_host_info"
    }


@pytest.mark.parametrize(
    ("change", "missing", "info"),
    [
        pytest.param({}, set(), {}, id="all there"),
        pytest.param({"cpu": None}, {"pbs_host_cpu_usage"}, {}, id="PBS writes null for NaN"),
        pytest.param({"cpu": math.nan}, {"pbs_host_cpu_usage"}, {}, id="a bare NaN"),
        pytest.param({"uptime": math.nan}, {"pbs_host_uptime_seconds"}, {}, id="a bare NaN for a whole number"),
        pytest.param({"wait": math.inf}, {"pbs_host_io_wait"}, {}, id="a bare Infinity"),
        pytest.param({"loadavg": [1.5, None, 3.5]}, {"pbs_host_load5"}, {}, id="one load is null"),
        pytest.param({"loadavg": None}, LOADS, {}, id="no load"),
        pytest.param({"memory": None}, MEMORY, {}, id="no memory"),
        pytest.param({"memory": {"total": 11, "used": 12}}, {"pbs_host_memory_free_bytes"}, {}, id="no free memory"),
        pytest.param({"cpuinfo": None}, {"pbs_host_cpus"}, {"cpu_model": ""}, id="no processor"),
        pytest.param({"current-kernel": None}, set(), {"kernel": ""}, id="no kernel"),
        pytest.param({"boot-info": None}, set(), {"boot_mode": "", "secureboot": ""}, id="no boot mode"),
        pytest.param({"boot-info": {"mode": "legacy-bios", "secureboot": False}}, set(),
                     {"boot_mode": "legacy-bios", "secureboot": "0"}, id="no secure boot"),
        pytest.param({"boot-info": {"mode": "efi"}}, set(), {"secureboot": ""}, id="secure boot unsaid"),
    ],
)  # fmt: skip
async def test_what_pbs_does_not_say_is_absent(change: Json, missing: set[str], info: dict[str, str]) -> None:
    """A missing number has no sample, a missing text is empty, and all the others stay."""
    scraped = await page({"/nodes/localhost/status": STATUS | change}, ["host"])
    assert numbers(scraped) == {name: value for name, value in NUMBERS.items() if name not in missing}
    assert series(scraped, "pbs_host_info") == [(INFO | info, 1)]
    assert success(scraped, "host") == 1


async def test_zeros_are_shown() -> None:
    """A 0 from PBS is a value."""
    status = STATUS | {"cpu": 0, "wait": 0.0, "uptime": 0, "swap": {"total": 0, "used": 0, "free": 0}}
    shown = numbers(await page({"/nodes/localhost/status": status}, ["host"]))
    swap = {f"pbs_host_swap_{key}_bytes": 0.0 for key in ("total", "used", "free")}
    zeros = {"pbs_host_cpu_usage": 0.0, "pbs_host_io_wait": 0.0, "pbs_host_uptime_seconds": 0.0}
    assert shown == NUMBERS | zeros | swap


async def test_old_answer_without_the_newer_fields() -> None:
    """The numbers are whole if PBS has neither `current-kernel` nor `boot-info`."""
    old = {key: value for key, value in STATUS.items() if key not in ("current-kernel", "boot-info")}
    scraped = await page({"/nodes/localhost/status": old | {"kversion": "Linux 5.15"}}, ["host"])
    assert numbers(scraped) == NUMBERS
    assert series(scraped, "pbs_host_info") == [
        ({"cpu_model": "EPYC", "kernel": "", "boot_mode": "", "secureboot": ""}, 1)
    ]


def point(metric: str, value: Json, subject: str = "host", time: int = 1) -> Json:
    """Make a row of `/status/metrics`."""
    return {"id": subject, "metric": metric, "timestamp": time, "type": "derive", "value": value}


async def test_counters_are_the_newest_known_ones() -> None:
    """The last of several points is used, null has no sample, and only the host and datastores are shown."""
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
    # An unreadable row is left out.
    assert success(scraped, "io") == 0


@pytest.mark.parametrize("said", [[], {}, {"data": {}}, {"data": None}, None, "no"])
async def test_counters_of_the_wrong_shape_fail(said: Json) -> None:
    """An answer without a list of points fails this collector only."""
    scraped = await page({"/status/metrics": said}, ["io"])
    assert (success(scraped, "io"), scraped.value("pbs_up")) == (0, 1)
