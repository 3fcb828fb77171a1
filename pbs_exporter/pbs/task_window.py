"""The tasks of a period, from two requests to PBS."""

import asyncio

from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Task

LONGEST_SECONDS = 172_800
"""Longest run time of a task whose end is seen: PBS filters by start time only."""

_AT_ONCE = 10_000


async def tasks_since(client: PbsClient, since: float) -> Rows[Task]:
    """Return the running tasks and those that ended after `since` (Unix seconds), and perhaps some older ones.

    Each task is there once. Raises a `PbsError` if one of the two requests fails.
    """
    answers = await asyncio.gather(
        client.tasks_since(int(since) - LONGEST_SECONDS),
        client.tasks_running(),
        # If one request fails, the other isn't cancelled: it would count as a timeout.
        return_exceptions=True,
    )
    tasks: dict[str, Task] = {}
    invalid, reason = 0, ""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        invalid, reason = invalid + answer.invalid, reason or answer.reason
        for number, task in enumerate(answer.rows, start=1):
            if number % _AT_ONCE == 0:
                # There may be a million, and the event loop has other things to do.
                await asyncio.sleep(0)
            # A task that ended between the two answers is in both.
            if task.upid not in tasks or task.endtime is not None:
                tasks[task.upid] = task
    return Rows(list(tasks.values()), invalid, reason)
