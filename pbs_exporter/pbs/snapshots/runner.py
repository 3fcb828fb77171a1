"""Runs the listings of one datastore. When they run and what wins is decided in `schedule` and `merge`."""

import asyncio
import itertools
import random
from functools import partial

import structlog
from msgspec.structs import replace

from pbs_exporter.clock import Clock
from pbs_exporter.config import TargetSettings
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots import idleness, merge, schedule, task_hints
from pbs_exporter.pbs.snapshots.concurrently import has_failed
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient
from pbs_exporter.pbs.snapshots.full_listing import list_in_full
from pbs_exporter.pbs.snapshots.idleness import Evidence, Idleness
from pbs_exporter.pbs.snapshots.incremental_listing import IncrementalListing, list_changes
from pbs_exporter.pbs.snapshots.known import Known, fresh_listing, newest_listing, proven
from pbs_exporter.pbs.snapshots.listing import Attempts, Listing, ListingStatus
from pbs_exporter.pbs.snapshots.schedule import Limits, Schedule
from pbs_exporter.pbs.snapshots.task_hints import Hints, SeenTasks

TaskList = asyncio.Future[Rows[Task]]
"""PBS's tasks, which may still be awaited."""

Proof = asyncio.Future[Evidence | None]
"""What PBS's tasks prove, which may still be awaited; `None` if there is no list of tasks. It raises nothing."""

# The logger's name is part of the log's format.
_log = structlog.get_logger("pbs_exporter.pbs.listing_mode")


