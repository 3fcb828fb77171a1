"""Slow collectors: queried rarely, by one query at a time, and shown in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.config import Secret
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import TapeDrive
from pbs_exporter.simulator import Fault
from pbs_exporter.web.app import create_app
from tests.support.exporter import Exporter, FakeClock, make_settings
from tests.support.metrics_page import Scraped, failed
from tests.support.running import NOW, Setup, simulated
from tests.support.waiting import Gate, eventually

DRIVE = "/tape/drive"
DRIVES = Metric("pbs_slow_drives", "Drives (/tape/drive).")


class Slow(Collector[list[TapeDrive]]):
    """A collector with a long interval."""

    name = "slow"
    help = "Asks seldom."
    metrics = (DRIVES,)
    needs = (Need("Tape.Audit", "/tape", "TapeAudit"),)

    def __init__(self, intervals: int) -> None:
        self.intervals = intervals

    async def fetch(self, request: CollectorRequest) -> Result[list[TapeDrive]]:
        return of_rows(await request.pbs.tape_drives())

    def samples(self, answer: list[TapeDrive], _context: Context) -> Iterator[Sample]:
        yield from DRIVES(len(answer))


@asynccontextmanager
async def slowly(intervals: int = 1, **settings: Any) -> AsyncIterator[Setup]:
    """Run an exporter whose one collector is slow."""
    clock = FakeClock(NOW)
    async with simulated() as pbs:
        made = make_settings(pbs, collectors={"slow": True}, **settings)
        async with TestClient(TestServer(create_app(made, [Slow(intervals)], clock.clock))) as client:
            yield Setup(pbs, Exporter(client), clock)


def said(page: Scraped) -> tuple[float | None, float | None, float | None]:
    """Return success, samples, and the time of the samples."""
    success = page.value("pbs_scrape_collector_success", collector="slow")
    since = page.value("pbs_collector_data_timestamp_seconds", collector="slow")
    return success, page.value("pbs_slow_drives"), since


@pytest.mark.parametrize(
    ("intervals", "settings", "seconds"),
    [(1, {}, 300), (12, {}, 3600), (1, {"slow_interval_seconds": 40.0}, 40)],
    ids=["default", "twelve times", "set"],
)
async def test_pbs_is_asked_once_an_interval(intervals: int, settings: dict[str, Any], seconds: int) -> None:
    """PBS is queried once per interval, whatever the number of scrapes, and each shows the same samples."""
    async with slowly(intervals, **settings) as setup:
        for number in (1, 2, 3):
            for _ in range(4):
                assert said(await setup.scrape()) == (1, 2, NOW + (number - 1) * seconds)
                assert setup.asked(DRIVE) == number
                setup.clock.advance(seconds / 4)


async def test_an_interval_of_nothing_asks_at_every_scrape() -> None:
    """With slow_interval_seconds = 0 each scrape queries PBS."""
    async with slowly(slow_interval_seconds=0.0) as setup:
        for number in (1, 2, 3):
            assert said(await setup.scrape())[:2] == (1, 2)
            assert setup.asked(DRIVE) == number


async def test_a_failure_lasts_until_an_ask_succeeds() -> None:
    """After a failed query success is 0 until a query succeeds; the last good samples stay, with their time."""
    async with slowly() as setup:
        await setup.scrape()
        setup.clock.advance(300)
        armed = setup.pbs.faults.add(DRIVE, Fault.status(500, "no"))
        for _ in range(4):
            assert said(await setup.scrape()) == (0, 2, NOW)
            setup.clock.advance(30)
        armed.remove()
        assert said(await setup.scrape()) == (1, 2, NOW + 420)
        assert setup.asked(DRIVE) == 4


@pytest.mark.parametrize(("interval", "shown"), [(300.0, 3600), (2000.0, 6000)])
async def test_old_samples_vanish(interval: float, shown: int) -> None:
    """Samples are shown for three intervals after the last successful query, and for at least an hour."""
    async with slowly(slow_interval_seconds=interval) as setup:
        await setup.scrape()
        setup.pbs.faults.add(DRIVE, Fault.status(500, "no"))
        setup.clock.advance(shown)
        assert said(await setup.scrape()) == (0, 2, NOW)
        setup.clock.advance(1)
        assert said(await setup.scrape()) == (0, None, None)


async def test_an_ask_that_never_was_good_shows_nothing() -> None:
    """Where the first ask fails there are no samples and no time of any."""
    async with slowly() as setup:
        setup.pbs.faults.add(DRIVE, Fault.status(500, "no"), times=1)
        assert said(await setup.scrape()) == (0, None, None)
        setup.clock.advance(59)
        assert said(await setup.scrape()) == (0, None, None)
        setup.clock.advance(1)
        assert said(await setup.scrape()) == (1, 2, NOW + 60)


@pytest.mark.parametrize(("intervals", "interval", "seconds"), [(1, 300.0, 60), (12, 300.0, 60), (1, 20.0, 20)])
async def test_a_failure_is_tried_again_within_a_minute(intervals: int, interval: float, seconds: int) -> None:
    """A collector that failed asks again after a minute, or after its interval if that is shorter."""
    async with slowly(intervals, slow_interval_seconds=interval) as setup:
        setup.pbs.faults.add(DRIVE, Fault.status(500, "no"), times=1)
        await setup.scrape()
        setup.clock.advance(seconds - 1)
        assert said(await setup.scrape()) == (0, None, None)
        setup.clock.advance(1)
        assert said(await setup.scrape()) == (1, 2, NOW + seconds)


async def test_a_collector_that_failed_asks_at_once_when_pbs_is_up_again() -> None:
    """As soon as `pbs_up` turns 1, collectors that failed while PBS was down ask, without waiting for their time."""
    async with slowly() as setup:
        armed = setup.pbs.faults.add("*", Fault.status(503, "down"))
        assert said(await setup.scrape()) == (0, None, None)
        setup.clock.advance(10)
        await setup.scrape()
        armed.remove()
        setup.clock.advance(10)
        assert (await setup.scrape()).value("pbs_up") == 1
        await eventually(lambda: setup.pbs.in_flight == 0 and setup.asked(DRIVE) == 2)
        assert said(await setup.scrape()) == (1, 2, NOW + 20)
        assert setup.asked(DRIVE) == 2


async def test_an_ask_goes_on_after_the_scrape() -> None:
    """A query that isn't finished by the deadline continues, alone, and a later scrape shows its result."""
    gate = Gate()
    async with slowly(slow_interval_seconds=0.0) as setup:
        setup.pbs.faults.add(DRIVE, gate.fault)
        for _ in range(2):
            assert said(await setup.scrape(0.3)) == (0, None, None)
            assert setup.asked(DRIVE) == 1
        gate.open()
        await eventually(lambda: not any(task.get_name() == "slow collector slow" for task in asyncio.all_tasks()))
        setup.pbs.faults.clear()
        setup.pbs.faults.add(DRIVE, Fault.stall())
        assert said(await setup.scrape(0.3)) == (1, 2, NOW)
        assert setup.asked(DRIVE) == 2


