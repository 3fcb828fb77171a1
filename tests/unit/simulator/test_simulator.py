import asyncio
import errno
import json
import logging
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from yarl import URL

from pbs_exporter.simulator import (
    Call,
    Certificate,
    Fault,
    RefusedError,
    Replay,
    SimulatedPbs,
    Source,
    World,
    demo_world,
)
from pbs_exporter.simulator import api as tree
from pbs_exporter.simulator.world.endpoints import ENDPOINTS
from pbs_exporter.simulator.world.rhythm import Rhythm
from tests.support.paths import DATA

RECORDED = DATA / "recordings"
RECORDINGS = ("pbs-3.2.4", "pbs-4.2.3", "pbs-4.2.3-more", "pbs-4.2.3-partial", "pbs-4.2.3-vanished")
JSON = "application/json;charset=UTF-8"
OF_A_HANDLER = {"Content-Type": JSON, "Content-Encoding": "deflate", "Transfer-Encoding": "chunked"}
NOW = 1795373400
SMALL: Mapping[str, Any] = {"datastores": 1, "namespaces": 1, "groups": 4, "snapshots": 3, "now": lambda: NOW}


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def data(self) -> Any:
        """The `data` of a good answer."""
        return json.loads(self.body)["data"]


class Client:
    """Asks one simulated PBS."""

    def __init__(self, pbs: SimulatedPbs, session: aiohttp.ClientSession) -> None:
        self.pbs = pbs
        self.session = session

    async def get(
        self,
        path: str,
        *,
        login: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Reply:
        """Ask for a path (and query) as it is written, with the right login if none is given."""
        login = f"PBSAPIToken={self.pbs.token_id}:{self.pbs.secret}" if login is None else login
        sent = {**({"Authorization": login} if login else {}), **(headers or {})}
        url = URL(f"{self.pbs.endpoint}/api2/json{path}", encoded=True)
        async with self.session.request(method, url, headers=sent, allow_redirects=False) as response:
            return Reply(response.status, await response.read(), response.headers)


@asynccontextmanager
async def served(source: Source | None = None, *, limit: int = 10, **options: Any) -> AsyncIterator[Client]:
    options = {"login_delay": 0.0, "forbidden_delay": 0.0, **options}
    async with (
        SimulatedPbs(source or World(**SMALL), **options) as pbs,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=limit),
            timeout=aiohttp.ClientTimeout(total=5),
            auto_decompress=True,
        ) as session,
    ):
        # aiohttp's client repeats a GET whose connection broke, even a new one: here each request is one.
        session._retry_connection = False
        yield Client(pbs, session)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(1):
        while not happened():  # noqa: ASYNC110 - the server says nothing when it happens
            await asyncio.sleep(0.001)


def one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def ask(world: World, path: str, *query: tuple[str, str]) -> Any:
    return world.answer(Call(path, query)).decoded()["data"]


# --- Replay ---


@pytest.mark.parametrize("token", ["exporter", "without-rights"])
@pytest.mark.parametrize("name", RECORDINGS)
async def test_replay_gives_each_answer_as_it_was_recorded(name: str, token: str) -> None:
    """Status, body and headers of a replay are those of the recording."""
    file = RECORDED / f"{name}.jsonl"
    async with served(Replay(file, token)) as client:
        logins = {token: None, "wrong-secret": f"PBSAPIToken={client.pbs.token_id}:wrong", "no-token": ""}
        for recorded in map(json.loads, file.read_text().split("\n")[1:-1]):
            if recorded["token"] not in logins:
                continue
            asked = recorded["path"] + (f"?{recorded['query']}" if "query" in recorded else "")
            reply = await client.get(asked, login=logins[recorded["token"]])
            body = recorded["text"] if "text" in recorded else one_line(recorded["body"])
            assert (reply.status, reply.text) == (recorded["status"], body), asked
            headers = recorded.get("headers", OF_A_HANDLER)
            for header in ("Content-Type", "Content-Encoding", "Set-Cookie", "Transfer-Encoding"):
                assert reply.headers.get(header) == headers.get(header), (asked, header)


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        ("/nodes/localhost/tasks?limit=0&since=17", "/nodes/localhost/tasks?limit=0"),
        ("/nodes/localhost/tasks?since=17&limit=0", "/nodes/localhost/tasks?limit=0"),
        ("/nodes/localhost/tasks?running=1&limit=0", "/nodes/localhost/tasks?running=1"),
        ("/admin/datastore/main/snapshots?ns=", "/admin/datastore/main/snapshots"),
        ("/admin/datastore/main/snapshots?ns=prod/db", "/admin/datastore/main/snapshots?ns=prod%2Fdb"),
        ("/admin/datastore/ma%69n/groups", "/admin/datastore/main/groups"),
    ],
)
async def test_replay_knows_the_same_question_in_other_words(asked: str, recorded: str) -> None:
    """`since`, an empty `ns`, the order and the encoding of parameters don't matter to a replay."""
    async with served(Replay(RECORDED / "pbs-4.2.3.jsonl")) as client:
        assert (await client.get(asked)).body == (await client.get(recorded)).body


