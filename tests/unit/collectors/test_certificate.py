"""The certificate that PBS shows, as seen on the exporter's own connections."""

import datetime as dt
import ssl
from typing import Any

import pytest

from pbs_exporter.errors import TlsFailed
from pbs_exporter.pbs.http.certificate_dates import CertificateDates, certificate_dates
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
        assert made.main is not None
        assert len({request.connection for request in pbs.requests}) <= made.main.pbs.max_concurrent_requests


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


MADE_BY_PBS = """\
-----BEGIN CERTIFICATE-----
MIIDpjCCAo6gAwIBAgIBADANBgkqhkiG9w0BAQsFADBdMR4wHAYDVQQKDBVQcm94
bW94IEJhY2t1cCBTZXJ2ZXIxLTArBgNVBAsMJDAwMDAwMDAwLTAwMDAtMDAwMC0w
MDAwLTAwMDAwMDAwMDAwMDEMMAoGA1UEAwwDcGJzMCAXDTI2MTEyNTIyNDg1M1oY
DzIxMjYxMTAxMjI0ODUzWjBdMR4wHAYDVQQKDBVQcm94bW94IEJhY2t1cCBTZXJ2
ZXIxLTArBgNVBAsMJDAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAw
MDEMMAoGA1UEAwwDcGJzMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA
jlXKKlOok5wPCBdU4wQyGFsNDa3ERPwGQ+91EB63i/HFWTeuH8xkGH4N1TrPfj3w
nlBl++w73DiGMFjMn6+r7ir3c0CwuStK/7HcJ3Tj2WpKXBkevQ0ST/9hrUlPosFk
OTilUR6rvCg1UQlXGK/GEzhcVYKufP6aeXZu5syfctmjDxq8xE9RAB976yIAEjBA
fFea+nAmW+yQP5t6x2jaHgW/Io8hj5GKxmJDJ3rJA3a6OJ+s0gwqMZNus12FftEu
tbJpeDom8YurQHJwvJfYVxixxTLe+zfsazUsOXL4We2CDtVtbqbe5NJdqOj2IXY7
bKNWS8HH3lcZPPeQ+LUqAwIDAQABo28wbTAdBgNVHQ4EFgQU7dlC6yWUY8azOQ9d
jN3AVPyCnm4wHwYDVR0jBBgwFoAU7dlC6yWUY8azOQ9djN3AVPyCnm4wDwYDVR0T
AQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwDQYJKoZIhvcN
AQELBQADggEBAH0pV0zpdj+uRGNtje5XGbXRcpCCkaDA8aD9ImqFkuHltxUojYgt
xolj7aUZv/sHXRjE/Q26ZpovvAitPGWcXgfT7OgmUA4F7r2GqV7CUL1NBVijpL3m
d4NN+T7K4x67Nnp6GHn6eKggmOnJ0881A6xmK2ESlzsJ1So1kEJY/sNa1z2coNnm
4P/AZmkpaUt4niRTOBJWTiWQBA0fM6GXWWTpv1N5Yh81sM4JZDXJ1KPnTOC9BiZv
TCv7bRZOFQCyVaRhDiZbr0XjwzQJqXOgt/YV7R0djJIbTSHg+qeaQQUuwYqQv0FX
J5sSs2EIY+LCGEmycC5YAIsmM7Mhd5VpOj4=
-----END CERTIFICATE-----
"""
"""A certificate as every PBS makes its own: the serial number is 0, and the second date has four digits of a year."""


def element(tag: int, *parts: bytes) -> bytes:
    """Encode an element of DER, as long as its length fits into two bytes."""
    value = b"".join(parts)
    length = bytes([len(value)]) if len(value) < 128 else b"\x82" + len(value).to_bytes(2, "big")
    return bytes([tag]) + length + value


def signed(begin: bytes, end: bytes, *, version: bytes = b"\xa0\x03\x02\x01\x02", serial: int = 1) -> bytes:
    """Encode a certificate with these two dates; all that isn't read of it is empty."""
    number = element(0x02, bytes([serial]))
    return element(0x30, element(0x30, version, number, b"\x30\x00", b"\x30\x00", element(0x30, begin, end)))


def utc(text: str) -> bytes:
    return element(0x17, text.encode())


def general(text: str) -> bytes:
    return element(0x18, text.encode())


FIRST, LAST = utc("260101000000Z"), general("20501231235959Z")


@pytest.mark.parametrize(
    ("der", "begin", "end"),
    [
        (ssl.PEM_cert_to_DER_cert(MADE_BY_PBS), "2026-11-25 22:48:53", "2126-11-01 22:48:53"),
        (signed(FIRST, LAST), "2026-01-01 00:00:00", "2050-12-31 23:59:59"),
        (signed(FIRST, LAST, serial=0), "2026-01-01 00:00:00", "2050-12-31 23:59:59"),
        (signed(FIRST, LAST, version=b""), "2026-01-01 00:00:00", "2050-12-31 23:59:59"),
        (signed(utc("500101000000Z"), utc("491231235959Z")), "1950-01-01 00:00:00", "2049-12-31 23:59:59"),
        (signed(general("00010101000000Z"), general("99991231235959Z")), "0001-01-01 00:00:00", "9999-12-31 23:59:59"),
        (signed(FIRST, LAST) + b"more", "2026-01-01 00:00:00", "2050-12-31 23:59:59"),
    ],
    ids=["PBS's own", "plain", "serial 0", "version 1", "centuries", "no expiry", "trailing bytes"],
)
def test_dates_of_a_certificate(der: bytes, begin: str, end: str) -> None:
    """The dates are read whatever the serial number and the version are, in both of their forms."""
    dates = [dt.datetime.fromisoformat(f"{text}+00:00") for text in (begin, end)]
    assert certificate_dates(der) == CertificateDates(*dates)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x85\x00\x00\x00\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"not a certificate",
        signed(FIRST, b""),
        signed(FIRST, LAST + LAST),
        signed(FIRST, element(0x0C, b"20501231235959Z")),
        signed(FIRST, utc("20501231235959Z")),
        signed(FIRST, general("501231235959Z")),
        signed(FIRST, general("20501331235959Z")),
        signed(FIRST, general("20501231235960Z")),
        signed(FIRST, general("00001231235959Z")),
        signed(FIRST, general("20501231235959")),
        signed(FIRST, general("20501231235959+0100")),
        signed(FIRST, general("2050123123595²Z")),
        *(signed(FIRST, LAST)[:length] for length in range(len(signed(FIRST, LAST)))),
    ],
)
def test_what_has_no_dates(der: bytes) -> None:
    """Bytes that aren't a certificate, or have an impossible date, are a failure of TLS and nothing else."""
    with pytest.raises(TlsFailed, match="the certificate can't be read"):
        certificate_dates(der)


def test_the_simulated_pbs_has_the_serial_number_of_a_real_one() -> None:
    """The certificate of the simulated PBS is one that libraries refuse: its serial number is 0."""
    der = ssl.PEM_cert_to_DER_cert(Certificate.make().pem.decode())
    # The version, and the number after it.
    assert b"\xa0\x03\x02\x01\x02\x02\x01\x00" in der[:20]
