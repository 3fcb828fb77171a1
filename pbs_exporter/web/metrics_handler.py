"""`/metrics`: a scrape, in the format and compression that the client asks for."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from aiohttp import hdrs, web
from multidict import istr

from pbs_exporter.config import Settings
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.scrape.scrape_metrics import ScrapeDuration, whole
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.budget import TIMEOUT_HEADER, budget
from pbs_exporter.web.unsent import UnsentBodies

PIECE_BYTES = 1 << 18
"""The most that is handed to a connection at once, which may copy it."""


class MetricsHandler:
    """Answers `/metrics`. `unsent` keeps the bodies of responses until clients have read them."""

    def __init__(self, settings: Settings, target: Target, self_metrics: SelfMetrics, unsent: UnsentBodies) -> None:
        self._settings = settings
        self._target = target
        self._self_metrics = self_metrics
        self._unsent = unsent
        self._scrapes = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Scrape PBS, and send what it answered in time. The client's place is taken until it has got all."""
        duration = ScrapeDuration()
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
            render = partial(self._body, chosen, duration, gzip=gzip)
            with self._unsent.hold(await self._target.scrape(seconds, render)) as body:
                return self._too_much_unsent() if body is None else await _send(request, headers, body)
        finally:
            self._scrapes -= 1

    def _too_much_unsent(self) -> web.Response:
        mebibytes = self._unsent.limit // 1024**2
        text = f"Limit of {mebibytes} MiB for responses that clients don't read is reached, try again later.\n"
        return web.Response(status=503, text=text)

    def _body(
        self, chosen: formats.NegotiatedFormat, duration: ScrapeDuration, page: Page, *, gzip: bool
    ) -> list[bytes]:
        body = formats.render(whole(page, self._self_metrics, duration), chosen)
        if gzip:
            body = formats.compress(body)
        for piece in body:
            # It is kept in the object, and `UnsentBodies` needs it on the event loop.
            hash(piece)
        return body


async def _send(request: web.Request, headers: Mapping[istr, str], body: Sequence[bytes]) -> web.StreamResponse:
    """Send a response, and return it when the client has taken all but a small rest."""
    size = sum(map(len, body))
    if size <= PIECE_BYTES:
        response: web.StreamResponse = web.Response(body=b"".join(body), headers=headers)
    else:
        response = web.StreamResponse(headers=headers)
        response.content_length = size
    try:
        await response.prepare(request)
        for piece in () if isinstance(response, web.Response) else body:
            for at in range(0, len(piece), PIECE_BYTES):
                await response.write(piece[at : at + PIECE_BYTES])
                # A client that reads fast mustn't hold up the event loop.
                await asyncio.sleep(0)
        await response.write_eof()
    except ConnectionError:
        # The client has left. aiohttp finds that out too, when it gets the response.
        pass
    return response
