"""Take the pictures of the status page for docs/: `python -m tools.pictures.status_page FOLDER`.

They show a real exporter and a simulated PBS. Ports and durations are replaced by fixed values, so that a picture
changes only with the page.
"""

import asyncio
import sys
from pathlib import Path
from unittest.mock import patch

import msgspec
from aiohttp.test_utils import TestClient, TestServer
from playwright.sync_api import Browser

from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import MAIN, ExporterSettings, Secret, Settings, TargetConfig, TargetSettings
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.web import status
from pbs_exporter.web.app import TARGETS, create_app
from pbs_exporter.web.status.facts import Facts
from tests.monitoring import status_page_pbs
from tests.monitoring.browser import chromium

_NOON = 1_795_003_200.0
_SCRAPES = (-845.0, -65.0, -5.0)
"""The times of the scrapes, in seconds from the time of the pictures."""
_UP_SECONDS = 273_000.0


class _Hands:
    """A clock that the pictures set."""

    def __init__(self) -> None:
        self.time = _NOON
        self.clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)


async def _scraped(state: str) -> str:
    """Return the page of an exporter that has scraped a PBS in this state."""
    hands = _Hands()
    # Full listings start at random times.
    with patch("random.uniform", lambda _low, high: high):
        async with status_page_pbs.make(state, now=lambda: _NOON, tls=False) as pbs:
            target = TargetSettings(
                endpoint=pbs.endpoint,
                token_id=pbs.token_id,
                token_secret=Secret(pbs.secret),
                listing_mode="changes",
            )
            settings = Settings(exporter=ExporterSettings(), main=TargetConfig(pbs=target, collectors=DEFAULTS))
            app = create_app(settings, COLLECTORS, hands.clock)
            async with TestClient(TestServer(app)) as client:
                for seconds in _SCRAPES:
                    hands.time = _NOON + seconds
                    async with client.get("/metrics") as response:
                        await response.read()
                scraped = app[TARGETS].all()[MAIN].target
                facts = status.read_facts(scraped, scraped.listings(), ("disks",))
    return status.render_page(_steady(facts), now=_NOON, up_seconds=_UP_SECONDS)


def _steady(facts: Facts) -> Facts:
    """Replace the values that differ from run to run."""
    replace = msgspec.structs.replace
    collectors = [
        replace(row, took_seconds=(40 + 37 * number % 90) / 1000) for number, row in enumerate(facts.collectors)
    ]
    datastores = [
        replace(row, listing=row.listing and _steady_listing(row.listing, number))
        for number, row in enumerate(facts.datastores)
    ]
    return replace(
        facts,
        pbs=replace(facts.pbs, endpoint="https://pbs.example.com:8007"),
        scrape=facts.scrape and replace(facts.scrape, took_seconds=0.312),
        collectors=tuple(collectors),
        datastores=tuple(datastores),
    )


def _steady_listing(listing: ListingStatus, number: int) -> ListingStatus:
    if listing.took_seconds is None:
        return listing
    return msgspec.structs.replace(listing, took_seconds=(700 + 530 * number % 1900) / 1000)


class _View(msgspec.Struct, frozen=True):
    """A picture: the size of the window, the theme, and the element that it is scrolled to."""

    width: int
    height: int
    dark: bool = False
    top: str = "body"


_VIEWS = {
    "status-light.png": _View(1160, 850),
    "status-dark.png": _View(1160, 620, dark=True, top="#datastores"),
    "status-phone.png": _View(400, 860),
}


def _take(browser: Browser, html: str, view: _View, file: Path) -> None:
    page = browser.new_page(
        viewport={"width": view.width, "height": view.height}, color_scheme="dark" if view.dark else "light"
    )
    page.set_content(html)
    page.locator(view.top).evaluate("element => element.scrollIntoView()")
    page.screenshot(path=file)
    page.close()


def main(folder: Path) -> None:
    """Take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    html = asyncio.run(_scraped("trouble"))
    with chromium() as browser:
        for name, view in _VIEWS.items():
            _take(browser, html, view, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
