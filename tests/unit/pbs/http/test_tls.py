"""Trust in PBS's certificate, and protection of the token from everyone else."""

import asyncio
import datetime as dt
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import load
from pbs_exporter.pbs.http.tls import peer_certificate
from pbs_exporter.simulator import Certificate, SimulatedPbs
from pbs_exporter.simulator.certificate import server_context
from tests.support.canned_pbs import CannedPbs
from tests.support.exporter import Exporter, exporting, make_settings
from tests.support.metrics_page import Scraped

ANSWERS = CannedPbs({})
SELF_SIGNED = Certificate.make()


@asynccontextmanager
async def running(certificate: Certificate = SELF_SIGNED, *, tls: bool = True) -> AsyncIterator[SimulatedPbs]:
    """Run a PBS with this certificate."""
    async with SimulatedPbs(ANSWERS, tls=tls, certificate=certificate) as pbs:
        yield pbs


async def scrape(pbs: SimulatedPbs, **settings: Any) -> tuple[Scraped, str]:
    """Scrape this PBS once with these keys of `[pbs]`, and return the page and the status page."""
    async with exporting(make_settings(pbs, **settings)) as exporter:
        return await exporter.scrape(), await information(exporter)


async def information(exporter: Exporter) -> str:
    """Return the status page's text."""
    async with exporter.client.get("/") as response:
        return unescape(await response.text())


def refused(page: Scraped, code: str = "tls") -> bool:
    """Return whether all requests ended with that code."""
    codes = {labels["code"] for labels, _ in page.series("pbs_exporter_api_requests_total")}
    return page.value("pbs_up") == 0 and codes == {code}


def fingerprint(pbs: SimulatedPbs) -> bytes:
    """Return a PBS's fingerprint as in the settings."""
    return bytes.fromhex(pbs.fingerprint.replace(":", ""))


def issued(authority: trustme.CA, *names: str) -> Certificate:
    """Make a certificate that is signed by an authority."""
    leaf = authority.issue_cert(*names)
    pem = leaf.cert_chain_pems[0].bytes()
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    return Certificate(leaf.private_key_pem.bytes(), pem, hashlib.sha256(der).hexdigest())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return the authority's certificate as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_without_verification_any_certificate_will_do() -> None:
    """A self-signed certificate, as on a fresh PBS, is accepted by default."""
    async with running() as pbs:
        page, _ = await scrape(pbs)
    assert page.value("pbs_up") == 1


async def test_the_systems_authorities_dont_know_a_self_signed_certificate() -> None:
    """If verification is on and nothing else is set, PBS's own certificate is refused before the token is sent."""
    async with running() as pbs:
        page, text = await scrape(pbs, verify_tls=True)
        assert pbs.requests == []
    assert refused(page)
    assert "certificate not trusted: " in text


