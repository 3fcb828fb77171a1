"""Pending updates."""

from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import omission_failures
from pbs_exporter.exposition.metric import Metric, Sample


class UpdatesCollector(Collector[int]):
    """Counts the packages, for which PBS may compute for seconds."""

    name = "updates"
    help = "Pending package updates."
    needs = (Need("Sys.Audit", "/", "Audit"),)
    intervals = 12

    PENDING = Metric(
        "pbs_updates_pending",
        "Number of packages that can be upgraded, as of PBS's own last check, usually daily "
        "(/nodes/localhost/apt/update).",
    )
    metrics = (PENDING,)

    async def fetch(self, request: CollectorRequest) -> Result[int]:
        """Count the packages that can be upgraded."""
        updates = await request.pbs.updates()
        return Result(len(updates.rows), omission_failures(updates))

    def samples(self, number: int, _context: Context) -> Iterator[Sample]:
        """Make the sample of their number."""
        yield from self.PENDING(number)
