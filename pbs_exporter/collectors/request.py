"""What a collector is given to fetch with."""

import msgspec

from pbs_exporter.collectors.privileges import Enabled
from pbs_exporter.collectors.result import Failures, omission_failures
from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.config import Filters, TargetSettings, keeps
from pbs_exporter.errors import WrongShape
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Datastore, NodeStatus, Task
from pbs_exporter.pbs.snapshots.cache import SnapshotCache

MOST_DATASTORES = 1_000
"""The number of datastores that are asked separately. No PBS has as many; a list without an end would take all time."""


class CollectorRequest(msgspec.Struct, frozen=True):
    """What a collector is given to fetch with. Nothing is written into it.

    `now` is the scrape's time (Unix seconds), `until` the event loop's time at which waiting must end.
    `datastore_list`, `task_list` and `host_status` are calls that all collectors of a scrape share. `sees_all_tasks` is
    whether the token sees the tasks of others, `None` before PBS was asked.
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
    host_status: SharedCall[NodeStatus]
    sees_all_tasks: bool | None = None

    async def datastores(self) -> tuple[list[Datastore], Failures]:
        """Return the rows of `/admin/datastore` that the filters keep, and the failure that some were left out."""
        answer = await self.datastore_list.get()
        kept = [row for row in answer.rows if keeps(self.filters.datastores, row.store)]
        failures = omission_failures(answer)
        if len(kept) > MOST_DATASTORES:
            failures = (*failures, WrongShape(f"{len(kept)} datastores: only the first {MOST_DATASTORES} are asked"))
        return kept[:MOST_DATASTORES], failures
