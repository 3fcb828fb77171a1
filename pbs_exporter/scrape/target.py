"""One scrape: all collectors at once, one deadline, one page."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector, Ask, Context, Permissions, enabled
from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.config import Filters, TargetSettings, reread_secret
from pbs_exporter.errors import LoginRefused, PbsError, PbsTimeout
from pbs_exporter.exposition.page import Page
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.token_auth import PATIENCE, PAUSE_SECONDS, TokenAuth
from pbs_exporter.pbs.http.transport import Observer, Transport
from pbs_exporter.pbs.models import Version
from pbs_exporter.pbs.snapshots.cache import SnapshotCache
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.pbs.task_window import tasks_since
from pbs_exporter.scrape.collector_run import Outcome, Run
from pbs_exporter.scrape.failure_log import FailureLog
from pbs_exporter.scrape.scrape_metrics import SCRAPE_DURATION, about
from pbs_exporter.scrape.slow_run import SlowRun

WAIT_MARGIN_SECONDS = 0.1
"""Collectors stop waiting for listings so long before the deadline, to show what there is."""

AT_ONCE_SECONDS = 0.005
"""A page that is made in less needs no thread, which would cost a tenth of that."""

_log = structlog.get_logger("pbs_exporter.scrape")

T = TypeVar("T")


class Last(msgspec.Struct, frozen=True):
    """How the last scrape went: when it began (Unix time), how long it took, and what came of it.

    `error` is why PBS is down, if it is. `unlisted` are the datastores that PBS can't read, and why.
    """

    at: float
    seconds: float
    error: PbsError | None
    outcomes: list[Outcome]
    unlisted: Mapping[str, str]


class Rights(msgspec.Struct, frozen=True):
    """What the token may do, as PBS said at that time (Unix time)."""

    permissions: Permissions
    at: float


class Target:
    """One PBS, for as long as the program runs: its client, its listings, and what is failing."""

    def __init__(
        self,
        settings: TargetSettings,
        collectors: Sequence[AnyCollector],
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        observe: Observer,
        filters: Filters,
    ) -> None:
        self.settings = settings
        self.enabled = enabled(collectors)
        self.last: Last | None = None
        self.version: Version | None = None
        """What PBS said last, also where it is down now."""
        self.rights: Rights | None = None
        self._filters = filters
        self.collectors = collectors
        self._clock = clock
        self._login = TokenAuth(settings, clock, lambda: reread_secret(settings))
        self._client = PbsClient(Transport(session, settings, self._login, observe), settings, self._login)
        self._listings = SnapshotCache(self._client, settings, filters, clock)
        self._slow = {
            collector.name: SlowRun(collector, settings.slow_interval_seconds, self._ask_alone, clock)
            for collector in collectors
            if collector.intervals
        }
        self._failures = FailureLog(clock)
        self._making_seconds, self._groups = math.inf, 0

    async def close(self) -> None:
        """End what is under way in the background."""
        await asyncio.gather(self._listings.close(), *(slow.close() for slow in self._slow.values()))

    def listings(self) -> dict[str, ListingStatus]:
        """Give how the listing of each known datastore goes."""
        return self._listings.statuses()

    async def scrape(self, seconds: float, write: Callable[[Page], T]) -> T:
        """Ask PBS for at most so many seconds, and write what is known then. Failures are in the page.

        A page that took its time the last time is made in a worker thread, and `write` is called there: the event
        loop stays free, however large it is.
        """
        began, started = self._clock.now(), time.perf_counter()
        deadline = asyncio.get_running_loop().time() + seconds
        self._login.reopen()
        async with SharedCall(partial(self._version, deadline)) as version:
            if not self._login.proven:
                # Alone: a bad token must cost one refused login, not one for each request.
                await version.get()
            (runs, context), answer = await asyncio.gather(self._collect(deadline), version.get())

        def make() -> tuple[list[Outcome], T]:
            outcomes = [run.outcome(context) for run in runs]
            page = Page()
            page.add(about(answer, outcomes))
            for outcome in outcomes:
                page.take(outcome.page)
            page.add(SCRAPE_DURATION(time.perf_counter() - started))
            return outcomes, write(page)

        making = time.perf_counter()
        # A datastore that wasn't on the last page can be of any size.
        groups = sum(len(groups) for shown in context.listings.values() for groups in shown.namespaces.values())
        at_once = self._making_seconds < AT_ONCE_SECONDS and groups <= self._groups
        outcomes, written = make() if at_once else await asyncio.to_thread(make)
        self._groups = groups
        self._making_seconds = time.perf_counter() - making
        unlisted = {store: why for run in runs if isinstance(run, Run) for store, why in run.ask.unlisted.items()}
        error = answer if isinstance(answer, PbsError) else None
        kept = [msgspec.structs.replace(outcome, page=Page()) for outcome in outcomes]
        self.last = Last(began, time.perf_counter() - started, error, kept, unlisted)
        self.version = answer if isinstance(answer, Version) else self.version
        self._log_failures(self.last)
        return written

    async def _version(self, deadline: float) -> Version | PbsError:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._client.version()
        except PbsError as error:
            return error
        except TimeoutError:
            return PbsTimeout("the scrape's time was up")

    async def _collect(self, deadline: float) -> tuple[list[Run | SlowRun], Context]:
        """Let all collectors ask at once. Gives what their samples are made of, which may be what another one got."""
        now = self._clock.now()
        left = deadline - asyncio.get_running_loop().time()
        until = deadline - min(WAIT_MARGIN_SECONDS, max(0.0, left) / 2)
        async with self._asking(now, until) as ask:
            runs = [
                self._slow[collector.name] if collector.name in self._slow else Run(collector, ask())
                for collector in self.collectors
            ]
            prompt = [run for run in runs if isinstance(run, Run)]
            await asyncio.gather(
                *(run.fetch(WAIT_MARGIN_SECONDS) for run in prompt),
                *(slow.fetch(until) for slow in self._slow.values()),
            )
        shown = {store: listing for run in prompt for store, listing in run.ask.shown.items()}
        return runs, Context(now, self.settings, self.enabled, shown, self._client.certificate)

    async def _ask_alone(self, collector: AnyCollector) -> Outcome:
        """Let one collector ask, for as long as it takes."""
        now = self._clock.now()
        async with self._asking(now, math.inf) as ask:
            run = Run(collector, ask())
            await run.fetch(0.0)
        if run.ask.permissions is not None:
            self.rights = Rights(run.ask.permissions, now)
        return run.outcome(Context(now, self.settings, self.enabled))

    @asynccontextmanager
    async def _asking(self, now: float, until: float) -> AsyncIterator[Callable[[], Ask]]:
        """Give what makes an `Ask`: what several collectors need is asked once for all that are made in the block."""
        since = now - self.settings.task_window_seconds
        async with (
            SharedCall(self._client.datastores) as datastores,
            SharedCall(partial(tasks_since, self._client, since)) as tasks,
        ):
            yield lambda: Ask(
                self._client,
                self._listings,
                datastores,
                tasks,
                settings=self.settings,
                enabled=self.enabled,
                filters=self._filters,
                now=now,
                until=until,
            )

    def _log_failures(self, last: Last) -> None:
        self._failures.judge(last.error, "version")
        if isinstance(last.error, LoginRefused) and self._login.refusals == PATIENCE:
            _log.warning("login refused", times=PATIENCE, asked_again_after_seconds=PAUSE_SECONDS)
        for outcome in last.outcomes:
            self._failures.judge(outcome.error, outcome.name)
            for store, error in outcome.datastores.items():
                self._failures.judge(error, outcome.name, store)
            if outcome.success:
                self._failures.all_well(outcome.name)
