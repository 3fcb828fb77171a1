"""The client's result for each answer, and for each failure to get one."""

import errno
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from yarl import URL

from pbs_exporter import errors
from pbs_exporter.clock import Clock
from pbs_exporter.config import Secret, TargetSettings
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.pbs.snapshots.group_summary import grouped

ENDPOINT = "http://pbs.test:8007"
VERSION_URL = f"{ENDPOINT}/api2/json/version"
GC_URL = f"{ENDPOINT}/api2/json/admin/gc"
SECRET = "0f8fad5b-d9cb-469f-a165-70867728950e"
VERSION = {"data": {"version": "4.2", "release": "3", "repoid": "abc"}}
KEY = ConnectionKey(
    host="pbs.test",
    port=8007,
    is_ssl=True,
    ssl=True,
    proxy=None,
    proxy_auth=None,
    proxy_headers_hash=None,
    server_hostname=None,
)


@dataclass
class Asked:
    """A client with a mocked session, and the requests that it counted."""

    pbs: PbsClient
    login: TokenAuth
    counted: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """Return a client of a PBS that doesn't exist."""
    settings = TargetSettings(endpoint=ENDPOINT, token_id="exporter@pbs!metrics", token_secret=Secret(SECRET))
    login = TokenAuth(settings, Clock(), lambda: None)
    counted: list[tuple[str, str]] = []
    async with make_session() as session:
        transport = Transport(session, settings, login, lambda endpoint, code, _: counted.append((endpoint, code)))
        yield Asked(PbsClient(transport, settings, login), login, counted)


async def failure(asked: Asked) -> errors.PbsError:
    """Ask for the version, and return the error, which must have come with exactly one counted request."""
    with pytest.raises(errors.PbsError) as caught:
        await asked.pbs.version()
    assert asked.counted == [("/version", caught.value.code)]
    return caught.value


STATUSES = [
    (400, "authentication failed", errors.LoginRefused, "400 authentication failed"),
    (400, "authentication failed - no ticket", errors.LoginRefused, "400 authentication failed - no ticket"),
    (401, "", errors.LoginRefused, "401"),
    (401, "authentication failed", errors.LoginRefused, "401 authentication failed"),
    (401, "permission check failed", errors.LoginRefused, "401 permission check failed"),
    (
        401,
        "<html>\n<head><title>401 Authorization Required</title></head>",
        errors.LoginRefused,
        "401 <html> (not PBS's words: something in between, such as a proxy, refused the request)",
    ),
    (403, "permission check failed", errors.Forbidden, "403 permission check failed"),
    (404, "Path '/api2/json/x' not found.", errors.NotFound, "404 Path '/api2/json/x' not found."),
    (404, "Path '/api2/json/version' not found.", errors.NotOffered, "404 Path '/api2/json/version' not found."),
    (
        400,
        "parameter verification failed - 'x': schema does not allow additional properties.\n",
        errors.NoSuchParameter,
        "400 parameter verification failed - 'x': schema does not allow additional properties.",
    ),
    (400, "datastore is in offline maintenance mode: moving", errors.Unavailable, None),
    (400, "Datastore 'usb' is not mounted", errors.Unavailable, None),
    (400, "datastore 'old' is being deleted", errors.Unavailable, None),
    (400, "no such datastore 'x'", errors.StatusError, "400 no such datastore 'x'"),
    (400, "ENOENT: No such file or directory", errors.StatusError, None),
    (414, "", errors.StatusError, "414"),
    (500, "boom", errors.StatusError, "500 boom"),
    (502, "<html>\n<head><title>502 Bad Gateway</title></head>\n</html>", errors.StatusError, "502 <html>"),
    (503, "", errors.StatusError, "503"),
    (204, "", errors.StatusError, "204"),
    (206, '{"data":', errors.StatusError, '206 {"data":'),
]


