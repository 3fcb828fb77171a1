"""Logins, requests and answers of the simulated PBS."""

import json
import time
import zlib

import aiohttp
import pytest

from pbs_exporter.simulator import Replay, World
from tests.support.paths import recording_file
from tests.support.simulator_client import JSON, SimulatorClient, served
from tests.support.waiting import Stopwatch


@pytest.mark.parametrize("separator", ["=", " "])
async def test_both_forms_of_the_header_log_in(separator: str) -> None:
    """PBS accepts `PBSAPIToken=` and `PBSAPIToken `, and decodes the secret's percent signs."""
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
    """A 401 has no content type, and removes a cookie."""
    async with served() as client:
        reply = await client.get("/version", login=login.format(secret=client.pbs.secret))
    assert (reply.status, reply.text) == (401, "authentication failed")
    assert "Content-Type" not in reply.headers
    assert reply.headers["Set-Cookie"].startswith("__Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("cookie", ["PBSAuthCookie", "__Host-PBSAuthCookie"])
async def test_a_cookie_beats_the_token(cookie: str) -> None:
    """With a ticket's cookie PBS ignores the token."""
    async with served() as client:
        reply = await client.get("/version", headers={"Cookie": f"{cookie}=PBS:old"})
        assert reply.status == 401
        assert (await client.get("/version", headers={"Cookie": "other=1"})).status == 200


async def test_a_401_is_held_back() -> None:
    """A refused login takes the configured time, and a good one doesn't."""
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
    """`/ping` needs no login, and accepts any credentials."""
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


async def test_an_unknown_path_is_404_only_after_login() -> None:
    """Without a login, PBS doesn't reveal which paths exist."""
    async with served() as client:
        assert (await client.get("/a/b", login="")).status == 401
        reply = await client.get("/a/b?c=d")
    assert (reply.status, reply.text) == (404, "Path '/api2/json/a/b' not found.")
    assert reply.headers["Content-Type"] == JSON


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_only_get_is_routed(method: str) -> None:
    """HEAD too is an unknown method."""
    async with served() as client:
        assert (await client.get("/version", method=method)).status == 404


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("x=1", " - 'x': schema does not allow additional properties."),
        (
            "x=1&y=2",
            (
                ":\n- 'x': schema does not allow additional properties."
                "\n- 'y': schema does not allow additional properties."
            ),
        ),
        ("limit=x", " - 'limit': invalid digit found in string"),
        ("limit=1&limit=2", " - 'limit': duplicate parameter."),
        ("running=maybe", " - 'running': Unable to parse boolean option."),
    ],
)
async def test_wrong_parameters_are_refused(query: str, text: str) -> None:
    """PBS names each parameter that it doesn't know or can't read."""
    async with served() as client:
        reply = await client.get(f"/nodes/localhost/tasks?{query}")
    assert (reply.status, reply.text) == (400, f"parameter verification failed{text}")
    assert reply.headers["Content-Type"] == JSON


@pytest.mark.parametrize("query", ["_dc=1", "running=Yes", "running=OFF", "limit=-0", "since=17&until=18"])
async def test_right_parameters_are_taken(query: str) -> None:
    """`_dc` is ignored, and booleans have several spellings."""
    async with served() as client:
        assert (await client.get(f"/nodes/localhost/tasks?{query}")).status == 200


async def test_a_json_content_type_hides_the_query() -> None:
    """With `Content-Type: application/json`, PBS ignores the query, and with other types it refuses the call."""
    async with served(World(datastores=1, namespaces=2, groups=1, snapshots=1)) as client:
        path = "/admin/datastore/main/snapshots?ns=prod"
        typed = await client.get(path, headers={"Content-Type": "application/json; charset=utf-8"})
        assert typed.data == (await client.get("/admin/datastore/main/snapshots")).data
        assert typed.data != (await client.get(path)).data
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await client.get(path, headers=form)).data != typed.data
        refused = await client.get(path, headers={"Content-Type": "text/plain"})
    assert (refused.status, refused.text) == (400, 'unsupported content type Ok("text/plain")')


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("deflate", "deflate"),
        ("gzip, deflate", "deflate"),
        ("gzip;q=1.0,deflate;q=0.5", "deflate"),
        ("gzip", None),
        ("identity", None),
        ("", None),
    ],
)
async def test_only_deflate_is_spoken(accepted: str, encoding: str | None) -> None:
    """PBS deflates (with a zlib wrapper) if the client lists it, and supports nothing else."""
    async with (
        served() as client,
        aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(ssl=False),
        ) as session,
    ):
        raw = await SimulatorClient(client.pbs, session).get("/version", headers={"Accept-Encoding": accepted})
    assert raw.headers.get("Content-Encoding") == encoding
    body = zlib.decompress(raw.body) if encoding else raw.body
    assert body == b'{"data":{"release":"3","repoid":"bc863d45e7","version":"4.2"}}'


async def test_a_large_listing_is_deflated_too() -> None:
    """A listing of more than one chunk arrives whole, deflated and plain."""
    async with served(World(datastores=1, namespaces=1, groups=40, snapshots=10)) as client:
        path = "/admin/datastore/main/snapshots"
        deflated = await client.get(path)
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert deflated.body == plain.body
    assert len(deflated.data) == 400


async def test_errors_of_handlers_are_deflated_and_of_the_router_not() -> None:
    """The recordings show this difference."""
    async with served() as client:
        handler = await client.get("/admin/datastore/none/status")
        router = await client.get("/none")
    assert handler.headers.get("Content-Encoding") == "deflate"
    assert (handler.status, handler.text) == (400, "no such datastore 'none'")
    assert "Content-Encoding" not in router.headers


@pytest.mark.parametrize("path", ["/admin/datastore/main/snapshots", "/nodes/localhost/tasks?limit=0"])
async def test_lists_are_streamed_with_data_last(path: str) -> None:
    """Streamed answers come in chunks, even uncompressed ones, and end with `data`."""
    async with served() as client:
        reply = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert list(json.loads(reply.body))[-1] == "data"


async def test_other_answers_have_a_length_and_sorted_keys() -> None:
    """An answer that isn't streamed is built completely first."""
    async with served() as client:
        reply = await client.get("/access/users", headers={"Accept-Encoding": "identity"})
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert reply.body == json.dumps(json.loads(reply.body), sort_keys=True, separators=(",", ":")).encode()


async def test_a_connection_is_kept_and_says_nothing_of_aiohttp() -> None:
    """Consecutive requests share a connection."""
    async with served() as client:
        for _ in range(3):
            reply = await client.get("/version")
            assert "Server" not in reply.headers
        await client.get("/none")
        await client.get("/version", login="")
    assert [(line.connection, line.nth) for line in client.pbs.requests] == [(1, n) for n in range(1, 6)]


async def test_a_long_url_is_a_414() -> None:
    """A path and query above 3072 bytes get an empty answer."""
    async with served() as client:
        path = "/admin/datastore/main/snapshots?ns="
        room = 3072 - len("/api2/json") - len(path)
        assert (await client.get(path + "a" * room)).status == 400
        reply = await client.get(path + "a" * (room + 1))
    assert (reply.status, reply.body) == (414, b"")
    assert "Content-Type" not in reply.headers


async def test_outside_of_the_api_there_is_nothing() -> None:
    """The simulated PBS has no web interface."""
    async with served() as client:
        login = {"Authorization": f"PBSAPIToken={client.pbs.token_id}:{client.pbs.secret}"}
        async with client.session.get(client.pbs.endpoint + "/version", headers=login) as response:
            assert response.status == 404
