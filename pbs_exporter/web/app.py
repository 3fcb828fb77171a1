"""The web service: its routes, and what lives as long as it does."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector
from pbs_exporter.config import Settings
from pbs_exporter.errors import ConfigError
from pbs_exporter.web.discovery import PROBE
from pbs_exporter.web.headers import add_headers
from pbs_exporter.web.health_handler import Readiness, health
from pbs_exporter.web.plain_errors import Handler, plain_errors
from pbs_exporter.web.port.guard import Guard
from pbs_exporter.web.reload import Load, Reloader
from pbs_exporter.web.scraper import Scraper
from pbs_exporter.web.served import Served, ServedTargets
from pbs_exporter.web.service import Service
from pbs_exporter.web.unsent import UnsentBodies, limit_of_unsent
from pbs_exporter.web.worker import Worker

TARGETS = web.AppKey("targets", ServedTargets)
RELOADER = web.AppKey("reloader", Reloader)
READINESS = web.AppKey("readiness", Readiness)
_SERVICE = web.AppKey("service", Service)

TLS_STAYS = "[exporter] web_config_file: turns TLS on or off, which needs a restart; the one before stays in force"
LOGIN_LOST = "[exporter] web_config_file: the port has no login any more"


def create_app(
    settings: Settings,
    collectors: Sequence[AnyCollector],
    clock: Clock | None = None,
    load: Load | None = None,
    guard: Guard | None = None,
) -> web.Application:
    """Return the application. Its background work begins and ends with it.

    `load` reads the settings again for a reload; without it, they stay as they are.
    """
    guard = guard or Guard(None)
    app = web.Application(middlewares=[plain_errors, guard.middleware])
    app[READINESS] = readiness = Readiness()
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(guard.add_headers)
    app.cleanup_ctx.append(_lifetime(settings, collectors, clock or Clock(), load or (lambda: (settings, [])), guard))
    app.router.add_get("/metrics", _handled(lambda service: service.metrics))
    app.router.add_get(PROBE, _handled(lambda service: service.probe))
    app.router.add_get("/sd", _handled(lambda service: service.discovery))
    app.router.add_get("/health", health)
    app.router.add_get("/-/healthy", health)
    app.router.add_get("/-/ready", readiness.handle)
    for method in (hdrs.METH_POST, hdrs.METH_PUT):
        app.router.add_route(method, "/-/reload", _handled(lambda service: service.reload))
    app.router.add_get("/", _handled(lambda service: service.status))
    return app


def _lifetime(
    settings: Settings, collectors: Sequence[AnyCollector], clock: Clock, load: Load, guard: Guard
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        status_worker = Worker()
        targets = ServedTargets(partial(Served, collectors=collectors, clock=clock))
        targets.apply(settings)

        def apply(changed: Settings) -> list[str]:
            prepared = targets.prepare(changed)
            had_login = guard.has_login
            try:
                follows = guard.follow(changed.exporter.web_config_file)
            except ConfigError:
                targets.drop(prepared)
                raise
            targets.take(changed, prepared)
            service.settings = changed
            lost = [LOGIN_LOST] if had_login and not guard.has_login else []
            return lost if follows else [TLS_STAYS]

        reloader = Reloader(settings, load, apply, clock)
        scraper = Scraper(UnsentBodies(limit_of_unsent()))
        service = Service(
            settings, targets, scraper, [reloader, guard], reload=reloader.reload, worker=status_worker, clock=clock
        )
        app[TARGETS], app[RELOADER], app[_SERVICE] = targets, reloader, service
        try:
            yield
        finally:
            # Targets that a reload started later would never be closed.
            await reloader.close()
            await targets.close()
            status_worker.close()

    return lifetime


def _handled(choose: Callable[[Service], Handler]) -> Handler:
    """Return a handler of the service, which exists once the application has started."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await choose(request.app[_SERVICE])(request)

    return handle
