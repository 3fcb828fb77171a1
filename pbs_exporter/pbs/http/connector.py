"""The aiohttp session that all requests share, and the lifetime of its connections."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection

from pbs_exporter import __version__
from pbs_exporter.aiohttp_internals import SelectiveConnector, without_retries

IDLE_SECONDS = 900.0
"""Idle time after which a connection is closed. It exceeds the usual scrape interval; PBS itself has no limit."""

LIFE_SECONDS = 3600.0
"""Age after which a connection isn't reused, so that a renewed certificate is seen."""

reused: ContextVar[bool] = ContextVar("reused")
"""Whether the last request of this asyncio task reused a connection."""

new_only: ContextVar[bool] = ContextVar("new_only", default=False)
"""Whether the next request of this asyncio task must open a connection: after a restart of PBS all others are dead."""

certificate: ContextVar[bytes | None] = ContextVar("certificate", default=None)
"""The certificate (DER) seen by the last request of this asyncio task; `None` if it opened no TLS connection."""


def make_session(monotonic: Callable[[], float] = time.monotonic) -> aiohttp.ClientSession:
    """Return a new session for the requests to all PBS. The caller closes it."""
    connector = SelectiveConnector(
        _Connections(monotonic).accept,
        # `RequestLimiter` limits their number.
        limit=0,
        keepalive_timeout=IDLE_SECONDS,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        # PBS prefers a cookie to the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        # `body` inflates, and counts while it does.
        auto_decompress=False,
        headers={"User-Agent": f"pbs-exporter/{__version__}"},
        timeout=aiohttp.ClientTimeout(),
    )
    # `Transport` has a rule of its own for repeating a request. Both together would retry twice.
    return without_retries(session)


class _Connections:
    """Knows when each connection was opened."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._opened_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    def accept(self, connection: Connection) -> bool:
        """Whether a request may use this connection. If so, set `reused` and `certificate`."""
        now = self._monotonic()
        opened_at = self._opened_at.get(connection.protocol)
        if opened_at is not None and (now - opened_at >= LIFE_SECONDS or new_only.get()):
            return False
        reused.set(opened_at is not None)
        if opened_at is None:
            certificate.set(_peer_certificate(connection))
            self._opened_at[connection.protocol] = now
        return True


def _peer_certificate(connection: Connection) -> bytes | None:
    tls = connection.transport.get_extra_info("ssl_object") if connection.transport else None
    return tls.getpeercert(binary_form=True) if tls else None
