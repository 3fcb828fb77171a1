"""The findings of a collector that makes several calls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pbs_exporter.collectors.findings import CutOff, Findings
from pbs_exporter.collectors.shared_call import SharedCall
from pbs_exporter.errors import NotJson, PbsError
from pbs_exporter.pbs.http.decoding import Rows


def answering(value: str, seconds: float = 0.0) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        await asyncio.sleep(seconds)
        return value

    return call


def failing(error: Exception, seconds: float = 0.0) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        await asyncio.sleep(seconds)
        raise error

    return call


async def test_failures_are_in_the_order_in_which_they_come() -> None:
    """The first failure is the earliest one, whatever the order of the calls in the code."""
    late, early = NotJson("late"), NotJson("early")
    with Findings() as found:
        answers = await asyncio.gather(
            found.attempt(failing(late, 0.01)), found.attempt(failing(early)), found.attempt(answering("x"))
        )
    assert list(answers) == [None, None, "x"]
    assert found.result("answer").failures == [early, late]


async def test_a_datastore_that_fails_costs_itself_only() -> None:
    """The result has the outcome of each datastore, and a datastore's failure doesn't fail the collector."""
    error = NotJson("gone")

    async def ask(store: str) -> str:
        if store == "bad":
            raise error
        return store

    with Findings() as found:
        answers = [await found.attempt_datastore(store, ask) for store in ("good", "bad")]
    assert answers == ["good", error]
    result = found.result(None)
    assert result.datastores == {"good": None, "bad": error}
    assert result.failures == []


async def test_rows_that_were_left_out_are_a_failure() -> None:
    """The good rows of an answer are returned, and one failure has the number of bad ones."""
    with Findings() as found:
        assert found.rows(Rows(["a"], 1, "no name")) == ["a"]
        assert found.rows(None) == []
        assert found.take("value", [NotJson("x")]) == "value"
    assert [str(error) for error in found.failures] == ["1 of 2 rows omitted: no name", "x"]


async def test_what_was_found_before_the_time_was_up_is_not_lost() -> None:
    """`CutOff` has the failures and the datastores found before the block was cancelled."""
    error = NotJson("gone")

    async def ask(_store: str) -> str:
        raise error

    async def fetch() -> None:
        with Findings() as found:
            await found.attempt_datastore("bad", ask)
            await asyncio.gather(found.attempt(failing(error)), found.attempt(answering("x", 60)))

    asking = asyncio.create_task(fetch())
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(CutOff) as cut_off:
        await asking
    assert cut_off.value.failures == [error]
    assert cut_off.value.datastores == {"bad": error}


async def test_a_bug_is_not_an_attempt_that_failed() -> None:
    """`attempt` doesn't catch exceptions that aren't PBS failures."""
    assert not issubclass(ZeroDivisionError, PbsError)
    with Findings() as found, pytest.raises(ZeroDivisionError):
        await found.attempt(failing(ZeroDivisionError()))
    assert found.failures == []


async def test_an_error_of_a_shared_call_that_nobody_waits_for_is_not_told() -> None:
    """A call that fails after all who waited for it have left tells the event loop of no error, on any Python."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    failing = asyncio.Event()

    async def call() -> None:
        await failing.wait()
        raise ZeroDivisionError

    async with SharedCall(call) as shared:
        waiting = asyncio.create_task(shared.get())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        failing.set()
        await asyncio.wait([shared.start()])
    assert told == []
