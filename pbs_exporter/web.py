"""The web service: `/metrics`, `/health`, `/`."""

import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import hdrs, web

from pbs_exporter import exposition, status
from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Settings
from pbs_exporter.metrics import Page
from pbs_exporter.own_metrics import OwnMetrics
from pbs_exporter.pbs.session import make_session
from pbs_exporter.scrape import Target

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

OFFSET_SECONDS = 0.5
"""The answer must be on its way so long before Prometheus gives up."""

LARGE_BYTES = 1 << 20
"""Pages of more bytes are sent in pieces."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """What the handlers share: the target, the program's own metrics, and how many scrapes are under way."""

    def __init__(self, settings: Settings, target: Target, own: OwnMetrics, clock: Clock) -> None:
        self._settings = settings
        self.target = target
        self._own = own
        self._clock = clock
        self._started = clock.monotonic()
        self._scrapes = 0

    async def metrics(self, request: web.Request) -> web.Response:
        """Serve a fresh page, in the format and compression that the client asked for."""
        chosen = exposition.choose(request.headers.get(hdrs.ACCEPT, ""))
        headers = {hdrs.CONTENT_TYPE: chosen.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=headers)
        limit = self._settings.exporter.max_requests
        if self._scrapes >= limit:
            text = f"Limit of {limit} scrapes at once (max_requests) is reached, try again later.\n"
            return web.Response(status=503, text=text)
        gzip = exposition.accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        if gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"

        def write(page: Page) -> bytes:
            registry = page.registry()
            registry.register(self._own)
            body = exposition.render(registry, chosen)
            return exposition.compress(body) if gzip else body

        seconds = budget(request.headers.get(TIMEOUT_HEADER), self._settings.pbs.scrape_timeout_seconds)
        self._scrapes += 1
        try:
            body = await self.target.scrape(seconds, write)
        finally:
            self._scrapes -= 1
        # As one piece it would be copied twice, and the event loop would be held up meanwhile.
        return web.Response(body=io.BytesIO(body) if len(body) > LARGE_BYTES else body, headers=headers)

    async def health(self, _request: web.Request) -> web.Response:
        """Say that the program runs. PBS isn't asked: its failures are no reason to restart this program."""
        return web.Response(text="ok\n")

    async def status(self, _request: web.Request) -> web.Response:
        """Serve the status page. PBS isn't asked: what earlier scrapes brought is on it."""
        switches = self._settings.collectors
        facts = status.read(self.target, tuple(name for name, is_on in switches.items() if not is_on))
        html = status.write(facts, now=self._clock.now(), up_seconds=self._clock.monotonic() - self._started)
        headers = {"Content-Security-Policy": status.POLICY, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)


def budget(header: str | None, most: float) -> float:
    """Give the seconds that a scrape may take: what Prometheus allows, less a margin, and never more than `most`.

    The margin is never more than half. A header that makes no sense is as good as none.
    """
    try:
        allowed = float(header or "")
    except ValueError:
        return most
    # float() also takes "1_0" and digits of other scripts.
    plain = (header or "").isascii() and "_" not in (header or "")
    if not plain or not math.isfinite(allowed) or allowed <= 0:
        return most
    return min(most, max(allowed - OFFSET_SECONDS, allowed / 2))


def create_app(settings: Settings, collectors: Sequence[AnyCollector], clock: Clock | None = None) -> web.Application:
    """Make the application. Its session and what it does in the background live as long as it does."""
    enabled = [collector for collector in collectors if settings.collectors[collector.name]]
    ticking = clock or Clock()
    app = web.Application(middlewares=[_plain_errors])
    app.on_response_prepare.append(_headers)

    @asynccontextmanager
    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        own = OwnMetrics(process=settings.exporter.process_metrics)
        async with make_session(ticking.monotonic) as session:
            target = Target(
                settings.pbs,
                enabled,
                session=session,
                clock=ticking,
                observe=own.observe,
                filters=settings.filters,
            )
            service = Service(settings, target, own, ticking)
            app[SERVICE] = service
            try:
                yield
            finally:
                await target.close()

    app.cleanup_ctx.append(lifetime)
    for path, handler in (
        ("/metrics", Service.metrics),
        ("/health", Service.health),
        ("/-/healthy", Service.health),
        ("/", Service.status),
    ):
        app.router.add_get(path, _with_service(handler))
    return app


SERVICE = web.AppKey("service", Service)


def _with_service(method: Callable[[Service, web.Request], Awaitable[web.Response]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await method(request.app[SERVICE], request)

    return handler


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 404 and 405 in plain words, without an exception's text."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
        return web.Response(status=error.status, text=f"{error.status} {error.reason}\n", headers=allow)


_HEADERS = {hdrs.SERVER: "pbs-exporter", "X-Content-Type-Options": "nosniff"}


async def _headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


class Runner(web.AppRunner):
    """Runs the application. What is no HTTP never gets to it, and is answered here as plainly as the rest.

    aiohttp's own answer has its version, and the parser's text with what was sent.
    """

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(server.request_handler, request_factory=server.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # It logs, and refuses where an answer has begun. Who sends no HTTP fills no log.
            super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=_HEADERS)
        response.force_close()
        return response
