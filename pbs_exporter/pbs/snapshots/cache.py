"""The snapshot listings of one PBS. They belong to the target and not to a scrape.

`/snapshots` makes PBS read every manifest, for minutes where there are many, and PBS goes on after the client has
left. So each datastore has one listing at a time, however many scrapes ask. It goes on when they have stopped waiting,
and the last good one is kept.
"""

import asyncio
import math
from collections.abc import Collection, Iterable

from pbs_exporter.clock import Clock
from pbs_exporter.config import Filters, TargetSettings
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient
from pbs_exporter.pbs.snapshots.group_summary import grouped
from pbs_exporter.pbs.snapshots.listing import Listing, ListingStatus
from pbs_exporter.pbs.snapshots.runner import DatastoreRunner, TaskList


class SnapshotCache:
    """The listings of one PBS's datastores."""

    def __init__(self, client: PbsClient, settings: TargetSettings, filters: Filters, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._patterns = filters.namespaces
        self._decode = grouped(settings.snapshot_history_limit)
        self._clock = clock
        self._runners: dict[str, DatastoreRunner] = {}
        self._refreshed_at = -math.inf
        self._forgetting: asyncio.TimerHandle | None = None

    async def refresh(self, stores: Iterable[str], until: float, tasks: TaskList | None = None) -> None:
        """List these datastores, and wait for it until `until` (the event loop's time). Forget all others.

        Listings that take longer go on. Raise nothing: see `errors`. `tasks` may be answered later, or never: what
        only they tell comes with the next full listing.
        """
        wanted = dict.fromkeys(stores)
        self._forget_all_but(wanted)
        self._refreshed_at = self._clock.monotonic()
        self._forget_later(self._settings.listing_max_age_seconds)
        for store in wanted:
            if store not in self._runners:
                datastore = DatastoreClient(self._client, store, self._patterns, self._decode)
                self._runners[store] = DatastoreRunner(datastore, self._settings, self._clock)
        # The slowest first, or they would begin when all others have ended.
        slowest_first = sorted((self._runners[store] for store in wanted), key=lambda runner: -runner.answer_seconds)
        running = [listing for runner in slowest_first if (listing := runner.start(tasks)) is not None]
        if running:
            await asyncio.wait(running, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def shown(self) -> dict[str, Listing]:
        """Return the last good listing of each known datastore, unless it is too old."""
        return {store: listing for store, runner in self._runners.items() if (listing := runner.shown()) is not None}

    def errors(self) -> dict[str, BaseException | None]:
        """Return what was wrong with each known datastore's newest finished attempt, or `None`."""
        return {store: runner.error for store, runner in self._runners.items()}

    def statuses(self) -> dict[str, ListingStatus]:
        """Return how the listing of each known datastore is going."""
        return {store: runner.status for store, runner in self._runners.items()}

    async def close(self) -> None:
        """Cancel all listings, and wait until they have ended."""
        running = [listing for runner in self._runners.values() for listing in runner.under_way()]
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forget_all_but(())
        await asyncio.gather(*running, return_exceptions=True)

    def _forget_later(self, seconds: float) -> None:
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(seconds, self._forget_unless_refreshed)

    def _forget_unless_refreshed(self) -> None:
        """Forget all if nobody has scraped for `listing_max_age_seconds`. Other targets may need the memory."""
        self._forgetting = None
        left = self._settings.listing_max_age_seconds - (self._clock.monotonic() - self._refreshed_at)
        if left > 0:
            self._forget_later(left)
        else:
            self._forget_all_but(())

    def _forget_all_but(self, wanted: Collection[str]) -> None:
        for store in self._runners.keys() - set(wanted):
            self._runners.pop(store).stop()
