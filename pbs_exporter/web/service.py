"""The answers to all paths but those of probes, from what is served."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import urlencode

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.config import Settings
from pbs_exporter.exposition.self_metrics import ProcessMetrics
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.target import Target
from pbs_exporter.web import query, status
from pbs_exporter.web.discovery import PROBE, discovery
from pbs_exporter.web.scraper import OwnMetrics, Scraper
from pbs_exporter.web.served import Served, ServedTargets
from pbs_exporter.web.worker import Worker


class Service:
    """Answers requests. `settings` is replaced at a reload, and `own` are further metrics of `/metrics`."""

    def __init__(
        self,
        settings: Settings,
        targets: ServedTargets,
        scraper: Scraper,
        own: OwnMetrics,
        *,
        reload: Callable[[], Awaitable[list[str]]],
        worker: Worker,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._targets = targets
        self._scraper = scraper
        self._own = own
        self._reload = reload
        self._worker = worker
        self._clock = clock
        self._started = clock.monotonic()
        self._process_metrics = ProcessMetrics()

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Answer `/metrics`: the PBS of `[pbs]`, if there is one, and the program's own metrics."""
        query.refuse_target(request.query)
        served = self._targets.main
        only = query.collector_names(request.query, None if served is None else served.config.collectors)
        own = self._own_metrics()
        if served is None:
            return await self._scraper.own_metrics(request, own)
        return await self._scraper.scrape(request, served, own, self.settings.exporter.max_requests, only)

    async def probe(self, request: web.Request) -> web.StreamResponse:
        """Answer `/probe?target=NAME`: that target."""
        served = self._targets.by_name[query.target_name(request.query, self._targets.by_name.keys())]
        only = query.collector_names(request.query, served.config.collectors)
        return await self._scraper.scrape(request, served, [], self.settings.exporter.max_requests, only)

    async def discovery(self, request: web.Request) -> web.Response:
        """Answer `/sd`."""
        return discovery(request, self.settings.targets, self.settings.exporter.external_url)

    async def reload(self, _request: web.Request) -> web.Response:
        """Answer `/-/reload`: read the settings again."""
        if not self.settings.exporter.lifecycle:
            return web.Response(status=403, text="Reloading by a request is disabled ([exporter] lifecycle).\n")
        problems = await self._reload()
        return web.Response(status=500, text="\n".join([*problems, ""])) if problems else web.Response(text="ok\n")

    async def status(self, request: web.Request) -> web.Response:
        """Answer `/` with what is known from earlier scrapes. PBS isn't asked."""
        name = request.query.get(query.TARGET)
        # Of a listing, a thread reads only what is never changed.
        if name is None and self.settings.targets:
            known = {one: (served.target, served.target.listings()) for one, served in self._targets.all().items()}
            html = await self._worker.compute(partial(self._overview, known), len(known))
        else:
            served = self._targets.all().get(name or "")
            if served is None:
                raise web.HTTPNotFound
            listings = served.target.listings()
            html = await self._worker.compute(partial(self._page, served, listings), len(listings))
        headers = {"Content-Security-Policy": status.POLICY, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    def _own_metrics(self) -> OwnMetrics:
        process = [self._process_metrics] if self.settings.exporter.process_metrics else []
        return [*process, *self._own]

    def _overview(self, known: Mapping[str, tuple[Target, dict[str, ListingStatus]]]) -> str:
        return status.render_overview(status.read_overview(known), now=self._clock.now(), up_seconds=self._up_seconds())

    def _page(self, served: Served, listings: dict[str, ListingStatus]) -> str:
        disabled = tuple(name for name, enabled in served.config.collectors.items() if not enabled)
        facts = status.read_facts(served.target, listings, disabled)
        path = f"{PROBE[1:]}?{urlencode({query.TARGET: served.name})}" if served.name else "metrics"
        return status.render_page(facts, now=self._clock.now(), up_seconds=self._up_seconds(), metrics=path)

    def _up_seconds(self) -> float:
        return self._clock.monotonic() - self._started
