"""Requests on the wire, the reading of answers, and repeated requests."""

import asyncio
import errno
import gzip
import json
import os
import socket
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from aiohttp import ClientResponse, web

from pbs_exporter import __version__, errors, plain_text
from pbs_exporter.clock import Clock
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http import body, transport
from pbs_exporter.pbs.http.connector import DEAD_SECONDS, make_session, open_socket
from pbs_exporter.pbs.http.decoding import many
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.pbs.models import Snapshot
from pbs_exporter.pbs.snapshots.group_summary import grouped
from pbs_exporter.simulator import Answer, Call, Certificate, Fault, SimulatedPbs
from pbs_exporter.simulator.exchange import Exchange
from tests.support.canned_pbs import CannedPbs, snapshot
from tests.support.exporter import exporting, main_of, make_settings

CERTIFICATE = Certificate.make()
SECONDS = 20.0
"""What a request may take here: none comes near it."""


@dataclass
class Asked:
    """A simulated PBS, a client of it, and the requests that the client counted."""

    pbs: SimulatedPbs
    client: PbsClient
    counted: list[tuple[str, str]]


@asynccontextmanager
async def asking(answers: dict[str, Any] | None = None, *, tls: bool = False) -> AsyncIterator[Asked]:
    """Run a PBS with these answers, and a client of it."""
    counted: list[tuple[str, str]] = []
    source = CannedPbs(answers or {})
    async with (
        SimulatedPbs(source, tls=tls, certificate=CERTIFICATE, login_delay=0.0) as pbs,
        make_session() as session,
    ):
        settings = main_of(make_settings(pbs, timeout_seconds=SECONDS, listing_timeout_seconds=SECONDS)).pbs
        login = TokenAuth(settings, Clock(), lambda: None)
        made = Transport(session, settings, login, lambda endpoint, code, _: counted.append((endpoint, code)))
        yield Asked(pbs, PbsClient(made, settings, login), counted)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """Return a client of a PBS without TLS."""
    async with asking() as asked:
        yield asked


def acts(act: Callable[[Exchange], Any]) -> Fault:
    """Make a fault from a function that handles one exchange."""

    async def doing(exchange: Exchange) -> web.StreamResponse:
        done = act(exchange)
        result: web.StreamResponse = await done if asyncio.iscoroutine(done) else done
        return result

    return Fault(doing)


