"""The aiohttp session that all requests share, and the lifetime of its connections.

Touches private parts of aiohttp's client (3.14): `ClientSession._retry_connection`, which has no public switch, and the
signature of `TCPConnector.connect`.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from pbs_exporter import __version__

IDLE_SECONDS = 900.0
"""Idle time after which a connection is closed. It exceeds the usual scrape interval; PBS itself has no limit."""

LIFE_SECONDS = 3600.0
"""Age after which a connection isn't reused, so that a renewed certificate is seen."""

reused: ContextVar[bool] = ContextVar("reused")
"""Whether the last request of this asyncio task reused a connection."""

certificate: ContextVar[bytes | None] = ContextVar("certificate", default=None)
"""The certificate (DER) seen by the last request of this asyncio task; `None` if it opened no TLS connection."""


def make_session(monotonic: Callable[[], float] = time.monotonic) -> aiohttp.ClientSession:
    """Return a new session for the requests to all PBS. The caller closes it."""
    session = aiohttp.ClientSession(
        connector=_Connector(monotonic),
        # PBS prefers a cookie to the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"pbs-exporter/{__version__}"},
        timeout=aiohttp.ClientTimeout(),
    )
    # aiohttp repeats a GET after any broken connection, even a new one. `Transport` has a stricter rule, and both
    # together would retry twice.
    session._retry_connection = False  # noqa: SLF001
    return session


class _Connector(aiohttp.TCPConnector):
    """Reuses connections up to `LIFE_SECONDS`. Their number is limited by `RequestLimiter`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._monotonic = monotonic
        self._opened_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's name
    ) -> Connection:
        """Return a pooled or new connection, and set `reused` and `certificate`. Close those that are too old."""
        while True:
            connection = await super().connect(req, traces, timeout)
            now = self._monotonic()
            opened_at = self._opened_at.get(connection.protocol)
            if opened_at is None or now - opened_at < LIFE_SECONDS:
                break
            connection.close()
        reused.set(opened_at is not None)
        if opened_at is None:
            certificate.set(_peer_certificate(connection))
        self._opened_at.setdefault(connection.protocol, now)
        return connection


def _peer_certificate(connection: Connection) -> bytes | None:
    tls = connection.transport.get_extra_info("ssl_object") if connection.transport else None
    return tls.getpeercert(binary_form=True) if tls else None
