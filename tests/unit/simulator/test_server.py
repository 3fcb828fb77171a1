"""The simulated PBS as a server: certificate, ports, and its log of requests."""

import asyncio
import socket
import ssl
import time

import aiohttp
import pytest
from yarl import URL

from pbs_exporter.simulator import Certificate, SimulatedPbs, World
from tests.support.simulator_client import SMALL, served, until


async def test_the_certificate_is_trusted_by_its_file_and_has_its_fingerprint() -> None:
    """`certificate_file` verifies the server under its names, and `fingerprint` is the certificate's."""
    async with served() as client:
        pbs = client.pbs
        context = ssl.create_default_context(cafile=str(pbs.certificate_file))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for host in ("127.0.0.1", "localhost"):
            url = pbs.endpoint.replace("127.0.0.1", host) + "/api2/json/ping"
            async with client.session.get(url, ssl=context) as response:
                assert response.status == 200
        digest = aiohttp.Fingerprint(bytes.fromhex(pbs.fingerprint.replace(":", "")))
        async with client.session.get(pbs.endpoint + "/api2/json/ping", ssl=digest) as response:
            assert response.status == 200
        host_status = (await client.get("/nodes/localhost/status")).data
        assert host_status["info"]["fingerprint"] == pbs.fingerprint == pbs.fingerprint.lower()


async def test_a_certificate_can_be_for_another_name() -> None:
    """A test can supply a certificate that doesn't match."""
    async with served(certificate=Certificate.make(["elsewhere.example.org"])) as client:
        context = ssl.create_default_context(cafile=str(client.pbs.certificate_file))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.session.get(client.pbs.endpoint, ssl=context)


async def test_it_listens_on_loopback_alone_and_leaves_nothing() -> None:
    """After `stop` the port and the files are gone; it can start again on the same port."""
    pbs = SimulatedPbs(World(**SMALL))
    with pytest.raises(RuntimeError):
        _ = pbs.certificate_file
    await pbs.start()
    folder, port = pbs.certificate_file.parent, URL(pbs.endpoint).port
    assert port is not None
    assert URL(pbs.endpoint).host == "127.0.0.1"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0
    await pbs.stop()
    assert not folder.exists()
    await pbs.start(port)
    assert URL(pbs.endpoint).port == port
    other = SimulatedPbs(World(**SMALL))
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port)
    await pbs.stop()
    await pbs.stop()


async def test_it_speaks_plain_http_if_told() -> None:
    """Without TLS the endpoint is an `http` one."""
    async with served(tls=False) as client:
        assert client.pbs.endpoint.startswith("http://127.0.0.1:")
        assert (await client.get("/version")).status == 200


async def test_the_log_holds_what_was_sent() -> None:
    """A log entry has the path, template, query and headers as sent, and the time."""
    async with served() as client:
        await client.get("/admin/datastore/main/snapshots?ns=a%2Fb", headers={"X-Mine": "1"})
    (line,) = client.pbs.requests
    assert line.method == "GET"
    assert line.path == "/admin/datastore/main/snapshots"
    assert line.template == "/admin/datastore/{store}/snapshots"
    assert line.query == "ns=a%2Fb"
    assert line.headers["x-mine"] == "1"
    assert line.status == 400
    assert line.ended is not None
    assert line.started <= line.ended <= time.monotonic()


async def test_the_log_does_not_grow_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that runs for weeks drops its oldest requests."""
    monkeypatch.setattr("pbs_exporter.simulator.server._LOG_LINES", 4)
    async with served() as client:
        for _ in range(9):
            await client.get("/ping")
    assert 2 <= len(client.pbs.requests) <= 4


async def test_it_counts_what_is_under_way() -> None:
    """`in_flight` is the current number, `most_in_flight` its maximum, and `most_at_once` the maximum of some paths."""
    async with served(latency=0.05) as client:
        paths = ("/version", "/version", "/ping", "/admin/gc")
        calls = asyncio.gather(*(client.get(path) for path in paths))
        await until(lambda: client.pbs.in_flight == len(paths))
        await calls
        assert client.pbs.in_flight == 0
        client.pbs.latency = 0
        await client.get("/version")
    assert client.pbs.most_in_flight == 4
    assert client.pbs.most_at_once("/version") == 2
    assert client.pbs.most_at_once("/none") == 0
    assert len(client.pbs.requests_to("/version")) == 3