@pytest.mark.parametrize(("status", "body", "kind", "text"), STATUSES)
async def test_a_status_is_its_own_kind_of_error(
    asked: Asked, status: int, body: str, kind: type[errors.StatusError], text: str | None
) -> None:
    """Each status other than 200 raises the most specific class, is counted as that status, and has PBS's own text."""
    with aioresponses() as http:
        http.get(VERSION_URL, status=status, body=body)
        error = await failure(asked)
    assert (type(error), error.code) == (kind, str(status))
    assert str(error) == (f"{status} {body}" if text is None else text)
    assert isinstance(error, errors.StatusError)
    assert error.status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_says_where_to(asked: Asked, status: int) -> None:
    """A redirect is named as such, because it nearly always means a wrong endpoint."""
    with aioresponses() as http:
        http.get(VERSION_URL, status=status, headers={"Location": "https://login.example/\x07?next=pbs"})
        error = await failure(asked)
    assert type(error) is errors.StatusError
    assert str(error) == (
        f"{status} a redirect to https://login.example/?next=pbs, not followed: is the endpoint right?"
    )


async def test_a_status_of_redirects_without_a_target_is_no_redirect(asked: Asked) -> None:
    """A 304 of a proxy's cache is told as it is."""
    with aioresponses() as http:
        http.get(VERSION_URL, status=304)
        error = await failure(asked)
    assert str(error) == "304"


TEXTS = [
    ("\n\r\n  first \r\nsecond", "500 first"),
    ("a\x00b\x1b[31mc\x7fd\x85e", "500 ab[31mcde"),
    ("tab\there", "500 tabhere"),
    ("x" * 200, "500 " + "x" * 200),
    ("x" * 201, "500 " + "x" * 199 + "…"),
    ("é" * 10_000, "500 " + "é" * 199 + "…"),
    (" \n \t \r", "500"),
    (b"\xff\xfebad", "500 \ufffd\ufffdbad"),
]


@pytest.mark.parametrize(("body", "text"), TEXTS)
async def test_an_errors_text_is_one_clean_line(asked: Asked, body: str | bytes, text: str) -> None:
    """The first line with words of a foreign text is kept, without control characters, up to 200 characters."""
    with aioresponses() as http:
        http.get(VERSION_URL, status=500, body=body)
        assert str(await failure(asked)) == text


def tls(number: int, reason: str) -> ssl.SSLError:
    """Make an error of OpenSSL."""
    return ssl.SSLError(number, reason)


