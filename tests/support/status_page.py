"""Reading the status page of a running exporter."""

from pbs_exporter.collectors import DEFAULTS
from tests.support.html_page import Page, status_page
from tests.support.running import Setup

ON = [name for name, is_on in DEFAULTS.items() if is_on]
HEADS = ["Datastore", "Result", "Age", "Last listing", "Last full listing", "Took", "Next full listing"]
DASH = "\N{EN DASH}"
EVIL = "<script>alert('&amp;\"')</script>"


async def read_status_page(setup: Setup) -> Page:
    """Read the page, which must cause no request to PBS."""
    asked = len(setup.pbs.requests)
    page = await status_page(setup.exporter.client)
    assert len(setup.pbs.requests) == asked
    return page


async def after_a_scrape(setup: Setup, *, seconds: float = 12.0) -> Page:
    """Scrape, let time pass, and read the page."""
    await setup.scrape()
    setup.clock.advance(seconds)
    return await read_status_page(setup)
