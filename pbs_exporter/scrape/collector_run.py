"""One collector in one scrape, and the one place that judges how it went."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pbs_exporter.collectors.base import AnyCollector, Ask, Context
from pbs_exporter.errors import NotOffered, PbsTimeout, WrongShape
from pbs_exporter.exposition.page import Page
from pbs_exporter.scrape.sample_filter import filtered


class Outcome(msgspec.Struct, frozen=True):
    """What came of it. `error` is the first thing that went wrong, `datastores` how it went with each.

    `data_from` is when the page was asked for (Unix time), where that may be before this scrape; `at` is when what
    came of it was asked for, `None` where nothing has come yet.
    """

    name: str
    page: Page
    seconds: float
    error: BaseException | None
    datastores: dict[str, BaseException | None]
    data_from: float | None = None
    at: float | None = None

    @property
    def success(self) -> bool:
        """Whether it got all that it asked for."""
        return self.error is None and not any(self.datastores.values())


class Run:
    """`fetch` asks, `outcome` makes the samples. Neither raises."""

    def __init__(self, collector: AnyCollector, ask: Ask) -> None:
        self.ask = ask
        self._collector = collector
        self._seconds = 0.0
        self._fetched = False

    async def fetch(self, grace_seconds: float) -> None:
        """Let the collector ask PBS, until its own `until` and so many seconds more.

        The grace counts from when the event loop notices that the time is up, so that a collector that gives
        what there is by then can do so also after the loop was busy.
        """
        with self._judged():
            asking = asyncio.ensure_future(self._collector.fetch(self.ask))
            try:
                left = self.ask.until - asyncio.get_running_loop().time()
                for seconds in (left, grace_seconds):
                    if not asking.done():
                        await asyncio.wait([asking], timeout=max(0.0, seconds))
                if not asking.done():
                    raise TimeoutError
                self._answer = asking.result()
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            self._fetched = True

    def outcome(self, context: Context) -> Outcome:
        """Let the collector make its samples of what it fetched."""
        page = Page()
        with self._judged():
            if self._fetched:
                page = self._lay(context)
        # What this version of PBS doesn't have hasn't failed.
        error = next((error for error in self.ask.failures if not isinstance(error, NotOffered)), None)
        stores = self.ask.datastore_failures
        return Outcome(self._collector.name, page, self._seconds, error, stores, at=self.ask.now)

    def _lay(self, context: Context) -> Page:
        page = Page()
        doubles = page.add(filtered(self._collector.samples(self._answer, context), self.ask.filters))
        if doubles:
            self.ask.failures.append(WrongShape(f"{doubles} series left out that were there already"))
        return page

    @contextmanager
    def _judged(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except TimeoutError:
            self.ask.failures.append(PbsTimeout("the scrape's time was up"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this collector alone
            self.ask.failures.append(error)
        finally:
            self._seconds += time.perf_counter() - started
