"""The web service: `/metrics`, `/health`, `/`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Settings
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.headers import add_headers
from pbs_exporter.web.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(settings: Settings, collectors: Sequence[AnyCollector], clock: Clock | None = None) -> web.Application:
    """Make the application. Its session and what it does in the background live as long as it does."""
    enabled = [collector for collector in collectors if settings.collectors[collector.name]]
    ticking = clock or Clock()
    app = web.Application(middlewares=[_plain_errors])
    app.on_response_prepare.append(add_headers)

    @asynccontextmanager
    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        own = SelfMetrics(process=settings.exporter.process_metrics)
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
