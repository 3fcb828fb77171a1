"""Responses are computed on the event loop or in a thread."""

import asyncio
import threading

import pytest

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
async def worker(counter: Counter) -> Worker:
    """Return a worker that has computed one quick response of ten items."""
    worker = Worker(counter)
    assert await worker.compute(counter.quick, 10) is not threading.main_thread()
    return worker


async def test_a_quick_response_needs_no_thread(counter: Counter, worker: Worker) -> None:
    """After a quick response, the next one is computed on the event loop if it is no larger."""
    assert await worker.compute(counter.quick, 10) is threading.main_thread()


async def test_a_larger_response_is_computed_in_a_thread(counter: Counter, worker: Worker) -> None:
    """A response with more items may take any time, so it is computed in a thread."""
    assert await worker.compute(counter.quick, 11) is not threading.main_thread()
    assert await worker.compute(counter.quick, 11) is threading.main_thread()


async def test_after_a_slow_response_the_next_is_computed_in_a_thread(counter: Counter, worker: Worker) -> None:
    """A slow response moves the next one to a thread, also if it is no larger."""
    assert await worker.compute(counter.long, 10) is threading.main_thread()
    assert await worker.compute(counter.quick, 10) is not threading.main_thread()
    assert await worker.compute(counter.quick, 10) is threading.main_thread()


async def test_large_responses_are_computed_one_after_another(worker: Worker) -> None:
    """Responses that are asked for at once never take memory at the same time."""
    under_way, most = 0, 0

    def work() -> None:
        nonlocal under_way, most
        under_way += 1
        # Long enough for another thread to begin.
        threading.Event().wait(0.02)
        most = max(most, under_way)
        under_way -= 1

    await asyncio.gather(*(worker.compute(work, 11) for _ in range(8)))
    assert most == 1


async def test_a_response_is_computed_where_no_thread_can_be_started(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of threads, a response is computed on the event loop; afterwards in a thread again."""

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    worker = Worker(counter)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        assert await worker.compute(counter.long, 10) is threading.main_thread()
    assert await worker.compute(counter.long, 10) is not threading.main_thread()
