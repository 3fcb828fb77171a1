"""A scrape for a client: in the format and compression that it asks for, and in its time."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import prometheus_client.registry
from aiohttp import hdrs, web
from multidict import istr

from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.scrape.scrape_metrics import ScrapeDuration, build_info, whole
from pbs_exporter.web.budget import TIMEOUT_HEADER, budget
from pbs_exporter.web.served import Served
from pbs_exporter.web.unsent import UnsentBodies

PIECE_BYTES = 1 << 18
"""The most that is handed to a connection at once, which may copy it."""

OwnMetrics = Sequence[prometheus_client.registry.Collector]
"""Metrics of the program that are on the page too."""


class Scraper:
    """Answers scrapes. `unsent` keeps the bodies of responses until clients have read them."""

    def __init__(self, unsent: UnsentBodies) -> None:
        self._unsent = unsent

    async def scrape(
        self, request: web.Request, served: Served, own: OwnMetrics, limit: int, only: Collection[str] | None
    ) -> web.StreamResponse:
        """Scrape a PBS, and send what it answered in time. The client's place is taken until it has got all.

        At most `limit` scrapes of this PBS are under way. `only` names the collectors that run, if not all do.
        """
        duration = ScrapeDuration()
        answer = _Answer(request)
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=answer.headers)
        if served.scrapes >= limit:
            text = f"Limit of {limit} scrapes at once (max_requests) is reached, try again later.\n"
            return web.Response(status=503, text=text)
        if self._unsent.is_full:
            return self._too_much_unsent()
        seconds = budget(request.headers.get(TIMEOUT_HEADER), served.config.pbs.scrape_timeout_seconds)
        with served.scraping():
            render = partial(answer.body, [served.api_metrics, *own, duration])
            with self._unsent.hold(await served.target.scrape(seconds, render, only)) as body:
                return self._too_much_unsent() if body is None else await _send(request, answer.headers, body)

    async def own_metrics(self, request: web.Request, own: OwnMetrics) -> web.StreamResponse:
        """Send the program's own metrics alone."""
        answer = _Answer(request)
        page = Page()
        page.add(build_info())
        return await _send(request, answer.headers, answer.body(own, page))

    def _too_much_unsent(self) -> web.Response:
        mebibytes = self._unsent.limit // 1024**2
        text = f"Limit of {mebibytes} MiB for responses that clients don't read is reached, try again later.\n"
        return web.Response(status=503, text=text)


class _Answer:
    """The form of the response to a request."""

    def __init__(self, request: web.Request) -> None:
        self._chosen = formats.choose(request.headers.get(hdrs.ACCEPT, ""))
        self._gzip = formats.accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        self.headers = {hdrs.CONTENT_TYPE: self._chosen.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if self._gzip and request.method != hdrs.METH_HEAD:
            self.headers[hdrs.CONTENT_ENCODING] = "gzip"

    def body(self, own: OwnMetrics, page: Page) -> list[bytes]:
        """Return the page in pieces."""
        body = formats.render(whole(page, own), self._chosen)
        if self._gzip:
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
