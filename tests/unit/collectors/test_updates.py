"""Packages with available upgrades."""

import pytest

from tests.support.canned_pbs import page


@pytest.mark.parametrize("number", [0, 1, 7])
async def test_updates_are_counted(number: int) -> None:
    """Each row is a package with an upgrade; an empty list is 0."""
    rows = [{"Package": f"p{index}", "OldVersion": "1", "Version": "2"} for index in range(number)]
    scraped = await page({"/nodes/localhost/apt/update": rows}, ["updates"])
    assert scraped.value("pbs_updates_pending") == number
