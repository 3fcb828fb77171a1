"""What a collector is.

A collector is one subject: it declares its metrics, fetches what it needs from PBS, and makes samples of it.
Its switch, its success and duration, its rows in the documentation and its tests derive from that.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.config import Filters, TargetSettings, keeps
from pbs_exporter.errors import PbsError
from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Datastore, Task
from pbs_exporter.pbs.snapshots.cache import SnapshotCache
from pbs_exporter.pbs.snapshots.listing import Listing

T = TypeVar("T")


class Need(msgspec.Struct, frozen=True):
    """A privilege on an ACL path of PBS, and the role that has it.

    `only_with` names another collector: where that is off, this one asks for less.
    """

    privilege: str
    path: str
    role: str
    only_with: str | None = None


Permissions = Mapping[str, Mapping[str, bool]]
"""ACL path → privilege → whether it propagates, as `/access/permissions` gives it."""

Enabled = Mapping[str, tuple[Need, ...]]
"""The collectors that are on, by name, with what each needs beside the others."""


class Context(msgspec.Struct, frozen=True):
    """What samples may depend on beside the collector's own answer.

    `now` is the scrape's time (Unix seconds), `listings` are the ones that this page shows. `certificate` (DER)
    is what PBS showed at the newest TLS handshake, if there was one.
    """

    now: float
    settings: TargetSettings
    enabled: Enabled
    listings: Mapping[str, Listing] = {}
    certificate: bytes | None = None


class Ask:
    """What one collector has in one scrape: PBS to ask, and a place for what failed.

    `now` is the scrape's time (Unix seconds), `until` the event loop's time after which it must
    not wait any more. `enabled` are the collectors that are on. `failures` and `datastore_failures` (by
    datastore, `None` is well) are what it notes; `shown` are the listings that the page shows, set by the
    collector that shows them, as are `unlisted`: the datastores that PBS can't read, and why. `permissions` is
    what the token may do, set by the collector that has asked for it.
    """

    def __init__(
        self,
        pbs: PbsClient,
        listings: SnapshotCache,
        datastores: SharedCall[Rows[Datastore]],
        tasks: SharedCall[Rows[Task]],
        *,
        settings: TargetSettings,
        enabled: Enabled,
        filters: Filters,
        now: float,
        until: float,
    ) -> None:
        self.pbs = pbs
        self.listings = listings
        self.settings = settings
        self.enabled = enabled
        self.filters = filters
        self.now = now
        self.until = until
        self.shown: Mapping[str, Listing] = {}
        self.unlisted: Mapping[str, str] = {}
        self.permissions: Permissions | None = None
        self.failures: list[BaseException] = []
        self.datastore_failures: dict[str, BaseException | None] = {}
        self.shared_tasks = tasks
        self._datastores = datastores

    async def datastores(self) -> list[Datastore]:
        """Give the rows of `/admin/datastore` that are of interest. It is asked once a scrape for all collectors."""
        return [row for row in self.rows(await self._datastores.get()) if keeps(self.filters.datastores, row.store)]

    async def tasks(self) -> list[Task]:
        """Give the tasks of the window and the running ones, which are asked for once a scrape for all collectors."""
        return self.rows(await self.shared_tasks.get())

    async def attempt(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Ask for what there are still samples without: `None`, and noted, if it fails."""
        try:
            return await call()
        except PbsError as error:
            self.failures.append(error)
            return None

    def rows(self, answer: Rows[T]) -> list[T]:
        """Give the good rows of an answer. Bad ones make the collector's success 0."""
        if answer.left_out is not None:
            self.failures.append(answer.left_out)
        return answer.rows

    def datastore(self, store: str, error: BaseException | None) -> None:
        """Note how it went with one datastore."""
        self.datastore_failures[store] = error


class Collector(msgspec.Struct, Generic[T], frozen=True):
    """One subject of the page.

    `fetch` awaits what it needs and may raise a `PbsError`, which costs this collector's samples and no other's.
    `samples` is pure. `needs` are the privileges without which it fails or, worse, finds nothing.
    A slow one asks every so many `intervals` of `slow_interval_seconds`; 0 is at each scrape.
    """

    name: str
    help: str
    metrics: tuple[Metric, ...]
    needs: tuple[Need, ...]
    fetch: Callable[[Ask], Awaitable[T]]
    samples: Callable[[T, Context], Iterable[Sample | Series]]
    default: bool = True
    intervals: int = 0


AnyCollector = Collector[Any]


def enabled(collectors: Collection[AnyCollector]) -> Enabled:
    """Give what these collectors need where no others are on."""
    names = {collector.name for collector in collectors}
    return {
        collector.name: tuple(need for need in collector.needs if need.only_with in (None, *names))
        for collector in collectors
    }
