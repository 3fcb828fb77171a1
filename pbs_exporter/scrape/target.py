"""One PBS, and its scrapes: all collectors at once, one deadline, one page."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.access import AccessCollector
from pbs_exporter.collectors.base import AnyCollector, CollectorRequest, Context, enabled
from pbs_exporter.collectors.privileges import Permissions
from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.config import Filters, TargetSettings, reread_secret
from pbs_exporter.errors import PbsError, PbsTimeout, bare
from pbs_exporter.exposition.page import Page
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.token_auth import PATIENCE, PAUSE_SECONDS, TokenAuth
from pbs_exporter.pbs.http.transport import Observer, Transport
from pbs_exporter.pbs.models import DatedVersion
from pbs_exporter.pbs.snapshots.cache import SnapshotCache
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.pbs.task_window import tasks_since
from pbs_exporter.scrape.collector_run import (
    CLIENT_LEFT,
    GRACE_SECONDS,
    CollectorRun,
    Outcome,
    PromptRun,
    fetch_all,
)
from pbs_exporter.scrape.compute import Compute, at_once
from pbs_exporter.scrape.failure_log import (
    TARGET,
    FailureLog,
    ScrapeReport,
    by_client,
    completed,
    same_cause,
    with_others,
)
from pbs_exporter.scrape.scrape_metrics import about
from pbs_exporter.scrape.slow_run import SlowRun

_log = structlog.get_logger("pbs_exporter.scrape")

Answer = DatedVersion | PbsError
"""The answer to `/version`, or why there is none."""

T = TypeVar("T")


def asking_seconds(seconds: float, making_seconds: float) -> float:
    """Return the time of a scrape that is left for PBS if making the page takes as long as the last time.

    It is at least half of all: a page that once took long mustn't keep PBS from answering.
    """
    return max(seconds - making_seconds, seconds / 2)


class TokenPermissions(msgspec.Struct, frozen=True):
    """What the token may do, as PBS said at that time (Unix time)."""

    by_path: Permissions
    at: float


class Target:
    """One PBS, while the program runs: its client, its snapshot listings, its slow collectors, and what is failing.

    `compute` makes the samples of a scrape, of which there can be a million, and renders them. `compute_slow` makes
    those of a slow collector.
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
        compute_slow: Compute = at_once,
    ) -> None:
        self.settings = settings
        self.collectors = collectors
        self.enabled = enabled(collectors)
        self.last_scrape: ScrapeReport | None = None
        self.version: DatedVersion | None = None
        """The last answer to `/version`, which stays while PBS is down."""
        self.permissions: TokenPermissions | None = None
        self._filters = filters
        self._clock = clock
        self._compute = compute
        self._compute_slow = compute_slow
        self._auth = TokenAuth(settings, clock, lambda: reread_secret(settings))
        self._client = PbsClient(Transport(session, settings, self._auth, observe, clock), settings, self._auth)
        self._snapshots = SnapshotCache(self._client, settings, filters, clock)
        self._slow = {
            collector.name: SlowRun(collector, settings.slow_interval_seconds, self._run_alone, clock)
            for collector in collectors
            if collector.intervals
        }
        self._failures = FailureLog(clock)
        self._told_pause = False
        self._scrapes = 0
        self._remembered = 0
        self._was_down: PbsError | None = None
        self._sees_all_tasks: bool | None = None
        self._making_seconds = 0.0

    async def close(self) -> None:
        """End what is under way in the background."""
        await asyncio.gather(self._snapshots.close(), *(slow.close() for slow in self._slow.values()))

    def listings(self) -> dict[str, ListingStatus]:
        """Return the state of the snapshot listing of each known datastore."""
        return self._snapshots.statuses()

    async def scrape(self, seconds: float, render: Callable[[Page], T], only: Collection[str] | None = None) -> T:
        """Ask PBS, and return what `render` makes of the page of all that is known then. Failures are on the page.

        That should take no more than `seconds` together. `only` names the collectors that run, if not all do.
        """
        began, started = self._clock.now(), time.perf_counter()
        asking = asking_seconds(seconds, self._making_seconds)
        deadline = asyncio.get_running_loop().time() + asking
        self._scrapes += 1
        number = self._scrapes
        self._auth.reopen()
        runs: list[CollectorRun] = [
            self._slow.get(collector.name) or PromptRun(collector, self._filters)
            for collector in self.collectors
            if only is None or collector.name in only
        ]

        def left(now: float, answer: Answer, unlisted: Mapping[str, str]) -> None:
            """Remember what is known although the client has left."""
            report = self._report(began, started, answer, [run.verdict(now) for run in runs], unlisted)
            self._remember(number, report, answer, ended_early=True)

        async with SharedCall(partial(self._version, deadline)) as version:
            try:
                if not self._auth.proven:
                    # Alone, so that a bad token costs one refused login and not one per request.
                    await version.get()
                version.start()
                context, unlisted = await self._fetch(runs, deadline)
                answer = await version.get()
                if only is not None:
                    # Comments of tasks come from the listings that are known, or the series would come and go.
                    listings = {**self._snapshots.shown(), **context.listings}
                    context = msgspec.structs.replace(context, listings=listings)
            except asyncio.CancelledError:
                found = version.result() or PbsTimeout(CLIENT_LEFT, by_client=True)
                left(began, found, {})
                raise

        def make() -> tuple[list[Outcome], T]:
            outcomes = [run.outcome(context) for run in runs]
            page = Page()
            page.add(about(answer, outcomes, seconds))
            for outcome in outcomes:
                page.add_page(outcome.page)
            return [msgspec.structs.replace(outcome, page=Page()) for outcome in outcomes], render(page)

        groups = sum(len(groups) for shown in context.listings.values() for groups in shown.namespaces.values())
        size = groups + sum(run.size for run in runs)
        asked = time.perf_counter()
        try:
            outcomes, rendered = await self._compute(make, size)
        except asyncio.CancelledError:
            left(context.now, answer, unlisted)
            raise
        self._making_seconds = time.perf_counter() - asked
        report = self._report(began, started, answer, outcomes, unlisted)
        self._remember(number, report, answer, ended_early=asking < self.settings.timeout_seconds)
        return rendered

    def _report(
        self, began: float, started: float, answer: Answer, outcomes: list[Outcome], unlisted: Mapping[str, str]
    ) -> ScrapeReport:
        error = answer if isinstance(answer, PbsError) else None
        return ScrapeReport(began, time.perf_counter() - started, error, began, outcomes, unlisted)

    def _remember(self, number: int, report: ScrapeReport, answer: Answer, *, ended_early: bool) -> None:
        """Keep the report and log its failures, unless a scrape that began later has done so."""
        if number < self._remembered:
            return
        self._remembered = number
        before = self.last_scrape
        report = completed(report, before) if ended_early else report
        self.last_scrape = with_others(report, before)
        self.version = answer if isinstance(answer, DatedVersion) else self.version
        self._log_failures(report, ended_early=ended_early)
        for outcome in self.last_scrape.outcomes:
            # The report is kept, and the frames of a traceback have other answers that came with the failed one.
            for error in filter(None, (outcome.error, *outcome.datastores.values())):
                bare(error)

    async def _version(self, deadline: float) -> Answer:
        """Ask for the version, in a task of its own."""
        asking = asyncio.current_task()
        assert asking is not None  # noqa: S101 - a coroutine runs in a task
        time_up = asyncio.get_running_loop().call_at(deadline, asking.cancel, PbsTimeout.SCRAPE_OVER)
        try:
            version = await self._client.version()
        except PbsError as error:
            return error
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() < deadline:
                raise
            return PbsTimeout(PbsTimeout.SCRAPE_OVER, by_client=True)
        finally:
            time_up.cancel()
        if self.last_scrape is not None and self.last_scrape.error is not None:
            for slow in self._slow.values():
                slow.retry()
        return version

    async def _fetch(self, runs: Sequence[CollectorRun], deadline: float) -> tuple[Context, dict[str, str]]:
        """Let all collectors ask at once.

        Return what their samples may depend on, and the datastores that PBS can't read, with the reason.
        """
        now = self._clock.now()
        left = deadline - asyncio.get_running_loop().time()
        until = deadline - min(GRACE_SECONDS, max(0.0, left) / 2)
        async with self._request(now, until) as request:
            shared = await fetch_all(runs, request)
        listings = {store: listing for one in shared for store, listing in one.listings.items()}
        unlisted = {store: reason for one in shared for store, reason in one.unlisted.items()}
        notes = self._snapshots.notes()
        return Context(now, self.settings, self.enabled, listings, self._client.certificate, notes), unlisted

    async def _run_alone(self, collector: AnyCollector) -> Outcome:
        """Run a collector outside of a scrape, without a deadline."""
        now = self._clock.now()
        run = PromptRun(collector, self._filters)
        async with self._request(now, math.inf) as request:
            (shared,) = await fetch_all([run], request)
        if collector.name == AccessCollector.name:
            self._sees_all_tasks = shared.sees_all_tasks
        if shared.permissions is not None:
            self.permissions = TokenPermissions(shared.permissions, now)
        context = Context(now, self.settings, self.enabled)
        return await self._compute_slow(lambda: run.outcome(context), run.size)

    @asynccontextmanager
    async def _request(self, now: float, until: float) -> AsyncIterator[CollectorRequest]:
        """Make a request. The calls that its collectors share end with the block."""
        since = now - self.settings.task_window_seconds
        async with (
            SharedCall(self._client.datastores) as datastores,
            SharedCall(partial(tasks_since, self._client, since)) as tasks,
            SharedCall(self._client.node_status) as host_status,
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
                host_status=host_status,
                sees_all_tasks=self._sees_all_tasks,
            )

    def _log_failures(self, report: ScrapeReport, *, ended_early: bool) -> None:
        """Log what is worth a line."""

        def judge(error: BaseException | None, *subject: str) -> None:
            if not (ended_early and by_client(error)):
                self._failures.judge(error, *subject)

        judge(report.error, TARGET)
        paused = self._auth.refusals >= PATIENCE
        if paused and not self._told_pause:
            _log.warning("login refused", times=PATIENCE, asked_again_after_seconds=PAUSE_SECONDS)
        self._told_pause = paused
        self._was_down = report.error or self._was_down
        for outcome in report.outcomes:
            # A slow collector may not have been asked since PBS was down.
            asked = outcome.at is not None and outcome.at >= report.at
            down = report.error if asked else self._was_down
            if not same_cause(outcome.error, down):
                judge(outcome.error, outcome.name)
            for store, error in outcome.datastores.items():
                if not same_cause(error, down):
                    judge(error, outcome.name, store)
            if outcome.success:
                self._failures.all_well(outcome.name)
            elif outcome.datastores and not ended_early:
                self._failures.forget_others(outcome.name, outcome.datastores)
