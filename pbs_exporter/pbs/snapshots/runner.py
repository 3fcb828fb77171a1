"""The listing of one datastore: what is known, what is under way, and when the next one is due."""

import asyncio
import itertools
import math
import random
from functools import partial

import msgspec

from pbs_exporter.clock import Clock
from pbs_exporter.config import Filters, TargetSettings, keeps
from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.snapshots import incremental_listing
from pbs_exporter.pbs.snapshots.group_summary import Groups
from pbs_exporter.pbs.snapshots.listing_mode import ListingMode
from pbs_exporter.pbs.snapshots.listing_state import ListingState
from pbs_exporter.pbs.snapshots.task_hints import Tasks, TaskWatch

RETRY_SECONDS = 60.0
"""A full listing that failed in the background is tried again so long after."""


class Listing(msgspec.Struct, frozen=True):
    """What is known of a datastore's snapshots, and when PBS had answered that (Unix time).

    `timestamp` is of counts and times, `full_timestamp` of what only a full listing shows. `named` is how many
    namespaces there are, with those that are filtered out.
    """

    namespaces: incremental_listing.Namespaces
    timestamp: float
    full_timestamp: float
    named: int


class StoreListing:
    """The listing of one datastore. Times are of the monotonic clock.

    A scrape waits for a flight: in the mode `full` that is a full listing, in `changes` a look at what has
    changed. There the full listings run in the background.
    """

    def __init__(self, store: str, client: PbsClient, settings: TargetSettings, filters: Filters, clock: Clock) -> None:
        self.mode = ListingMode(store, settings.listing_mode)
        self._store = store
        self._client = client
        self._settings = settings
        self._patterns = filters.namespaces
        self._named = 0
        self._clock = clock

        self._listing: Listing | None = None
        self._listed_at = -math.inf
        self._fingerprints: incremental_listing.Fingerprints = {}
        self._watch = TaskWatch(store)
        # Full listings and those of groups are numbered as they begin: of two of a group the later one counts.
        self._numbers = itertools.count()
        self._own_listings: dict[incremental_listing.Key, int] = {}
        self._again: frozenset[incremental_listing.Key] = frozenset()
        self._looked = self._landed = -1
        self._full_error: BaseException | None = PbsTimeout("the first listing isn't through yet")
        self._changes_error: BaseException | None = None
        self._tried_at: float | None = None
        self._took_seconds: float | None = None

        self._flight: asyncio.Task[None] | None = None
        self._background: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scraped_at = -math.inf
        self._look_not_before = -math.inf
        self._full_is_under_way = False
        self._full_began_at = -math.inf
        self._full_is_wanted = False
        self._full_is_due_at = -math.inf
        self._full_not_before = -math.inf

    @property
    def error(self) -> BaseException | None:
        """What was wrong with the newest look for changes, or else with the newest full listing, or `None`."""
        return self._changes_error or self._full_error

    @property
    def state(self) -> ListingState:
        """How it goes. The listing's times are there also where it is too old to be shown."""
        now = self._clock.monotonic()
        kept = self._listing
        return ListingState(
            error=self.error,
            tried_at=self._tried_at,
            listed_at=None if kept is None else kept.timestamp,
            fully_listed_at=None if kept is None else kept.full_timestamp,
            took_seconds=self._took_seconds,
            under_way_seconds=now - self._full_began_at if self._full_is_under_way else None,
            due_in_seconds=max(0.0, self._next_full_at() - now),
        )

    def shown(self) -> Listing | None:
        """Give the last good listing, where it isn't too old."""
        age = self._clock.monotonic() - self._listed_at
        return self._listing if age <= self._settings.listing_max_age_seconds else None

    def start(self, tasks: Tasks | None) -> asyncio.Task[None] | None:
        """Give the flight to wait for: the one under way, a new one, or none where none is due."""
        self._scraped_at = self._clock.monotonic()
        if self._flight is None and self._is_due():
            self._flight = asyncio.create_task(self._fly(tasks), name=f"listing of {self._store}")
        self._consider_background()
        return self._flight

    def under_way(self) -> list[asyncio.Task[None]]:
        """Give the flights that are."""
        return [flight for flight in (self._flight, self._background) if flight is not None]

    def stop(self) -> None:
        """End what is under way, and start nothing more."""
        for ending in (*self.under_way(), self._timer):
            if ending is not None:
                ending.cancel()

    def _is_due(self) -> bool:
        now = self._clock.monotonic()
        if now - self._listed_at < self._settings.listing_interval_seconds:
            return False
        return now >= (self._look_not_before if self._looks_for_changes else self._full_not_before)

    @property
    def _looks_for_changes(self) -> bool:
        return self.mode.changes and self._listing is not None

    async def _fly(self, tasks: Tasks | None) -> None:
        try:
            if self._looks_for_changes:
                await self._list_changes(tasks)
            else:
                await self._list_all()
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this datastore alone
            self._changes_error = error
        self._tried_at = self._clock.now()
        self._flight = None
        self._consider_background()

    async def _fly_in_background(self) -> None:
        await self._list_in_full(Lane.BACKGROUND)
        self._tried_at = self._clock.now()
        self._background = None
        self._consider_background()

    def _consider_background(self) -> None:
        """Start a full listing in the background where one is due; where one will be, look again then."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock.monotonic()
        is_scraped = now - self._scraped_at <= self._settings.listing_max_age_seconds
        if not (self._looks_for_changes and is_scraped) or self._full_is_under_way:
            return
        due_at = self._next_full_at()
        if due_at > now:
            self._timer = asyncio.get_running_loop().call_later(due_at - now, self._consider_background)
        else:
            self._full_is_under_way = True
            name = f"full listing of {self._store}"
            self._background = asyncio.create_task(self._fly_in_background(), name=name)

    def _next_full_at(self) -> float:
        if self._looks_for_changes:
            return max(-math.inf if self._full_is_wanted else self._full_is_due_at, self._full_not_before)
        return max(self._listed_at + self._settings.listing_interval_seconds, self._full_not_before)

    async def _list_in_full(self, lane: Lane) -> bool:
        """List all. Tells whether it landed."""
        self._full_is_under_way, self._full_is_wanted = True, False
        self._full_began_at = self._clock.monotonic()
        number = next(self._numbers)
        try:
            found = await self._walk(lane)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this datastore alone
            self._full_error = error
            # A snapshot that vanishes while PBS reads fails all of it: the next try is likely good.
            seconds = min(RETRY_SECONDS, self._settings.listing_refresh_seconds)
        else:
            self._full_error = found.left_out
            self._take_all(found.namespaces, number)
            self.mode.choose(found.seconds)
            self._took_seconds = self._clock.monotonic() - self._full_began_at
            # Spread, or all datastores would be listed at the same time, again and again.
            seconds = self._settings.listing_refresh_seconds * random.uniform(0.8, 1.0)  # noqa: S311 - no secret
        self._full_is_under_way = False
        self._full_is_due_at = self._clock.monotonic() + seconds
        return self._landed == number

    async def _names(self) -> list[str]:
        # One that failed may hang, and then be it in the slots that listings have.
        lane = Lane.NAMESPACES if self.error is None else Lane.LISTING
        found = await incremental_listing.names(self._client, self._store, lane)
        self._named = len(found)
        return [name for name in found if keeps(self._patterns, name)]

    async def _walk(self, lane: Lane) -> incremental_listing.Walk:
        found = await incremental_listing.full(self._client, self._store, self._names, list(self._namespaces), lane)
        if found.goes_on:
            # Another try would add to PBS's work.
            self._full_not_before = self._clock.monotonic() + self._settings.listing_timeout_seconds
        if found.error is not None:
            raise found.error
        return found

    def _take_all(self, namespaces: incremental_listing.Namespaces, number: int) -> None:
        """Show a full listing. Which groups there are a look for changes knows better that has begun after it."""
        now = self._clock.now()
        self._landed = number
        self._own_listings = {key: own for key, own in self._own_listings.items() if own > number}
        if self._listing is None or self._looked < number:
            for namespace, group_id in self._own_listings:
                group = self._known(namespace).get(group_id)
                if group is not None:
                    namespaces.setdefault(namespace, {})[group_id] = group
            self._show(Listing(namespaces, now, now, self._named))
            self._fingerprints = incremental_listing.still_right(self._fingerprints, namespaces)
            return
        known = {
            namespace: {
                group_id: group
                if (namespace, group_id) in self._own_listings
                else namespaces.get(namespace, {}).get(group_id, group)
                for group_id, group in groups.items()
            }
            for namespace, groups in self._listing.namespaces.items()
        }
        self._listing = Listing(known, self._listing.timestamp, now, self._named)
        self._fingerprints = incremental_listing.still_right(self._fingerprints, known)

    async def _list_all(self) -> bool:
        """List all in the foreground. Tells whether it landed."""
        self._watch.begin(self._clock.now())
        landed = await self._list_in_full(Lane.LISTING)
        self._changes_error = None
        return landed

    async def _list_changes(self, tasks: Tasks | None) -> None:
        names = await self._names()
        known = incremental_listing.Known(self._namespaces, self._fingerprints, self._again)
        look = incremental_listing.Look(known, partial(self._watch.hints, tasks), self._numbers)
        found = await incremental_listing.changes(self._client, self._store, names, look)
        if isinstance(found, incremental_listing.Changes):
            self._take_changes(found)
            return
        if self._background is not None:
            # One at a time. It may have begun before it all changed.
            await asyncio.wait([self._background])
        if self._full_is_under_way or self._clock.monotonic() < self._full_not_before:
            return
        if await self._list_all():
            # Of before the listing, so that nothing is missed that changed while PBS read.
            self._fingerprints = incremental_listing.still_right(found, self._namespaces)
            self._again = frozenset()

    def _take_changes(self, changes: incremental_listing.Changes) -> None:
        """Show changes. A full listing that has landed meanwhile says more of all groups that it read later."""
        listed = changes.listed if changes.number > self._landed else frozenset()
        namespaces = {
            namespace: {
                group_id: group if (namespace, group_id) in listed else self._known(namespace).get(group_id, group)
                for group_id, group in groups.items()
            }
            for namespace, groups in changes.namespaces.items()
        }
        self._own_listings |= dict.fromkeys(listed, changes.number)
        self._fingerprints, self._again = changes.fingerprints, changes.again
        if self._landed > changes.number:
            self._fingerprints = incremental_listing.still_right(self._fingerprints, namespaces)
        self._full_is_wanted = self._full_is_wanted or changes.everything
        self._changes_error = changes.error or changes.left_out
        if changes.all_seen:
            self._watch.done()
        if changes.goes_on:
            # Another try would add to PBS's work.
            self._look_not_before = self._clock.monotonic() + self._settings.listing_timeout_seconds
        if self._listing is None:
            return
        if changes.error is None:
            self._looked = changes.number
            self._show(Listing(namespaces, self._clock.now(), self._listing.full_timestamp, self._named))
        else:
            self._listing = msgspec.structs.replace(self._listing, namespaces=namespaces)

    @property
    def _namespaces(self) -> incremental_listing.Namespaces:
        return self._listing.namespaces if self._listing else {}

    def _known(self, namespace: str) -> Groups:
        return self._namespaces.get(namespace, {})

    def _show(self, listing: Listing) -> None:
        self._listing = listing
        self._listed_at = self._clock.monotonic()
