"""The web service: the response to each path and method, and what no response contains."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import AnyCollector, Collector, CollectorRequest, Context, Result
from pbs_exporter.commands import serve
from pbs_exporter.config import ExporterSettings, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.plain_text import ERROR_LIMIT
from pbs_exporter.simulator import Certificate, Fault, SimulatedPbs
from pbs_exporter.web.app import create_app
from tests.support.canned_pbs import CannedPbs
from tests.support.exporter import Client, Exporter, exporting, make_settings
from tests.support.program import closed_port
from tests.support.status_page import status_page

CERTIFICATE = Certificate.make()
SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"


def dead() -> Settings:
    """Return settings for a PBS that doesn't exist."""
    target = TargetSettings(
        endpoint=f"http://127.0.0.1:{closed_port()}",
        token_id="exporter@pbs!metrics",
        token_secret=Secret(SECRET),
    )
    main = TargetConfig(pbs=target, collectors={c.name: c.default for c in COLLECTORS})
    return Settings(exporter=ExporterSettings(process_metrics=False), main=main)


@asynccontextmanager
async def pbs_and_exporter(answers: dict[str, Any] | None = None) -> AsyncIterator[tuple[SimulatedPbs, Exporter]]:
    """Run a PBS that gives these answers, and the exporter in front of it."""
    async with (
        SimulatedPbs(CannedPbs(answers or {}), tls=False, certificate=CERTIFICATE, login_delay=0.0) as pbs,
        exporting(make_settings(pbs)) as exporter,
    ):
        yield pbs, exporter


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Run a client of an exporter whose PBS is down."""
    async with exporting(dead()) as exporter:
        yield exporter.client


# --- health


@pytest.mark.parametrize("path", ["/health", "/-/healthy"])
async def test_health_is_ok_where_pbs_is_dead(client: Client, path: str) -> None:
    """The health check succeeds if PBS is down."""
    async with client.get(path) as response:
        assert (response.status, await response.text()) == (200, "ok\n")
        assert response.content_type == "text/plain"


@pytest.mark.parametrize("path", ["/health", "/-/healthy", "/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_only_metrics_asks_pbs(method: str, path: str) -> None:
    """Neither the health check nor the status page sends a request to PBS."""
    async with pbs_and_exporter() as (pbs, exporter):
        async with exporter.client.request(method, path) as response:
            assert response.status == 200
        assert pbs.requests == []


async def test_head_of_metrics_asks_nothing() -> None:
    """`HEAD /metrics` returns the headers of a page, without a request to PBS."""
    async with pbs_and_exporter() as (pbs, exporter):
        async with exporter.client.head("/metrics") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert await response.read() == b""
        assert pbs.requests == []


# --- unknown paths and methods


async def answered(request: bytes) -> tuple[bytes, bytes]:
    """Send a request, and return the head and the body of the response, after which the connection must end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with serve._serving(dead(), [listening]):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(request)
            async with asyncio.timeout(20):
                answer = await reader.read()
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    "path", ["/nope", "/metrics/", "/Metrics", "/health/x", "/favicon.ico", "/<script>", "/%00", "/probe/?target=x"]
)
async def test_other_paths_are_404(client: Client, path: str) -> None:
    """Any other path gets a plain 404 that repeats nothing of the request."""
    async with client.get(path) as response:
        assert (response.status, await response.text()) == (404, "404 Not Found\n")
        assert response.content_type == "text/plain"


@pytest.mark.parametrize("path", ["/health", "/nope"])
async def test_an_unknown_expectation_is_417(path: str) -> None:
    """An `Expect` other than 100-continue gets a plain 417 that repeats nothing of it, on every path."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: <script>\r\n\r\n"
    head, body = await answered(request.encode())
    assert head.startswith(b"HTTP/1.1 417 Expectation Failed\r\n")
    assert body == b"417 Expectation Failed\n"
    assert b"\r\nServer: pbs-exporter" in head


@pytest.mark.parametrize("path", ["/metrics", "/health", "/-/healthy", "/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_other_methods_are_405(client: Client, path: str, method: str) -> None:
    """Every method except GET and HEAD gets a 405 that names these two."""
    async with client.request(method, path) as response:
        assert (response.status, await response.text()) == (405, "405 Method Not Allowed\n")
        assert {name.strip() for name in response.headers["Allow"].split(",")} == {"GET", "HEAD"}


ANY = [("GET", path) for path in ("/", "/metrics", "/health", "/nope")] + [("POST", "/metrics"), ("HEAD", "/metrics")]


@pytest.mark.parametrize(("method", "path"), ANY)
async def test_every_answer_has_the_same_manners(client: Client, method: str, path: str) -> None:
    """No response names the server's software, and browsers must not guess another content type."""
    async with client.request(method, path) as response:
        assert response.headers["Server"] == "pbs-exporter"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in str(response.headers) + await response.text()