BROKEN = [
    (
        aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")),
        errors.ConnectionRefused,
        "nothing listens on pbs.test:8007 (connection refused)",
    ),
    (
        aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "No route to host")),
        errors.Unreachable,
        "no connection to pbs.test:8007: [Errno 113] No route to host",
    ),
    (
        aiohttp.ClientConnectorError(KEY, ConnectionResetError()),
        errors.Unreachable,
        "no connection to pbs.test:8007: reset",
    ),
    (ConnectionAbortedError(), errors.ProtocolFailed, "the connection broke: ConnectionAbortedError"),
    (
        aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")),
        errors.HostNotFound,
        "host pbs.test not found",
    ),
    (
        aiohttp.ClientConnectorDNSError(KEY, OSError(errno.EAGAIN, "no thread can be started")),
        errors.Unreachable,
        f"no connection to pbs.test:8007: [Errno {errno.EAGAIN}] no thread can be started",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "self-signed certificate")),
        errors.TlsFailed,
        "certificate not trusted: self-signed certificate",
    ),
    (
        aiohttp.ClientConnectorSSLError(KEY, tls(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
        errors.TlsFailed,
        "TLS handshake failed: [SSL: WRONG_VERSION_NUMBER] wrong version number",
    ),
    (
        aiohttp.ServerFingerprintMismatch(b"\x00" * 32, b"\xab" * 32, "pbs.test", 8007),
        errors.FingerprintMismatch,
        "the certificate's fingerprint is " + ":".join(["ab"] * 32) + ", not the configured one",
    ),
    (TimeoutError(), errors.PbsTimeout, "no answer in time"),
    (aiohttp.ServerTimeoutError(), errors.PbsTimeout, "no answer in time"),
    (
        aiohttp.ServerDisconnectedError(),
        errors.ProtocolFailed,
        "the connection was closed without an answer",
    ),
    (
        aiohttp.ClientPayloadError("Response payload is not completed: <b'…'>"),
        errors.ProtocolFailed,
        "the connection broke in the middle of the answer",
    ),
    (
        aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer"),
        errors.ProtocolFailed,
        "the connection broke: Connection reset by peer",
    ),
    (
        ConnectionResetError("Cannot write to closing transport"),
        errors.ProtocolFailed,
        "the connection broke: Cannot write to closing transport",
    ),
    (
        aiohttp.ClientError("what is\nthis"),
        errors.ProtocolFailed,
        "invalid HTTP: what is",
    ),
    (aiohttp.ClientError(), errors.ProtocolFailed, "invalid HTTP: ClientError"),
]
CODES = {
    errors.Unreachable: "connect",
    errors.TlsFailed: "tls",
    errors.PbsTimeout: "timeout",
    errors.ProtocolFailed: "protocol",
}


@pytest.mark.parametrize(("raised", "kind", "text"), BROKEN, ids=[str(i) for i in range(len(BROKEN))])
async def test_a_connection_that_fails_is_one_of_ours(
    asked: Asked, raised: Exception, kind: type[errors.PbsError], text: str
) -> None:
    """Each exception of aiohttp becomes one class of `errors.py`, with its code and one line with the remedy."""
    with aioresponses() as http:
        http.get(VERSION_URL, exception=raised)
        error = await failure(asked)
    assert (type(error), str(error)) == (kind, text)
    assert error.code == next(code for base, code in CODES.items() if issubclass(kind, base))


BODIES = [
    ("", errors.NotJson),
    ("<!DOCTYPE html><html>hello</html>", errors.NotJson),
    ('{"data":{"version":"4.2"', errors.NotJson),
    ("[" * 60_000, errors.NotJson),
    ("null", errors.WrongShape),
    ("[]", errors.WrongShape),
    ("{}", errors.WrongShape),
    ('{"data":null}', errors.WrongShape),
    ('{"data":[]}', errors.WrongShape),
    ('{"data":"4.2"}', errors.WrongShape),
    ('{"data":{"version":4.2}}', errors.WrongShape),
]


@pytest.mark.parametrize(("body", "kind"), BODIES, ids=[str(i) for i in range(len(BODIES))])
async def test_a_200_that_is_no_version_counts_as_decode(
    asked: Asked, body: str, kind: type[errors.DecodeFailed]
) -> None:
    """A 200 whose body isn't PBS's JSON is a decoding error, and never a status."""
    with aioresponses() as http:
        http.get(VERSION_URL, body=body)
        error = await failure(asked)
    assert (type(error), error.code) == (kind, "decode")
    assert len(str(error)) <= 300
    assert str(error).isprintable()


LISTS = [
    ('{"data":null}', "expected a list, got null"),
    ('{"data":{}}', "expected a list, got an object"),
    ('{"data":"x"}', "expected a list, got a string"),
    ('{"data":true}', "expected a list, got a boolean"),
    ('{"data":1}', "expected a list, got a number"),
]


@pytest.mark.parametrize(("body", "text"), LISTS)
async def test_a_list_that_is_none_is_a_wrong_shape(asked: Asked, body: str, text: str) -> None:
    """An answer that should be a list and isn't fails as a whole."""
    with aioresponses() as http:
        http.get(GC_URL, body=body)
        with pytest.raises(errors.WrongShape, match=f"^{text}$"):
            await asked.pbs.gc()
    assert asked.counted == [("/admin/gc", "decode")]


async def test_a_bad_row_costs_itself_alone(asked: Asked) -> None:
    """An invalid row is left out and reported by number and reason, never by its values."""
    body = '{"data":[{"store":"a"},{"store":7},"x",{"store":"b","next-run":null}]}'
    with aioresponses() as http:
        http.get(GC_URL, body=body)
        answer = await asked.pbs.gc()
    assert [row.store for row in answer.rows] == ["a", "b"]
    assert str(answer.omitted) == "2 of 4 rows omitted: Expected `str`, got `int` - at `$.store`"


async def test_a_row_with_an_impossible_key_is_a_bad_row(asked: Asked) -> None:
    """A key with a lone surrogate costs only its row."""
    with aioresponses() as http:
        http.get(GC_URL, body='{"data":[{"store":"a"},{"\\ud800":1,"store":"b"}]}')
        answer = await asked.pbs.gc()
    assert [row.store for row in answer.rows] == ["a"]
    assert str(answer.omitted).startswith("1 of 2 rows omitted: ")
    assert str(answer.omitted).isprintable()


@pytest.mark.parametrize("name", ["\ud800", "a\udfff"])
async def test_a_name_that_cant_be_sent_is_asked_for_as_another(asked: Asked, name: str) -> None:
    """A datastore or namespace with a lone surrogate in its name gets PBS's refusal, and is no bug of the exporter."""
    url = f"{ENDPOINT}/api2/json/admin/datastore/{name[:-1]}%3F/snapshots?ns={name[:-1]}%3F"
    with aioresponses() as http:
        http.get(URL(url, encoded=True), status=400, body="no such datastore")
        with pytest.raises(errors.StatusError, match=r"^400 no such datastore$"):
            await asked.pbs.snapshots(name, name, grouped(0))
    assert asked.counted == [("/admin/datastore/{store}/snapshots", "400")]


async def test_a_good_answer_is_counted_as_200(asked: Asked) -> None:
    """A good answer is counted once, and shows that the login is valid."""
    with aioresponses() as http:
        http.get(VERSION_URL, payload=VERSION)
        version = await asked.pbs.version()
    assert (version.version, version.release, version.repoid) == ("4.2", "3", "abc")
    assert asked.counted == [("/version", "200")]
    assert asked.login.proven


@pytest.mark.parametrize(
    ("date", "host_time"),
    [
        ("Thu, 26 Nov 2026 07:30:00 GMT", 1_795_678_200.0),
        ("Thu, 26 Nov 2026 08:30:00 +0100", 1_795_678_200.0),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
async def test_the_version_has_the_clock_of_its_answer(asked: Asked, date: str | None, host_time: float | None) -> None:
    """PBS's clock is the `Date` of the answer to /version, and unknown where there is none that can be read."""
    with aioresponses() as http:
        http.get(VERSION_URL, payload=VERSION, headers={} if date is None else {"Date": date})
        http.get(GC_URL, payload={"data": []}, headers={"Date": "Fri, 27 Nov 2026 07:30:00 GMT"})
        version = await asked.pbs.version()
        await asked.pbs.gc()
    assert version.host_time == host_time


async def test_no_error_holds_the_secret(asked: Asked) -> None:
    """The token's secret is in no error's text, arguments or cause, whatever aiohttp raised."""
    for raised, *_ in BROKEN:
        with aioresponses() as http:
            http.get(VERSION_URL, exception=raised)
            with pytest.raises(errors.PbsError) as caught:
                await asked.pbs.version()
        chain: BaseException | None = caught.value
        while chain is not None:
            assert SECRET not in f"{chain!s} {chain!r} {chain.args!r}"
            chain = chain.__cause__ or chain.__context__


def test_every_class_of_the_tree_is_tested_here() -> None:
    """Every error of a request is in one of these tables, or is raised without a request or an answer."""
    todo: list[type[errors.PbsError]] = [errors.PbsError]
    leaves: set[type[errors.PbsError]] = set()
    while todo:
        kind = todo.pop()
        todo.extend(kind.__subclasses__())
        leaves.add(kind)
    tested = {row[2] for row in STATUSES} | {row[1] for row in BROKEN} | {row[1] for row in BODIES}
    elsewhere = {errors.LoginPaused, errors.TooLarge, errors.ListingUnfinished}
    assert leaves - {errors.PbsError, errors.DecodeFailed} == tested | elsewhere
