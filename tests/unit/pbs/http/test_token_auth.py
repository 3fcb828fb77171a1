"""A refused token: few requests, one log line, and recovery as soon as the token is right."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import Secret
from pbs_exporter.simulator import Fault
from tests.support.metrics_page import facts, failed, listed_at
from tests.support.running import NOW, Setup, running, small_world

ALL = {collector.name for collector in COLLECTORS if collector.default and collector.name != "certificate"}
"""All that ask, over plain http."""
SLOW = {collector.name for collector in COLLECTORS if collector.intervals}
"""Those that had asked before the token was refused."""
WRONG = Secret("11111111-2222-3333-4444-555555555555")
REFUSED_UNTIL_4_1_1 = "authentication failed - invalid credentials"

Lines = list[MutableMapping[str, Any]]


def events(logs: Lines) -> list[tuple[str, str]]:
    return [(line["event"], line.get("collector", "")) for line in logs]


async def test_a_wrong_token_costs_one_refused_login_a_scrape() -> None:
    """A wrong token costs one request to /version per scrape, a 200 with pbs_up 0, and one line in the log."""
    async with running(token_secret=WRONG) as setup:
        with capture_logs() as logs:
            for scrapes in (1, 2):
                page = await setup.scrape()
                assert page.value("pbs_up") == 0
                assert failed(page) == ALL
                assert [request.template for request in setup.pbs.requests] == ["/version"] * scrapes
        assert events(logs) == [("failing", "version")]
        assert logs[0]["log_level"] == "warning"
        assert "401" in logs[0]["reason"]


async def test_two_scrapes_with_a_wrong_token_cost_one_refused_login_each() -> None:
    """Overlapping scrapes cost at most one refused request each."""
    async with running(token_secret=WRONG) as setup:
        await asyncio.gather(setup.scrape(), setup.scrape())
        assert {request.template for request in setup.pbs.requests} == {"/version"}
        assert setup.asked("*") <= 2


async def test_after_three_refusals_pbs_is_asked_once_a_minute() -> None:
    """After three consecutive refusals PBS is asked only every 60 s, and the log says so once."""
    async with running(token_secret=WRONG) as setup:
        asked = []
        with capture_logs() as logs:
            for _ in range(16):
                page = await setup.scrape()
                assert page.value("pbs_up") == 0
                asked.append(setup.asked("*"))
                setup.clock.advance(15)
        # The third refusal is at 30 s: the next requests are due at 90, 150 and 210 s.
        assert asked == [1, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6]
        assert events(logs) == [("failing", "version"), ("login refused", "")]
        assert logs[1]["log_level"] == "warning"
        assert logs[1]["asked_again_after_seconds"] == 60


async def test_scrapes_at_once_share_their_refused_logins() -> None:
    """After the first refusal five scrapes at once cost no more refused logins than one: two, and one a minute."""
    async with running(token_secret=WRONG) as setup:
        setup.pbs.login_delay = 0.05
        asked = []
        for _ in range(9):
            pages = await asyncio.gather(*(setup.scrape() for _ in range(5)))
            assert {page.value("pbs_up") for page in pages} == {0}
            asked.append(setup.asked("*"))
            setup.clock.advance(15)
        # Nothing is known of the token when the first five begin.
        assert asked == [5, 6, 7, 7, 7, 7, 8, 8, 8]


async def test_a_refusal_by_some_endpoints_costs_these_alone() -> None:
    """Where PBS takes the token and single requests are refused, these are tried three times and once a minute."""
    refusing = ("/admin/gc", "/tape/drive", "/nodes/localhost/tasks")
    async with running() as setup:
        for path in refusing:
            setup.pbs.faults.add(path, Fault.status(401, "authentication failed"))
        asked = []
        with capture_logs() as logs:
            for _ in range(12):
                page = await setup.scrape()
                asked.append(sum(map(setup.asked, refusing)))
                assert page.value("pbs_up") == 1
                assert failed(page) >= {"gc", "tape", "tasks"}
                if len(asked) > 1:
                    assert not failed(page) & {"host", "datastores", "io", "s3"}
                setup.clock.advance(15)
        # There are four such requests. What is refused for the first time may be sent at once with others.
        assert asked[0] <= 4
        assert asked[2] <= 6
        paused = [number - asked[2] for number in asked[2:]]
        assert paused in ([0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
        assert events(logs).count(("login refused", "")) == 1
        setup.pbs.faults.clear()
        setup.clock.advance(60)
        assert failed(await setup.scrape()) == set()


async def test_a_scrape_that_leaves_lets_the_next_one_try() -> None:
    """A scrape whose time is up while it tries the token doesn't keep the other scrapes waiting."""
    async with running() as setup:
        right, setup.pbs.secret = setup.pbs.secret, "another"
        await setup.scrape()
        setup.pbs.secret = right
        setup.pbs.faults.add("/version", Fault.stall(), times=1)
        first, second = await asyncio.gather(setup.scrape(0.2), setup.scrape())
        assert {first.value("pbs_up"), second.value("pbs_up")} == {0, 1}


