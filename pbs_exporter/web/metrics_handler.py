"""`/metrics`: a scrape, in the format and compression that the client asks for."""

import io
from functools import partial

from aiohttp import hdrs, web

from pbs_exporter.config import Settings
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.scrape.target import Compute, Target
from pbs_exporter.web.budget import TIMEOUT_HEADER, budget

LARGE_BYTES = 1 << 20
"""Size above which a body is sent in pieces."""


class MetricsHandler:
    """Answers `/metrics`. `compute` turns a page into the body of the response."""

    def __init__(self, settings: Settings, target: Target, self_metrics: SelfMetrics, compute: Compute) -> None:
        self._settings = settings
        self._target = target
        self._self_metrics = self_metrics
        self._compute = compute
        self._scrapes = 0

    async def __call__(self, request: web.Request) -> web.Response:
        """Scrape PBS, and return what it answered in time."""
        chosen = formats.choose(request.headers.get(hdrs.ACCEPT, ""))
        headers = {hdrs.CONTENT_TYPE: chosen.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=headers)
        limit = self._settings.exporter.max_requests
        if self._scrapes >= limit:
            text = f"Limit of {limit} scrapes at once (max_requests) is reached, try again later.\n"
            return web.Response(status=503, text=text)
        gzip = formats.accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        if gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        seconds = budget(request.headers.get(TIMEOUT_HEADER), self._settings.pbs.scrape_timeout_seconds)
        self._scrapes += 1
        try:
            page = await self._target.scrape(seconds)
            body = await self._compute(partial(self._body, page, chosen, gzip=gzip), page.size)
        finally:
            self._scrapes -= 1
        # In one piece it would be copied twice, which would hold up the event loop.
        return web.Response(body=io.BytesIO(body) if len(body) > LARGE_BYTES else body, headers=headers)

    def _body(self, page: Page, chosen: formats.NegotiatedFormat, *, gzip: bool) -> bytes:
        registry = page.registry()
        registry.register(self._self_metrics)
        body = formats.render(registry, chosen)
        return formats.compress(body) if gzip else body
