"""The port with a web configuration: login, headers, rate limit, and changes of the file while it serves."""

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest
import structlog

from pbs_exporter.commands import serve
from pbs_exporter.simulator import SimulatedPbs
from tests.support.exporter import make_settings
from tests.support.own_port import ALICE, METRIC, MUTUAL, TLS, Port, basic, client, hashed, port, prepare, status
from tests.support.program import WAIT, Ended, run_program, serving, settings, started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


# --- login


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("alice:secret"), 200),
        (basic("alice:secret").replace("Basic", "bAsIc"), 200),
        (basic("yes:a:b"), 200),
        (basic("123:pässword"), 200),
        (basic("alice:Secret"), 401),
        (basic("alice:"), 401),
        (basic(":secret"), 401),
        (basic("Alice:secret"), 401),
        (basic("mallory:secret"), 401),
        (basic("true:a:b"), 401),
        (basic(f"long:{'x' * 72}"), 200),
        (basic(f"long:{'x' * 73}"), 401),
        (basic("alice"), 401),
        (basic("alice:secret") + "!", 401),
        ("Basic", 401),
        ("Basic \xff\xfe", 401),
        ("Basic " + "A" * 6000, 401),
        (basic("alice:secret").replace("Basic", "Bearer"), 401),
        (basic("alice:secret").replace("Basic ", ""), 401),
        ("", 401),
        (None, 401),
    ],
)
async def test_logins(pbs: SimulatedPbs, folder: Path, header: str | None, expected: int) -> None:
    """Only a user with the right password gets an answer. Names are texts, whatever YAML sees in them."""
    users = {"alice": "secret", "yes": "a:b", "123": "pässword", "long": "x" * 72}
    text = "basic_auth_users:\n" + "".join(f"  {name}: {hashed(word)}\n" for name, word in users.items())
    sent = "" if header is None else f"Authorization: {header}\r\n"
    async with port(pbs, folder, text) as opened:
        for _ in range(2):
            answer = await opened.raw(f"GET /metrics HTTP/1.1\r\nHost: a\r\n{sent}Connection: close\r\n\r\n".encode())
            assert status(answer) == expected
            assert ("pbs_up 1" in answer) == (expected == 200)
            assert ("\r\nWWW-Authenticate: Basic realm=" in answer) == (expected == 401)


OPEN = [
    b"GET /health HTTP/1.1\r\nHost: a\r\n",
    b"HEAD /health HTTP/1.1\r\nHost: a\r\n",
    b"GET /-/healthy?x=1 HTTP/1.1\r\nHost: a\r\n",
    b"GET /health HTTP/1.0\r\n",
    b"GET /-/ready HTTP/1.1\r\nHost: a\r\n",
    b"GET http://a/health HTTP/1.1\r\nHost: a\r\n",
]
CLOSED = [
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\n",
    b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /metrics HTTP/1.0\r\n",
    b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
    b"OPTIONS /metrics HTTP/1.1\r\nHost: a\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n",
    b"GET //health HTTP/1.1\r\nHost: a\r\n",
    b"GET /health/ HTTP/1.1\r\nHost: a\r\n",
    b"GET /health// HTTP/1.1\r\nHost: a\r\n",
    b"GET /health/../metrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /health/..%2fmetrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /health%2f..%2fmetrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /health%2f HTTP/1.1\r\nHost: a\r\n",
    b"GET /health%00 HTTP/1.1\r\nHost: a\r\n",
    b"GET /health;/metrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /metrics?/health HTTP/1.1\r\nHost: a\r\n",
    b"GET /metrics#/health HTTP/1.1\r\nHost: a\r\n",
    b"GET /HEALTH HTTP/1.1\r\nHost: a\r\n",
    b"GET /%6detrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /-/other HTTP/1.1\r\nHost: a\r\n",
    b"GET /-/ready/../../metrics HTTP/1.1\r\nHost: a\r\n",
    b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
    b"PUT /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
    b"GET /probe?target=/health HTTP/1.1\r\nHost: a\r\n",
    b"GET /sd HTTP/1.1\r\nHost: a\r\n",
    b"GET http://a/metrics HTTP/1.1\r\nHost: a\r\n",
    b"GET http://health/metrics HTTP/1.1\r\nHost: /health\r\n",
    b"GET //a/health/../metrics HTTP/1.1\r\nHost: a\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Original-URL: /health\r\nX-Forwarded-Uri: /health\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
]  # fmt: skip