async def test_a_token_that_becomes_right_recovers() -> None:
    """When PBS accepts the token again, the next try is complete, and the log has the duration of the outage."""
    async with running() as well:
        whole = await well.scrape()
    async with running(token_secret=WRONG, listing_mode="full") as setup:
        for _ in range(3):
            await setup.scrape()
        setup.pbs.secret = WRONG.reveal()
        setup.clock.advance(59)
        assert failed(await setup.scrape()) == ALL
        assert setup.asked("*") == 3
        setup.clock.advance(1)
        with capture_logs() as logs:
            page = await setup.scrape()
        assert failed(page) == set()
        assert facts(page).keys() == facts(whole).keys()
        assert events(logs) == [("recovered", "version")]
        assert logs[0]["failed_for_seconds"] == 60
        # The count of refusals restarts too.
        setup.pbs.secret = "another"
        setup.pbs.requests.clear()
        for _ in range(4):
            await setup.scrape()
        assert setup.asked("/version") == 3


@pytest.mark.parametrize("refusals", [1, 3, 5])
async def test_a_new_secret_in_the_file_is_tried_at_once(tmp_path: Path, refusals: int) -> None:
    """When token_secret_file holds another secret, the next scrape tries it, whatever was refused before."""
    file = tmp_path / "secret"
    file.write_text(WRONG.reveal())
    async with running(token_secret=WRONG, token_secret_file=file) as setup:
        for _ in range(refusals):
            await setup.scrape()
        assert setup.asked("*") == min(refusals, 3)
        file.write_text(setup.pbs.secret + "\n")
        page = await setup.scrape()
        assert page.value("pbs_up") == 1
        assert failed(page) == set()


@pytest.mark.parametrize("content", ["", "two words", None, WRONG.reveal() + "\n"])
async def test_a_file_without_a_new_secret_changes_nothing(tmp_path: Path, content: str | None) -> None:
    """An empty, missing, unusable or unchanged file doesn't make the exporter ask PBS earlier."""
    file = tmp_path / "secret"
    file.write_text(WRONG.reveal())
    async with running(token_secret=WRONG, token_secret_file=file) as setup:
        for _ in range(3):
            await setup.scrape()
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        for _ in range(3):
            assert (await setup.scrape()).value("pbs_up") == 0
        assert setup.asked("*") == 3


@pytest.mark.parametrize(
    "refusal",
    [
        Fault.status(401, "authentication failed"),
        Fault.status(401, "permission check failed"),
        Fault.status(401, "", content_type=None),
        Fault.status(400, REFUSED_UNTIL_4_1_1),
    ],
    ids=["401", "401 with another text", "401 without a text", "400"],
)
async def test_what_counts_as_a_refused_login(refusal: Fault) -> None:
    """401 is a refusal, and so is 400 with PBS's login text, which some versions return instead."""
    async with running() as setup:
        setup.pbs.faults.add("*", refusal)
        for scrapes in (1, 2, 3, 3, 3):
            page = await setup.scrape()
            assert failed(page) == ALL
            assert setup.asked("*") == scrapes


@pytest.mark.parametrize(
    "failure",
    [Fault.status(400, "parameter verification failed"), Fault.status(403, "no"), Fault.status(500, "no")],
    ids=["400", "403", "500"],
)
async def test_what_is_no_refused_login(failure: Fault) -> None:
    """Any other failure of /version doesn't concern the token: the other endpoints are asked at every scrape."""
    async with running() as setup:
        setup.pbs.faults.add("/version", failure)
        for scrapes in range(1, 6):
            page = await setup.scrape()
            assert page.value("pbs_up") == 0
            assert failed(page) == set()
            assert setup.asked("/version") == scrapes


async def test_a_token_that_is_revoked_in_mid_life() -> None:
    """After the token is revoked, running requests fail, each scrape sends one request, and old listings stay."""
    async with running(small_world(6, 1), max_concurrent_requests=8) as setup:
        whole = await setup.scrape()
        setup.pbs.secret, right = "another", setup.pbs.secret
        setup.pbs.requests.clear()
        with capture_logs() as logs:
            page = await setup.scrape()
            assert page.value("pbs_up") == 0
            assert failed(page) == ALL - SLOW
            assert listed_at(page) == listed_at(whole)
            # Only the first batch of requests was sent; none that waited for a slot was.
            assert setup.asked("*") <= 8
            assert setup.asked("/admin/datastore/*") == 0
            await refused_once_a_scrape(setup, 2)
            before = setup.asked("*")
            setup.clock.advance(30)
            await setup.scrape()
            assert setup.asked("*") == before
        said = events(logs)
        assert said.count(("failing", "version")) == 1
        assert said.count(("login refused", "")) == 1
        setup.pbs.secret = right
        setup.clock.advance(30)
        page = await setup.scrape()
        assert failed(page) == set()
        assert facts(page).keys() == facts(whole).keys()
        assert set(listed_at(page).values()) == {NOW + 60}


async def refused_once_a_scrape(setup: Setup, scrapes: int) -> None:
    for _ in range(scrapes):
        before = setup.asked("*")
        page = await setup.scrape()
        assert page.value("pbs_up") == 0
        assert page.series("pbs_snapshot_count")
        assert [request.template for request in setup.pbs.requests[before:]] == ["/version"]


async def test_a_refusal_that_is_held_back_is_no_timeout() -> None:
    """PBS delays a refused login for seconds: /version may take four, even if timeout_seconds is less."""
    async with running(token_secret=WRONG, timeout_seconds=0.2) as setup:
        setup.pbs.login_delay = 0.8
        page = await setup.scrape()
        codes = {labels["code"] for labels, _ in page.series("pbs_exporter_api_requests_total")}
        assert codes == {"401"}
