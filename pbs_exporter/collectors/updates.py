"""Pending updates."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.exposition.metric import Metric, Sample

PENDING = Metric(
    "pbs_updates_pending",
    "Packages that can be upgraded, as of PBS's own last look for updates, mostly daily (/nodes/localhost/apt/update).",
)


async def fetch(ask: Ask) -> int:
    """Count the packages that can be upgraded."""
    return len(ask.rows(await ask.pbs.updates()))


def samples(number: int, _context: Context) -> Iterator[Sample]:
    """Make the sample."""
    yield from PENDING(number)


COLLECTOR = Collector(
    name="updates",
    help="Updates of packages that wait to be installed.",
    metrics=(PENDING,),
    needs=(Need("Sys.Audit", "/", "Audit"),),
    fetch=fetch,
    samples=samples,
    intervals=12,
)
