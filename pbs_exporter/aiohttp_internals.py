"""Everything that touches private parts of aiohttp (3.14), with the reason why nothing public does the same.

Check this file when aiohttp is upgraded. The tests of connections (reuse, age, certificate) and of malformed requests
fail if one of these parts has changed.
"""

import asyncio
import fcntl
import math
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.tracing import Trace
from aiohttp.web_protocol import _ErrInfo

from pbs_exporter.open_connections import ConnectionLimits, OpenConnections

# A client may cost that much for each connection. aiohttp permits heads of 1 MiB, of which 32 may wait.
HEAD_BYTES, _RECEIVED_BYTES, _QUEUED_REQUESTS = 32 * 1024, 8 * 1024, 2


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

    def __init__(self, accept: Callable[[Connection], bool], **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(**options)
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
    made deep in the server, and can't be replaced from outside. Nor can the life of a connection: aiohttp has a limit
    for the time between two requests alone. `closed_for_another` is called when `ConnectionLimits.number` is reached.
    """

    def __init__(
        self,
        app: web.Application,
        unhandled: Callable[[int], web.Response],
        limits: ConnectionLimits,
        closed_for_another: Callable[[], None],
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> None:
        super().__init__(app, keepalive_timeout=limits.idle_seconds, **options)
        self._unhandled = unhandled
        self._connection_arguments = limits, closed_for_another

    @contextmanager
    def beginning(self, give_up: Callable[[], object]) -> Iterator[web.RequestHandler]:
        """Count a connection as open while its handshake goes on, and yield its protocol. The limits may `give_up`."""
        server = self.server
        assert isinstance(server, _Server)  # noqa: S101 - made below
        protocol = server()
        protocol.begin(give_up)
        try:
            yield protocol
        finally:
            protocol.end_beginning()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        connections = OpenConnections(*self._connection_arguments)
        return _Server(
            self._unhandled,
            connections,
            server.request_handler,
            request_factory=server.request_factory,
            **self._kwargs,
        )


class _Server(web.Server):
    def __init__(
        self,
        unhandled: Callable[[int], web.Response],
        connections: OpenConnections,
        *arguments: Any,  # noqa: ANN401 - aiohttp's
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> None:
        super().__init__(*arguments, **options)
        self.unhandled = unhandled
        self.open = connections

    def __call__(self) -> "_RequestHandler":
        return _RequestHandler(self, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's name
        self.open.stop()
        await super().shutdown(timeout)


class _RequestHandler(web.RequestHandler):
    def __init__(self, server: _Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, **options)
        self._unhandled = server.unhandled
        self._open = server.open
        self._give_up: Callable[[], object] | None = None
        self._has_ended = False
        self._bytes_since_head = 0
        self._max_msg_queue_size, self._msg_queue_resume_size = _QUEUED_REQUESTS, 0
        # aiohttp's `_request_in_progress` isn't set yet when it has just taken a request from its queue.
        self._answered = 0
        # aiohttp forgets its own one when it closes it, which may be long before the client has read all.
        self._socket_transport: asyncio.Transport | None = None
        self._unsent = 0
        self._taken_at = self._offered_at = self._loop.time()
        self.head_began_at = self._loop.time()
        """When the head of a request was begun that isn't whole; infinite if none was."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # How much asyncio receives at once.
        transport.max_size = _RECEIVED_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)
        self._socket_transport = self.transport
        if self._give_up is None:
            self._open.opened(self)

    def begin(self, give_up: Callable[[], object]) -> None:
        """Count the connection as open before there is one."""
        self._give_up = give_up
        self._open.opened(self)

    def end_beginning(self) -> None:
        if self._socket_transport is None:
            self._open.closed(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.closed(self)
        self._socket_transport = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count > requests:
            self.head_began_at, self._bytes_since_head = math.inf, 0
            return
        self._bytes_since_head += len(data)
        if self._waiter is not None and self.head_began_at == math.inf:
            self.head_began_at = self._loop.time()
        if self._bytes_since_head > HEAD_BYTES and not self._close:
            self._read_no_more()

    def _read_no_more(self) -> None:
        """End the connection, after the response to what was asked before or a 431."""
        if self._waiter is not None and not self._waiter.done():
            self._request_count += 1
            self._messages.append((_ErrInfo(status=431, exc=ValueError(), message=""), EMPTY_PAYLOAD))
            self._waiter.set_result(None)
        self._close = True

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that sends no more, but waits for an answer: asyncio does so for `True`."""
        self._has_ended = True
        has_tls = self._socket_transport is not None and self._socket_transport.get_extra_info("sslcontext") is not None
        # asyncio can't do that with TLS, and would log a warning.
        return not has_tls and self._answered < self._request_count

    async def _handle_request(self, request: web.BaseRequest, *arguments: Any) -> tuple[web.StreamResponse, bool]:  # noqa: ANN401 - aiohttp's
        start_time, handler = arguments

        async def plain(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await handler(request)  # type: ignore[no-any-return]
            except web.HTTPException as error:
                # Only an unknown `Expect` comes this far: aiohttp refuses it before any middleware, and repeats it.
                return self._unhandled(error.status)

        self._open.busy(self)
        self._offered_at = self._loop.time()
        try:
            return await super()._handle_request(request, start_time, plain)
        finally:
            self._answered += 1
            if self._socket_transport is not None:
                self._open.idle(self)
            if self._has_ended and self._answered == self._request_count:
                self.close()

    def abort(self) -> None:
        """Close the connection now. aiohttp's `force_close` waits until the client has read all."""
        if self._socket_transport is not None:
            self._socket_transport.abort()
        elif self._give_up is not None:
            self._give_up()

    def unsent(self) -> int:
        """Return the bytes that the client hasn't taken, including those that the system holds, if it tells."""
        transport = self._socket_transport
        if transport is None:
            return 0
        waiting = transport.get_write_buffer_size()
        connected = transport.get_extra_info("socket")
        if waiting and connected is not None and hasattr(termios, "TIOCOUTQ"):
            held = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(held, sys.byteorder)
        return waiting

    def taking(self, now: float) -> tuple[float, float]:
        """Return for how long the client has taken nothing of what is there for it, and for how long not all.

        Call it now and then.
        """
        unsent = self.unsent()
        if unsent != self._unsent or not unsent:
            self._unsent, self._taken_at = unsent, now
        if not unsent:
            self._offered_at = now
        return now - self._taken_at, now - self._offered_at

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
