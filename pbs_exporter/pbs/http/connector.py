"""The one session that all requests go over, and how long its connections live."""

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
"""How long a connection is kept without a request: longer than from one scrape to the next. PBS has no limit."""

LIFE_SECONDS = 3600.0
"""A connection that is older isn't used again, so that a renewed certificate shows."""


reused: ContextVar[bool] = ContextVar("reused")
"""Whether the last request of this task went over a kept connection."""


certificate: ContextVar[bytes | None] = ContextVar("certificate", default=None)
"""The certificate (DER) that the last request of this task was shown, where that made a new connection with TLS."""


def make_session(monotonic: Callable[[], float] = time.monotonic) -> aiohttp.ClientSession:
    """Make the one session that all requests to all PBS go over. Whoever makes it closes it."""
    session = aiohttp.ClientSession(
        connector=_Connector(monotonic),
        # A cookie would beat the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"pbs-exporter/{__version__}"},
        timeout=aiohttp.ClientTimeout(),
    )
    # aiohttp repeats a GET after any broken connection, also one that was new. `Transport` repeats it for one
    # cause only, and the two would add up.
    session._retry_connection = False  # noqa: SLF001
    return session


class _Connector(aiohttp.TCPConnector):
    """Keeps connections for `LIFE_SECONDS`. How many there are is what `RequestLimiter` allow."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._monotonic = monotonic
        self._made_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's name
    ) -> Connection:
        """Give a connection that is young enough, kept or new, and note which. One that is too old is closed.

        Of a new one the certificate is noted too.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            now = self._monotonic()
            made_at = self._made_at.get(connection.protocol)
            if made_at is None or now - made_at < LIFE_SECONDS:
                break
            connection.close()
        reused.set(made_at is not None)
        if made_at is None:
            certificate.set(_shown_certificate(connection))
        self._made_at.setdefault(connection.protocol, now)
        return connection


def _shown_certificate(connection: Connection) -> bytes | None:
    tls = connection.transport.get_extra_info("ssl_object") if connection.transport else None
    return tls.getpeercert(binary_form=True) if tls else None
