"""What our own port does before a request reaches its handler, and what it adds to each response."""

import base64
import binascii
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import WEB_CONFIG
from pbs_exporter.web.plain_errors import Handler, unhandled
from pbs_exporter.web.port.passwords import Busy, Passwords
from pbs_exporter.web.port.rate_limit import RateLimit, TokenBucket

if TYPE_CHECKING:
    from pbs_exporter.web.port.current import CurrentWebConfig
    from pbs_exporter.web.port.web_config import WebConfig

OPEN_PATHS = frozenset({"/health", "/-/healthy", "/-/ready"})
"""They answer without a login and without a limit, for probes."""

_CHALLENGE = {hdrs.WWW_AUTHENTICATE: 'Basic realm="pbs-exporter", charset="UTF-8"'}


class Guard(Collector):
    """The port as a web configuration describes it, if there is one."""

    def __init__(self, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the configuration. Raises `ConfigError` with a line for each problem."""
        self._path = path
        self._current = None if path is None else _current(path, monotonic)
        self._monotonic = monotonic
        self._passwords = Passwords()
        self._limit: RateLimit | None = None
        self._bucket: TokenBucket | None = None

    @property
    def config(self) -> "WebConfig | None":
        """What counts now."""
        return None if self._current is None else self._current.config

    @property
    def has_login(self) -> bool:
        """Whether requests need a login."""
        return self.config is not None and bool(self.config.users)

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS of connections; `None` without TLS. It stays the same."""
        return None if self._current is None else self._current.context

    def collect(self) -> Iterable[Family]:
        """Return the family about it. A registry of prometheus_client calls this."""
        page = Page()
        page.add(WEB_CONFIG(None if self._current is None else float(self._current.successful)))
        return page.collect()

    def announce(self) -> None:
        """Log what was read."""
        if self._current is not None:
            self._current.announce()

    def follow(self, path: Path | None) -> bool:
        """Take another configuration from now on. Raises `ConfigError` as at start.

        Return whether that is possible: TLS can't be turned on or off while the port is open.
        """
        if path == self._path:
            return True
        other = None if path is None else _current(path, self._monotonic)
        if (other is not None and other.context is not None) != (self.context is not None):
            return False
        if other is not None and self._current is not None:
            other.take_over(self._current)
        self._path, self._current = path, other
        self.announce()
        return True

    @property
    def middleware(self) -> Middleware:
        """What aiohttp calls for each request, also for one that has no route."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        return guard

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._current is not None:
            self._current.refresh()
        refusal = None if is_open(request) else await self._refusal(request)
        return await handler(request) if refusal is None else refusal

    async def _refusal(self, request: web.Request) -> web.Response | None:
        config = self.config
        if not self._has_room(None if config is None else config.rate_limit):
            return web.Response(status=429, text="429 Too Many Requests\n")
        if config is None or not config.users:
            return None
        login = credentials(request.headers.get(hdrs.AUTHORIZATION, ""))
        try:
            if login is not None and await self._passwords.accept(config.users, *login, request.remote or ""):
                return None
        except Busy:
            text = "Too many logins are being checked, try again later.\n"
            return web.Response(status=503, text=text, headers={hdrs.RETRY_AFTER: "1"})
        return web.Response(status=401, text="401 Unauthorized\n", headers=_CHALLENGE)

    def _has_room(self, limit: RateLimit | None) -> bool:
        now = self._monotonic()
        if limit != self._limit:
            self._limit = limit
            self._bucket = None if limit is None else TokenBucket(limit, now)
        return self._bucket is None or self._bucket.take(now)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {} if self.config is None else self.config.headers

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Add the configured headers to a response."""
        response.headers.update(self._headers)

    def unhandled(self, status: int) -> web.Response:
        """Answer a request that reached no handler."""
        response = unhandled(status)
        response.headers.update(self._headers)
        return response


def _current(path: Path, monotonic: Callable[[], float]) -> "CurrentWebConfig":
    # The YAML library takes memory and time, which only those spend who have such a file.
    from pbs_exporter.web.port.current import CurrentWebConfig  # noqa: PLC0415

    return CurrentWebConfig(path, monotonic)


def is_open(request: web.Request) -> bool:
    """Whether the request needs no login: it is the route that decides, so that no spelling of a path passes."""
    found = request.match_info
    resource = found.route.resource
    return found.http_exception is None and resource is not None and resource.canonical in OPEN_PATHS


def credentials(header: str) -> tuple[str, bytes] | None:
    """Return user and password of an `Authorization` header; `None` if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(" "), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