@pytest.mark.parametrize("request_head", OPEN)
async def test_health_needs_no_login(pbs: SimulatedPbs, folder: Path, request_head: bytes) -> None:
    """The paths of probes answer without a login, however they are asked for."""
    async with port(pbs, folder, ALICE) as opened:
        assert status(await opened.raw(request_head + b"Connection: close\r\n\r\n")) == 200


@pytest.mark.parametrize("request_head", CLOSED)
async def test_no_other_path_does(pbs: SimulatedPbs, folder: Path, request_head: bytes) -> None:
    """Nothing else answers without a login, also not what looks like these paths, and what doesn't exist."""
    async with port(pbs, folder, ALICE) as opened:
        reader, writer = await opened.connect()
        writer.write(request_head + b"\r\n")
        async with asyncio.timeout(WAIT):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
    # What aiohttp's parser refuses has reached nothing.
    assert status(head) in {400, 401}
    assert pbs.requests == []


async def test_requests_in_one_piece(pbs: SimulatedPbs, folder: Path) -> None:
    """Each of several requests that come at once needs its own login."""
    login = f"Authorization: {basic('alice:secret')}\r\n"
    requests = [("/health", ""), ("/metrics", ""), ("/metrics", login), ("/metrics", ""), ("/health", "")]
    sent = [f"GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n" for path, header in requests]
    smuggled = "GET /health HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + sent[1]
    async with port(pbs, folder, ALICE) as opened:
        last = "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = await opened.raw(("".join(sent) + last).encode())
        assert [int(found) for found in re.findall(r"HTTP/1\.1 (\d+) ", answer)] == [
            200, 401, 200, 401, 200, 401,
        ]  # fmt: skip
        assert answer.count("\npbs_up 1.0\n") == 1
        reader, writer = await opened.connect()
        writer.write(smuggled.encode())
        writer.write_eof()
        async with asyncio.timeout(WAIT):
            assert b"pbs_up" not in await reader.read()
        writer.close()


async def test_users_change(pbs: SimulatedPbs, folder: Path) -> None:
    """New users and passwords count from the next request, also on an open connection."""
    async with port(pbs, folder, ALICE) as opened:
        reader, writer = await opened.connect()

        async def asked(login: str) -> int:
            writer.write(f"GET /nothing HTTP/1.1\r\nHost: a\r\nAuthorization: {basic(login)}\r\n\r\n".encode())
            async with asyncio.timeout(WAIT):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].split("\r\n")[0])
                await reader.readexactly(length)
            return status(head)

        assert [await asked(login) for login in ("alice:secret", "alice:new", "bob:x")] == [404, 401, 401]
        opened.write(f"basic_auth_users:\n  alice: {hashed('new')}\n  bob: {hashed('x')}\n")
        assert [await asked(login) for login in ("alice:secret", "alice:new", "bob:x")] == [401, 404, 404]
        opened.write(f"basic_auth_users:\n  bob: {hashed('x')}\n")
        assert [await asked(login) for login in ("alice:secret", "alice:new", "bob:x")] == [401, 401, 404]
        writer.close()


# --- headers, rate limit


async def test_headers(pbs: SimulatedPbs, folder: Path) -> None:
    """Configured headers are on each response, whatever its status, and win over the program's own."""
    headers = {"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": "deny", "X-XSS-Protection": "0"}
    text = "http_server_config:\n  headers:\n" + "".join(f'    {name}: "{value}"\n' for name, value in headers.items())
    async with port(pbs, folder, ALICE + text) as opened:
        answers = {
            200: await opened.get("/", "alice:secret"),
            401: await opened.get("/"),
            404: await opened.get("/nothing", "alice:secret"),
            405: await opened.get("/", "alice:secret", method="POST"),
            400: await opened.raw(b"nonsense\r\n\r\n"),
        }
        for expected, answer in answers.items():
            assert status(answer) == expected
            head = answer.partition("\r\n\r\n")[0].split("\r\n")
            assert [line for line in head if line.split(":")[0] in headers] == [
                f"{name}: {value}" for name, value in headers.items()
            ]
        opened.write(ALICE)
        assert "default-src 'self'" not in await opened.get("/", "alice:secret")


