"""One collector in one scrape. This is the one place that judges whether a collector failed."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
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

    async def fetch(self, request: CollectorRequest) -> Shared:
        """Run the collector's `fetch` until `request.until`. Return what others may show of its result."""
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
        """Run the collector's `fetch`, at most `GRACE_SECONDS` past `request.until`."""
        with self._judged():
            self._result = await self._fetched(request)
            self._failures += self._result.failures
            self._datastores = self._result.datastores
        return Shared() if self._result is None else self._result.shared

    def outcome(self, context: Context) -> Outcome:
        """Return the samples, and how it went."""
        page = Page()
        with self._judged():
            if self._result is not None:
                page = self._page(self._collector.samples(self._result.answer, context))
        # What this version of PBS doesn't have is no failure.
        error = next((error for error in self._failures if not isinstance(error, NotOffered)), None)
        return Outcome(self._collector.name, page, self._seconds, error, self._datastores, at=context.now)

    async def _fetched(self, request: CollectorRequest) -> Result[Any]:
        asking = asyncio.ensure_future(self._collector.fetch(request))
        try:
            # The grace begins when the event loop notices that the time is up, which can be late.
            for seconds in (request.until - asyncio.get_running_loop().time(), GRACE_SECONDS):
                if not asking.done():
                    await asyncio.wait([asking], timeout=max(0.0, seconds))
            in_time = asking.done()
        finally:
            asking.cancel()
            (found,) = await asyncio.gather(asking, return_exceptions=True)
        if in_time:
            return asking.result()
        raise found if isinstance(found, CutOff) else TimeoutError

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
        except TimeoutError as error:
            if isinstance(error, CutOff):
                self._failures += error.failures
                self._datastores = error.datastores
            self._failures.append(PbsTimeout("the scrape's time was up"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this collector alone
            self._failures.append(error)
        finally:
            self._seconds += time.perf_counter() - started