async def test_replay_lists_single_groups() -> None:
    """The listing of one group is made of the recorded one."""
    async with served(Replay(RECORDED / "pbs-4.2.3.jsonl")) as client:
        rows = (await client.get("/admin/datastore/main/snapshots?backup-type=vm&backup-id=100")).data
        everything = (await client.get("/admin/datastore/main/snapshots")).data
        offline = await client.get("/admin/datastore/offline/snapshots?backup-type=vm")
    assert rows == [row for row in everything if (row["backup-type"], row["backup-id"]) == ("vm", "100")]
    assert len(rows) == 3
    assert (offline.status, offline.text[:19]) == (400, "datastore 'offline'")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/admin/datastore/other/status", 400, "no such datastore 'other'"),
        ("/admin/datastore/main/snapshots?ns=none", 400, "ENOENT: No such file or directory"),
        ("/not/there", 404, "Path '/api2/json/not/there' not found."),
        ("/nodes/localhost/tasks?limit=7", 400, "not recorded: /nodes/localhost/tasks {'limit': '7'}"),
        (
            "/admin/gc?x=1",
            400,
            "parameter verification failed - 'x': schema does not allow additional properties.",
        ),
    ],
)
async def test_replay_refuses_what_was_not_recorded(path: str, status: int, text: str) -> None:
    """What nobody asked the recorded PBS is answered as PBS would, where that is known."""
    async with served(Replay(RECORDED / "pbs-4.2.3.jsonl")) as client:
        reply = await client.get(path)
    assert (reply.status, reply.text) == (status, text)


async def test_replay_of_an_old_server_lacks_what_that_lacked() -> None:
    """A path that the recorded PBS answered with 404 is one again."""
    async with served(Replay(RECORDED / "pbs-3.2.4.jsonl")) as client:
        reply = await client.get("/status/metrics?history=1")
    assert (reply.status, reply.text) == (404, "Path '/api2/json/status/metrics' not found.")


# --- Logging in ---


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
    async with served(login_delay=0.1) as client:
        begin = time.monotonic()
        await client.get("/version")
        assert time.monotonic() - begin < 0.1
        begin = time.monotonic()
        await client.get("/version", login="")
        assert time.monotonic() - begin >= 0.1


async def test_a_403_of_the_router_is_held_back() -> None:
    """PBS waits before its bare `permission check failed`, and not before a handler's longer text."""
    async with served(Replay(RECORDED / "pbs-4.2.3.jsonl", "without-rights"), forbidden_delay=0.1) as client:
        begin = time.monotonic()
        assert (await client.get("/nodes/localhost/status")).text == "permission check failed"
        assert time.monotonic() - begin >= 0.1
        begin = time.monotonic()
        assert (await client.get("/admin/datastore/archive/snapshots")).status == 403
        assert time.monotonic() - begin < 0.1


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


# --- Manners ---


