"""Services in states that no recording contains."""

import pytest

from tests.support.canned_pbs import Json, page, success


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
