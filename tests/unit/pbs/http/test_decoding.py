"""What can't be decoded is a failure of its request or its row alone, within bounds of time and memory."""

import asyncio
import gc
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from pbs_exporter import errors
from pbs_exporter.clock import Clock
from pbs_exporter.pbs import client as client_module
from pbs_exporter.pbs.client import LIST_BYTES, OBJECT_BYTES, VERSION_BYTES, PbsClient
from pbs_exporter.pbs.http import body as http_body
from pbs_exporter.pbs.http import row_stream
from pbs_exporter.pbs.http.body import KIB, MIB, PIECE_BYTES
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.pbs.http.decoding import many, nested
from pbs_exporter.pbs.http.row_stream import RowStream, collected
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.pbs.models import GcJob, Point, Task
from pbs_exporter.simulator import Answer, Certificate, Fault, SimulatedPbs
from pbs_exporter.simulator.exchange import Exchange
from tests.support.canned_pbs import NOW, CannedPbs, page, snapshot, snapshots_page, success
from tests.support.exporter import exporting, main_of, make_settings

CERTIFICATE = Certificate.make()
TASK = b'{"upid":"UPID:pbs","worker_type":"backup","starttime":1}'


async def chunked(body: bytes, size: int = PIECE_BYTES) -> AsyncIterator[bytes]:
    """Yield a body in chunks."""
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]


@asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[tuple[SimulatedPbs, PbsClient]]:
    """Run a PBS, and a client of it."""
    async with (
        SimulatedPbs(CannedPbs({}), tls=False, certificate=CERTIFICATE) as pbs,
        make_session() as session,
    ):
        made = main_of(make_settings(pbs, **settings)).pbs
        login = TokenAuth(made, Clock(), lambda: None)
        yield pbs, PbsClient(Transport(session, made, login, lambda *_: None), made, login)


def answering(answer: Answer) -> Fault:
    """Make a fault that gives this answer."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await exchange.send(answer)

    return Fault(act)


# --- what can't be read


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"version":"4\xff"}}',
        b'{"data":' + b"[" * 60_000,
        b"[" * 1_000_000,
        b'{"data":{"version":"4","x":NaN,"\xff',
    ],
    ids=["no UTF-8", "nested", "nested and large", "both"],
)
async def test_a_version_that_cannot_be_read_is_a_pbs_that_is_down(body: bytes) -> None:
    """Whatever `/version` answers, the page comes, and says that PBS isn't up."""
    scraped = await page({"/version": Answer(200, body)}, ["gc"])
    assert scraped.value("pbs_up") == 0
    assert success(scraped, "gc") == 1


@pytest.mark.parametrize("also", [b"", b',"new":NaN', b',"new":"\\ud800"', b',"new":1e999'])
async def test_a_byte_that_is_no_utf_8_costs_its_snapshot(also: bytes) -> None:
    """One snapshot whose comment has an invalid byte is left out, and the listing isn't good; the others are shown."""
    rows = [snapshot(NOW - number, backup_id=str(number), comment="X") for number in range(4)]
    body = json.dumps({"data": rows}).encode().replace(b'"X"', b'"\xff"', 1).replace(b'"X"', b'"X"' + also)
    scraped = await snapshots_page({"main": {"": Answer(200, body)}})
    assert set(scraped.by("pbs_snapshot_count", "backup_id")) == {"1", "2", "3"}
    assert scraped.value("pbs_scrape_datastore_success", datastore="main", collector="snapshots") == 0


ROWS = [
    (b'{"store":"a","disk-bytes":1%s}' % (b"0" * 400), "a"),
    (b'{"store":"a","disk-bytes":1%s}' % (b"0" * 5000), "a"),
    (b'{"store":"a","disk-bytes":1e999}', "a"),
    (b'{"store":"a","new":[NaN,{"x":"\\udfff"}]}', "a"),
    (b'{"store":"a","new":"\xff"}', "a"),
    (b'{"store":"a\xff"}', None),
    (b'{"store":7}', None),
    (b'{"store":7,"new":NaN}', None),
    (b"[[[]]]", None),
    (b"null", None),
]


@pytest.mark.parametrize(("row", "store"), ROWS, ids=range(len(ROWS)))
@pytest.mark.parametrize("spaced", [False, True])
async def test_a_row_costs_itself_alone(row: bytes, store: str | None, *, spaced: bool) -> None:
    """A number that is too large costs its value, and a row that can't be read itself: those around it are there."""
    separator = b" , " if spaced else b","
    body = b'{"data":[' + separator.join([b'{"store":"x"}', row, b'{"store":"y"}'] * 40) + b"]}"
    found = await collected(many(GcJob))(chunked(body, 50))
    assert [job.store for job in found.rows] == ["x", *([store] if store else []), "y"] * 40
    assert (found.omitted is None) is (store is not None)