async def test_an_unknown_path_is_404_only_after_login() -> None:
    """Without a login, PBS doesn't say which paths it has."""
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
    """`_dc` is ignored, and truth has several spellings."""
    async with served() as client:
        assert (await client.get(f"/nodes/localhost/tasks?{query}")).status == 200


async def test_a_json_content_type_hides_the_query() -> None:
    """With `Content-Type: application/json`, PBS ignores the query, and with others it refuses the call."""
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
    """PBS deflates (in a zlib wrapper) where the client lists it, and does nothing else."""
    async with (
        served() as client,
        aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(ssl=False),
        ) as session,
    ):
        raw = await Client(client.pbs, session).get("/version", headers={"Accept-Encoding": accepted})
    assert raw.headers.get("Content-Encoding") == encoding
    body = zlib.decompress(raw.body) if encoding else raw.body
    assert body == b'{"data":{"release":"3","repoid":"bc863d45e7","version":"4.2"}}'


async def test_a_large_listing_is_deflated_too() -> None:
    """A listing of more than one portion arrives whole, deflated and plain."""
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
    """Streamed answers come in chunks, even plain, and end with `data`."""
    async with served() as client:
        reply = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert list(json.loads(reply.body))[-1] == "data"


async def test_other_answers_have_a_length_and_sorted_keys() -> None:
    """An answer that isn't streamed is built whole first."""
    async with served() as client:
        reply = await client.get("/access/users", headers={"Accept-Encoding": "identity"})
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert reply.body == json.dumps(json.loads(reply.body), sort_keys=True, separators=(",", ":")).encode()


async def test_a_connection_is_kept_and_says_nothing_of_aiohttp() -> None:
    """Requests one after the other share a connection."""
    async with served() as client:
        for _ in range(3):
            reply = await client.get("/version")
            assert "Server" not in reply.headers
        await client.get("/none")
        await client.get("/version", login="")
    assert [(line.connection, line.nth) for line in client.pbs.requests] == [(1, n) for n in range(1, 6)]


async def test_a_long_url_is_a_414() -> None:
    """Path and query of more than 3072 bytes get an empty answer."""
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


# --- The server ---


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
    """A test can bring a certificate that doesn't fit."""
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
    """A line of the log has the path, template, query and headers as sent, and when it was."""
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
    """A demo that runs for weeks forgets its oldest requests."""
    monkeypatch.setattr("pbs_exporter.simulator.server._LOG_LINES", 4)
    async with served() as client:
        for _ in range(9):
            await client.get("/ping")
    assert 2 <= len(client.pbs.requests) <= 4


async def test_it_counts_what_is_under_way() -> None:
    """`in_flight` is now, `most_in_flight` the maximum, and `most_at_once` that of some paths."""
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


# --- Faults ---


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
    """A status, a body or a shape can be put in the answer's place, whatever the login."""
    async with served() as client:
        client.pbs.faults.add("*", fault)
        for login in (None, ""):
            reply = await client.get("/version", login=login)
            assert (reply.status, reply.body) == (status, body)
            assert reply.headers.get("Content-Type") == content_type


