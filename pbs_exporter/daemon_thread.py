"""Blocking calls that nobody waits for at exit."""

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

T = TypeVar("T")


def in_daemon_thread(work: Callable[[], T], name: str = "call") -> "asyncio.Future[T]":
    """Run a call that may block for long in a thread of its own, and return its result as a future.

    Raise `OSError` if there can be no further thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(cast("T", result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - it is raised where it is waited for
            error = raised
        # The loop may have been closed meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        # As any other failure of the call.
        raise OSError(errno.EAGAIN, "no thread can be started") from error
    return future
