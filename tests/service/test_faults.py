"""Faults of PBS, of single datastores and of the exporter itself: the missing samples, and the log."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.scrape.failure_log import BURST
from pbs_exporter.simulator import Fault
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.fault_effects import METRICS, SLOW, STAY, counted, up
from tests.support.metrics_page import facts, failed, without
from tests.support.running import NOW, Setup, running, simulated
from tests.support.status_page import status_page
from tests.support.waiting import Gate, eventually


async def test_a_failure_that_lasts_is_said_every_ten_minutes() -> None:
    """A lasting failure is logged at its start, every 10 minutes with PBS's reason, and at its end."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "no such\tdisk\nsecond line"))
        said = []
        with capture_logs() as logs:
            for _ in range(25):
                await setup.scrape()
                said.append(len([line for line in logs if line["event"] == "failing"]))
                setup.clock.advance(60)
        assert said == [1] * 10 + [2] * 10 + [3] * 5
        assert {(line["log_level"], line["collector"], line["reason"]) for line in logs} == {
            ("warning", "gc", "500 no suchdisk")
        }
        setup.pbs.faults.clear()
        with capture_logs() as logs:
            await setup.scrape()
            await setup.scrape()
        assert [(line["event"], line["log_level"], line["failed_for_seconds"]) for line in logs] == [
            ("recovered", "info", 25 * 60.0)
        ]


async def test_a_failure_that_comes_back_is_said_again_at_once() -> None:
    """A failure after a recovery is logged at once, however short the time between them."""
    async with running() as setup:
        await setup.scrape()
        with capture_logs() as logs:
            for _ in range(3):
                armed = setup.pbs.faults.add("/tape/drive", Fault.status(500, "no"))
                await setup.scrape()
                armed.remove()
                await setup.scrape()
        assert [line["event"] for line in logs] == ["failing", "recovered"] * 3


async def test_a_slow_answer_within_its_time_costs_nothing() -> None:
    """A slow answer within the timeout counts as a success."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("*", Fault.slow(0.05))
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        assert failed(page) == set()


@pytest.mark.parametrize("limit", [2, 8])
async def test_a_connection_that_pbs_closed_costs_nothing(limit: int) -> None:
    """A kept connection that PBS closes before any byte of an answer is no failure, nor a second request counted."""
    async with running(max_concurrent_requests=limit) as setup:
        whole = await setup.scrape()
        dropped = setup.pbs.faults.add("*", Fault.drop_kept())
        page = await setup.scrape()
        assert dropped.hits > 0
        assert facts(page) == facts(whole)
        assert failed(page) == set()
        assert {labels["code"] for labels, _ in page.series("pbs_exporter_api_requests_total")} == {"200"}


async def test_a_new_connection_that_is_reset_is_not_tried_again() -> None:
    """Only a kept connection gets a second attempt. A new connection that is reset is a failure."""
    async with running(collectors={"snapshots": False}) as setup:
        setup.pbs.faults.add("*", Fault.reset())
        page = await setup.scrape()
        assert up(facts(page)) == 0
        assert setup.asked("/version") == 1


async def test_a_pbs_that_is_away_costs_all_but_the_page() -> None:
    """While nothing listens, the page is a 200 with pbs_up 0 and the known listings. Later everything returns."""
    async with running() as setup:
        whole = await setup.scrape()
        port = int(setup.pbs.endpoint.rpartition(":")[2])
        await setup.pbs.stop()
        page = await setup.scrape()
        assert up(facts(page)) == 0
        # The certificate is known from before.
        assert failed(page) == {collector.name for collector in COLLECTORS if collector.default} - SLOW - {
            "certificate"
        }
        assert counted(page, "/version") == {"200": 1, "connect": 1}
        assert {name for name, _ in facts(page)} - {"pbs_up"} == {name for name, _ in facts(whole) if name in STAY}
        await setup.pbs.start(port)
        assert facts(await setup.scrape()) == facts(whole)


async def test_a_bug_in_a_collector_costs_that_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error sets one collector's success to 0, is logged with a traceback, and isn't on any page."""
    async with running() as setup:
        whole = await setup.scrape()
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr("pbs_exporter.collectors.tape.TapeCollector.AVAILABLE", staticmethod(fail))
            page = await setup.scrape()
            async with setup.exporter.client.get("/") as response:
                landing = await response.text()
        assert failed(page) == {"tape"}
        assert facts(page) == without(facts(whole), *METRICS["tape"])
        assert [(line["log_level"], line["collector"], type(line["exc_info"])) for line in logs] == [
            ("error", "tape", ZeroDivisionError)
        ]
        assert "no text for a page" not in landing
        assert facts(await setup.scrape()) == facts(whole)


def fail(_value: object) -> None:
    raise ZeroDivisionError("no text for a page")


async def test_the_status_page_says_what_failed(setup_with_faults: Setup) -> None:
    """The status page names each collector that failed in the last scrape, with PBS's error text."""
    await setup_with_faults.scrape()
    async with setup_with_faults.exporter.client.get("/") as response:
        text = await response.text()
    assert "500 disk &lt;away&gt;" in text
    assert "snapshots: 400 no" in text


@pytest.fixture
async def setup_with_faults() -> Any:
    async with running() as setup:
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "disk <away>"))
        setup.pbs.faults.add("/admin/datastore/archive/snapshots", Fault.status(400, "no"))
        yield setup


