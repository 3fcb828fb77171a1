"""What answers each path."""

import io

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.config import Settings
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.scrape.target import Target
from pbs_exporter.web import status
from pbs_exporter.web.budget import TIMEOUT_HEADER, budget

LARGE_BYTES = 1 << 20
"""Pages of more bytes are sent in pieces."""


class Service:
    """What the handlers share: the target, the program's own metrics, and how many scrapes are under way."""

    def __init__(self, settings: Settings, target: Target, own: SelfMetrics, clock: Clock) -> None:
        self._settings = settings
        self.target = target
        self._own = own
        self._clock = clock
        self._started = clock.monotonic()
        self._scrapes = 0

    async def metrics(self, request: web.Request) -> web.Response:
        """Serve a fresh page, in the format and compression that the client asked for."""
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

        def write(page: Page) -> bytes:
            registry = page.registry()
            registry.register(self._own)
            body = formats.render(registry, chosen)
            return formats.compress(body) if gzip else body

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
