"""The port with TLS: versions, client certificates, new certificates while it serves, and connections without any."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
import trustme

from pbs_exporter.simulator import SimulatedPbs
from tests.support.own_port import (
    CA,
    METRIC,
    MUTUAL,
    OTHER_CA,
    TLS,
    Port,
    client,
    port,
    prepare,
    refused,
    status,
    write_certificate,
)
from tests.support.program import WAIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


async def openssl(port: Port, *options: str) -> tuple[int, str]:
    """Request /health with openssl's client. Return its exit code and what it prints."""
    program = shutil.which("openssl")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        "s_client",
        *("-connect", f"127.0.0.1:{port.port}", "-CAfile", str(port.folder / "ca.crt"), "-verify_return_error"),
        *("-ign_eof", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WAIT):
        printed, _ = await process.communicate(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert process.returncode is not None
    return process.returncode, printed.decode(errors="replace")


@pytest.mark.parametrize(
    ("keys", "options", "said"),
    [
        ("", [], "Protocol  ?: TLSv1.3|TLSv1.3, Cipher"),
        ("", ["-tls1_2"], "TLSv1.2"),
        ("", ["-tls1_1"], None),
        ("  min_version: TLS13\n", ["-tls1_2"], None),
        ("  max_version: TLS12\n", ["-tls1_3"], None),
        ("  max_version: TLS12\n", [], "TLSv1.2"),
        ("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]\n", ["-tls1_2"], "ECDHE-ECDSA-AES128-SHA"),
        (
            "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]\n",
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            None,
        ),
        ("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]\n", ["-tls1_3"], "TLSv1.3"),
        ("  curve_preferences: [CurveP384]\n", ["-groups", "X25519:P-384"], "P-384|secp384r1"),
        ("  curve_preferences: [CurveP384]\n", ["-groups", "X25519"], None),
        ("", ["-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1"),
    ],
)
async def test_openssl_connects(
    pbs: SimulatedPbs, folder: Path, keys: str, options: Sequence[str], said: str | None
) -> None:
    """OpenSSL's client gets an answer with the versions, suites and curves that are set, and with no others."""
    async with port(pbs, folder, TLS + keys) as opened:
        code, printed = await openssl(opened, *options)
    if said is None:
        assert code != 0
        assert "200 OK" not in printed
    else:
        assert "\nok" in printed
        assert any(part in printed for part in said.split("|")), printed


@pytest.mark.parametrize(
    ("given", "other", "listed"),
    [("server", "client", False), ("client", "server", False), ("server", "client", True)],
)
async def test_order_of_suites(pbs: SimulatedPbs, folder: Path, given: str, other: str, listed: bool) -> None:  # noqa: FBT001 - a column
    """The order of the server decides, unless the file says that the client's does."""
    names = {
        "server": ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        "client": ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    }
    prefer = "" if listed else f"  prefer_server_cipher_suites: {'true' if given == 'server' else 'false'}\n"
    keys = f"  max_version: TLS12\n  cipher_suites: [{names['server'][0]}, {names['client'][0]}]\n{prefer}"
    async with port(pbs, folder, TLS + keys) as opened:
        _, printed = await openssl(opened, "-cipher", f"{names['client'][1]}:{names['server'][1]}")
    assert names[given][1] in printed
    assert names[other][1] not in printed


ROGUE = OTHER_CA.issue_cert("prometheus.example.com")
NAMED = CA.issue_cert("prometheus.example.com", "10.0.0.1", "2001:db8::1", "ops@example.com")


@pytest.mark.parametrize(
    ("kind", "certificate", "welcome"),
    [
        ("NoClientCert", None, True),
        ("RequestClientCert", None, True),
        ("RequestClientCert", ROGUE, True),
        ("VerifyClientCertIfGiven", None, True),
        ("VerifyClientCertIfGiven", NAMED, True),
        ("VerifyClientCertIfGiven", ROGUE, False),
        ("RequireAnyClientCert", None, False),
        ("RequireAnyClientCert", NAMED, True),
        ("RequireAnyClientCert", ROGUE, False),
        ("RequireAndVerifyClientCert", None, False),
        ("RequireAndVerifyClientCert", NAMED, True),
        ("RequireAndVerifyClientCert", ROGUE, False),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(
    pbs: SimulatedPbs,
    folder: Path,
    *,
    kind: str,
    certificate: trustme.LeafCert | None,
    welcome: bool,
    version: ssl.TLSVersion,
) -> None:
    """A client needs a certificate of the CA where one is required; a wrong one is refused where one is verified."""
    ca = "" if kind == "NoClientCert" else "  client_ca_file: ca.crt\n"
    async with port(pbs, folder, f"{TLS}{ca}  client_auth_type: {kind}\n") as opened:
        assert await refused(opened, client(certificate, maximum_version=version)) != welcome
        # Whoever is refused costs the others nothing.
        assert not await refused(opened, client(NAMED))


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (ssl.TLSVersion.TLSv1_2, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        (ssl.TLSVersion.TLSv1_3, "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    ],
)
async def test_who_is_refused_learns_why(pbs: SimulatedPbs, folder: Path, version: ssl.TLSVersion, reason: str) -> None:
    """A client without a certificate gets TLS's alert, and not only the end of the connection."""
    async with port(pbs, folder, MUTUAL) as opened:
        with pytest.raises(ssl.SSLError) as caught:
            await opened.get("/health", tls=client(maximum_version=version))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("allowed", "welcome"),
    [
        ("[prometheus.example.com]", True),
        ("[10.0.0.1]", True),
        ('["2001:db8::1"]', True),
        ("[ops@example.com]", True),
        ("[other, prometheus.example.com]", True),
        ("[other]", False),
        ("[example.com]", False),
        ("[]", False),
    ],
)
async def test_allowed_names_of_clients(
    pbs: SimulatedPbs,
    folder: Path,
    allowed: str,
    welcome: bool,  # noqa: FBT001 - a column
) -> None:
    """With client_allowed_sans a client needs a certificate with one of these names, of any kind."""
    async with port(pbs, folder, f"{MUTUAL}  client_allowed_sans: {allowed}\n") as opened:
        assert await refused(opened, client(NAMED)) != welcome
        assert await refused(opened, client(CA.issue_cert("else.example.com")))
        assert await refused(opened, client())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_does_not_outlive_a_change(pbs: SimulatedPbs, folder: Path, version: ssl.TLSVersion) -> None:
    """A client that is no longer allowed can't resume the session that it had."""
    async with port(pbs, folder, MUTUAL) as opened:
        context = client(NAMED, maximum_version=version)
        sessions: list[ssl.SSLSession | None] = [None]

        def answer() -> bytes:
            with (
                socket.create_connection(("127.0.0.1", opened.port), timeout=WAIT) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=sessions[-1]) as connected,
            ):
                connected.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answered = connected.recv(1000)
                sessions.append(connected.session)
                return answered

        for _ in range(2):
            assert (await asyncio.to_thread(answer)).startswith(b"HTTP/1.1 200")
        opened.write(f"{MUTUAL}  client_allowed_sans: [other]\n")
        with suppress(OSError):
            assert await asyncio.to_thread(answer) == b""


async def serial(opened: Port, tls: ssl.SSLContext) -> int:
    _, writer = await opened.connect(tls)
    try:
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)
    finally:
        writer.close()


async def test_a_new_certificate_counts_from_the_next_connection(pbs: SimulatedPbs, folder: Path) -> None:
    """A certificate that is replaced on disk is used at once, and connections that are open go on."""
    async with port(pbs, folder, TLS) as opened:
        old = await serial(opened, client())
        reader, writer = await opened.connect(client())
        for _ in range(3):
            write_certificate(folder)
            new = await serial(opened, client())
            assert new != old
            old = new
        writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


async def test_a_pair_that_does_not_match_yet(pbs: SimulatedPbs, folder: Path) -> None:
    """Between a new certificate and its key the old pair is used; then the new one is."""
    async with port(pbs, folder, TLS) as opened:
        old = await serial(opened, client())
        (folder / "next").mkdir()
        write_certificate(folder / "next")
        (folder / "next/server.crt").replace(folder / "server.crt")
        with structlog.testing.capture_logs() as logged:
            assert [await serial(opened, client()) for _ in range(3)] == [old] * 3
        assert [line["problem"] for line in logged] == ["tls_server_config.key: doesn't belong to the certificate"]
        assert f"{METRIC} 0.0" in await opened.get(tls=client())
        (folder / "next/server.key").replace(folder / "server.key")
        assert await serial(opened, client()) != old
        assert f"{METRIC} 1.0" in await opened.get(tls=client())


async def test_other_clients_from_the_next_connection(pbs: SimulatedPbs, folder: Path) -> None:
    """A changed CA or list of names of clients counts from the next connection."""
    async with port(pbs, folder, MUTUAL) as opened:
        assert not await refused(opened, client(NAMED))
        opened.write(f"{MUTUAL}  client_allowed_sans: [other]\n")
        assert await refused(opened, client(NAMED))
        opened.write(MUTUAL)
        assert not await refused(opened, client(NAMED))
        OTHER_CA.cert_pem.write_to_path(folder / "ca.crt")
        assert await refused(opened, client(NAMED))
        assert not await refused(opened, client(ROGUE))


async def test_silent_connections_take_no_place(pbs: SimulatedPbs, folder: Path) -> None:
    """A connection without a handshake counts against max_connections, and is the first to be closed for another."""
    async with port(pbs, folder, TLS, number=3) as opened:
        silent = [await opened.connect() for _ in range(10)]
        assert status(await opened.get("/health", tls=client())) == 200
        async with asyncio.timeout(WAIT):
            for reader, _ in silent[:7]:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
        for _, writer in silent:
            writer.close()


async def test_a_handshake_has_a_limit(pbs: SimulatedPbs, folder: Path) -> None:
    """A connection that begins no handshake is closed in the time that a request's head has."""
    async with port(pbs, folder, TLS, request_seconds=0.5) as opened:
        reader, writer = await opened.connect()
        async with asyncio.timeout(WAIT):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        assert status(await opened.get("/health", tls=client())) == 200


@pytest.mark.parametrize(
    "sent", [b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\xff" * 1000]
)
async def test_what_is_no_tls(pbs: SimulatedPbs, folder: Path, sent: bytes) -> None:
    """Who doesn't speak TLS gets no answer of HTTP, no line in the log, and costs nothing."""
    async with port(pbs, folder, TLS) as opened:
        with structlog.testing.capture_logs() as logged:
            reader, writer = await opened.connect()
            writer.write(sent)
            async with asyncio.timeout(WAIT):
                with suppress(ConnectionError):
                    assert b"HTTP" not in await reader.read()
            writer.close()
            assert status(await opened.get("/health", tls=client())) == 200
    assert [line for line in logged if line["log_level"] not in {"debug", "info"}] == []
