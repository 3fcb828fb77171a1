"""The notes of backup groups, where the listings of snapshots don't tell them."""

import asyncio
from collections.abc import Iterator

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.exposition.metric import Sample


class GroupsCollector(Collector[None]):
    """Reads the notes into the snapshot listings, of which the collector `snapshots` makes samples."""

    name = "groups"
    help = (
        "Notes of backup groups, for the metrics of groups that the collector snapshots has. It asks about datastores "
        "whose listings don't ask for groups."
    )
    needs = (Need("Datastore.Audit", "/datastore", "Audit", only_with="snapshots"),)
    metrics = ()
    intervals = 1

    async def fetch(self, request: CollectorRequest) -> Result[None]:
        """Ask for the groups of each datastore whose listings don't."""
        if "snapshots" not in request.enabled:
            return Result(None)
        snapshots = request.snapshots
        with Findings() as found:
            rows = found.take(*await request.datastores())
            stores = [row.store for row in rows if row.available and not snapshots.asks_groups(row.store)]
            await asyncio.gather(*(found.attempt_datastore(store, snapshots.read_notes) for store in stores))
            return found.result(None)

    def samples(self, _answer: None, _context: Context) -> Iterator[Sample]:
        """Make no samples: those of the notes belong to the listings."""
        return iter(())