MALFORMED = [
    b"GARBAGE\r\n\r\n",
    b"GET /\x01secret HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHo st: secret\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"BREW /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"secret" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: secret\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"secret" * 2000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_no_http_gets_a_plain_400(request_bytes: bytes) -> None:
    """A malformed request gets a plain 400 without a version, the parser's text, or anything of the request."""
    head, body = await answered(request_bytes)
    assert re.match(rb"HTTP/1\.[01] 400 Bad Request\r\n", head)
    assert body == b"400 Bad Request\n"
    assert b"\r\nServer: pbs-exporter" in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert b"aiohttp" not in head
    assert b"Python" not in head


# --- secrets


REPEATED = {
    "status": lambda header: Fault.status(500, f"bad header {header}"),
    "cut": lambda header: Fault.status(500, "x" * (ERROR_LIMIT - len(header) + 10) + header),
    "login": lambda header: Fault.status(401, header),
    "redirect": lambda header: Fault.redirect(f"https://proxy.example/?{header}"),
    "body": lambda header: Fault.body(header[-50:].encode()),
}


@pytest.mark.parametrize("name", REPEATED)
async def test_no_answer_has_the_secret(name: str) -> None:
    """No page contains the token's secret or a part of it, even if a proxy's error repeats the request's header."""
    async with pbs_and_exporter() as (pbs, exporter):
        pbs.faults.add("*", REPEATED[name](f"PBSAPIToken={pbs.token_id}:{pbs.secret}"))
        await exporter.scrape()
        assert any(pbs.secret in str(request.headers) for request in pbs.requests)
        for path in ("/", "/metrics", "/health", "/nope"):
            async with exporter.client.get(path) as response:
                text = await response.text() + str(response.headers)
                assert pbs.secret[:8] not in text
        page = await status_page(exporter.client)
    assert "***" in page.text or name == "cut"


# --- bugs in the exporter


BUG = Metric("pbs_bug", "Nothing.")


class FailsToFetch(Collector[None]):
    """A collector with a bug in `fetch`."""

    name = "bug"
    help = "A bug in asking."
    metrics = (BUG,)

    async def fetch(self, _request: CollectorRequest) -> Result[None]:
        raise ZeroDivisionError("hidden text")

    def samples(self, _answer: None, _context: Context) -> list[Sample]:
        return []


class FailsToCompute(Collector[None]):
    """A collector with a bug in `samples`."""

    name = "bug"
    help = "A bug in computing."
    metrics = (BUG,)

    async def fetch(self, _request: CollectorRequest) -> Result[None]:
        return Result(None)

    def samples(self, _answer: None, _context: Context) -> list[Sample]:
        raise KeyError("hidden text")


BUGS: list[AnyCollector] = [FailsToFetch(), FailsToCompute()]


@pytest.mark.parametrize("bug", BUGS, ids=["fetch", "samples"])
async def test_a_bug_costs_its_collector_alone(bug: AnyCollector) -> None:
    """An exception in a collector sets its success to 0. All other samples are there, and no page has its text."""
    async with SimulatedPbs(CannedPbs({}), tls=False, certificate=CERTIFICATE) as pbs:
        settings = make_settings(pbs, collectors={"bug": True})
        async with TestClient(TestServer(create_app(settings, [*COLLECTORS, bug]))) as client:
            exporter = Exporter(client)
            scraped = await exporter.scrape()
            page = await status_page(client)
    success = scraped.by("pbs_scrape_collector_success", "collector")
    assert success.pop("bug") == 0
    assert set(success.values()) == {1}
    assert "failed: an internal error of the exporter; see its log" in page.cells
    for hidden in ("hidden text", "Traceback", "ZeroDivisionError", "KeyError"):
        assert hidden not in page.text + scraped.text


async def test_there_is_no_500_where_everything_fails() -> None:
    """If all requests to PBS fail, a scrape is a 200 with the known samples."""
    async with pbs_and_exporter() as (pbs, exporter):
        for fault in (Fault.status(500, "x"), Fault.reset(), Fault.body(b"<html>"), Fault.json(7), Fault.json(None)):
            pbs.faults.clear()
            pbs.faults.add("*", fault)
            page = await exporter.scrape()
            assert page.value("pbs_up") == 0
            success = page.by("pbs_scrape_collector_success", "collector")
            # This collector sends no request, and plain HTTP has no certificate.
            assert success.pop("certificate") == 1
            assert set(success.values()) == {0}
