"""The simulated PBS: a web server that behaves like real ones."""

import asyncio
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote
from weakref import WeakKeyDictionary

from aiohttp import hdrs, web

from pbs_exporter.simulator import api
from pbs_exporter.simulator.answer import Answer, Call, LoginFailure, RefusedError, Source
from pbs_exporter.simulator.certificate import Certificate, server_context
from pbs_exporter.simulator.exchange import Exchange, LoggedRequest
from pbs_exporter.simulator.faults import Faults

_ROOT = "/api2/json"
_LONGEST_URL = 3072
_COOKIES = ("PBSAuthCookie", "__Host-PBSAuthCookie")
_LOG_LINES = 10_000
_HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only on request
_LOGIN = "exporter@pbs!metrics"
_SECRET = "5f2e1c7a-93b8-4d06-a1e4-7c9b20d83f65"  # noqa: S105 - only valid for a simulation


class SimulatedPbs:
    """A PBS that listens on a port. Use it as an async context manager, or call `start` and `stop`.

    `login_delay` and `forbidden_delay` are PBS's delays of a 401 and a 403, `latency` the delay of each answer, all
    in seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        token_id: str = _LOGIN,
        secret: str = _SECRET,
        tls: bool = True,
        login_delay: float = 3.0,
        forbidden_delay: float = 0.5,
        latency: float = 0.0,
        certificate: Certificate | None = None,
    ) -> None:
        self.source = source
        self.token_id = token_id
        self.secret = secret
        self.login_delay = login_delay
        self.forbidden_delay = forbidden_delay
        self.latency = latency
        self.faults = Faults()
        self.requests: list[LoggedRequest] = []
        self.certificate = certificate or Certificate.make()
        self.endpoint = ""
        self._tls = tls
        self._connections: WeakKeyDictionary[asyncio.BaseTransport, tuple[int, int]] = WeakKeyDictionary()
        self._connection_count = 0
        self._runner: web.AppRunner | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as PBS shows it."""
        return self.certificate.fingerprint

    @property
    def certificate_file(self) -> Path:
        """The path of the certificate in PEM, which exists while the server runs."""
        if self._folder is None:
            raise RuntimeError("the simulated PBS is not running")
        return Path(self._folder.name, "certificate.pem")

    @property
    def in_flight(self) -> int:
        """The number of unanswered requests."""
        return sum(request.ended is None for request in self.requests)

    @property
    def most_in_flight(self) -> int:
        """The highest number of concurrent requests."""
        return self.most_at_once()

    def most_at_once(self, pattern: str = "*") -> int:
        """Return the highest number of concurrent requests whose path or template matches `pattern`."""
        edges: list[tuple[float, int]] = []
        for request in self.requests_to(pattern):
            edges.append((request.started, 1))
            if request.ended is not None:
                edges.append((request.ended, -1))
        now = most = 0
        for _, step in sorted(edges):
            now += step
            most = max(most, now)
        return most

    def requests_to(self, pattern: str) -> list[LoggedRequest]:
        """Return the logged requests whose path or template matches the shell pattern."""
        return [
            request
            for request in self.requests
            if fnmatchcase(request.template, pattern) or fnmatchcase(request.path, pattern)
        ]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, port: int = 0, host: str = _HOST) -> None:
        """Listen on `port` (0: any free one) of `host` (an IPv4 address or `EVERYWHERE`) until `stop`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(_tidy_headers)
        # Cancel handlers of disconnected clients: otherwise each stalled answer would leave one behind.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        self._folder = tempfile.TemporaryDirectory(prefix="simulated-pbs-")
        certificate_file = self.certificate.write(Path(self._folder.name))
        try:
            await self._runner.setup()
            context = server_context(certificate_file) if self._tls else None
            await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        except BaseException:
            await self.stop()
            raise
        port = self._runner.addresses[0][1]
        self.endpoint = f"{'https' if self._tls else 'http'}://{_HOST if host == EVERYWHERE else host}:{port}"

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        log = self._log(request)
        exchange = Exchange(request, log, lambda: self._answer(request, log), self.source.pbs_time)
        try:
            await asyncio.sleep(self.latency)
            fault = self.faults.pick(exchange)
            if fault is not None:
                return await fault.act(exchange)
            return await exchange.send(await self._answer(request, log))
        except ConnectionError:
            # The client has disconnected, which aiohttp would log as an error of the server.
            return exchange.close()
        finally:
            log.ended = time.monotonic()

    def _log(self, request: web.Request) -> LoggedRequest:
        path, _, query = request.raw_path.partition("?")
        path = path.removeprefix(_ROOT)
        found = api.find(path)
        connection, nth = self._count(request)
        log = LoggedRequest(
            method=request.method,
            path=path,
            template=found[0].template if found else path,
            query=query,
            headers=request.headers,
            connection=connection,
            nth=nth,
            started=time.monotonic(),
        )
        if len(self.requests) >= _LOG_LINES:
            # A demo may run for weeks.
            del self.requests[: _LOG_LINES // 2]
        self.requests.append(log)
        return log

    def _count(self, request: web.Request) -> tuple[int, int]:
        transport = request.transport
        if transport is None:  # The client has disconnected.
            return 0, 1
        known = self._connections.get(transport)
        if known is None:
            self._connection_count += 1
            known = (self._connection_count, 0)
        number, requests = known
        self._connections[transport] = (number, requests + 1)
        return number, requests + 1

    async def _answer(self, request: web.Request, log: LoggedRequest) -> Answer:
        if len(request.raw_path) > _LONGEST_URL:
            return Answer(414, b"", content_type=None)
        failure = self._login_failure(request)
        if failure is not None and log.template != "/ping":
            await asyncio.sleep(self.login_delay)
            return self.source.unauthorized(failure)
        try:
            answer = await self._dispatch(request, log)
        except RefusedError as refused:
            answer = refused.answer
        if answer.status == web.HTTPForbidden.status_code and answer.body == _FORBIDDEN:
            await asyncio.sleep(self.forbidden_delay)
        return answer

    def _login_failure(self, request: web.Request) -> LoginFailure | None:
        if any(name in request.cookies for name in _COOKIES):
            # PBS prefers a cookie to the token, and the cookie has no valid ticket.
            return "wrong-secret"
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        for start in ("PBSAPIToken=", "PBSAPIToken "):
            if header.startswith(start):
                token_id, _, secret = header.removeprefix(start).partition(":")
                right = (token_id, unquote(secret)) == (self.token_id, self.secret)
                return None if right else "wrong-secret"
        return "no-token"

    async def _dispatch(self, request: web.Request, log: LoggedRequest) -> Answer:
        found = api.find(log.path)
        if request.method != hdrs.METH_GET or not request.raw_path.startswith(_ROOT):
            raise api.not_found(log.path)
        query = parse_qsl(log.query, keep_blank_values=True)
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        if content_type is not None:
            kind = content_type.partition(";")[0]
            if kind == "application/json":
                # PBS reads the parameters only from the body in this case.
                query = []
            elif kind != "application/x-www-form-urlencoded":
                raise RefusedError(400, f'unsupported content type Ok("{content_type}")', by_handler=False)
        call = Call(log.path, query, self.fingerprint)
        if found and found[0].blocking:
            # As in PBS, the work continues after the client has disconnected.
            return await asyncio.to_thread(self.source.answer, call)
        return self.source.answer(call)


_FORBIDDEN = api.PERMISSION_CHECK_FAILED.encode()


async def _tidy_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Remove the headers that aiohttp adds and PBS doesn't send."""
    response.headers.pop(hdrs.SERVER, None)
    if response.headers.get(hdrs.CONTENT_TYPE) == "application/octet-stream":
        del response.headers[hdrs.CONTENT_TYPE]
