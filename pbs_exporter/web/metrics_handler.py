"""`/metrics`: a scrape, in the format and compression that the client asks for."""

import asyncio
from collections.abc import Mapping
from functools import partial

from aiohttp import hdrs, web
from multidict import istr

from pbs_exporter.config import Settings
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.scrape.target import Compute, Target
from pbs_exporter.web.budget import TIMEOUT_HEADER, budget
from pbs_exporter.web.unsent import UnsentBodies

PIECE_BYTES = 1 << 18
"""The most that is handed to a connection at once. A body in one piece would be copied as a whole."""


class MetricsHandler:
    """Answers `/metrics`. `compute` turns a page into the body of the response, which `unsent` counts."""

    def __init__(
        self, settings: Settings, target: Target, self_metrics: SelfMetrics, compute: Compute, unsent: UnsentBodies
    ) -> None:
        self._settings = settings
        self._target = target
        self._self_metrics = self_metrics
        self._compute = compute
        self._unsent = unsent
        self._scrapes = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Scrape PBS, and send what it answered in time. The client's place is taken until it has got all."""
        chosen = formats.choose(request.headers.get(hdrs.ACCEPT, ""))
        headers = {hdrs.CONTENT_TYPE: chosen.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=headers)
        limit = self._settings.exporter.max_requests
        if self._scrapes >= limit:
            text = f"Limit of {limit} scrapes at once (max_requests) is reached, try again later.\n"
            return web.Response(status=503, text=text)
        if self._unsent.is_full:
            return self._too_much_unsent()
        gzip = formats.accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        if gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        seconds = budget(request.headers.get(TIMEOUT_HEADER), self._settings.pbs.scrape_timeout_seconds)
        self._scrapes += 1
        try:
            page = await self._target.scrape(seconds)
            body = await self._compute(partial(self._body, page, chosen, gzip=gzip), page.size)
            del page
            with self._unsent.hold(len(body)) as fits:
                return await _send(request, headers, body) if fits else self._too_much_unsent()
        finally:
            self._scrapes -= 1

    def _too_much_unsent(self) -> web.Response:
        mebibytes = self._unsent.limit // 1024**2
        text = f"Limit of {mebibytes} MiB for responses that clients don't read is reached, try again later.\n"
        return web.Response(status=503, text=text)

    def _body(self, page: Page, chosen: formats.NegotiatedFormat, *, gzip: bool) -> bytes:
        registry = page.registry()
        registry.register(self._self_metrics)
        body = formats.render(registry, chosen)
        return formats.compress(body) if gzip else body


async def _send(request: web.Request, headers: Mapping[istr, str], body: bytes) -> web.StreamResponse:
    """Send a response, and return it when the client has taken all but a small rest."""
    if len(body) <= PIECE_BYTES:
        response: web.StreamResponse = web.Response(body=body, headers=headers)
    else:
        response = web.StreamResponse(headers=headers)
        response.content_length = len(body)
    try:
        await response.prepare(request)
        for at in range(0, 0 if isinstance(response, web.Response) else len(body), PIECE_BYTES):
            # A copy: a view of a piece would keep the whole body.
            await response.write(body[at : at + PIECE_BYTES])
            # A client that reads fast mustn't hold up the event loop.
            await asyncio.sleep(0)
        await response.write_eof()
    except ConnectionError:
        # The client has left. aiohttp finds that out too, when it gets the response.
        pass
    return response
