"""Faults that a test adds to the simulated PBS."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable

import aiohttp
import pytest

from pbs_exporter.simulator import Fault
from tests.support.simulator_client import JSON, served, until


@pytest.mark.parametrize(
    ("fault", "status", "body", "content_type"),
    [
        (Fault.status(503, "busy", "text/plain"), 503, b"busy", "text/plain"),
        (Fault.status(400, "wrong"), 400, b"wrong", JSON),
        (Fault.status(500), 500, b"", JSON),
        (Fault.body(b"<html>"), 200, b"<html>", "text/html"),
        (Fault.body(b"x", 502, None), 502, b"x", None),
        (Fault.json({"a": [1]}), 200, b'{"data":{"a":[1]}}', JSON),
        (Fault.json(None, 201), 201, b'{"data":null}', JSON),
    ],
)
async def test_faults_that_answer_something_else(
    fault: Fault,
    status: int,
    body: bytes,
    content_type: str | None,
) -> None:
    """A status, a body or a shape can replace the answer, with or without a login."""
    async with served() as client:
        client.pbs.faults.add("*", fault)
        for login in (None, ""):
            reply = await client.get("/version", login=login)
            assert (reply.status, reply.body) == (status, body)
            assert reply.headers.get("Content-Type") == content_type


async def test_fault_redirect() -> None:
    """A redirect has a location."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.redirect("https://example.org/", 308))
        reply = await client.get("/version")
    assert (reply.status, reply.headers["Location"]) == (308, "https://example.org/")


async def test_fault_slow() -> None:
    """A slow answer is the usual one after a delay."""
    async with served() as client:
        client.pbs.faults.add("/version", Fault.slow(0.05))
        begin = time.monotonic()
        assert (await client.get("/version")).data["release"] == "3"
        assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("path", ["/admin/gc", "/nodes/localhost/tasks"])
async def test_fault_rows(path: str) -> None:
    """Rows can be changed; other keys of the answer and errors stay."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.rows(lambda rows: [*rows[:1], "no row"]))
        assert (await client.get(path)).data[1] == "no row"
        assert (await client.get("/none")).text.startswith("Path")


async def test_fault_truncated() -> None:
    """A truncated answer is half of the JSON, and ends like a complete one."""
    async with served() as client:
        whole = (await client.get("/version")).body
        client.pbs.faults.add("*", Fault.truncated())
        reply = await client.get("/version")
    assert (reply.status, reply.body) == (200, whole[: len(whole) // 2])


BROKEN: list[tuple[Callable[[], Fault], type[BaseException]]] = [
    (Fault.reset, aiohttp.ClientOSError),
    (Fault.cut, aiohttp.ClientPayloadError),
    (Fault.partial_head, aiohttp.ClientError),
    (Fault.stall, TimeoutError),
    (Fault.stall_body, TimeoutError),
]


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(("make", "error"), BROKEN)
async def test_faults_that_break_the_connection(
    make: Callable[[], Fault],
    error: type[BaseException],
    *,
    tls: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection can be reset, cut, or stalled; the next request is answered, and nothing is logged."""
    caplog.set_level(logging.WARNING)
    async with served(tls=tls) as client:
        client.pbs.faults.add("/version", make(), times=1)
        with pytest.raises(error) as caught:
            async with asyncio.timeout(0.1 if error is TimeoutError else 2):
                await client.get("/version")
        if isinstance(caught.value, OSError) and error is aiohttp.ClientOSError:
            assert caught.value.errno == errno.ECONNRESET
        assert (await client.get("/version")).status == 200
        broken = client.pbs.requests[0]
        await until(lambda: broken.ended is not None)
    assert broken.status == (200 if make in {Fault.cut, Fault.stall_body} else None)
    assert not caplog.records


async def test_a_stalled_request_does_not_hold_up_the_end() -> None:
    """`stop` ends stalled answers."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.stall())
        stalled = asyncio.ensure_future(client.get("/version"))
        await until(lambda: client.pbs.in_flight == 1)
        async with asyncio.timeout(1):
            await client.pbs.stop()
        with pytest.raises(aiohttp.ClientError):
            await stalled
    assert client.pbs.in_flight == 0


async def test_fault_drop_kept() -> None:
    """A kept connection is closed on its second request, and a new one is answered."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.drop_kept())
        assert (await client.get("/version")).status == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.get("/version")
        assert (await client.get("/version")).status == 200
    assert [(line.connection, line.nth, line.status) for line in client.pbs.requests] == [
        (1, 1, 200),
        (1, 2, None),
        (2, 1, 200),
    ]


async def test_fault_huge() -> None:
    """A huge body has exactly the requested size; a client that disconnects early is no error."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.huge(1_000_003))
        reply = await client.get("/version")
        assert len(reply.body) == 1_000_003
        assert reply.body.startswith(b'{"data":[0,')
        client.pbs.faults.add("*", Fault.huge(1 << 40))
        async with client.session.get(client.pbs.endpoint + "/api2/json/version") as response:
            assert await response.content.readexactly(1000)
            response.close()


async def test_faults_can_be_aimed_counted_and_ended() -> None:
    """A fault applies to a template or a path, a number of times or until removed; the newest one is used."""
    async with served() as client:
        faults = client.pbs.faults
        by_template = faults.add("/admin/datastore/{store}/*", Fault.status(501))
        newest = faults.add("/admin/datastore/main/gc", Fault.status(502), times=1)

        async def statuses() -> list[int]:
            paths = ("/admin/datastore/main/gc", "/admin/datastore/main/status", "/version")
            return [(await client.get(path)).status for path in paths]

        assert await statuses() == [502, 501, 200]
        assert await statuses() == [501, 501, 200]
        assert (by_template.hits, newest.hits) == (3, 1)
        by_template.remove()
        assert await statuses() == [200, 200, 200]
        faults.add("*", Fault.status(503))
        faults.clear()
        assert await statuses() == [200, 200, 200]