def answers(body: bytes, status: int = 200, **headers: str) -> Fault:
    """Make a fault that answers with these bytes and headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return acts(lambda exchange: exchange.send(Answer(status, body, headers=named)))


# --- requests


async def test_a_request_says_no_more_than_it_must(asked: Asked) -> None:
    """A request has the token, the user agent and the accepted types; no cookie, no content type and no body."""
    await asked.client.version()
    (request,) = asked.pbs.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers.pop("host") == asked.pbs.endpoint.removeprefix("http://")
    assert headers == {
        "authorization": f"PBSAPIToken={asked.pbs.token_id}:{asked.pbs.secret}",
        "user-agent": f"pbs-exporter/{__version__}",
        "accept-encoding": "identity",
        "accept": "*/*",
    }
    assert (request.method, request.path, request.query) == ("GET", "/version", "")


async def test_deflate_is_taken_over_tls() -> None:
    """Over TLS the answer may be deflated; PBS supports no other encoding."""
    async with asking(tls=True) as asked:
        await asked.client.version()
        (request,) = asked.pbs.requests
        assert request.headers["Accept-Encoding"] == "deflate"


async def test_a_cookie_is_never_sent_back(asked: Asked) -> None:
    """PBS's 401 sets a cookie that would override the token: the next request doesn't send it."""
    cookie = "__Host-PBSAuthCookie=gone; Path=/; HttpOnly"
    asked.pbs.faults.add("/version", answers(b"authentication failed", 401, Set_Cookie=cookie), times=1)
    with pytest.raises(errors.LoginRefused):
        await asked.client.version()
    asked.client.auth.reopen()
    await asked.client.version()
    assert len(asked.pbs.requests) == 2
    assert all("Cookie" not in request.headers for request in asked.pbs.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(asked: Asked, status: int) -> None:
    """A redirect is an error; its target isn't asked and doesn't receive the token, even on the same host."""
    asked.pbs.faults.add("/version", Fault.redirect(f"{asked.pbs.endpoint}/api2/json/admin/gc", status))
    with pytest.raises(errors.StatusError, match=f"^{status} a redirect to {asked.pbs.endpoint}"):
        await asked.client.version()
    assert [request.path for request in asked.pbs.requests] == ["/version"]


ODD = ("a b/ü&?#%", "..", "100%25", "a+b", "{store}", "ns=x&limit=1", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "a;b:c@d")


@pytest.mark.parametrize("name", ODD)
async def test_names_are_percent_encoded(asked: Asked, name: str) -> None:
    """The name of a datastore or namespace arrives unchanged, as one path segment or one query value."""
    asked.pbs.faults.add("*", Fault.json([]))
    await asked.client.snapshots(name, name, grouped(0))
    (request,) = asked.pbs.requests
    segments = request.path.split("/")
    assert [unquote(segment) for segment in segments] == ["", "admin", "datastore", name, "snapshots"]
    assert parse_qsl(request.query, keep_blank_values=True) == [("ns", name)]
    assert not set(request.path + request.query) & set(" +#?{};\x7f")
    assert asked.counted == [("/admin/datastore/{store}/snapshots", "200")]


async def test_odd_names_come_through_to_the_page() -> None:
    """A datastore and a namespace with any characters in their names have series with exactly these names."""
    store, namespace = "st ore/ü&?#%", 'a b/ü&?#%"\\'

    class Odd(CannedPbs):
        def answer(self, call: Call) -> Answer:
            return super().answer(Call(unquote(call.path), call.query, call.fingerprint))

    rows = {"/admin/datastore": [{"store": store}]}
    listing = {f"/admin/datastore/{store}/snapshots": {namespace: [snapshot(1_700_000_000)]}}
    async with (
        SimulatedPbs(Odd(rows | listing), tls=False, certificate=CERTIFICATE) as pbs,
        exporting(make_settings(pbs)) as exporter,
    ):
        page = await exporter.scrape()
    labels = {"datastore": store, "namespace": namespace, "backup_type": "vm", "backup_id": "100"}
    assert page.value("pbs_snapshot_count", **labels) == 1
    endpoints = {labels["endpoint"] for labels, _ in page.series("pbs_exporter_api_requests_total")}
    assert "/admin/datastore/{store}/snapshots" in endpoints
    assert not any(store in endpoint or "%" in endpoint for endpoint in endpoints)


# --- answers


READ = [
    (b'{"data":{"cpu":0.5}}', 0.5),
    (b'\xef\xbb\xbf{"data":{"cpu":0.5}}', 0.5),
    (b'{"data":{"cpu":NaN}}', None),
    (b'{"data":{"cpu":-Infinity}}', None),
    (b'{"data":{"cpu":null}}', None),
    (b'{"data":{}}', None),
    (b'{"data":{"cpu":0.5,"new":[{"deep":"\\ud800"}]}}', 0.5),
    (b'{"data":{"cpu":0.5,"cpuinfo":{"model":"\\ud800"}}}', 0.5),
    (b'{"cpu":7,"data":{"cpu":0.5},"total":1}', 0.5),
    (b' \r\n{"data":{"cpu":0.5}}\n', 0.5),
]


@pytest.mark.parametrize(("body", "cpu"), READ)
async def test_odd_json_is_read(asked: Asked, body: bytes, cpu: float | None) -> None:
    """A byte order mark, NaN, a lone surrogate or a new field costs at most the value concerned."""
    asked.pbs.faults.add("*", answers(body))
    assert (await asked.client.node_status()).cpu == cpu


NOT_JSON = [
    b"",
    b"<!DOCTYPE html><html><title>Login</title></html>",
    b'{"data":[{"store":"a"},{"sto',
    b"\xff\xfe\x00",
    b'{"data":"\xff"}',
    b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"data":[]} trailing',
    b'{"data":[],}',
]


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
async def test_what_is_no_json_is_one_clean_error(asked: Asked, body: bytes) -> None:
    """A proxy's page, half an answer, or deeply nested JSON with status 200 gives one line with its beginning."""
    asked.pbs.faults.add("*", Fault.body(body))
    with pytest.raises(errors.NotJson) as caught:
        await asked.client.gc()
    text = str(caught.value)
    assert text.startswith("not JSON, or truncated: ")
    assert text.isprintable()
    assert len(text) < 300
    assert asked.counted == [("/admin/gc", "decode")]


