"""What a collector is given to fetch with."""

import msgspec

from pbs_exporter.collectors.privileges import Enabled
from pbs_exporter.collectors.result import Failures, omission_failures
from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.config import Filters, TargetSettings, keeps
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Datastore, Task
from pbs_exporter.pbs.snapshots.cache import SnapshotCache


class CollectorRequest(msgspec.Struct, frozen=True):
    """What a collector is given to fetch with. Nothing is written into it.

    `now` is the scrape's time (Unix seconds), `until` the event loop's time at which waiting must end. `datastore_list`
    and `task_list` are calls that all collectors of a scrape share.
    """

    pbs: PbsClient
    snapshots: SnapshotCache
    settings: TargetSettings
    enabled: Enabled
    filters: Filters
    now: float
    until: float
    datastore_list: SharedCall[Rows[Datastore]]
    task_list: SharedCall[Rows[Task]]

    async def datastores(self) -> tuple[list[Datastore], Failures]:
        """Return the rows of `/admin/datastore` that the filters keep, and the failure that some were left out."""
        answer = await self.datastore_list.get()
        return [row for row in answer.rows if keeps(self.filters.datastores, row.store)], omission_failures(answer)
