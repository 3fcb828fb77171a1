"""The subscription in each state."""

import pytest

from tests.support.canned_pbs import Json, page


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
