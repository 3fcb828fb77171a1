"""Logging in to the simulated PBS."""

import time

import pytest

from pbs_exporter.simulator import Replay
from tests.support.recordings import recording_file
from tests.support.simulator_client import served
from tests.support.stopwatch import Stopwatch


@pytest.mark.parametrize("separator", ["=", " "])
async def test_both_forms_of_the_header_log_in(separator: str) -> None:
    """PBS takes `PBSAPIToken=` and `PBSAPIToken `, and decodes the secret's percent signs."""
    async with served(secret="a%b") as client:
        login = f"PBSAPIToken{separator}{client.pbs.token_id}:a%25b"
        assert (await client.get("/version", login=login)).status == 200


@pytest.mark.parametrize(
    "login",
    [
        "",
        "Bearer x",
        "PBSAPIToken=exporter@pbs!metrics:wrong",
        "PBSAPIToken=exporter@pbs!metrics",
        "pbsapitoken=exporter@pbs!metrics:{secret}",
        "PBSAPIToken=exporter@pbs!metrics={secret}",
        "PBSAPIToken=other@pbs!metrics:{secret}",
    ],
)
async def test_a_wrong_login_is_a_401(login: str) -> None:
    """A 401 has no content type, and takes a cookie away."""
    async with served() as client:
        reply = await client.get("/version", login=login.format(secret=client.pbs.secret))
    assert (reply.status, reply.text) == (401, "authentication failed")
    assert "Content-Type" not in reply.headers
    assert reply.headers["Set-Cookie"].startswith("__Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("cookie", ["PBSAuthCookie", "__Host-PBSAuthCookie"])
async def test_a_cookie_beats_the_token(cookie: str) -> None:
    """With a ticket's cookie PBS doesn't look at the token."""
    async with served() as client:
        reply = await client.get("/version", headers={"Cookie": f"{cookie}=PBS:old"})
        assert reply.status == 401
        assert (await client.get("/version", headers={"Cookie": "other=1"})).status == 200


async def test_a_401_is_held_back() -> None:
    """A refused login takes as long as is set, and a good one doesn't."""
    async with served(login_delay=0.5) as client:
        watch = Stopwatch()
        await client.get("/version")
        assert watch.seconds < 0.5
        begin = time.monotonic()
        await client.get("/version", login="")
        assert time.monotonic() - begin >= 0.5


async def test_a_403_of_the_router_is_held_back() -> None:
    """PBS waits before its bare `permission check failed`, and not before a handler's longer text."""
    async with served(Replay(recording_file("pbs-4.2.3"), "without-rights"), forbidden_delay=0.5) as client:
        begin = time.monotonic()
        assert (await client.get("/nodes/localhost/status")).text == "permission check failed"
        assert time.monotonic() - begin >= 0.5
        watch = Stopwatch()
        assert (await client.get("/admin/datastore/archive/snapshots")).status == 403
        assert watch.seconds < 0.5


async def test_ping_needs_no_login() -> None:
    """`/ping` is open to the world, whatever it sends."""
    async with served() as client:
        for login in ("", "PBSAPIToken=a:b"):
            assert (await client.get("/ping", login=login)).data == {"pong": True}


async def test_the_token_can_be_changed() -> None:
    """A secret can be changed while the server runs."""
    async with served() as client:
        old = f"PBSAPIToken={client.pbs.token_id}:{client.pbs.secret}"
        client.pbs.secret = "new"
        assert (await client.get("/version", login=old)).status == 401
        assert (await client.get("/version")).status == 200
