"""Snapshot listings, which belong to the target and not to a scrape.

`/snapshots` makes PBS read every manifest, for minutes where there are many, and PBS goes on with that after
the client has left. So each datastore is listed by one flight at a time, however many scrapes ask; a flight
goes on when they have given up waiting, and the last good listing is kept.
"""

import asyncio
from collections.abc import Collection, Iterable

from pbs_exporter.clock import Clock
from pbs_exporter.config import Filters, TargetSettings
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.snapshots.listing_state import ListingState
from pbs_exporter.pbs.snapshots.runner import Listing, StoreListing
from pbs_exporter.pbs.snapshots.task_hints import Tasks


class Listings:
    """The listings of one PBS's datastores."""

    def __init__(self, client: PbsClient, settings: TargetSettings, filters: Filters, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._filters = filters
        self._clock = clock
        self._stores: dict[str, StoreListing] = {}

    async def refresh(self, stores: Iterable[str], until: float, tasks: Tasks | None = None) -> None:
        """List these datastores, and wait for it until `until` (the event loop's time). Forget all others.

        Flights that aren't through by then go on. Raises nothing: see `errors`. `tasks` may be there later, or
        never; without them what only they tell comes with the next full listing.
        """
        wanted = dict.fromkeys(stores)
        self._forget_but(wanted)
        for store in wanted:
            if store not in self._stores:
                self._stores[store] = StoreListing(store, self._client, self._settings, self._filters, self._clock)
        # The slowest first, so that they don't begin when all others are through.
        slowest_first = sorted((self._stores[store] for store in wanted), key=lambda known: -known.mode.seconds)
        flights = [flight for known in slowest_first if (flight := known.start(tasks)) is not None]
        if flights:
            await asyncio.wait(flights, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def shown(self) -> dict[str, Listing]:
        """Give the last good listing of each known datastore, where it isn't too old."""
        return {store: listing for store, known in self._stores.items() if (listing := known.shown()) is not None}

    def errors(self) -> dict[str, BaseException | None]:
        """Give what was wrong with each known datastore's newest finished attempt, or `None`."""
        return {store: known.error for store, known in self._stores.items()}

    def states(self) -> dict[str, ListingState]:
        """Give how it goes with each known datastore."""
        return {store: known.state for store, known in self._stores.items()}

    async def close(self) -> None:
        """End all flights, and wait until they have ended."""
        flights = [flight for known in self._stores.values() for flight in known.under_way()]
        self._forget_but(())
        await asyncio.gather(*flights, return_exceptions=True)

    def _forget_but(self, wanted: Collection[str]) -> None:
        for store in self._stores.keys() - set(wanted):
            self._stores.pop(store).stop()
