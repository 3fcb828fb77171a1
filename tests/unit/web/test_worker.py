"""Responses are computed on the event loop or in a thread."""

import threading

import pytest

from pbs_exporter.scrape.target import Compute
from pbs_exporter.web.worker import AT_ONCE_SECONDS, Worker


class Counter:
    """A clock that advances only with work."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def quick(self) -> threading.Thread:
        self.seconds += AT_ONCE_SECONDS / 4
        return threading.current_thread()

    def long(self) -> threading.Thread:
        self.seconds += AT_ONCE_SECONDS
        return threading.current_thread()


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def steps(counter: Counter) -> tuple[Compute, Compute]:
    """Return the two steps of a worker that has computed one quick response of ten items."""
    worker = Worker(counter)
    steps = worker.step("samples"), worker.step("body")
    for step in steps:
        assert await step(counter.quick, 10) is not threading.main_thread()
    return steps


async def test_a_quick_response_needs_no_thread(counter: Counter, steps: tuple[Compute, Compute]) -> None:
    """After a quick response, the next one is computed on the event loop if it is no larger."""
    for step in steps:
        assert await step(counter.quick, 10) is threading.main_thread()


async def test_a_larger_response_is_computed_in_a_thread(counter: Counter, steps: tuple[Compute, Compute]) -> None:
    """A response with more items may take any time, so it is computed in a thread."""
    samples, _ = steps
    assert await samples(counter.quick, 11) is not threading.main_thread()
    assert await samples(counter.quick, 11) is threading.main_thread()


async def test_after_a_slow_step_all_are_computed_in_a_thread(counter: Counter, steps: tuple[Compute, Compute]) -> None:
    """The steps of a response count together: a slow one moves the later ones to a thread."""
    samples, body = steps
    await body(counter.long, 10)
    assert await samples(counter.quick, 10) is not threading.main_thread()
    assert await body(counter.quick, 10) is not threading.main_thread()
    assert await samples(counter.quick, 10) is threading.main_thread()
