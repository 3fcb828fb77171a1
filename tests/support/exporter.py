"""A running exporter, and a clock that a test sets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import ExporterSettings, Filters, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.simulator import SimulatedPbs
from pbs_exporter.web.app import create_app
from tests.support.metrics_page import Scraped


class FakeClock:
    """A clock that only a test advances. The program uses `clock`."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)

    def ahead(self, seconds: float) -> Clock:
        """Return the clock of a machine whose time of day differs."""
        return Clock(now=lambda: self.time + seconds, monotonic=lambda: self.time)

    def advance(self, seconds: float) -> None:
        self.time += seconds


Client = TestClient[web.Request, web.Application]


class Exporter:
    """A running exporter."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def scrape(self, timeout_seconds: float | str | None = None) -> Scraped:
        """Scrape as Prometheus does with that timeout; the answer must be a 200."""
        headers = {} if timeout_seconds is None else {"X-Prometheus-Scrape-Timeout-Seconds": str(timeout_seconds)}
        async with self.client.get("/metrics", headers=headers) as response:
            text = await response.text()
            assert response.status == 200, text
        return Scraped(text)


def make_settings(
    pbs: SimulatedPbs,
    *,
    collectors: Mapping[str, bool] | None = None,
    exporter: ExporterSettings | None = None,
    filters: Filters | None = None,
    **target: Any,
) -> Settings:
    """Return settings for a simulated PBS; `target` are keys of `[pbs]`."""
    values: dict[str, Any] = {
        "endpoint": pbs.endpoint,
        "token_id": pbs.token_id,
        "token_secret": Secret(pbs.secret),
        # A machine that is busy with other tests must not cause timeouts.
        "timeout_seconds": 60.0,
        # Nor must it change from full listings to incremental ones.
        "listing_mode": "full",
    }
    config = TargetConfig(
        pbs=TargetSettings(**values | target),
        collectors={**DEFAULTS, **(collectors or {})},
        filters=filters or Filters(),
    )
    return Settings(exporter=exporter or ExporterSettings(process_metrics=False), main=config)


def main_of(settings: Settings) -> TargetConfig:
    """Return the PBS of `/metrics`, which these settings have."""
    assert settings.main is not None
    return settings.main


@asynccontextmanager
async def exporting(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Exporter]:
    """Run the exporter with these settings until the block ends."""
    async with TestClient(TestServer(create_app(settings, COLLECTORS, clock))) as client:
        yield Exporter(client)