async def test_scrapes_at_once_share_an_ask() -> None:
    """Simultaneous scrapes wait for the same query."""
    async with slowly(slow_interval_seconds=0.0) as setup:
        setup.pbs.faults.add(DRIVE, Fault.slow(0.05))
        pages = await asyncio.gather(*(setup.scrape() for _ in range(5)))
        assert [said(page)[:2] for page in pages] == [(1, 2)] * 5
        assert setup.asked(DRIVE) == 1


async def test_a_refused_login_is_no_ask() -> None:
    """While PBS refuses the token no slow collector is queried; they are queried again once it is accepted."""
    wrong = Secret("11111111-2222-3333-4444-555555555555")
    async with slowly(token_secret=wrong) as setup:
        assert said(await setup.scrape()) == (0, None, None)
        assert setup.asked(DRIVE) == 0
        setup.pbs.secret = wrong.reveal()
        assert said(await setup.scrape()) == (1, 2, NOW)


async def test_a_path_that_is_not_there_is_no_failure() -> None:
    """A slow collector whose path this version lacks is a success without samples."""
    async with slowly() as setup:
        setup.pbs.faults.add(DRIVE, Fault.status(404, f"Path '/api2/json{DRIVE}' not found."))
        assert said(await setup.scrape())[:2] == (1, None)
        assert failed(await setup.scrape()) == set()
