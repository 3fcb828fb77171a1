"""What a collector finds with several calls, some of which may fail."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from pbs_exporter.collectors.result import Failures, Result, Shared, omission_failures
from pbs_exporter.errors import PbsError
from pbs_exporter.pbs.http.decoding import Rows

T = TypeVar("T")


class Findings:
    """The failures of one `fetch`, in the order in which they come, and how it went with each datastore.

    A context manager: if the block is cancelled because the scrape's time is up, it raises `CutOff`, so that what had
    been found by then isn't lost.
    """

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.datastores: dict[str, BaseException | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            raise CutOff(self) from None

    async def attempt(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Make a call that the collector can do without: return `None` if it fails."""
        try:
            return await call()
        except PbsError as error:
            self.failures.append(error)
            return None

    async def attempt_datastore(self, store: str, call: Callable[[str], Awaitable[T]]) -> T | PbsError:
        """Make a call about one datastore. Return its answer or its failure, which costs this datastore alone."""
        try:
            answer = await call(store)
        except PbsError as error:
            self.datastores[store] = error
            return error
        self.datastores[store] = None
        return answer

    def take(self, value: T, failures: Failures) -> T:
        """Return a value, and keep the failures that came with it."""
        self.failures += failures
        return value

    def rows(self, answer: Rows[T] | None) -> list[T]:
        """Return the good rows of an answer, if there is one. Rows that were left out are a failure."""
        return [] if answer is None else self.take(answer.rows, omission_failures(answer))

    def result(self, answer: T, shared: Shared = Shared()) -> Result[T]:  # noqa: B008 - immutable
        """Return the result of the `fetch`."""
        return Result(answer, self.failures, self.datastores, shared)


class CutOff(TimeoutError):
    """The scrape's time was up before a collector had all its answers."""

    def __init__(self, findings: Findings) -> None:
        super().__init__()
        self.failures: Failures = findings.failures
        self.datastores = findings.datastores
