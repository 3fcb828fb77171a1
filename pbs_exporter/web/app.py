"""The web service: its routes, and what lives as long as it does."""

from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Settings
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.headers import add_headers
from pbs_exporter.web.health_handler import health
from pbs_exporter.web.metrics_handler import MetricsHandler
from pbs_exporter.web.plain_errors import Handler, plain_errors
from pbs_exporter.web.port.guard import Guard
from pbs_exporter.web.status_handler import StatusHandler
from pbs_exporter.web.unsent import UnsentBodies, limit_of_unsent
from pbs_exporter.web.worker import Worker

TARGET = web.AppKey("target", Target)
METRICS = web.AppKey("metrics", MetricsHandler)
STATUS = web.AppKey("status", StatusHandler)


def create_app(
    settings: Settings, collectors: Sequence[AnyCollector], clock: Clock | None = None, guard: Guard | None = None
) -> web.Application:
    """Return the application. Its session and its background work begin and end with it."""
    guard = guard or Guard(None)
    app = web.Application(middlewares=[plain_errors, guard.middleware])
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(guard.add_headers)
    app.cleanup_ctx.append(_lifetime(settings, collectors, clock or Clock(), guard))
    app.router.add_get("/metrics", _handled_by(METRICS))
    app.router.add_get("/health", health)
    app.router.add_get("/-/healthy", health)
    app.router.add_get("/", _handled_by(STATUS))
    return app


def _lifetime(
    settings: Settings, collectors: Sequence[AnyCollector], clock: Clock, guard: Guard
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        # Neither slow collectors nor the status page can take the thread of scrapes.
        worker, slow_worker, status_worker = workers = Worker(), Worker(), Worker()
        unsent = UnsentBodies(limit_of_unsent())
        self_metrics = SelfMetrics(process=settings.exporter.process_metrics, others=[guard])
        async with make_session(clock.monotonic) as session:
            target = Target(
                settings.pbs,
                [collector for collector in collectors if settings.collectors[collector.name]],
                session=session,
                clock=clock,
                observe=self_metrics.observe,
                filters=settings.filters,
                compute=worker.compute,
                compute_slow=slow_worker.compute,
            )
            app[TARGET] = target
            app[METRICS] = MetricsHandler(settings, target, self_metrics, unsent)
            app[STATUS] = StatusHandler(settings, target, clock, status_worker.compute)
            try:
                yield
            finally:
                await target.close()
                for each in workers:
                    each.close()

    return lifetime


def _handled_by(key: web.AppKey[MetricsHandler] | web.AppKey[StatusHandler]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await request.app[key](request)

    return handle