async def test_truncated_json_is_one_clean_error() -> None:
    """JSON that PBS cuts off with status 200 when it fails while streaming isn't accepted as a short list."""
    listing = {"/admin/datastore/a/snapshots": {"": [snapshot(time) for time in range(1, 50)]}}
    async with asking(listing) as asked:
        asked.pbs.faults.add("*/snapshots", Fault.truncated())
        with pytest.raises(errors.NotJson):
            await asked.client.snapshots("a", "", grouped(0))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_answers_are_read(asked: Asked, encoding: str) -> None:
    """PBS's deflate is decompressed, and so is the gzip of a proxy that ignores Accept-Encoding."""
    body = json.dumps({"data": {"version": "4.2"}}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    asked.pbs.faults.add("/version", answers(packed, Content_Encoding=encoding))
    assert (await asked.client.version()).version == "4.2"


@pytest.mark.parametrize("size", [16_384, 16_385, 16_458, 16_470, 32_768])
@pytest.mark.parametrize("format", [zlib.MAX_WBITS, -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS], ids=["zlib", "raw", "gzip"])
async def test_compressed_answers_are_read_to_their_end(asked: Asked, format: int, size: int) -> None:  # noqa: A002
    """A compressed answer of any size is read whole, also where zlib keeps its last bytes back."""
    body = b'{"data":{"version":"4.2","release":"3"}}'.ljust(size)
    compressor = zlib.compressobj(wbits=format)
    packed = compressor.compress(body) + compressor.flush()
    encoding = "gzip" if format > zlib.MAX_WBITS else "deflate"
    asked.pbs.faults.add("*", answers(packed, Content_Encoding=encoding))
    assert (await asked.client.version()).version == "4.2"


async def test_a_broken_compression_is_a_broken_answer(asked: Asked) -> None:
    """A body that is declared as gzip and isn't is a protocol error, and the request isn't repeated."""
    asked.pbs.faults.add("/version", answers(b"this is no gzip", Content_Encoding="gzip"))
    with pytest.raises(errors.ProtocolFailed):
        await asked.client.version()
    assert asked.counted == [("/version", "protocol")]
    assert len(asked.pbs.requests) == 1


MIB = 1024**2


async def endless(exchange: Exchange, status: int) -> web.StreamResponse:
    """Stream until the client disconnects."""
    response, _ = await exchange.begin(Answer(status, b"", streamed=True))
    while True:
        await response.write(b'{"data":[' + b"0," * 30_000)
        await asyncio.sleep(0)


TOO_LARGE = {
    "whole": Fault.body(b'{"data":[]}' + b" " * MIB),
    "endless": acts(lambda exchange: endless(exchange, 200)),
    "inflated": answers(zlib.compress(b" " * (8 * MIB)), Content_Encoding="deflate"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_only_so_much_of_an_answer_is_read(asked: Asked, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An answer above the limit, or without an end, is aborted: the limit applies to the decompressed size."""
    monkeypatch.setattr(transport, "BODY_LIMIT", MIB)
    asked.pbs.faults.add("*", TOO_LARGE[name])
    with pytest.raises(errors.TooLarge, match=r"^the answer is larger than 1 MiB$"):
        await asked.client.gc()
    assert asked.counted == [("/admin/gc", "decode")]


async def test_an_answer_of_just_the_limit_is_read(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of exactly the limit is accepted."""
    monkeypatch.setattr(transport, "BODY_LIMIT", MIB)
    body = b'{"data":[]}'
    asked.pbs.faults.add("*", answers(body + b" " * (MIB - len(body))))
    assert (await asked.client.gc()).rows == []


def test_the_limit_is_half_a_gibibyte() -> None:
    """At most 512 MiB of one answer are read."""
    assert transport.BODY_LIMIT == 512 * MIB


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_the_body_of_an_error_is_read_only_at_its_start(asked: Asked, status: int) -> None:
    """An error with an endless text stays that error, at once and with a short text."""
    asked.pbs.faults.add("*", acts(lambda exchange: endless(exchange, status)))
    with pytest.raises(errors.StatusError) as caught:
        await asked.client.gc()
    assert caught.value.status == status
    assert str(caught.value).startswith(f'{status} {{"data":[0,0,')
    assert len(str(caught.value)) == len("500 ") + plain_text.ERROR_LIMIT


# --- repeated requests


@pytest.mark.parametrize("tls", [False, True])
async def test_a_kept_connection_that_pbs_has_closed_is_asked_again(*, tls: bool) -> None:
    """If PBS closes a kept connection instead of answering, one more request is sent over a new one."""
    async with asking(tls=tls) as asked:
        await asked.client.version()
        asked.pbs.faults.add("*", Fault.drop_kept())
        await asked.client.version()
        assert [(request.connection, request.nth) for request in asked.pbs.requests] == [(1, 1), (1, 2), (2, 1)]
        assert asked.counted == [("/version", "200")] * 2


async def test_it_is_asked_again_only_once(asked: Asked) -> None:
    """If the new connection is closed too, the request fails: aiohttp's own retries add none."""
    await asked.client.version()
    asked.pbs.faults.add("*", acts(lambda exchange: exchange.close()))
    with pytest.raises(errors.ProtocolFailed, match="closed without an answer"):
        await asked.client.version()
    assert [(request.connection, request.nth) for request in asked.pbs.requests] == [(1, 1), (1, 2), (2, 1)]
    assert asked.counted == [("/version", "200"), ("/version", "protocol")]


async def test_a_reset_of_a_kept_connection_is_asked_again(asked: Asked) -> None:
    """A kept connection that is reset before the first byte of an answer is treated as closed."""
    await asked.client.version()
    asked.pbs.faults.add("*", Fault.reset(), times=1)
    await asked.client.version()
    assert len(asked.pbs.requests) == 3


@pytest.mark.parametrize("tls", [False, True])
async def test_what_comes_between_two_answers_is_no_answer(*, tls: bool) -> None:
    """A kept connection on which a proxy has sent a 408 isn't used for the next request, which gets its own answer."""
    exchanges: list[Exchange] = []

    async def noting(exchange: Exchange) -> web.StreamResponse:
        exchanges.append(exchange)
        return await exchange.send(await exchange.answer())

    async with asking(tls=tls) as asked:
        asked.pbs.faults.add("*", acts(noting))
        await asked.client.version()
        exchanges[0].write_raw(b"HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\n\r\n")
        # The client and PBS share this event loop.
        await asyncio.sleep(0.05)
        await asked.client.version()
        assert [(request.connection, request.nth) for request in asked.pbs.requests] == [(1, 1), (2, 1)]
        assert asked.counted == [("/version", "200")] * 2


async def no_http(exchange: Exchange) -> web.StreamResponse:
    """Greet as a service of another protocol."""
    exchange.write_raw(b"SSH-2.0-OpenSSH\r\n")
    return exchange.close()


FINAL = {
    "partial head": Fault.partial_head(),
    "cut body": Fault.cut(),
    "no HTTP": acts(no_http),
    "an error": Fault.status(503),
    "no JSON": Fault.body(b"<html>"),
}


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", FINAL)
async def test_nothing_else_is_asked_again(asked: Asked, name: str, *, kept: bool) -> None:
    """After the first byte of an answer, the request isn't repeated, on a kept connection or a new one."""
    if kept:
        await asked.client.version()
    asked.pbs.faults.add("*", FINAL[name])
    with pytest.raises(errors.PbsError):
        await asked.client.version()
    assert [(request.connection, request.nth) for request in asked.pbs.requests][kept:] == [(1, 1 + kept)]


async def test_a_reset_in_the_body_is_not_asked_again(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection that is reset after the headers of an answer is an error, and the request isn't repeated."""
    await asked.client.version()
    head_came = asyncio.Event()
    pieces = body.pieces

    def noting(response: ClientResponse, limit: int) -> AsyncGenerator[bytes, None]:
        head_came.set()
        return pieces(response, limit)

    async def act(exchange: Exchange) -> web.StreamResponse:
        await exchange.begin(await exchange.answer())
        await head_came.wait()
        return exchange.reset()

    monkeypatch.setattr(body, "pieces", noting)
    asked.pbs.faults.add("*", acts(act))
    with pytest.raises(errors.ProtocolFailed, match=r"^the connection broke"):
        await asked.client.version()
    assert len(asked.pbs.requests) == 2


@pytest.mark.parametrize("fault", [Fault.reset(), acts(lambda exchange: exchange.close())], ids=["reset", "close"])
async def test_a_new_connection_that_breaks_is_not_asked_again(asked: Asked, fault: Fault) -> None:
    """A request on a new connection isn't repeated."""
    asked.pbs.faults.add("*", fault)
    with pytest.raises(errors.ProtocolFailed):
        await asked.client.version()
    assert len(asked.pbs.requests) == 1
    assert asked.counted == [("/version", "protocol")]


async def test_a_time_out_covers_the_body(asked: Asked) -> None:
    """The timeout also applies to a body that is late after its headers, and the request isn't repeated."""
    asked.client._settings = main_of(make_settings(asked.pbs, timeout_seconds=0.2)).pbs
    asked.pbs.faults.add("*", Fault.stall_body())
    with pytest.raises(errors.PbsTimeout, match=r"^no answer within 0\.2 s$"):
        await asked.client.gc()
    assert asked.counted == [("/admin/gc", "timeout")]
    assert len(asked.pbs.requests) == 1


async def test_an_error_holds_no_answer(asked: Asked) -> None:
    """Errors are kept until the next scrape: their tracebacks and causes don't reference the answer's reader."""
    asked.pbs.faults.add("/admin/datastore/main/snapshots", Fault.body(b"<html>"))
    with pytest.raises(errors.NotJson) as caught:
        await asked.client.snapshots("main", "", grouped(0))
    files = {entry.path.name for entry in caught.traceback if hasattr(entry.path, "name")}
    assert "transport.py" in files
    assert not files & {"decoding.py", "group_summary.py", "row_stream.py"}
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_row_that_is_left_out_holds_no_answer() -> None:
    """The error of an invalid row has no traceback, which would keep all rows of the answer alive."""
    rows = [snapshot(1_795_000_000, size="big"), snapshot(1_795_000_001)]
    wrong = many(Snapshot)(json.dumps({"data": rows}).encode()).omitted
    assert wrong is not None
    assert (wrong.__traceback__, wrong.__cause__, wrong.__context__) == (None, None, None)


def test_dead_connections_are_found() -> None:
    """A connection to PBS is probed when nothing comes, and ends if nothing is acknowledged, as far as Linux can."""
    with open_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == DEAD_SECONDS
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * DEAD_SECONDS


async def test_a_dead_connection_is_no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of a dead connection is a broken connection: PBS isn't working on it, so nothing pauses."""

    async def dead(_self: Transport, *_: object) -> None:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(Transport, "_get_once", dead)
    async with asking() as asked:
        with pytest.raises(errors.ProtocolFailed, match=r"^the connection broke: Connection timed out$"):
            await asked.client.version()