async def test_fault_redirect() -> None:
    """A redirect names where to go."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.redirect("https://example.org/", 308))
        reply = await client.get("/version")
    assert (reply.status, reply.headers["Location"]) == (308, "https://example.org/")


async def test_fault_slow() -> None:
    """A slow answer is the usual one, later."""
    async with served() as client:
        client.pbs.faults.add("/version", Fault.slow(0.05))
        begin = time.monotonic()
        assert (await client.get("/version")).data["release"] == "3"
        assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("path", ["/admin/gc", "/nodes/localhost/tasks"])
async def test_fault_rows(path: str) -> None:
    """Rows can be changed on their way; other keys of the answer and errors stay."""
    async with served() as client:
        client.pbs.faults.add("*", Fault.rows(lambda rows: [*rows[:1], "no row"]))
        assert (await client.get(path)).data[1] == "no row"
        assert (await client.get("/none")).text.startswith("Path")


async def test_fault_truncated() -> None:
    """A truncated answer is half of the JSON, and ends as if it were whole."""
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
    """A connection can be reset, cut, or fall silent; the next request is answered, and nothing is logged."""
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
    """`stop` ends what stalls."""
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
    """A kept connection is closed under its second request, and a fresh one is answered."""
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
    """A huge body has exactly the size asked for; a client that leaves in the middle is no error."""
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
    """A fault is for a template or a path, for some requests or until removed; the newest one acts."""
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


# --- The generated world ---


def test_a_world_has_the_size_asked_for() -> None:
    """Datastores, namespaces, groups and snapshots are as many as asked for, however they are counted."""
    world = World(datastores=7, namespaces=6, groups=5, snapshots=4, now=lambda: NOW)
    stores = [row["store"] for row in ask(world, "/admin/datastore")]
    assert len(set(stores)) == 7
    for store in stores:
        namespaces = [row["ns"] for row in ask(world, f"/admin/datastore/{store}/namespace")]
        assert len(set(namespaces)) == 6
        assert namespaces[0] == ""
        for namespace in namespaces:
            groups = ask(world, f"/admin/datastore/{store}/groups", ("ns", namespace))
            snapshots = ask(world, f"/admin/datastore/{store}/snapshots", ("ns", namespace))
            assert [group["backup-count"] for group in groups] == [4] * 5
            keys = {(row["backup-type"], row["backup-id"], row["backup-time"]) for row in snapshots}
            assert len(keys) == 20
        counts = ask(world, f"/admin/datastore/{store}/status", ("verbose", "1"))["counts"]
        assert sum(row["snapshots"] for row in counts.values() if row) == 6 * 5 * 4


def test_a_world_is_the_same_for_the_same_seed() -> None:
    """A seed and a time give one world, another seed another."""

    def bodies(seed: int) -> list[bytes]:
        world = World(**SMALL, seed=seed)
        paths = [path.replace("{store}", "main").replace("{node}", "localhost") for path in ENDPOINTS]
        return [world.answer(Call(path)).body for path in paths]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)


def test_a_world_stands_still_unless_it_lives() -> None:
    """Time goes by, and only a living world changes."""
    clock = [NOW]
    still, alive = (World(2, 1, 4, 3, now=lambda: clock[0], live=live) for live in (False, True))
    before = [world.answer(Call("/admin/datastore/main/snapshots")).body for world in (still, alive)]
    clock[0] += 86400
    after = [world.answer(Call("/admin/datastore/main/snapshots")).body for world in (still, alive)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_worlds_snapshots_look_like_those_of_pbs() -> None:
    """Keys and their order, files, sizes, verification and the unfinished ones are as recorded."""
    world = World(datastores=1, namespaces=1, groups=40, snapshots=30, now=lambda: NOW)
    rows = ask(world, "/admin/datastore/main/snapshots")
    order = "backup-type backup-id backup-time comment verification fingerprint files size owner protected"
    names = order.split()
    finished = [row for row in rows if "size" in row]
    unfinished = [row for row in rows if "size" not in row]
    for row in rows:
        assert list(row) == [name for name in names if name in row]
        assert row["backup-time"] <= NOW
    for row in finished:
        assert row["size"] == sum(file.get("size", 0) for file in row["files"])
        assert "index.json.blob" in [file["filename"] for file in row["files"]]
        modes = {file["crypt-mode"] for file in row["files"] if "crypt-mode" in file}
        assert ("encrypt" in modes) == ("fingerprint" in row)
    for row in unfinished:
        assert "verification" not in row
        assert all(list(file) == ["filename"] for file in row["files"])
        assert "index.json.blob" not in [file["filename"] for file in row["files"]]
    assert unfinished
    assert {row["protected"] for row in rows} == {True, False}
    assert {row["verification"]["state"] for row in finished if "verification" in row} == {"ok", "failed"}
    verified = next(row["verification"] for row in finished if "verification" in row)
    start = int(verified["upid"].split(":")[5], 16)
    assert NOW - 31 * 86400 < start < NOW
    assert any("verification" not in row for row in finished)
    assert any("fingerprint" in row for row in finished)
    assert any("comment" not in row for row in finished)


def test_a_world_lists_single_groups() -> None:
    """`backup-type` and `backup-id` choose rows of the whole listing."""
    world = World(**SMALL)
    path = "/admin/datastore/main/snapshots"
    everything = ask(world, path)
    for query in ({"backup-type": "vm"}, {"backup-id": "101"}, {"backup-type": "vm", "backup-id": "100"}):
        rows = ask(world, path, *query.items())
        assert rows == [row for row in everything if query.items() <= row.items()]
        assert rows
    assert ask(world, path, ("backup-id", "none")) == []


def test_groups_agree_with_snapshots() -> None:
    """`last-backup` is the newest finished snapshot, and its files are listed."""
    world = World(datastores=1, namespaces=1, groups=30, snapshots=5, now=lambda: NOW)
    snapshots = ask(world, "/admin/datastore/main/snapshots")
    for group in ask(world, "/admin/datastore/main/groups"):
        key = (group["backup-type"], group["backup-id"])
        mine = [row for row in snapshots if (row["backup-type"], row["backup-id"]) == key]
        newest = max((row for row in mine if "size" in row), key=lambda row: int(row["backup-time"]))
        assert group["last-backup"] == newest["backup-time"]
        assert group["files"] == [file["filename"] for file in newest["files"]]


def test_a_hundred_thousand_snapshots_are_encoded_once() -> None:
    """A listing that hasn't changed is the very same answer, so that a benchmark measures its client."""
    world = World(datastores=1, namespaces=1, groups=50, snapshots=20, now=lambda: NOW)
    call = Call("/admin/datastore/main/snapshots")
    first = world.answer(call)
    assert world.answer(call) is first
    assert 450 < len(first.body) / 1000 < 750
    world.stores[0].namespaces[""].pop()
    assert world.answer(call) is not first


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["", "prod", "prod/db", "lab"]),
        ({"max-depth": "0"}, [""]),
        ({"max-depth": "1"}, ["", "prod", "lab"]),
        ({"parent": "prod"}, ["prod", "prod/db"]),
        ({"parent": "prod", "max-depth": "0"}, ["prod"]),
    ],
)
def test_namespaces_below_a_parent(query: dict[str, str], names: list[str]) -> None:
    """The parent itself is the first row."""
    world = World(datastores=1, namespaces=4, groups=1, snapshots=1)
    assert [row["ns"] for row in ask(world, "/admin/datastore/main/namespace", *query.items())] == names


