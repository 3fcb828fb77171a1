"""What tests share: a running exporter in front of a simulated PBS, and its pages, parsed."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import ExporterSettings, Filters, Secret, Settings, TargetSettings
from pbs_exporter.simulator import SimulatedPbs
from pbs_exporter.web.app import create_app

RECORDINGS = ("pbs-4.2.3", "pbs-4.2.3-vanished", "pbs-4.2.3-partial", "pbs-4.2.3-more", "pbs-3.2.4")


def recording_file(recording: str) -> Path:
    """Return the file of a recorded PBS."""
    return Path(__file__).with_name("data") / "recordings" / f"{recording}.jsonl"


def recorded_time(recording: str) -> float:
    """Return the time at which a recording was made: a replay runs then."""
    with recording_file(recording).open() as lines:
        return float(json.loads(next(lines))["recorded"])


class FakeClock:
    """Time that passes only when a test says so. `clock` is what the program takes."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)

    def advance(self, seconds: float) -> None:
        self.time += seconds


class Scraped:
    """A page, parsed by prometheus_client's own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._series: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        for family in self.families.values():
            for sample in family.samples:
                series = self._series.setdefault(sample.name, {})
                key = frozenset(sample.labels.items())
                assert key not in series, f"{sample.name}{dict(key)} is on the page twice"
                series[key] = sample.value

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Give all series of that sample name, as labels and value."""
        return [(dict(key), value) for key, value in self._series.get(name, {}).items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Give the value of exactly that series, or `None` if it isn't there."""
        return self._series.get(name, {}).get(frozenset(labels.items()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Give a family's values by one of its labels, which must tell all its series apart."""
        series = self.series(name)
        found = {labels[label]: value for labels, value in series}
        assert len(found) == len(series), f"{name} has several series for one {label}"
        return found


Client = TestClient[web.Request, web.Application]


class Exporter:
    """A running exporter."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def scrape(self, timeout_seconds: float | str | None = None) -> Scraped:
        """Ask for a page as Prometheus does that allows so many seconds; it must be a 200."""
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
    """Make settings for a simulated PBS; `target` are keys of `[pbs]`."""
    values: dict[str, Any] = {
        "endpoint": pbs.endpoint,
        "token_id": pbs.token_id,
        "token_secret": Secret(pbs.secret),
    }
    return Settings(
        pbs=TargetSettings(**values | target),
        exporter=exporter or ExporterSettings(process_metrics=False),
        collectors={**DEFAULTS, **(collectors or {})},
        filters=filters or Filters(),
    )


@asynccontextmanager
async def exporting(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Exporter]:
    """Run the exporter with these settings, as long as the block lasts."""
    async with TestClient(TestServer(create_app(settings, COLLECTORS, clock))) as client:
        yield Exporter(client)