class DatastoreRunner:
    """One datastore's listings: at most one that scrapes wait for, and at most one in the background."""

    def __init__(self, datastore: DatastoreClient, settings: TargetSettings, clock: Clock) -> None:
        self._datastore = datastore
        self._clock = clock
        self._limits = Limits(
            settings.listing_interval_seconds,
            settings.listing_timeout_seconds,
            settings.listing_refresh_seconds,
            settings.listing_max_age_seconds,
            settings.listing_idle_seconds,
        )
        self._chooses_mode = settings.listing_mode == "auto"
        self._schedule = Schedule("changes" if settings.listing_mode == "changes" else "full")
        self._known = Known()
        self._attempts = Attempts()
        self._seen = SeenTasks()
        self._idleness = Idleness()
        self._numbers = itertools.count()
        self._foreground: asyncio.Task[None] | None = None
        self._background: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def error(self) -> BaseException | None:
        """What was wrong with the newest attempt, or `None`."""
        return self._attempts.error

    @property
    def answer_seconds(self) -> float:
        """What PBS took for the answers to the last full listing."""
        return self._attempts.answer_seconds or 0.0

    @property
    def lists_changes(self) -> bool:
        """Whether scrapes list only what has changed."""
        return self._schedule.mode == "changes"

    @property
    def has_use_for_proof(self) -> bool:
        """Whether a proof that nothing has changed would spare PBS a listing."""
        return self.lists_changes and self._limits.idle > 0

    @property
    def status(self) -> ListingStatus:
        """How it is going. The listing's times are there even if it is too old to be shown."""
        now = self._clock.monotonic()
        listing, began_at = newest_listing(self._known), self._schedule.full_began_at
        next_at = schedule.next_full_at(
            self._schedule, self._limits, self._known.listed_at, is_as_listed=self._idleness.is_as_listed
        )
        return ListingStatus(
            error=self.error,
            tried_at=self._attempts.tried_at,
            listed_at=None if listing is None else listing.timestamp,
            fully_listed_at=None if listing is None else listing.full_timestamp,
            took_seconds=self._attempts.took_seconds,
            under_way_seconds=None if began_at is None else now - began_at,
            due_in_seconds=max(0.0, next_at - now),
        )

    def shown(self) -> Listing | None:
        """Return what is known, without the namespaces that are too old, or `None` if there is nothing to show."""
        listing = fresh_listing(self._known, self._limits.max_age, self._clock.monotonic())
        idle = self._idleness.idle if self.lists_changes else None
        return None if listing is None else replace(listing, idle=idle)

    def start(
        self, tasks: TaskList | None, proof: Proof | None = None, *, awaits_proof: bool = True
    ) -> asyncio.Task[None] | None:
        """Return the listing to wait for: the one under way, a new one, or `None` where none is due.

        Without `awaits_proof`, a proof that isn't there yet is none.
        """
        now = self._clock.monotonic()
        self._schedule = schedule.scraped(self._schedule, now)
        if self._foreground is None and schedule.is_due(self._schedule, self._limits, self._known.listed_at, now):
            name = f"listing of {self._datastore.store}"
            awaited = proof if awaits_proof or (proof is not None and proof.done()) else None
            self._foreground = asyncio.create_task(self._run_foreground(tasks, awaited), name=name)
        else:
            if self._foreground is None:
                self._idleness = idleness.unread(self._idleness)
            self._plan_background()
        return self._foreground

    def under_way(self) -> list[asyncio.Task[None]]:
        """Return the listings that are running."""
        return [task for task in (self._foreground, self._background) if task is not None]

    def stop(self) -> None:
        """Cancel what is running, and start nothing more."""
        for ending in (*self.under_way(), self._timer):
            if ending is not None:
                ending.cancel()

    async def _run_foreground(self, tasks: TaskList | None, proof: Proof | None) -> None:
        is_skipped = False
        try:
            is_skipped = self.has_use_for_proof and await self._may_skip(proof)
            # What the tasks prove decides when the next full listing is due.
            self._plan_background()
            if not is_skipped:
                await self._list(tasks)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this datastore alone
            self._attempts = replace(self._attempts, incremental_error=error)
            self._idleness = idleness.looked(self._idleness, None, is_good=False)
        finally:
            self._foreground = None
        if not is_skipped:
            self._attempts = replace(self._attempts, tried_at=self._clock.now())
        self._plan_background()

    async def _list(self, tasks: TaskList | None) -> None:
        if schedule.is_incremental(self._schedule, self._known.listed_at):
            await self._list_changes(tasks)
        else:
            await self._list_all()

    async def _may_skip(self, proof: Proof | None) -> bool:
        """Take what the tasks prove. Return whether the datastore needn't be looked at."""
        if proof is not None:
            await asyncio.wait([proof])
        evidence = None if proof is None or has_failed(proof) else proof.result()
        seen = None if evidence is None else evidence.of(self._datastore.store)
        self._idleness = idleness.read(self._idleness, seen, proves=evidence is not None and evidence.proves)
        if not self._idleness.idle:
            return False
        now = self._clock.monotonic()
        self._known = proven(self._known, now)
        return schedule.may_skip(self._limits, self._known.listed_at, now)

    async def _run_background(self) -> None:
        try:
            await self._list_in_full(Lane.BACKGROUND)
        finally:
            self._background = None
        self._attempts = replace(self._attempts, tried_at=self._clock.now())
        self._plan_background()

    def _plan_background(self) -> None:
        """Start a full listing in the background where one is due, or set the timer for it."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock.monotonic()
        start_at = schedule.background_at(
            self._schedule, self._limits, self._known.listed_at, now, is_as_listed=self._idleness.is_as_listed
        )
        if start_at is None:
            return
        if start_at > now:
            self._timer = asyncio.get_running_loop().call_later(start_at - now, self._plan_background)
        else:
            self._schedule = schedule.full_began(self._schedule, now)
            name = f"full listing of {self._datastore.store}"
            self._background = asyncio.create_task(self._run_background(), name=name)

    async def _list_all(self) -> bool:
        """List all for the scrapes that wait. Return whether it succeeded."""
        self._seen = task_hints.all_listed(self._seen, self._datastore.pbs_now())
        before = self._idleness.newest
        is_good = await self._list_in_full(self._lane)
        self._attempts = replace(self._attempts, incremental_error=None)
        self._idleness = idleness.looked(self._idleness, before, is_good=self.error is None)
        return is_good

    async def _list_in_full(self, lane: Lane) -> bool:
        number, began_at, before = next(self._numbers), self._clock.monotonic(), self._idleness.newest
        self._schedule = schedule.full_began(self._schedule, began_at)
        error: BaseException | None
        goes_on = False
        try:
            expected = list(self._known.namespaces)
            found = await list_in_full(self._datastore, expected, lane=lane, names_lane=self._names_lane)
            error, goes_on = found.error, found.goes_on
            # What some namespaces have answered is shown although others failed.
            self._known = merge.with_full(self._known, found, number, self._clock.instant())
            if found.namespaces:
                self._choose_mode(found.seconds)
                self._attempts = replace(self._attempts, answer_seconds=found.seconds)
            if error is None:
                took_seconds = self._clock.monotonic() - began_at
                self._attempts = replace(self._attempts, full_error=found.omitted, took_seconds=took_seconds)
                self._idleness = idleness.listed(self._idleness, None if found.omitted else before)
        except Exception as unexpected:  # noqa: BLE001 - whatever it is, it costs this datastore alone
            error = unexpected
        if error is not None:
            self._attempts = replace(self._attempts, full_error=error)
        self._schedule = schedule.full_ended(
            self._schedule,
            self._limits,
            self._clock.monotonic(),
            is_good=error is None,
            goes_on=goes_on,
            spread=random.uniform(0.8, 1.0),  # noqa: S311 - no secret
        )
        return error is None

    async def _list_changes(self, tasks: TaskList | None) -> None:
        groups_number, before = next(self._numbers), self._idleness.newest
        names = await self._datastore.namespaces(self._names_lane)
        found = await list_changes(
            self._datastore,
            names,
            self._known,
            groups_number=groups_number,
            hints=partial(self._hints, tasks),
            next_number=partial(next, self._numbers),
            full_is_possible=schedule.full_is_promising(self._schedule, self._clock.monotonic()),
        )
        if isinstance(found, IncrementalListing):
            self._take_incremental(found)
            self._idleness = idleness.looked(self._idleness, before, is_good=found.error is None)
            return
        if self._background is not None:
            # One full listing at a time. This one may have begun before the groups changed.
            await asyncio.wait([self._background])
        if schedule.may_list_in_full(self._schedule, self._clock.monotonic()) and await self._list_all():
            self._known = merge.with_fingerprints(self._known, found.rows)
        else:
            self._idleness = idleness.looked(self._idleness, before, is_good=False)

    def _take_incremental(self, found: IncrementalListing) -> None:
        at = self._clock.instant()
        self._known = merge.with_incremental(self._known, found, at)
        self._schedule = schedule.incremental_ended(
            self._schedule,
            self._limits,
            at.monotonic,
            goes_on=found.goes_on,
            full_is_wanted=found.full_is_wanted,
        )
        self._attempts = replace(self._attempts, incremental_error=found.error)
        if found.all_seen:
            self._seen = task_hints.hinted_listed(self._seen)

    async def _hints(self, tasks: TaskList | None) -> Hints:
        """Wait for the tasks. Without them there are no hints, and what only they tell comes with a full listing."""
        if tasks is not None:
            await asyncio.wait([tasks])
        rows = None if tasks is None or has_failed(tasks) else tasks.result().rows
        hints, self._seen = task_hints.read_tasks(self._seen, self._datastore.store, rows)
        return hints

    @property
    def _lane(self) -> Lane:
        is_quick = self.error is None and schedule.is_quick(self._attempts.answer_seconds)
        return Lane.LISTING if is_quick else Lane.SLOW_LISTING

    @property
    def _names_lane(self) -> Lane:
        # After a failure this request may hang too, so it takes one of the listings' slots.
        return Lane.NAMESPACES if self.error is None else Lane.SLOW_LISTING

    def _choose_mode(self, seconds: float) -> None:
        before = self._schedule.mode
        if not self._chooses_mode:
            return
        mode = schedule.choose_mode(before, seconds)
        if mode != before or self._attempts.answer_seconds is None:
            limit = schedule.limit_of(before)
            _log.info(
                "listing mode chosen",
                datastore=self._datastore.store,
                mode=mode,
                because=f"its answers to a full listing took {seconds:.2f} s together, the limit is {limit} s",
            )
        self._schedule = replace(self._schedule, mode=mode)