@pytest.mark.parametrize(
    ("maintenance", "text"),
    [
        ("offline,message=swap", "datastore 'main' is unavailable: offline maintenance mode: swap"),
        ("delete", "datastore 'main' is unavailable: datastore is being deleted"),
        ("unmount", "datastore 'main' is unavailable: datastore is being unmounted"),
        ("s3-refresh,message=x", "datastore 'main' is unavailable: S3 refresh maintenance mode: x"),
    ],
)
def test_a_datastore_in_maintenance(maintenance: str, text: str) -> None:
    """Its calls are 400, its rows say why or are missing, and read-only changes nothing."""
    world = World(**SMALL)
    store = world.stores[0]
    store.maintenance = maintenance
    for path in ("status", "namespace", "groups", "snapshots", "gc"):
        with pytest.raises(RefusedError, match=f"^{text}$") as refused:
            ask(world, f"/admin/datastore/main/{path}")
        assert refused.value.answer.status == 400
    assert ask(world, "/admin/datastore")[0]["maintenance"] == maintenance
    usage = {"backend-type": "filesystem", "error": text, "mount-status": "nonremovable", "store": "main"}
    assert ask(world, "/status/datastore-usage") == [usage]
    assert ask(world, "/admin/gc") == []
    store.maintenance = "read-only"
    assert ask(world, "/admin/datastore/main/snapshots")
    assert len(ask(world, "/admin/gc", ("store", "main"))) == 1


