"""One collector in one scrape. This is the one place that judges whether a collector failed."""

import asyncio
import time
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from pbs_exporter.collectors.base import AnyCollector, CollectorRequest, Context, Result
from pbs_exporter.collectors.findings import CutOff
from pbs_exporter.collectors.result import Shared
from pbs_exporter.config import Filters
from pbs_exporter.errors import NotOffered, PbsTimeout, WrongShape
from pbs_exporter.exposition.metric import Sample, Series
from pbs_exporter.exposition.page import Page
from pbs_exporter.scrape.sample_filter import filtered

GRACE_SECONDS = 0.1
"""Time after `CollectorRequest.until` in which a collector can return what it has by then."""


CLIENT_LEFT = "the client left before the end of the scrape"


class Outcome(msgspec.Struct, frozen=True):
    """The samples of a collector, and how it went.

    `error` is the first failure, `datastores` has the failure of each datastore that was asked separately, or `None`.
    `at` is when PBS was asked (Unix time), `None` if no answer has come yet. `data_from` is when the samples were asked
    for, where that may be before this scrape.
    """

    name: str
    page: Page
    seconds: float
    error: BaseException | None
    datastores: Mapping[str, BaseException | None]
    data_from: float | None = None
    at: float | None = None

    @property
    def success(self) -> bool:
        """Whether the collector got all that it asked for."""
        return self.error is None and not any(self.datastores.values())


class CollectorRun(Protocol):
    """Runs a collector for a scrape: `fetch` first, then `outcome`. Neither raises."""

    def fetch(self, request: CollectorRequest) -> Coroutine[Any, Any, Shared] | None:
        """Return the collector's `fetch`, which returns what others may show of its result; `None` if nothing is due.

        It is cancelled when the scrape ends, with `PbsTimeout.SCRAPE_OVER` if its time is up, and returns what it has.
        """
        ...

    def verdict(self, now: float) -> Outcome:
        """Return how it went, without samples. `now` is the scrape's time (Unix seconds)."""
        ...

    @property
    def size(self) -> int:
        """The number of rows that `outcome` makes samples of, without those of snapshot listings."""
        ...

    def outcome(self, context: Context) -> Outcome:
        """Return the samples, and how it went."""
        ...


class PromptRun:
    """Runs a collector that asks PBS in each scrape. Each scrape has its own run."""

    def __init__(self, collector: AnyCollector, filters: Filters) -> None:
        self._collector = collector
        self._filters = filters
        self._result: Result[Any] | None = None
        self._failures: list[BaseException] = []
        self._datastores: Mapping[str, BaseException | None] = {}
        self._seconds = 0.0

    async def fetch(self, request: CollectorRequest) -> Shared:
        """Run the collector's `fetch`. What was found before it is cancelled isn't lost."""
        with self._judged():
            try:
                self._take(await self._collector.fetch(request))
            except (CutOff, asyncio.CancelledError) as error:
                if isinstance(error, CutOff):
                    self._failures += error.failures
                    self._datastores = error.datastores
                is_over = asyncio.get_running_loop().time() >= request.until
                self._failures.append(PbsTimeout(PbsTimeout.SCRAPE_OVER if is_over else CLIENT_LEFT, by_client=True))
        return Shared() if self._result is None else self._result.shared

    @property
    def size(self) -> int:
        """The number of rows that the collector makes samples of."""
        return 0 if self._result is None else _rows(self._result.answer)

    def outcome(self, context: Context) -> Outcome:
        """Return the samples, and how it went."""
        page = Page()
        with self._judged():
            if self._result is not None:
                page = self._page(self._collector.samples(self._result.answer, context))
        return msgspec.structs.replace(self.verdict(context.now), page=page)

    def verdict(self, now: float) -> Outcome:
        """Return how it went, without samples. A run that hasn't begun was left by the client."""
        failures = self._failures
        if self._result is None and not failures:
            failures = [PbsTimeout(CLIENT_LEFT, by_client=True)]
        # What this version of PBS doesn't have is no failure.
        error = next((error for error in failures if not isinstance(error, NotOffered)), None)
        return Outcome(self._collector.name, Page(), self._seconds, error, self._datastores, at=now)

    def _take(self, result: Result[Any]) -> None:
        self._result = result
        self._failures += result.failures
        self._datastores = result.datastores

    def _page(self, samples: Iterable[Sample | Series]) -> Page:
        page = Page()
        duplicates = page.add(filtered(samples, self._filters))
        if duplicates:
            self._failures.append(WrongShape(f"{duplicates} duplicate series omitted"))
        return page

    @contextmanager
    def _judged(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this collector alone
            self._failures.append(error)
        finally:
            self._seconds += time.perf_counter() - started


async def fetch_all(runs: Iterable[CollectorRun], request: CollectorRequest) -> list[Shared]:
    """Run the `fetch` of all at once, at most `GRACE_SECONDS` past `request.until`. Return what others may show."""
    calls = [asyncio.create_task(call) for run in runs if (call := run.fetch(request)) is not None]
    running = set(calls)
    try:
        # The grace begins when the event loop notices that the time is up, which can be late.
        for seconds in (request.until - asyncio.get_running_loop().time(), GRACE_SECONDS):
            if running:
                _, running = await asyncio.wait(running, timeout=max(0.0, seconds))
        await _end(running, PbsTimeout.SCRAPE_OVER)
    except asyncio.CancelledError:
        # The client has left.
        await _end(running)
        raise
    return [call.result() for call in calls]


async def _end(calls: Collection["asyncio.Task[Shared]"], message: str | None = None) -> None:
    """Cancel these calls with this message, and wait until they have ended."""
    for call in calls:
        call.cancel(message)
    if calls:
        await asyncio.wait(calls)


def _rows(answer: object) -> int:
    if isinstance(answer, msgspec.Struct):
        return sum(map(_rows, msgspec.structs.astuple(answer)))
    if isinstance(answer, dict):
        return sum(len(value) if isinstance(value, list) else 1 for value in answer.values())
    return len(answer) if isinstance(answer, list) else 0
