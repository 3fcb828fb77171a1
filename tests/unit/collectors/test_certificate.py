"""The certificate that PBS shows, as seen on the exporter's own connections."""

import datetime as dt
from typing import Any

import pytest

from pbs_exporter.simulator import Certificate, Fault, SimulatedPbs
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.metrics_page import failed
from tests.support.running import NOW, simulated, small_world

AFTER = "pbs_certificate_not_after_timestamp_seconds"
BEFORE = "pbs_certificate_not_before_timestamp_seconds"


def certificate(begin: float, end: float) -> Certificate:
    """Make a certificate that is valid between these Unix times."""
    first, last = (dt.datetime.fromtimestamp(time, tz=dt.UTC) for time in (begin, end))
    return Certificate.make(not_before=first, not_after=last)


def pin(pbs: SimulatedPbs) -> dict[str, Any]:
    """Trust this certificate alone."""
    return {"verify_tls": True, "fingerprint": bytes.fromhex(pbs.fingerprint.replace(":", ""))}


@pytest.mark.parametrize("trust", ["off", "pinned", "expired"])
async def test_dates_are_of_the_handshake(trust: str) -> None:
    """The dates are shown with and without verification, also of an expired one, without further requests."""
    end = 1_000_000_000 if trust == "expired" else 1_900_000_000
    async with simulated(tls=True, certificate=certificate(900_000_000, end)) as pbs:
        made = make_settings(pbs, **({} if trust == "off" else pin(pbs)))
        asked = []
        for on in (True, False):
            pbs.requests.clear()
            settings = made if on else make_settings(pbs, collectors={"certificate": False})
            async with exporting(settings, FakeClock(NOW).clock) as exporter:
                page = await exporter.scrape()
            asked.append(sorted(request.template for request in pbs.requests))
            assert (page.value(BEFORE), page.value(AFTER)) == ((900_000_000, end) if on else (None, None))
            assert failed(page) == set()
        assert asked[0] == asked[1]
        assert len({request.connection for request in pbs.requests}) <= 8


async def test_plain_http_has_none() -> None:
    """Over plain HTTP there is no certificate, which is no failure."""
    async with simulated() as pbs, exporting(make_settings(pbs)) as exporter:
        page = await exporter.scrape()
    assert (page.value(AFTER), page.value(BEFORE)) == (None, None)
    assert failed(page) == set()


async def test_a_renewed_certificate_shows_when_connections_are_too_old() -> None:
    """A new certificate is shown after the next scrape that reconnects, at most an hour later."""
    clock = FakeClock(NOW)
    old, new = certificate(900_000_000, 1_900_000_000), certificate(950_000_000, 1_950_000_000)
    async with simulated(small_world(), tls=True, certificate=old) as pbs:
        port = int(pbs.endpoint.rpartition(":")[2])
        async with exporting(make_settings(pbs), clock.clock) as exporter:
            assert (await exporter.scrape()).value(AFTER) == 1_900_000_000
            await pbs.stop()
            pbs.certificate = new
            await pbs.start(port)
            clock.advance(3601)
            assert (await exporter.scrape()).value(AFTER) == 1_950_000_000


async def test_the_last_one_stays_while_pbs_is_away() -> None:
    """If PBS is down, the last certificate is shown; if there has never been one, the collector fails."""
    async with simulated(tls=True) as pbs, exporting(make_settings(pbs)) as exporter:
        known = (await exporter.scrape()).value(AFTER)
        await pbs.stop()
        page = await exporter.scrape()
        assert page.value("pbs_up") == 0
        assert known is not None
        assert page.value(AFTER) == known
    async with exporting(make_settings(pbs, endpoint="https://127.0.0.1:1")) as exporter:
        page = await exporter.scrape()
        assert page.value(AFTER) is None
        assert "certificate" in failed(page)


async def test_a_fault_of_http_is_none_of_tls() -> None:
    """The certificate is known even if every answer is an error."""
    async with simulated(tls=True) as pbs, exporting(make_settings(pbs)) as exporter:
        pbs.faults.add("*", Fault.status(500, "no"))
        page = await exporter.scrape()
        assert page.value("pbs_up") == 0
        assert page.value(AFTER) is not None
