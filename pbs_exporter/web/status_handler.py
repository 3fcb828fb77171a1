"""`/`: the status page."""

from functools import partial

from aiohttp import hdrs, web

from pbs_exporter.clock import Clock
from pbs_exporter.config import Settings
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.target import Compute, Target
from pbs_exporter.web import status


class StatusHandler:
    """Answers `/` with what is known from earlier scrapes. PBS isn't asked. `compute` makes the page."""

    def __init__(self, settings: Settings, target: Target, clock: Clock, compute: Compute) -> None:
        self._switches = settings.collectors
        self._target = target
        self._clock = clock
        self._compute = compute
        self._started = clock.monotonic()

    async def __call__(self, _request: web.Request) -> web.Response:
        """Return the page."""
        listings = self._target.listings()
        html = await self._compute(partial(self._html, listings), len(listings))
        headers = {"Content-Security-Policy": status.POLICY, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    def _html(self, listings: dict[str, ListingStatus]) -> str:
        disabled = tuple(name for name, enabled in self._switches.items() if not enabled)
        facts = status.read_facts(self._target, listings, disabled)
        return status.render_page(facts, now=self._clock.now(), up_seconds=self._clock.monotonic() - self._started)