async def test_the_systems_authorities_are_trusted(
    authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With verification on, a certificate that a system authority has signed is accepted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with running(issued(authority, "127.0.0.1")) as pbs:
        page, _ = await scrape(pbs, verify_tls=True)
    assert page.value("pbs_up") == 1


async def test_a_ca_file_is_trusted(authority: trustme.CA, ca_file: Path) -> None:
    """A certificate that the authority of `ca_file` has signed is accepted."""
    async with running(issued(authority, "127.0.0.1", "pbs.example")) as pbs:
        page, _ = await scrape(pbs, verify_tls=True, ca_file=ca_file)
    assert page.value("pbs_up") == 1


def plain_authority() -> tuple[bytes, Certificate]:
    """Make an authority without keyUsage, as PVE and `openssl req -x509` do, and a certificate that it has signed."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Proxmox Virtual Environment")])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    now = dt.datetime.now(dt.UTC)
    certificates = [
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=subject is name, path_length=None), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(keys[0], hashes.SHA256())
        for subject, key in zip((name, x509.Name([])), keys, strict=True)
    ]
    ca_pem, pem = (certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    key_pem = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ca_pem, Certificate(key_pem, pem, certificates[1].fingerprint(hashes.SHA256()).hex())


def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this Python's default context as strict as that of Python 3.13."""
    default = ssl.create_default_context

    def create(*args: Any, **options: Any) -> ssl.SSLContext:
        context = default(*args, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", create)


@pytest.mark.parametrize("by", ["ca_file", "system"])
async def test_an_authority_without_key_usage_is_trusted(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority as PVE makes its own is trusted, also by a Python whose default refuses it; others aren't."""
    strict(monkeypatch)
    (ca_pem, certificate), (_, foreign) = plain_authority(), plain_authority()
    path = tmp_path / "ca.pem"
    path.write_bytes(ca_pem)
    if by == "system":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    settings = {"verify_tls": True} | ({"ca_file": path} if by == "ca_file" else {})
    async with running(certificate) as pbs:
        endpoint = pbs.endpoint.replace("127.0.0.1", "localhost")
        page, _ = await scrape(pbs, endpoint=endpoint, **settings)
    assert page.value("pbs_up") == 1
    async with running(foreign) as pbs:
        endpoint = pbs.endpoint.replace("127.0.0.1", "localhost")
        page, _ = await scrape(pbs, endpoint=endpoint, **settings)
        assert pbs.requests == []
    assert refused(page)


async def test_a_servers_certificate_can_be_the_ca_file(authority: trustme.CA, tmp_path: Path) -> None:
    """A certificate in `ca_file` is trusted without that of the authority that has signed it, on every Python."""
    certificate = issued(authority, "127.0.0.1")
    path = tmp_path / "pbs.pem"
    path.write_bytes(certificate.pem)
    async with running(certificate) as pbs:
        page, _ = await scrape(pbs, verify_tls=True, ca_file=path)
    assert page.value("pbs_up") == 1


async def test_a_self_signed_certificate_can_be_its_own_ca_file() -> None:
    """A copy of PBS's own certificate works as its `ca_file`."""
    async with running() as pbs:
        page, _ = await scrape(pbs, verify_tls=True, ca_file=pbs.certificate_file)
    assert page.value("pbs_up") == 1


async def test_another_authority_is_refused(ca_file: Path) -> None:
    """A certificate of any other authority is refused before the token is sent."""
    async with running(issued(trustme.CA(), "127.0.0.1")) as pbs:
        page, text = await scrape(pbs, verify_tls=True, ca_file=ca_file)
        assert pbs.requests == []
    assert refused(page)
    assert "certificate not trusted: " in text


async def test_another_hosts_certificate_is_refused(authority: trustme.CA, ca_file: Path) -> None:
    """A certificate of the right authority for another name is refused before the token is sent."""
    async with running(issued(authority, "pbs.example")) as pbs:
        page, text = await scrape(pbs, verify_tls=True, ca_file=ca_file)
        assert pbs.requests == []
    assert refused(page)
    assert "IP address mismatch" in text


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    """With verification on, an expired certificate is refused before the token is sent."""
    now = dt.datetime.now(dt.UTC)
    old = Certificate.make(not_before=now - dt.timedelta(days=20), not_after=now - dt.timedelta(days=10))
    async with running(old) as pbs:
        page, text = await scrape(pbs, verify_tls=True, ca_file=old.write(tmp_path))
        assert pbs.requests == []
    assert refused(page)
    assert "expired" in text


@pytest.mark.parametrize("form", ["colons", "COLONS", "plain", "PLAIN"])
async def test_a_fingerprint_is_taken_as_pbs_shows_it(form: str) -> None:
    """The fingerprint is accepted with or without colons, in either case."""
    async with running() as pbs:
        text = pbs.fingerprint if form.lower() == "colons" else pbs.fingerprint.replace(":", "")
        environment = {
            "PBS_EXPORTER__PBS__ENDPOINT": pbs.endpoint,
            "PBS_EXPORTER__PBS__TOKEN_ID": pbs.token_id,
            "PBS_EXPORTER__PBS__TOKEN_SECRET": pbs.secret,
            "PBS_EXPORTER__PBS__FINGERPRINT": text.upper() if form.isupper() else text,
        }
        settings, _ = load(None, environment, DEFAULTS)
        async with exporting(settings) as exporter:
            page = await exporter.scrape()
    assert page.value("pbs_up") == 1


async def test_a_fingerprint_beats_name_and_chain(authority: trustme.CA) -> None:
    """With a fingerprint, the certificate's name and its issuer don't matter."""
    async with running(issued(authority, "pbs.example")) as pbs:
        page, _ = await scrape(pbs, verify_tls=True, fingerprint=fingerprint(pbs))
    assert page.value("pbs_up") == 1


async def test_a_fingerprint_beats_the_date() -> None:
    """With a fingerprint, an expired certificate is accepted."""
    now = dt.datetime.now(dt.UTC)
    old = Certificate.make(not_before=now - dt.timedelta(days=20), not_after=now - dt.timedelta(days=10))
    async with running(old) as pbs:
        page, _ = await scrape(pbs, verify_tls=True, fingerprint=fingerprint(pbs))
    assert page.value("pbs_up") == 1


async def test_a_trusted_certificate_with_another_fingerprint_is_refused(
    authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A valid chain doesn't override a fingerprint, and the error has the fingerprint that was seen."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with running(issued(authority, "127.0.0.1")) as pbs:
        page, text = await scrape(pbs, verify_tls=True, fingerprint=bytes(32))
        seen = ":".join(f"{byte:02x}" for byte in fingerprint(pbs))
        assert pbs.requests == []
    assert refused(page)
    assert f"the certificate's fingerprint is {seen}, not the configured one" in text


async def test_a_wrong_certificate_never_sees_the_token(tmp_path: Path) -> None:
    """A server with another certificate than the pinned one receives no byte after the handshake."""
    received: list[bytes] = []
    done = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            received.append(await reader.read(1000))
        except OSError:
            received.append(b"")
        finally:
            writer.close()
            done.set()

    context = server_context(SELF_SIGNED.write(tmp_path))
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server, running() as pbs:
        port = server.sockets[0].getsockname()[1]
        page, _ = await scrape(pbs, endpoint=f"https://127.0.0.1:{port}", verify_tls=True, fingerprint=bytes(32))
        async with asyncio.timeout(10):
            await done.wait()
    assert refused(page)
    assert set(received) == {b""}


async def test_https_to_a_port_that_speaks_http_is_one_clean_error() -> None:
    """An https endpoint on a port without TLS fails in the handshake, and sends nothing."""
    async with running(tls=False) as pbs:
        page, text = await scrape(pbs, endpoint=pbs.endpoint.replace("http:", "https:"))
        assert pbs.requests == []
    assert refused(page)
    assert "TLS handshake failed: " in text


async def test_http_to_a_port_that_speaks_tls_is_one_clean_error() -> None:
    """An http endpoint on PBS's TLS port is reported as a protocol error."""
    async with running() as pbs:
        page, text = await scrape(pbs, endpoint=pbs.endpoint.replace("https:", "http:"))
        assert pbs.requests == []
    assert refused(page, "protocol")
    assert "No usable answer from PBS" in text


async def test_the_peers_certificate_can_be_read_untrusted() -> None:
    """Any certificate can be fetched without a request, which makes its fingerprint available."""
    async with running() as pbs:
        der = await peer_certificate(pbs.endpoint, 10)
        assert pbs.requests == []
    assert hashlib.sha256(der).digest() == fingerprint(pbs)
    assert der == ssl.PEM_cert_to_DER_cert(SELF_SIGNED.pem.decode())


async def test_no_certificate_can_be_read_where_there_is_no_tls() -> None:
    """A port without TLS raises an error of the system or of TLS, and returns no certificate."""
    async with running(tls=False) as pbs:
        with pytest.raises(OSError, match=r".+"):
            await peer_certificate(pbs.endpoint.replace("http:", "https:"), 10)
