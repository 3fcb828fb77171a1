"""The outcome of one collector's run in a scrape."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import msgspec
import pytest

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Result
from pbs_exporter.collectors.findings import Findings
from pbs_exporter.config import Filters
from pbs_exporter.errors import NotJson, NotOffered, PbsTimeout, WrongShape
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.scrape.collector_run import CLIENT_LEFT, Outcome, PromptRun, fetch_all

ANSWER = Metric("pbs_answer", "The answer.")
NOW = 1_000.0


class Fetching(Collector[int]):
    """A collector with this `fetch`, and a sample per unit of its answer."""

    name = "fetching"
    help = "Fetches."
    metrics = (ANSWER,)

    def __init__(self, fetch: Callable[[], Awaitable[Result[int]]]) -> None:
        self._fetch = fetch

    async def fetch(self, _request: CollectorRequest) -> Result[int]:
        return await self._fetch()

    def samples(self, answer: int, _context: Context) -> Iterator[Sample]:
        for _ in range(answer):
            yield from ANSWER(answer)


class Deadline(msgspec.Struct):
    """The part of a request that a run reads."""

    until: float


async def outcome_of(fetch: Callable[[], Awaitable[Result[int]]], seconds: float = 5.0) -> Outcome:
    """Run a collector with this much time."""
    run = PromptRun(Fetching(fetch), Filters())
    await fetch_all([run], cast("Any", Deadline(asyncio.get_running_loop().time() + seconds)))
    return run.outcome(Context(NOW, cast("Any", None), {}))


async def test_the_first_failure_is_the_error() -> None:
    """A collector with samples and failures shows its samples; its error is the first failure."""
    first = NotJson("first")

    async def fetch() -> Result[int]:
        return Result(1, [first, NotJson("second")])

    outcome = await outcome_of(fetch)
    assert outcome.error is first
    assert not outcome.success
    assert not outcome.page.empty
    assert outcome.at == NOW


async def test_what_pbs_does_not_have_is_no_failure() -> None:
    """An endpoint that this version of PBS lacks leaves the collector a success."""

    async def fetch() -> Result[int]:
        return Result(1, [NotOffered(404, "Path not found.")])

    assert (await outcome_of(fetch)).success


async def test_a_failed_datastore_is_no_success() -> None:
    """A collector without failures of its own fails if one of its datastores does."""
    error = NotJson("gone")

    async def fetch() -> Result[int]:
        return Result(1, datastores={"good": None, "bad": error})

    outcome = await outcome_of(fetch)
    assert outcome.error is None
    assert outcome.datastores == {"good": None, "bad": error}
    assert not outcome.success


async def test_an_exception_is_the_error() -> None:
    """Any exception of `fetch` costs this collector its samples, and is its error."""

    async def fetch() -> Result[int]:
        raise ZeroDivisionError

    outcome = await outcome_of(fetch)
    assert isinstance(outcome.error, ZeroDivisionError)
    assert outcome.page.empty


async def test_repeated_series_are_left_out() -> None:
    """A series is shown once, and a duplicate fails the collector."""

    async def fetch() -> Result[int]:
        return Result(3)

    outcome = await outcome_of(fetch)
    assert isinstance(outcome.error, WrongShape)
    assert str(outcome.error) == "2 duplicate series omitted"
    assert outcome.page.size == 1


async def test_a_collector_that_takes_too_long_has_no_samples() -> None:
    """When the time is up, the collector is cancelled, and its error is a timeout."""
    ended = asyncio.Event()

    async def fetch() -> Result[int]:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return Result(1)

    outcome = await outcome_of(fetch, 0.01)
    assert ended.is_set()
    assert isinstance(outcome.error, PbsTimeout)
    assert str(outcome.error) == "the scrape's time was up"
    assert outcome.page.empty


async def test_what_failed_before_the_time_was_up_comes_first() -> None:
    """A collector that is cut off keeps its failures and datastores up to that moment, but has no samples."""
    error = NotJson("gone")

    async def gone(_store: str) -> int:
        raise error

    async def fail() -> int:
        raise error

    async def fetch() -> Result[int]:
        with Findings() as found:
            await found.attempt_datastore("bad", gone)
            await found.attempt(fail)
            await asyncio.sleep(60)
            return found.result(1)

    outcome = await outcome_of(fetch, 0.01)
    assert outcome.error is error
    assert outcome.datastores == {"bad": error}
    assert outcome.page.empty


async def test_what_was_found_before_the_client_left_is_not_lost() -> None:
    """A client that leaves ends all runs; each keeps its failures and datastores, and its last error says why."""
    error = NotJson("gone")
    ended = asyncio.Event()

    async def gone(_store: str) -> int:
        raise error

    async def fetch() -> Result[int]:
        with Findings() as found:
            await found.attempt_datastore("bad", gone)
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
        return found.result(1)

    run = PromptRun(Fetching(fetch), Filters())
    scrape = asyncio.create_task(fetch_all([run], cast("Any", Deadline(asyncio.get_running_loop().time() + 60))))
    await asyncio.sleep(0.01)
    scrape.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scrape
    assert ended.is_set()
    outcome = run.verdict(NOW)
    assert str(outcome.error) == CLIENT_LEFT
    assert outcome.datastores == {"bad": error}


async def test_a_collector_may_return_a_little_late() -> None:
    """A result that arrives shortly after the time is up is shown."""

    async def fetch() -> Result[int]:
        await asyncio.sleep(0.03)
        return Result(1)

    outcome = await outcome_of(fetch, 0.01)
    assert outcome.success
    assert not outcome.page.empty


async def test_the_rows_of_an_answer_are_counted() -> None:
    """All rows count, in lists and in structs of lists: many of them aren't made into samples on the event loop."""

    async def size(answer: Any) -> int:
        async def fetch() -> Result[Any]:
            return Result(answer)

        run = PromptRun(Fetching(fetch), Filters())
        assert run.size == 0
        await run.fetch(cast("Any", Deadline(asyncio.get_running_loop().time() + 5)))
        return run.size

    lists = msgspec.defstruct("Lists", ["listed", "usage", "other"])
    assert await size(["a", "b"]) == 2
    assert await size({"sync": ["a", "b"], "verify": ["c"]}) == 3
    assert await size(lists(["a", "b"], ["c"], None)) == 3
    assert await size(None) == 0