def test_a_datastore_that_is_not_mounted() -> None:
    """Its calls are 400, and its row in the usage is bare."""
    world = World(**SMALL)
    world.stores[0].removable = True
    assert ask(world, "/admin/datastore")[0]["mount-status"] == "mounted"
    world.stores[0].mounted = False
    with pytest.raises(RefusedError, match=r"^datastore 'main' is not mounted$"):
        ask(world, "/admin/datastore/main/status")
    row = {"backend-type": "filesystem", "mount-status": "notmounted", "store": "main"}
    assert ask(world, "/status/datastore-usage") == [row]


def test_the_usage_has_a_month_of_history() -> None:
    """`history` has PBS's points, with gaps, and the newest is about what the sizes say."""
    (row,) = ask(World(**SMALL), "/status/datastore-usage")
    assert len(row["history"]) == 1440
    assert None in row["history"]
    assert row["history-start"] + 1439 * row["history-delta"] == NOW // 1800 * 1800
    share = row["used"] / (row["used"] + row["avail"])
    assert row["history"][-1] == pytest.approx(share, rel=0.1)
    assert row["estimated-full-date"] > NOW
    assert row["gc-status"]["upid"].startswith("UPID:pbs1:")


def test_a_failed_gc_leaves_the_counters_of_the_last_good_one() -> None:
    """While a GC runs its last run is hidden, and after a failure only the state of the run is new."""
    clock = [NOW]
    world = World(1, 1, 1, 1, now=lambda: clock[0], live=True)
    store = world.stores[0]
    store.gc = type(store.gc)("garbage_collection", "main", Rhythm(100, 0, 50), store="main", fails=0.5)
    seen: dict[str, Any] = {}
    running = 0
    for clock[0] in range(NOW, NOW + 3000, 10):
        row = ask(world, "/admin/datastore/main/gc")
        assert row == ask(world, "/admin/gc")[0]
        state = row.get("last-run-state")
        if state is None:
            running += 1
            assert "duration" not in row
            assert "last-run-endtime" not in row
        elif state.startswith("marking"):
            if "good" in seen:
                assert row["upid"] == seen["good"]["upid"]
                assert row["disk-bytes"] == seen["good"]["disk-bytes"]
                assert row["last-run-endtime"] > seen["good"]["last-run-endtime"]
            seen["bad"] = row
        else:
            assert row["duration"] <= 50
            seen["good"] = row
    assert running
    assert {"good", "bad"} <= seen.keys()


def test_a_gc_that_never_ends_well_is_bounded() -> None:
    """A plan that always fails shows its newest run, and doesn't search forever."""
    world = World(**SMALL)
    store = world.stores[0]
    store.gc = type(store.gc)("garbage_collection", "main", Rhythm(100, 0, 50), store="main", fails=1.0)
    assert ask(world, "/admin/datastore/main/gc")["upid"]


def test_an_s3_datastore_counts_its_requests() -> None:
    """`status` of an S3 datastore has counters that only grow."""
    clock = [NOW]
    world = World(1, 1, 1, 1, now=lambda: clock[0], live=True)
    world.stores[0].backend = "s3"
    before = ask(world, "/admin/datastore/main/status")["s3-statistics"]
    clock[0] += 60
    after = ask(world, "/admin/datastore/main/status")["s3-statistics"]
    assert set(before) == {"delete", "downloaded", "get", "head", "post", "put", "uploaded"}
    assert all(before[name] <= after[name] for name in before)
    assert before["uploaded"] < after["uploaded"]


def test_tokens_of_users_are_shown_on_demand() -> None:
    """`include_tokens` adds them."""
    world = World(**SMALL)
    assert not any("tokens" in row for row in ask(world, "/access/users"))
    rows = ask(world, "/access/users", ("include_tokens", "1"))
    assert rows[0]["tokens"][0]["tokenid"] == "exporter@pbs!metrics"


