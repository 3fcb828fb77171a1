"""Snapshot listings, which belong to the target and not to a scrape.

`/snapshots` makes PBS read every manifest, for minutes where there are many, and PBS goes on with that after
the client has left. So each datastore is listed by one flight at a time, however many scrapes ask; a flight
goes on when they have given up waiting, and the last good listing is kept.
"""

import asyncio
import math
from collections.abc import Collection, Iterable
from functools import partial

import msgspec

from pbs_exporter.clock import Clock
from pbs_exporter.config import TargetSettings
from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.decode import Rows
from pbs_exporter.pbs.models import Snapshot


class Listing(msgspec.Struct, frozen=True):
    """All snapshots of a datastore, by namespace (the root is `""`), and when PBS had answered (Unix time)."""

    namespaces: dict[str, list[Snapshot]]
    timestamp: float


Attempt = tuple[Listing, PbsError | None]
"""What a flight brings home: a listing, and what had to be left out of it."""


class _Datastore:
    """What is known of one datastore's listings. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self.flight: asyncio.Task[Attempt] | None = None
        self.good: Listing | None = None
        self.listed_at = -math.inf
        self.not_before = -math.inf
        self.error: BaseException | None = PbsTimeout("the first listing isn't through yet")


class Listings:
    """The listings of one PBS's datastores."""

    def __init__(self, client: PbsClient, settings: TargetSettings, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._datastores: dict[str, _Datastore] = {}

    async def refresh(self, stores: Iterable[str], until: float) -> None:
        """List these datastores, and wait for it until `until` (the event loop's time). Forget all others.

        Flights that aren't through by then go on. Raises nothing: see `error`.
        """
        wanted = dict.fromkeys(stores)
        self._forget_but(wanted)
        flights = [flight for store in wanted if (flight := self._flight(store)) is not None]
        if flights:
            await asyncio.wait(flights, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def shown(self) -> dict[str, Listing]:
        """Give the last good listing of each known datastore, where it isn't too old."""
        oldest = self._clock.monotonic() - self._settings.listing_max_age_seconds
        return {
            store: known.good
            for store, known in self._datastores.items()
            if known.good is not None and known.listed_at >= oldest
        }

    def errors(self) -> dict[str, BaseException | None]:
        """Give what was wrong with each known datastore's newest finished attempt, or `None`."""
        return {store: known.error for store, known in self._datastores.items()}

    async def close(self) -> None:
        """End all flights, and wait until they have ended."""
        flights = [known.flight for known in self._datastores.values() if known.flight is not None]
        self._forget_but(())
        await asyncio.gather(*flights, return_exceptions=True)

    def _forget_but(self, wanted: Collection[str]) -> None:
        for store in self._datastores.keys() - set(wanted):
            flight = self._datastores.pop(store).flight
            if flight is not None:
                flight.cancel()

    def _flight(self, store: str) -> asyncio.Task[Attempt] | None:
        """Give the flight to wait for: the one under way, a new one, or none where none is due."""
        known = self._datastores.setdefault(store, _Datastore())
        if known.flight is None and self._due(known):
            known.flight = asyncio.create_task(self._list(store, known), name=f"listing of {store}")
            known.flight.add_done_callback(partial(self._landed, known))
        return known.flight

    def _due(self, known: _Datastore) -> bool:
        now = self._clock.monotonic()
        fresh = known.good is not None and now - known.listed_at < self._settings.listing_interval_seconds
        return not fresh and now >= known.not_before

    def _landed(self, known: _Datastore, flight: asyncio.Task[Attempt]) -> None:
        known.flight = None
        if flight.cancelled():
            return
        known.error = flight.exception()
        if known.error is None:
            known.good, known.error = flight.result()
            known.listed_at = self._clock.monotonic()

    async def _list(self, store: str, known: _Datastore) -> Attempt:
        answer = await self._client.namespaces(store)
        if answer.left_out is not None:
            # Without the namespace's name there is no telling what is missing.
            raise answer.left_out
        names = list(dict.fromkeys(row.ns for row in answer.rows))
        # One that fails doesn't end the others: PBS goes on with their work anyway.
        listed = await asyncio.gather(*(self._snapshots(store, name, known) for name in names), return_exceptions=True)
        by_name, left_out = {}, None
        for name, rows in zip(names, listed, strict=True):
            if isinstance(rows, BaseException):
                raise rows
            by_name[name] = rows.rows
            left_out = left_out or rows.left_out
        return Listing(by_name, self._clock.now()), left_out

    async def _snapshots(self, store: str, namespace: str, known: _Datastore) -> Rows[Snapshot]:
        try:
            return await self._client.snapshots(store, namespace)
        except PbsTimeout:
            # PBS is still walking: another try would add to its work.
            known.not_before = self._clock.monotonic() + self._settings.listing_timeout_seconds
            raise