async def test_a_wrong_fingerprint_is_one_line() -> None:
    """A certificate with another fingerprint is one line in the log for all collectors, and one reason on `/`."""
    async with (
        simulated(tls=True) as pbs,
        exporting(make_settings(pbs, fingerprint=bytes(32)), FakeClock(NOW).clock) as exporter,
    ):
        with capture_logs() as logs:
            for _ in range(2):
                assert len(failed(await exporter.scrape())) > 5
        page = await status_page(exporter.client)
    assert [(line["event"], line["collector"], line["error"]) for line in logs] == [
        ("PBS unreachable", "version", "FingerprintMismatch")
    ]
    assert page.text.count(logs[0]["reason"]) == 1


async def test_a_dead_pbs_is_one_line() -> None:
    """A PBS on whose port nothing listens is one line in the log, and one when it is back, for all collectors."""
    async with running() as setup:
        whole = await setup.scrape()
        port = int(setup.pbs.endpoint.rpartition(":")[2])
        await setup.pbs.stop()
        with capture_logs() as logs:
            for _ in range(11):
                setup.clock.advance(60)
                assert len(failed(await setup.scrape())) > 5
        assert [(line["event"], line["collector"], line["error"]) for line in logs] == [
            ("PBS unreachable", "version", "ConnectionRefused")
        ] * 2
        await setup.pbs.start(port)
        setup.clock.advance(60)
        with capture_logs() as logs:
            page = await setup.scrape()
            setup.clock.advance(60)
            await setup.scrape()
        assert page.value("pbs_up") == whole.value("pbs_up") == 1
        assert [(line["event"], line["collector"]) for line in logs] == [("recovered", "version")]


async def test_a_collector_with_another_reason_has_a_line_while_pbs_is_down() -> None:
    """While PBS is down, a collector is logged only where it fails for another reason, and so on the status page."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("*", Fault.status(503, "the proxy is out"))
        setup.pbs.faults.add("/tape/drive", Fault.status(500, "no robot"))
        with capture_logs() as logs:
            await setup.scrape()
        assert {(line["collector"], line["reason"]) for line in logs} == {
            ("version", "503 the proxy is out"),
            ("tape", "500 no robot"),
        }
        async with setup.exporter.client.get("/") as response:
            text = await response.text()
        assert text.partition("<main>")[2].count("503 the proxy is out") == 1
        assert text.count("500 no robot") == 1


async def test_a_short_deadline_is_no_failure_of_pbs() -> None:
    """A client that allows less time than a request has says nothing about PBS: no line, and the page stays."""
    async with running() as setup:
        await setup.scrape()
        with capture_logs() as logs:
            for _ in range(4):
                stalled = setup.pbs.faults.add("*", Fault.stall())
                assert (await setup.scrape(0.1)).value("pbs_up") == 0
                stalled.remove()
                assert (await setup.scrape()).value("pbs_up") == 1
                setup.clock.advance(15)
            setup.pbs.faults.add("*", Fault.stall())
            await setup.scrape(0.1)
        assert logs == []
        async with setup.exporter.client.get("/") as response:
            text = await response.text()
        assert "All collectors ok" in text


async def test_a_failure_that_comes_and_goes_has_few_lines() -> None:
    """A recovery doesn't reset the brake: what fails and recovers at each scrape has a few lines in ten minutes."""
    async with running() as setup:
        await setup.scrape()
        with capture_logs() as logs:
            for _ in range(20):
                armed = setup.pbs.faults.add("/tape/drive", Fault.status(500, "no"))
                await setup.scrape()
                armed.remove()
                await setup.scrape()
                setup.clock.advance(15)
        assert [line["event"] for line in logs] == ["failing", "recovered"] * BURST


async def test_a_client_that_leaves_is_counted_and_its_scrape_remembered() -> None:
    """What a scrape had found when its client left is in the log and on the status page; the rest is `cancelled`."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("/tape/drive", Fault.status(500, "no robot"))
        setup.pbs.faults.add("/admin/gc", Fault.stall())
        setup.clock.advance(60)
        before = setup.asked("/admin/gc")
        with capture_logs() as logs:
            leaving = asyncio.create_task(setup.scrape())
            await eventually(lambda: setup.asked("/admin/gc") > before)
            await asyncio.sleep(0.2)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await eventually(lambda: bool(logs))
        assert [(line["event"], line["collector"]) for line in logs] == [("failing", "tape")]
        async with setup.exporter.client.get("/") as response:
            text = await response.text()
        assert "500 no robot" in text
        assert ">1 min ago<" not in text.partition("tape")[0]
        setup.pbs.faults.clear()
        page = await setup.scrape()
        codes = {
            labels["code"]: count
            for labels, count in page.series("pbs_exporter_api_requests_total")
            if labels["endpoint"] == "/admin/gc"
        }
        assert codes == {"200": 2, "cancelled": 1}


async def test_the_scrape_that_began_last_is_remembered() -> None:
    """Of two scrapes at once the log and the status page show the one that began last, whichever ends last."""
    async with running() as setup:
        await setup.scrape()
        gate = Gate()
        setup.pbs.faults.add("/tape/drive", gate.fault, times=1)
        first = asyncio.create_task(setup.scrape())
        await eventually(lambda: len(gate.waiting) == 1)
        setup.clock.advance(1)
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "no"))
        with capture_logs() as logs:
            await setup.scrape()
            setup.pbs.faults.clear()
            gate.open()
            await first
        assert [(line["event"], line["collector"]) for line in logs] == [("failing", "gc")]
        async with setup.exporter.client.get("/") as response:
            assert "500 no" in await response.text()