def test_every_endpoint_of_the_world_is_in_the_tree() -> None:
    """The world answers paths that the tree knows, and another one is a 404."""
    for template in ENDPOINTS:
        found = tree.find(template)
        assert found is not None
        assert found[0].template == template
    with pytest.raises(RefusedError, match=r"^Path '/api2/json/nodes/localhost/time' not found\.$"):
        ask(World(**SMALL), "/nodes/localhost/time")
    with pytest.raises(RefusedError, match=r"^ENOENT"):
        ask(World(**SMALL), "/admin/datastore/main/groups", ("ns", "none"))


# --- Tasks ---


def tasks(world: World, **query: object) -> dict[str, Any]:
    pairs = [(name, str(value)) for name, value in query.items() if not isinstance(value, list)]
    pairs += [(name, item) for name, values in query.items() if isinstance(values, list) for item in values]
    return world.answer(Call("/nodes/localhost/tasks", pairs)).decoded()


def test_tasks_are_sorted_and_cut_as_pbs_does() -> None:
    """Running ones first by start, finished ones by end, fifty unless told otherwise."""
    world = World(2, 2, 20, 2, now=lambda: NOW)
    everything = tasks(world, limit=0)
    rows = everything["data"]
    assert everything["total"] == len(rows) > 51
    running = [row for row in rows if "endtime" not in row]
    assert rows[: len(running)] == sorted(running, key=lambda row: -row["starttime"])
    ends = [row["endtime"] for row in rows[len(running) :]]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] <= NOW
    cut = tasks(world)
    assert (cut["total"], cut["data"]) == (51, rows[:50])
    page = tasks(world, start=10, limit=5)
    assert (page["total"], page["data"]) == (16, rows[10:15])
    end = tasks(world, start=len(rows) - 1, limit=5)
    assert (end["total"], end["data"]) == (len(rows), rows[-1:])
    assert len({row["upid"] for row in rows}) == len(rows)


def test_tasks_are_filtered_as_pbs_does() -> None:
    """Each filter keeps what PBS's own would keep."""
    world = World(2, 2, 20, 2, now=lambda: NOW)
    rows = tasks(world, limit=0)["data"]

    def check(keep: Callable[[dict[str, Any]], bool], **query: object) -> None:
        expected = [row for row in rows if keep(row)]
        assert tasks(world, limit=0, **query)["data"] == expected
        assert 0 < len(expected) < len(rows)

    check(lambda row: "status" not in row, running=1)
    check(lambda row: row.get("status") != "OK", errors=1)
    check(lambda row: row["starttime"] >= NOW - 3600 * 9, since=NOW - 3600 * 9)
    check(lambda row: row["starttime"] <= NOW - 3600 * 9, until=NOW - 3600 * 9)
    check(lambda row: "backup" in row["worker_type"], typefilter="backup")
    check(lambda row: "root" in row["user"], userfilter="root")
    check(lambda row: row["worker_type"] == "garbage_collection", typefilter="garbage")
    check(lambda row: row.get("status") == "OK", statusfilter=["ok"])
    check(
        lambda row: row.get("status", "OK") != "OK",
        statusfilter=["warning", "error"],
    )
    check(
        lambda row: not row["worker_type"].startswith("tape") and "main" in row["worker_id"],
        store="main",
    )
    assert tasks(world, limit=0, running=1, since=NOW)["data"] == []


def test_task_ids_are_those_of_pbs() -> None:
    """A UPID holds the start in hex and the worker's ID, escaped as systemd does it."""
    world = World(**SMALL)
    for row in tasks(world, limit=0)["data"]:
        parts = row["upid"].split(":")
        assert (parts[0], parts[1], parts[9]) == ("UPID", "pbs1", "")
        assert int(parts[5], 16) == row["starttime"]
        assert (int(parts[2], 16), int(parts[3], 16)) == (row["pid"], row["pstart"])
        assert (parts[6], parts[8]) == (row["worker_type"], row["user"])
        escaped = parts[7].replace("\\x3a", ":").replace("\\x2d", "\0").replace("-", "/").replace("\0", "-")
        assert escaped == row["worker_id"]
        assert row["node"] == "localhost"


