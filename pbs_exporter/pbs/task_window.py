"""The tasks of a time, of two answers of PBS."""

import asyncio

from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import Task

LONGEST_SECONDS = 172_800
"""PBS filters by a task's start: one that ran for longer is missed when it ends."""


async def tasks_since(client: PbsClient, since: float) -> Rows[Task]:
    """Give the tasks that run, and those that ended after `since` (Unix time), each once. Others may be among them."""
    answers = await asyncio.gather(
        client.tasks_since(int(since) - LONGEST_SECONDS),
        client.tasks_running(),
        # One that fails doesn't end the other, which would be counted as a timeout that never was.
        return_exceptions=True,
    )
    tasks: dict[str, Task] = {}
    wrong = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        wrong += answer.wrong
        for task in answer.rows:
            # One that ended between the two answers is in both.
            if task.upid not in tasks or task.endtime is not None:
                tasks[task.upid] = task
    return Rows(list(tasks.values()), wrong)
