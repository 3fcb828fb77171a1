"""The one session that all requests go over, and how long its connections live."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from pbs_exporter import __version__

IDLE_SECONDS = 900.0
"""How long a connection is kept without a request: longer than from one scrape to the next. PBS has no limit."""

LIFE_SECONDS = 3600.0
"""A connection that is older isn't used again, so that a renewed certificate shows."""


class Traced(SimpleNamespace):
    """What a request learns of the connection that it went over."""

    reused = False


def make_session(monotonic: Callable[[], float] = time.monotonic) -> aiohttp.ClientSession:
    """Make the one session that all requests to all PBS go over. Whoever makes it closes it."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    trace.on_connection_create_start.append(_note_new)
    session = aiohttp.ClientSession(
        connector=_Connector(monotonic),
        # A cookie would beat the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        # PBS knows deflate alone.
        headers={"User-Agent": f"pbs-exporter/{__version__}", "Accept-Encoding": "deflate"},
        timeout=aiohttp.ClientTimeout(),
        trace_configs=[trace],
    )
    # aiohttp repeats a GET after any broken connection, also one that was new. `Transport` repeats it for one
    # cause only, and the two would add up.
    session._retry_connection = False  # noqa: SLF001
    return session


class _Connector(aiohttp.TCPConnector):
    """Keeps connections for `LIFE_SECONDS`. How many there are is what `Slots` allow."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._monotonic = monotonic
        self._made_at: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's name
    ) -> Connection:
        """Give a connection that is young enough, kept or new. One that is too old is closed."""
        connection = await super().connect(req, traces, timeout)
        while connection.protocol is not None and self._is_old(connection.protocol):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection

    def _is_old(self, protocol: ResponseHandler) -> bool:
        now = self._monotonic()
        return now - self._made_at.setdefault(protocol, now) >= LIFE_SECONDS


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True


async def _note_new(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionCreateStartParams
) -> None:
    context.trace_request_ctx.reused = False