async def test_a_list_in_two_objects_is_decoded_while_it_arrives() -> None:
    """A list that lies one object deeper is decoded in pieces as well, whatever else is around it."""
    rows = b",".join(b'{"id":"host","metric":"m%d","value":1.5}' % number for number in range(500))
    for before, after in (
        (b'{"data":{"data":[', b"]}}"),
        (b'{"x":{"data":[]},"data":{"y":["data"],"data":[', b'],"z":1}}'),
    ):
        found = await collected(nested(Point), objects=2)(chunked(before + rows + after, 100))
        assert [point.metric for point in found.rows] == [f"m{number}" for number in range(500)]


async def test_a_decoder_that_breaks_costs_its_request_alone() -> None:
    """An exception that nobody has thought of is an error of the request, and no traceback."""

    async def broken(chunks: AsyncIterator[bytes]) -> None:
        async for _ in chunks:
            raise ZeroDivisionError("secret")

    async with asking() as (_, client):
        with pytest.raises(errors.WrongShape, match=r"^can't be decoded: ZeroDivisionError$"):
            await client.snapshots("main", "", broken)


# --- how much of it


async def test_wrong_rows_are_counted() -> None:
    """Of many wrong rows the number and the first reason are kept, and no more."""
    body = b'{"data":[' + b",".join([b'{"upid":1}', b"7", TASK] * 10_000) + b"]}"
    found = await collected(many(Task))(chunked(body))
    assert (len(found.rows), found.invalid) == (10_000, 20_000)
    assert found.reason == "Expected `str`, got `int` - at `$.upid`"


async def test_an_answer_that_is_mostly_wrong_is_given_up() -> None:
    """From 50,000 wrong rows on, no more is read of an answer most rows of which are wrong."""
    fed = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal fed
        yield b'{"data":[' + TASK
        while fed < 100:
            fed += 1
            yield b',{"upid":1}' * 1000

    with pytest.raises(errors.WrongShape, match=r"^given up: 5\d+ of the first 5\d+ rows are invalid: Expected `str`"):
        await collected(many(Task))(endless())
    assert fed < 60


@pytest.mark.parametrize("body", [b'{"data":[{"upid":"' + b'\\"' * MIB, b'{"data":[{"upid":[' + b"1," * MIB])
async def test_a_row_without_an_end_is_given_up(body: bytes) -> None:
    """A row is read up to 1 MiB."""
    with pytest.raises(errors.TooLarge, match=r"^a row, or what is around the list, is larger than 1024 KiB$"):
        await collected(many(Task))(chunked(body))


async def test_an_answer_without_a_list_is_given_up() -> None:
    """What has no list within its first MiB isn't read on."""
    with pytest.raises(errors.NotJson, match=r"^not JSON, or truncated: '<html>"):
        await collected(many(Task))(chunked(b"<html>" + b" " * 2 * MIB))


ANSWERS = {
    "plain": lambda body: Answer(200, body),
    "deflated": lambda body: Answer(200, zlib.compress(body), headers={"Content-Encoding": "deflate"}),
}


class _Asked:
    """The event loop's turns, and the pieces that are decoded in each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.fed: list[tuple[int, int]] = []
        feed = RowStream.feed

        def noting(stream: RowStream[Any], chunk: bytes) -> list[Any]:
            self.fed.append((self.turn, len(chunk)))
            return feed(stream, chunk)

        monkeypatch.setattr(row_stream.RowStream, "feed", noting)

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("how", ANSWERS)
async def test_the_loop_runs_between_pieces(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However wrong and well compressed an answer is, the event loop has its turn after each 16 KiB of it."""
    body = b'{"data":[' + b",".join([b'{"upid":1}'] * 40_000) + b"]}"
    noted = _Asked(monkeypatch)
    async with asking() as (pbs, client):
        pbs.faults.add("*/tasks", answering(ANSWERS[how](body)))
        turns = asyncio.create_task(noted.count())
        assert (await client.tasks_running()).invalid == 40_000
        turns.cancel()
    assert sum(length for _, length in noted.fed) == len(body)
    by_turn: dict[int, int] = {}
    for turn, length in noted.fed:
        by_turn[turn] = by_turn.get(turn, 0) + length
    assert max(by_turn.values()) < 32 * KIB


