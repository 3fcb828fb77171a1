"""`/`: the status page."""

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.config import Settings
from pbs_exporter.scrape.target import Target
from pbs_exporter.web import status


class StatusHandler:
    """Answers `/` with what is known from earlier scrapes. PBS isn't asked."""

    def __init__(self, settings: Settings, target: Target, clock: Clock) -> None:
        self._switches = settings.collectors
        self._target = target
        self._clock = clock
        self._started = clock.monotonic()

    async def __call__(self, _request: web.Request) -> web.Response:
        """Return the page."""
        facts = status.read_facts(self._target, tuple(name for name, enabled in self._switches.items() if not enabled))
        html = status.render_page(facts, now=self._clock.now(), up_seconds=self._clock.monotonic() - self._started)
        headers = {"Content-Security-Policy": status.POLICY, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)
