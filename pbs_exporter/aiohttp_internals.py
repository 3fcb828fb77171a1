"""Everything that touches private parts of aiohttp (3.14), with the reason why nothing public does the same.

Check this file when aiohttp is upgraded. The tests of connections (reuse, age, certificate) and of malformed requests
fail if one of these parts has changed.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


def without_retries(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Return the session, which now reports every broken connection.

    By itself it repeats a GET after any broken connection, even a new one. There is no switch for that.
    """
    session._retry_connection = False  # noqa: SLF001
    return session


class SelectiveConnector(aiohttp.TCPConnector):
    """Passes each connection to `accept` before a request uses it, and closes those that it refuses.

    aiohttp has a limit for the idle time of a connection, but none for its age; and it tells nobody which connection
    serves a request. `connect` is public, but its parameters aren't documented.
    """

    def __init__(self, accept: Callable[[Connection], bool], *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._accept = accept

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's name
    ) -> Connection:
        """Return a connection that is accepted, from the pool or new."""
        while not self._accept(connection := await super().connect(req, traces, timeout)):
            connection.close()
        return connection


class Runner(web.AppRunner):
    """Runs an application. `unhandled` makes the response to a request that reached no handler or whose handler failed.

    aiohttp's own response to a malformed request has aiohttp's version, and the parser's text with what was sent. It is
    made deep in the server, and can't be replaced from outside.
    """

    def __init__(self, app: web.Application, unhandled: Callable[[int], web.Response], **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(app, **options)
        self._unhandled = unhandled

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(self._unhandled, server.request_handler, request_factory=server.request_factory, **self._kwargs)


class _Server(web.Server):
    def __init__(self, unhandled: Callable[[int], web.Response], *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(*arguments, **options)
        self.unhandled = unhandled

    def __call__(self) -> web.RequestHandler:
        return _RequestHandler(self, loop=self._loop, **self._kwargs)


class _RequestHandler(web.RequestHandler):
    __slots__ = ("_unhandled",)

    def __init__(self, server: _Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, **options)
        self._unhandled = server.unhandled

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Logs the exception, and raises if a response has begun. A client that doesn't speak HTTP isn't logged.
            super().handle_error(request, status, exc, message)
        response = self._unhandled(status)
        response.force_close()
        return response