# --- The demo ---


def test_every_moment_of_the_demo_has_something_for_every_metric() -> None:
    """Whenever it is looked at, a task runs, one has ended, and a GC, a snapshot and a drive can be shown."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])
    for clock[0] in range(NOW, NOW + 2 * 3600, 13):
        gc = [row for row in ask(world, "/admin/gc") if row.get("last-run-state") in {"OK", "WARNINGS: 1"}]
        assert gc
        assert {"duration", "last-run-endtime", "removed-bytes", "pending-bytes"} <= gc[0].keys()
        assert tasks(world, running=1)["data"]
    assert any("endtime" in row for row in tasks(world, since=NOW - 3 * 86400)["data"])
    assert any("size" in row for row in ask(world, "/admin/datastore/main/snapshots", ("ns", "prod/db")))
    assert any("total" in row for row in ask(world, "/status/datastore-usage"))
    drives = ask(world, "/tape/drive", ("query-activity", "0"))
    assert [sorted({"vendor", "model", "serial"} & drive.keys()) for drive in drives] == [
        [],
        ["model", "serial", "vendor"],
    ]
    host = ask(world, "/nodes/localhost/status")
    assert {"cpu", "wait", "loadavg", "memory", "swap", "root", "uptime"} <= host.keys()


def test_five_minutes_of_the_demo_move() -> None:
    """Within five minutes backups arrive, tasks end, and sizes and the host's numbers change."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])

    def look() -> list[Any]:
        host = ask(world, "/nodes/localhost/status")
        return [
            {row["backup-time"] for row in ask(world, "/admin/datastore/main/snapshots", ("ns", "prod/db"))},
            {row["upid"] for row in tasks(world)["data"]},
            [row.get("used") for row in ask(world, "/status/datastore-usage")],
            host["cpu"],
            host["loadavg"][0],
            host["memory"]["used"],
            host["uptime"],
        ]

    before = look()
    clock[0] += 300
    assert all(old != new for old, new in zip(before, look(), strict=True))


def test_datastores_of_the_demo_come_and_go() -> None:
    """One goes into maintenance and comes back, a disk is unplugged, and a drive is busy now and then."""
    clock = [NOW]
    world = demo_world(now=lambda: clock[0])
    seen: set[tuple[str, bool]] = set()
    for clock[0] in range(NOW, NOW + 1800, 30):
        rows = ask(world, "/admin/datastore")
        seen.add(("maintenance", any("maintenance" in row for row in rows)))
        seen.add(("unplugged", any(row["mount-status"] == "notmounted" for row in rows)))
        drive = ask(world, "/tape/drive")[1]
        seen.add(("busy", "state" in drive))
        if "state" in drive:
            assert drive["state"] in {row["upid"] for row in tasks(world, running=1)["data"]}
    assert seen == {(name, yes) for name in ("maintenance", "unplugged", "busy") for yes in (True, False)}
    assert {row["backend-type"] for row in ask(world, "/admin/datastore")} == {"filesystem", "s3"}


def test_a_verified_snapshot_names_a_task_of_the_list() -> None:
    """The demo's parts agree: the newest verification of a snapshot is in the task list."""
    world = demo_world(now=lambda: NOW)
    rows = ask(world, "/admin/datastore/main/snapshots")
    upids = {row["verification"]["upid"] for row in rows if "verification" in row}
    listed = {row["upid"] for row in tasks(world, limit=0, typefilter="verif", since=NOW - 7200)["data"]}
    assert upids & listed
    unfinished = {
        (row["backup-type"], row["backup-id"], row["backup-time"])
        for namespace in ("", "prod", "prod/db", "lab")
        for row in ask(world, "/admin/datastore/main/snapshots", ("ns", namespace))
        if "size" not in row
    }
    for row in tasks(world, running=1, typefilter="backup", store="main")["data"]:
        kind, _, backup_id = row["worker_id"].removeprefix("main:").partition("/")
        assert (kind, backup_id, row["starttime"]) in unfinished
