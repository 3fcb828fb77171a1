"""Endpoints that a version of PBS lacks are no failure, and aren't asked for until the version changes."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.errors import NoSuchParameter, NotOffered
from pbs_exporter.pbs.capabilities import Capabilities
from pbs_exporter.pbs.models import Version
from pbs_exporter.simulator import Fault, Replay
from tests.support.metrics_page import facts, failed
from tests.support.paths import recording_file
from tests.support.running import Setup, running

DRIVE = "/tape/drive"
NOT_FOUND = Fault.status(404, f"Path '/api2/json{DRIVE}' not found.")
OTHER = {"version": "4.3", "release": "1", "repoid": "def"}


def told(logs: list[Any]) -> list[tuple[str, str, str]]:
    """Return level, endpoint and version of each line about a missing endpoint."""
    return [
        (line["log_level"], line["endpoint"], line["version"])
        for line in logs
        if line["event"] == "not in this version of PBS"
    ]


async def drives(setup: Setup) -> int:
    """Scrape, and return the number of requests for drives."""
    before = setup.asked(DRIVE)
    assert failed(await setup.scrape()) == set()
    return setup.asked(DRIVE) - before


async def test_a_path_that_pbs_does_not_have_is_no_failure() -> None:
    """PBS's own 404 is success 1 without samples and one line at info; the path is asked for once per version."""
    async with running() as setup:
        setup.pbs.faults.add(DRIVE, NOT_FOUND)
        with capture_logs() as logs:
            page = await setup.scrape()
            assert failed(page) == set()
            assert not [name for name, _ in facts(page) if name.startswith("pbs_tape_drive_")]
            assert [await drives(setup) for _ in range(3)] == [0, 0, 0]
        assert told(logs) == [("info", DRIVE, "4.2.3")]


async def test_a_new_version_is_asked_again() -> None:
    """When the version of PBS changes, the path is asked for again, and its values are on the page."""
    async with running() as setup:
        missing = setup.pbs.faults.add(DRIVE, NOT_FOUND)
        assert [await drives(setup) for _ in range(2)] == [1, 0]
        missing.remove()
        setup.pbs.faults.add("/version", Fault.json(OTHER))
        await setup.scrape()
        assert await drives(setup) == 1
        assert [name for name, _ in facts(await setup.scrape()) if name.startswith("pbs_tape_drive_")]


@pytest.mark.parametrize("text", ["Path '/api2/json/tape' not found.", "not found", ""])
async def test_any_other_404_is_a_failure(text: str) -> None:
    """A 404 with another text, or of another path, fails its collector, and the path is asked for again."""
    async with running() as setup:
        setup.pbs.faults.add(DRIVE, Fault.status(404, text))
        for _ in range(2):
            assert failed(await setup.scrape()) == {"tape"}
        assert setup.asked(DRIVE) == 2


async def test_an_old_pbs_is_whole() -> None:
    """PBS 3.2 has no /status/metrics and no push jobs: no failure, its pull jobs are shown, neither is asked twice."""
    async with running(Replay(recording_file("pbs-3.2.4"))) as setup:
        for _ in range(3):
            page = await setup.scrape()
            success = page.by("pbs_scrape_collector_success", "collector")
            assert (success["io"], success["jobs"]) == (1, 1)
            assert [labels["job_id"] for labels, _ in page.series("pbs_job_info") if labels["job_type"] == "sync"] == [
                "pull-prod"
            ]
            assert not page.series("pbs_host_network_receive_bytes_total")
        assert setup.asked("/status/metrics") == 1
        assert [request.query for request in setup.pbs.requests_to("/admin/sync")] == ["sync-direction=all", "", "", ""]


async def test_what_the_old_version_lacks_says_nothing_about_the_new_one() -> None:
    """A 404 for a request to the old version, which comes when the new one is known already, isn't remembered."""
    old, new = Version("4.2", "3", "abc"), Version("4.3", "1", "def")
    capabilities = Capabilities()
    asked: list[Any] = []

    async def upgraded(query: Any) -> None:
        capabilities.record_version(new)
        raise NoSuchParameter(400, "") if query else NotOffered(404, "Path not found.")

    async def answered(query: Any) -> None:
        asked.append(query)

    for newer in ({}, {"new": "1"}):
        capabilities.record_version(old)
        with pytest.raises(NotOffered):
            await capabilities.request(DRIVE, {}, newer, upgraded)
        await capabilities.request(DRIVE, {}, {"new": "1"}, answered)
    assert asked == [{"new": "1"}] * 2
