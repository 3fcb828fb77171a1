"""One PBS, and its scrapes: all collectors at once, one deadline, one page."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

import aiohttp
import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector, CollectorRequest, Context, enabled
from pbs_exporter.collectors.privileges import Permissions
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
from pbs_exporter.scrape.collector_run import GRACE_SECONDS, CollectorRun, Outcome, PromptRun
from pbs_exporter.scrape.failure_log import FailureLog
from pbs_exporter.scrape.scrape_metrics import SCRAPE_DURATION, about
from pbs_exporter.scrape.slow_run import SlowRun

_log = structlog.get_logger("pbs_exporter.scrape")

T = TypeVar("T")


class Compute(Protocol):
    """Does work that may take long, maybe in a thread. `size` is the number of things that it is about."""

    def __call__(self, work: Callable[[], T], size: int, /) -> Awaitable[T]:
        """Return the work's result."""
        ...


async def at_once(work: Callable[[], T], _size: int, /) -> T:
    """Run the work on the event loop."""
    return work()


class ScrapeReport(msgspec.Struct, frozen=True):
    """How a scrape went: when it began (Unix time), how long it took, and the outcomes without their samples.

    `error` is the reason why PBS is down, if it is. `unlisted` are the datastores that PBS can't read, with the reason.
    """

    at: float
    seconds: float
    error: PbsError | None
    outcomes: list[Outcome]
    unlisted: Mapping[str, str]


class TokenPermissions(msgspec.Struct, frozen=True):
    """What the token may do, as PBS said at that time (Unix time)."""

    by_path: Permissions
    at: float


class Target:
    """One PBS, while the program runs: its client, its snapshot listings, its slow collectors, and what is failing.

    `compute` makes the samples of a scrape, of which there can be a million.
    """

    def __init__(
        self,
        settings: TargetSettings,
        collectors: Sequence[AnyCollector],
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        observe: Observer,
        filters: Filters,
        compute: Compute = at_once,
    ) -> None:
        self.settings = settings
        self.collectors = collectors
        self.enabled = enabled(collectors)
        self.last_scrape: ScrapeReport | None = None
        self.version: Version | None = None
        """The last answer to `/version`, which stays while PBS is down."""
        self.permissions: TokenPermissions | None = None
        self._filters = filters
        self._clock = clock
        self._compute = compute
        self._auth = TokenAuth(settings, clock, lambda: reread_secret(settings))
        self._client = PbsClient(Transport(session, settings, self._auth, observe), settings, self._auth)
        self._snapshots = SnapshotCache(self._client, settings, filters, clock)
        self._slow = {
            collector.name: SlowRun(collector, settings.slow_interval_seconds, self._run_alone, clock)
            for collector in collectors
            if collector.intervals
        }
        self._failures = FailureLog(clock)

    async def close(self) -> None:
        """End what is under way in the background."""
        await asyncio.gather(self._snapshots.close(), *(slow.close() for slow in self._slow.values()))

    def listings(self) -> dict[str, ListingStatus]:
        """Return the state of the snapshot listing of each known datastore."""
        return self._snapshots.statuses()

    async def scrape(self, seconds: float) -> Page:
        """Ask PBS for at most that time, and return what is known then. Failures are on the page."""
        began, started = self._clock.now(), time.perf_counter()
        deadline = asyncio.get_running_loop().time() + seconds
        self._auth.reopen()
        async with SharedCall(partial(self._version, deadline)) as version:
            if not self._auth.proven:
                # Alone, so that a bad token costs one refused login and not one per request.
                await version.get()
            (runs, context, unlisted), answer = await asyncio.gather(self._fetch(deadline), version.get())

        def make() -> tuple[list[Outcome], Page]:
            outcomes = [run.outcome(context) for run in runs]
            page = Page()
            page.add(about(answer, outcomes))
            for outcome in outcomes:
                page.add_page(outcome.page)
            page.add(SCRAPE_DURATION(time.perf_counter() - started))
            return outcomes, page

        groups = sum(len(groups) for shown in context.listings.values() for groups in shown.namespaces.values())
        outcomes, page = await self._compute(make, groups)
        error = answer if isinstance(answer, PbsError) else None
        kept = [msgspec.structs.replace(outcome, page=Page()) for outcome in outcomes]
        self.last_scrape = ScrapeReport(began, time.perf_counter() - started, error, kept, unlisted)
        self.version = answer if isinstance(answer, Version) else self.version
        self._log_failures(self.last_scrape)
        return page

    async def _version(self, deadline: float) -> Version | PbsError:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._client.version()
        except PbsError as error:
            return error
        except TimeoutError:
            return PbsTimeout("the scrape's time was up")

    async def _fetch(self, deadline: float) -> tuple[list[CollectorRun], Context, dict[str, str]]:
        """Run the `fetch` of all collectors at once.

        Return their runs, what their samples may depend on, and the datastores that PBS can't read, with the reason.
        """
        now = self._clock.now()
        left = deadline - asyncio.get_running_loop().time()
        until = deadline - min(GRACE_SECONDS, max(0.0, left) / 2)
        runs: list[CollectorRun] = [
            self._slow.get(collector.name) or PromptRun(collector, self._filters) for collector in self.collectors
        ]
        async with self._request(now, until) as request:
            shared = await asyncio.gather(*(run.fetch(request) for run in runs))
        listings = {store: listing for one in shared for store, listing in one.listings.items()}
        unlisted = {store: reason for one in shared for store, reason in one.unlisted.items()}
        return runs, Context(now, self.settings, self.enabled, listings, self._client.certificate), unlisted

    async def _run_alone(self, collector: AnyCollector) -> Outcome:
        """Run a collector outside of a scrape, without a deadline."""
        now = self._clock.now()
        run = PromptRun(collector, self._filters)
        async with self._request(now, math.inf) as request:
            shared = await run.fetch(request)
        if shared.permissions is not None:
            self.permissions = TokenPermissions(shared.permissions, now)
        return run.outcome(Context(now, self.settings, self.enabled))

    @asynccontextmanager
    async def _request(self, now: float, until: float) -> AsyncIterator[CollectorRequest]:
        """Make a request. The calls that its collectors share end with the block."""
        since = now - self.settings.task_window_seconds
        async with (
            SharedCall(self._client.datastores) as datastores,
            SharedCall(partial(tasks_since, self._client, since)) as tasks,
        ):
            yield CollectorRequest(
                pbs=self._client,
                snapshots=self._snapshots,
                settings=self.settings,
                enabled=self.enabled,
                filters=self._filters,
                now=now,
                until=until,
                datastore_list=datastores,
                task_list=tasks,
            )

    def _log_failures(self, report: ScrapeReport) -> None:
        self._failures.judge(report.error, "version")
        if isinstance(report.error, LoginRefused) and self._auth.refusals == PATIENCE:
            _log.warning("login refused", times=PATIENCE, asked_again_after_seconds=PAUSE_SECONDS)
        for outcome in report.outcomes:
            self._failures.judge(outcome.error, outcome.name)
            for store, error in outcome.datastores.items():
                self._failures.judge(error, outcome.name, store)
            if outcome.success:
                self._failures.all_well(outcome.name)