async def test_the_time_limit_holds_while_decoding() -> None:
    """An answer that is there at once, but takes long to decode, is given up when the request's time is over."""

    async def slow(chunks: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        over = loop.time() + 0.2
        async for _ in chunks:
            # Until the time is over, and then the rest of the answer.
            while loop.time() < over:
                pass

    async with asking(listing_timeout_seconds=0.1) as (pbs, client):
        pbs.faults.add("*", Fault.body(b" " * MIB))
        with pytest.raises(errors.PbsTimeout):
            await client.snapshots("main", "", slow)


Call = Callable[[PbsClient], Awaitable[object]]

ANY_ROW = b'{"upid":"","worker_type":"","starttime":1,"backup-type":"","backup-id":"","backup-count":1,"last-backup":1}'

LIMITS: list[tuple[str, Call, int]] = [
    ("version", PbsClient.version, 64 * KIB),
    ("node status", PbsClient.node_status, 4 * MIB),
    ("datastore status", lambda client: client.datastore_status("main"), 4 * MIB),
    ("subscription", PbsClient.subscription, 4 * MIB),
    ("permissions", PbsClient.permissions, 4 * MIB),
    ("tasks", PbsClient.tasks_running, 64 * MIB),
    ("groups", lambda client: client.groups("main", ""), 64 * MIB),
]


@pytest.mark.parametrize(("name", "call", "limit"), LIMITS, ids=[name for name, *_ in LIMITS])
async def test_each_endpoint_has_its_limit(name: str, call: Call, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint's limit is of inflated bytes, and not much more than it is ever inflated."""
    assert limit in {VERSION_BYTES, OBJECT_BYTES, LIST_BYTES}, name
    # Decoding 64 MiB takes long.
    monkeypatch.setattr(client_module, "LIST_BYTES", LIST_BYTES // 32)
    monkeypatch.setattr(client_module, "OBJECT_BYTES", OBJECT_BYTES // 2)
    limit = 2 * MIB if limit > MIB else limit
    inflated = 0
    feed = http_body._Inflater.feed

    def counting(inflater: Any, chunk: bytes) -> Any:
        nonlocal inflated
        for piece in feed(inflater, chunk):
            inflated += len(piece)
            yield piece

    monkeypatch.setattr(http_body._Inflater, "feed", counting)
    bomb = zlib.compress(b'{"data":[' + ANY_ROW + (b"," + ANY_ROW) * 40_000)
    async with asking() as (pbs, client):
        pbs.faults.add("*", answering(Answer(200, bomb, headers={"Content-Encoding": "deflate"})))
        with pytest.raises(errors.TooLarge, match=f"^the answer is larger than {limit // MIB or 64} [KM]iB$"):
            await call(client)
    assert limit < inflated <= limit + PIECE_BYTES


# --- what is left of it


def ending(how: str) -> Fault:
    """Make a fault that sends 3 MB of tasks, and ends the answer in some way."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        response, _ = await exchange.begin(Answer(200, b"", streamed=True))
        await response.write(b'{"data":[' + TASK)
        for _ in range(300):
            await response.write((b"," + TASK) * 180)
        match how:
            case "cut":
                exchange.close()
            case "no JSON":
                await response.write(b"]]")
            case "a wrong shape":
                await response.write(b'],"data":7}')
            case "too large":
                await response.write(b',{"upid":"' + b"x" * 2 * MIB)
            case _:
                await asyncio.Event().wait()
        return response

    return Fault(act)


ENDS: dict[str, tuple[dict[str, Any], float | None]] = {
    "timeout": ({"timeout_seconds": 0.5}, None),
    "cancellation": ({}, 1.5),
    "cut": ({}, None),
    "no JSON": ({}, None),
    "a wrong shape": ({}, None),
    "too large": ({}, None),
}


@pytest.mark.parametrize("how", ENDS)
async def test_nothing_of_an_answer_outlives_its_request(how: str) -> None:
    """Whatever ends an answer, none of its bytes and rows are in memory when the page is there, even without GC."""
    settings, seconds = ENDS[how]
    collectors: Any = dict.fromkeys(
        ("host", "datastores", "snapshots", "gc", "tape", "jobs", "io", "certificate"), False
    )
    async with SimulatedPbs(CannedPbs({}), tls=False, certificate=CERTIFICATE) as pbs:
        made = make_settings(pbs, collectors=collectors | {"tasks": True}, **settings)
        async with exporting(made) as exporter:
            await exporter.scrape()
            pbs.faults.add("*/tasks", ending(how))
            gc.collect()
            gc.disable()
            tracemalloc.start()
            try:
                scraped = await exporter.scrape(seconds)
                kept = tracemalloc.take_snapshot().filter_traces(
                    [
                        tracemalloc.Filter(inclusive=True, filename_pattern=f"*/pbs/http/{name}.py")
                        for name in ("body", "decoding", "row_stream")
                    ]
                )
            finally:
                tracemalloc.stop()
                gc.enable()
    assert success(scraped, "tasks") == 0
    assert sum(trace.size for trace in kept.traces) < 200_000