async def test_rate_limit(pbs: SimulatedPbs, folder: Path) -> None:
    """Requests above the rate are refused before the login; probes are not, and don't count."""
    async with port(pbs, folder, ALICE + "rate_limit:\n  interval: 1h\n  burst: 2\n") as opened:
        for path in ("/health", "/-/healthy") * 3:
            assert status(await opened.get(path)) == 200
        assert [status(await opened.get("/nothing", login)) for login in (None, "alice:secret", "alice:secret")] == [
            401, 404, 429,
        ]  # fmt: skip
        assert status(await opened.get("/nothing")) == 429
        assert status(await opened.get("/health")) == 200
        opened.write(ALICE + "rate_limit:\n  interval: 2h\n  burst: 1\n")
        assert [status(await opened.get("/nothing", "alice:secret")) for _ in range(2)] == [404, 429]
        opened.write(ALICE)
        assert [status(await opened.get("/nothing", "alice:secret")) for _ in range(3)] == [404] * 3


# --- changes of the file

BROKEN = {
    "half": (ALICE[: len(ALICE) // 2], "basic_auth_users.alice in line 2: is no bcrypt hash"),
    "empty": ("", "basic_auth_users: there are none any more"),
    "no users": ("rate_limit: {}\n", "basic_auth_users: there are none any more"),
    "unknown key": (f"{ALICE}other: 1\n", "other in line 3: is not a key of this file"),
    "no YAML": ("basic_auth_users: {", "the file is not YAML in line 1"),
    "with TLS": (TLS + ALICE, "tls_server_config: restart the exporter to turn TLS on"),
    "gone": (None, "there is no such file"),
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=BROKEN)
async def test_a_wrong_file_changes_nothing(pbs: SimulatedPbs, folder: Path, text: str | None, problem: str) -> None:
    """While the file is wrong, the last good one stays in force; that is one line in the log, and a metric."""
    async with port(pbs, folder, ALICE) as opened:
        assert f"{METRIC} 1.0" in await opened.get(login="alice:secret")
        with structlog.testing.capture_logs() as logged:
            if text is None:
                (folder / "web.yml").unlink()
            else:
                opened.write(text)
            for _ in range(3):
                assert status(await opened.get(login=None)) == 401
                assert f"{METRIC} 0.0" in await opened.get(login="alice:secret")
        found = [line for line in logged if "web_config_file" in line["event"]]
        assert len(found) == 1
        assert problem in found[0]["problem"]
        assert found[0]["log_level"] == "error"
        with structlog.testing.capture_logs() as logged:
            opened.write(ALICE)
            assert f"{METRIC} 1.0" in await opened.get(login="alice:secret")
        assert [line["event"] for line in logged if "web_config_file" in line["event"]] == ["web_config_file loaded"]


async def test_tls_is_not_lost(pbs: SimulatedPbs, folder: Path) -> None:
    """A file that has lost its TLS leaves the port encrypted."""
    async with port(pbs, folder, TLS) as opened:
        opened.write("")
        assert f"{METRIC} 0.0" in await opened.get(tls=client())
        assert "HTTP" not in await opened.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")


async def test_without_a_file_there_is_no_metric(pbs: SimulatedPbs, folder: Path) -> None:
    """Without a web configuration nothing changes: no metric, no login."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        async with serve._serving(make_settings(pbs), [listening]):
            answer = await Port(folder, number).get()
    assert status(answer) == 200
    assert METRIC not in answer


# --- the program


async def test_a_wrong_file_ends_the_start(pbs: SimulatedPbs, folder: Path) -> None:
    """At start a wrong file is an error, with a line for each mistake."""
    (folder / "web.yml").write_text(f"{ALICE}  alice: {hashed('b')}\nother: 1\n")
    ended = await run_program(env=settings(pbs, PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE=str(folder / "web.yml")))
    assert (ended.code, ended.stdout, len(ended.lines)) == (1, "", 2)
    assert all(line.startswith(f"pbs-exporter: web_config_file {folder}/web.yml: ") for line in ended.lines)
    assert "basic_auth_users.alice in lines 2 and 3: is there twice" in ended.stderr
    assert "$2b$" not in ended.stderr


@pytest.mark.parametrize("by", ["file", "variable"])
async def test_relative_paths(pbs: SimulatedPbs, folder: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is relative to the settings file that names it, else to the working directory; those in it to itself."""
    (folder / "web").mkdir()
    (folder / "web" / "web.yml").write_text(TLS.replace("server.", "../server."))
    file = folder / "settings.toml"
    file.write_text('[exporter]\nweb_config_file = "web/web.yml"\n' if by == "file" else "")
    env = settings(pbs)
    if by == "variable":
        monkeypatch.chdir(folder)
        env["PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE"] = "web/web.yml"
    async with started("--config", str(file), env=env) as running:
        address = await serving(running)
        number = int(address.rpartition(":")[2])
        assert status(await Port(folder, number).get("/health", tls=client())) == 200


async def test_a_missing_file_ends_the_start(pbs: SimulatedPbs) -> None:
    """A web configuration that isn't there is one line that names the setting."""
    name = "PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE"
    ended = await run_program(env=settings(pbs, **{name: "/nowhere/web.yml"}))
    assert (ended.code, len(ended.lines)) == (1, 1)
    assert f'{name}: "/nowhere/web.yml": there is no such file' in ended.stderr


HEALTHY = {
    "no TLS": ALICE,
    "TLS": TLS + ALICE,
    "TLS 1.3": f"{TLS}  min_version: TLS13\n",
    "old suite": f"{TLS}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]\n",
    "client certificates": MUTUAL,
    "client certificates, TLS 1.2": f"{MUTUAL}  max_version: TLS12\n",
    "names": f"{MUTUAL}  client_allowed_sans: [a]\n",
    "limit": "rate_limit: {interval: 1h, burst: 0}\n",
}


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
async def test_healthcheck(pbs: SimulatedPbs, folder: Path, text: str) -> None:
    """`healthcheck` finds the exporter well with each kind of web configuration, also when the file is gone."""
    (folder / "web.yml").write_text(text)
    web_config = {"PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE": str(folder / "web.yml")}
    async with started(env=settings(pbs, **web_config)) as running:
        address = (await serving(running)).removeprefix("http://")
        env = web_config | {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": address}
        assert await run_program("healthcheck", env=env) == Ended(0, "", "")
        (folder / "web.yml").unlink()
        assert await run_program("healthcheck", env=env) == Ended(0, "", "")
    ended = await run_program("healthcheck", env=env)
    assert (ended.code, len(ended.lines)) == (1, 1)


def with_targets(pbs: SimulatedPbs, web_config: str) -> str:
    """Return a settings file with one target. `web_config` names the web configuration, if it isn't empty."""
    return (
        f'[exporter]\nlisten_address = "127.0.0.1:0"\nlifecycle = true\nweb_config_file = "{web_config}"\n'
        f'[targets.one]\nendpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
    )


async def test_discovery_with_tls_and_a_login(pbs: SimulatedPbs, folder: Path) -> None:
    """With TLS, /sd says that targets are scraped over https; it and the probes of targets need the login."""
    (folder / "web.yml").write_text(TLS + ALICE)
    (folder / "settings.toml").write_text(with_targets(pbs, "web.yml"))
    async with started("--config", str(folder / "settings.toml")) as running:
        opened = Port(folder, int((await serving(running)).rpartition(":")[2]))
        for path in ("/sd", "/probe?target=one"):
            assert status(await opened.get(path, tls=client())) == 401
        found = json.loads((await opened.get("/sd", "alice:secret", client())).partition("\r\n\r\n")[2])
        assert found[0]["labels"]["__scheme__"] == "https"
        page = await opened.get("/probe?target=one", "alice:secret", client())
        assert status(page) == 200
        assert METRIC not in page
        assert f"{METRIC} 1.0" in await opened.get("/metrics", "alice:secret", client())


async def test_reload_with_another_file(pbs: SimulatedPbs, folder: Path) -> None:
    """A reload takes another web configuration; a wrong one changes nothing, and TLS isn't turned on, which is told."""
    file = folder / "settings.toml"
    (folder / "login.yml").write_text(ALICE)
    (folder / "tls.yml").write_text(TLS)
    (folder / "wrong.yml").write_text("other: 1\n")

    async def reload(name: str, login: str | None = "alice:secret") -> tuple[int, str]:
        file.write_text(with_targets(pbs, name))
        answer = await opened.get("/-/reload", login, method="POST")
        return status(answer), answer.partition("\r\n\r\n")[2]

    file.write_text(with_targets(pbs, ""))
    async with started("--config", str(file)) as running:
        opened = Port(folder, int((await serving(running)).rpartition(":")[2]))
        assert status(await opened.get("/sd")) == 200
        assert (await reload("login.yml", None))[0] == 200
        assert [status(await opened.get("/sd", login)) for login in (None, "alice:secret")] == [401, 200]
        code, text = await reload("wrong.yml")
        assert (code, "wrong.yml: other in line 1: is not a key of this file" in text) == (500, True)
        assert status(await opened.get("/sd")) == 401
        assert (await reload("tls.yml"))[0] == 200
        await running.line("turns TLS on or off, which needs a restart")
        assert status(await opened.get("/sd")) == 401
        assert (await reload(""))[0] == 200
        assert status(await opened.get("/sd")) == 200
