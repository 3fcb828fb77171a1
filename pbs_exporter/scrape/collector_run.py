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

    async def fetch(self, request: CollectorRequest) -> Shared:
        """Run the collector's `fetch` until `request.until`. Return what others may show of its result."""
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
        """Run the collector's `fetch`, at most `GRACE_SECONDS` past `request.until`."""
        with self._judged():
            self._take(await self._fetched(request))
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

    async def _fetched(self, request: CollectorRequest) -> Result[Any]:
        asking = asyncio.create_task(self._collector.fetch(request))
        try:
            # The grace begins when the event loop notices that the time is up, which can be late.
            for seconds in (request.until - asyncio.get_running_loop().time(), GRACE_SECONDS):
                if not asking.done():
                    await asyncio.wait([asking], timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            # The client has left. What was found by then isn't lost.
            self._keep(await _ended(asking))
            raise
        if asking.done():
            return asking.result()
        found = await _ended(asking, PbsTimeout.SCRAPE_OVER)
        raise found if isinstance(found, CutOff) else TimeoutError

    def _keep(self, found: Result[Any] | BaseException) -> None:
        if isinstance(found, Result):
            self._take(found)
            return
        if isinstance(found, CutOff):
            self._failures += found.failures
            self._datastores = found.datastores
        elif isinstance(found, Exception):
            self._failures.append(found)
        self._failures.append(PbsTimeout(CLIENT_LEFT, by_client=True))

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
            self._failures.append(PbsTimeout(PbsTimeout.SCRAPE_OVER, by_client=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this collector alone
            self._failures.append(error)
        finally:
            self._seconds += time.perf_counter() - started


async def _ended(asking: "asyncio.Task[Result[Any]]", message: str | None = None) -> Result[Any] | BaseException:
    """Cancel a call with this message, and return its result or what it raises."""
    asking.cancel(message)
    await asyncio.wait([asking])
    if asking.cancelled():
        return asyncio.CancelledError()
    return asking.exception() or asking.result()


def _rows(answer: object) -> int:
    if isinstance(answer, msgspec.Struct):
        return sum(map(_rows, msgspec.structs.astuple(answer)))
    if isinstance(answer, dict):
        return sum(len(value) if isinstance(value, list) else 1 for value in answer.values())
    return len(answer) if isinstance(answer, list) else 0
