"""The counters of networks and disks."""

import pytest

from tests.support.canned_pbs import Json, page, success


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
