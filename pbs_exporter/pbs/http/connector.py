"""The aiohttp session of all requests to a PBS, and the lifetime of its connections."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType, Connection

from pbs_exporter import __version__
from pbs_exporter.aiohttp_internals import SelectiveConnector, without_retries
from pbs_exporter.daemon_thread import in_daemon_thread
from pbs_exporter.waiting import shared_result

IDLE_SECONDS = 900.0
"""Idle time after which a connection is closed. It exceeds the usual scrape interval; PBS itself has no limit."""

LIFE_SECONDS = 3600.0
"""Age after which a connection isn't reused, so that a renewed certificate is seen."""

DEAD_SECONDS = 20
"""Time after which a connection is probed on which nothing comes, and the longest time without an acknowledgement."""

reused: ContextVar[bool] = ContextVar("reused")
"""Whether the last request of this asyncio task reused a connection."""

new_only: ContextVar[bool] = ContextVar("new_only", default=False)
"""Whether the next request of this asyncio task must open a connection: after a restart of PBS all others are dead."""

certificate: ContextVar[bytes | None] = ContextVar("certificate", default=None)
"""The certificate (DER) seen by the last request of this asyncio task; `None` if it opened no TLS connection."""


def make_session(monotonic: Callable[[], float] = time.monotonic) -> aiohttp.ClientSession:
    """Return a new session for the requests to a PBS. The caller closes it."""
    connector = SelectiveConnector(
        _Connections(monotonic).accept,
        # `RequestLimiter` limits their number.
        limit=0,
        keepalive_timeout=IDLE_SECONDS,
        resolver=_DaemonResolver(),
        socket_factory=open_socket,
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
        if opened_at is not None and (now - opened_at >= LIFE_SECONDS or new_only.get() or _has_more(connection)):
            return False
        reused.set(opened_at is not None)
        if opened_at is None:
            certificate.set(_peer_certificate(connection))
            self._opened_at[connection.protocol] = now
        return True


def _has_more(connection: Connection) -> bool:
    """Whether something has come since the last answer, such as a proxy's 408 for a connection that is idle.

    It would be taken for the answer to the next request, and that answer for the one to the request after it.
    """
    return connection.protocol is not None and connection.protocol.should_close


def _peer_certificate(connection: Connection) -> bytes | None:
    tls = connection.transport.get_extra_info("ssl_object") if connection.transport else None
    return tls.getpeercert(binary_form=True) if tls else None


class _DaemonResolver(AbstractResolver):
    """Resolves names with the system's resolver, which reads `/etc/hosts` and knows search domains.

    It blocks, for half a minute or more if no name server answers. So each name has a thread of its own, which nobody
    waits for at exit. While it hangs, further requests for the name wait for the same thread.
    """

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int, int], asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        key = host, port, family
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = in_daemon_thread(partial(_resolve, host, port, family), "resolver")
            lookup.add_done_callback(partial(self._forget, key))
        # A request whose time is up doesn't end the lookup.
        return await shared_result(lookup)

    async def close(self) -> None:
        pass

    def _forget(self, key: tuple[str, int, int], lookup: asyncio.Future[list[ResolveResult]]) -> None:
        del self._lookups[key]
        # Marks an exception as seen: maybe nobody waits for it any more.
        lookup.cancelled() or lookup.exception()


def _resolve(host: str, port: int, family: int) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    results = []
    for each, _, protocol, _, address in found:
        # With the scope of a link-local address.
        name, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        results.append(
            ResolveResult(
                hostname=host,
                host=name,
                port=port,
                family=each,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        )
    return results


def open_socket(address: AddrInfoType) -> socket.socket:
    """Return a socket whose connection is found to be dead after half a minute, whether it is used or not.

    Without that, a request on a connection that a firewall has forgotten would wait for its whole timeout.
    """
    family, kind, protocol, _, _ = address
    opened = socket.socket(family=family, type=kind, proto=protocol)
    opened.settimeout(0)
    options = {
        (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): DEAD_SECONDS,
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): DEAD_SECONDS // 4,
        (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 2,
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): DEAD_SECONDS * 1000,
    }
    for (level, name), value in options.items():
        # Not every system has all of them.
        with suppress(OSError, AttributeError):
            opened.setsockopt(level, getattr(socket, name), value)
    return opened
