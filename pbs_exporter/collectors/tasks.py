"""Tasks: how they ended, how long they took, and which are running."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.collectors.states import result
from pbs_exporter.metrics import Metric, Sample, comment
from pbs_exporter.pbs.listing import Listing
from pbs_exporter.pbs.models import Task

LONGEST_SECONDS = 172_800
"""PBS filters by a task's start, the window is by its end: a task that ran for longer is missed when it ends."""

_API = "(/nodes/localhost/tasks, {})."

TOTAL = Metric(
    "pbs_task_total",
    f"Tasks that ended within task_window_seconds, and the running ones {_API.format('status')}",
    ("worker_type", "status", "comment"),
)
DURATION = Metric(
    "pbs_task_duration_seconds",
    f"Duration of the newest task of that type and ID that ended in the window {_API.format('starttime, endtime')}",
    ("worker_type", "status", "worker_id", "comment"),
)
RUNNING = Metric("pbs_task_running", f"Tasks that are running {_API.format('no status')}", ("worker_type", "comment"))
LAST_RUN = Metric(
    "pbs_task_last_run_timestamp_seconds",
    f"Newest end of a task of that type within the window, whatever its result {_API.format('endtime')}",
    ("worker_type",),
)
RUNNING_START = Metric(
    "pbs_task_running_start_timestamp_seconds",
    f"Start of the longest running task of that type {_API.format('starttime')}",
    ("worker_type",),
)

_SNAPSHOT_TIME = re.compile(r"/[0-9A-Fa-f]{8}\Z")
_OF_A_SNAPSHOT = ("reader", "verify_snapshot")
_GUEST = re.compile(r"([^:]+):([^/]+)/(.+)", re.DOTALL)


Guest = tuple[str, str, str]
"""Datastore, backup type and backup ID."""


async def fetch(ask: Ask) -> list[Task]:
    """Ask for the tasks of the window and for the running ones, and give each task once."""
    since = int(ask.now - ask.settings.task_window_seconds) - LONGEST_SECONDS
    # One that fails doesn't end the other, which would be counted as a timeout that never was.
    answers = await asyncio.gather(ask.pbs.tasks_since(since), ask.pbs.tasks_running(), return_exceptions=True)
    tasks: dict[str, Task] = {}
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        for task in ask.rows(answer):
            # One that ended between the two answers is in both.
            if task.upid not in tasks or task.endtime is not None:
                tasks[task.upid] = task
    return list(tasks.values())


def samples(tasks: list[Task], context: Context) -> Iterator[Sample]:
    """Make the samples of the tasks that run, and of those that ended in the window."""
    begin = context.now - context.settings.task_window_seconds
    running = [task for task in tasks if task.endtime is None and task.status is None]
    ended = [task for task in tasks if task.endtime is not None and task.endtime >= begin]
    notes = _notes({guest for task in (*running, *ended) if (guest := _guest(task))}, context.listings)
    comments = {task.upid: notes.get(_guest(task), "") for task in (*running, *ended)}

    totals = Counter((task.worker_type, _status(task), comments[task.upid]) for task in (*running, *ended))
    for (worker_type, status, note), number in totals.items():
        yield from TOTAL(number, worker_type, status, note)
    for task in _newest(ended, _worker):
        took = (task.endtime or 0) - task.starttime
        yield from DURATION(took, task.worker_type, _status(task), _worker(task)[1], comments[task.upid])
    for (worker_type, note), number in Counter((task.worker_type, comments[task.upid]) for task in running).items():
        yield from RUNNING(number, worker_type, note)
    for task in _newest(ended, lambda task: task.worker_type):
        yield from LAST_RUN(task.endtime, task.worker_type)
    starts: dict[str, int] = {}
    for task in running:
        starts[task.worker_type] = min(task.starttime, starts.get(task.worker_type, task.starttime))
    for worker_type, start in starts.items():
        yield from RUNNING_START(start, worker_type)


def _status(task: Task) -> str:
    """Give how it ended, or `running`. PBS says nothing of one that ended without a result."""
    return "unknown" if task.status is None and task.endtime is not None else result(task.status)


def _worker(task: Task) -> tuple[str, str]:
    """Give type and ID, the ID without a snapshot's time, which would make each task one of its own."""
    worker_id = task.worker_id or ""
    if task.worker_type in _OF_A_SNAPSHOT:
        worker_id = _SNAPSHOT_TIME.sub("", worker_id)
    return task.worker_type, worker_id


def _newest(ended: list[Task], key: Callable[[Task], Hashable]) -> Iterable[Task]:
    """Give the newest task of each key: latest end, then latest start, then first in PBS's order."""
    newest: dict[Hashable, Task] = {}
    for task in ended:
        known = newest.setdefault(key(task), task)
        if (task.endtime or 0, task.starttime) > (known.endtime or 0, known.starttime):
            newest[key(task)] = task
    return newest.values()


def _guest(task: Task) -> Guest | None:
    match = _GUEST.fullmatch(task.worker_id or "") if task.worker_type == "backup" else None
    return (match[1], match[2], match[3]) if match else None


def _notes(guests: Collection[Guest], listings: Mapping[str, Listing]) -> dict[Guest | None, str]:
    """Give the note of each guest's newest snapshot that has one.

    A backup's task doesn't say its namespace: where several have the guest, there is no telling whose note.
    """
    notes: dict[Guest | None, str] = {}
    for store, listing in listings.items():
        wanted = {(guest[1], guest[2]) for guest in guests if guest[0] == store}
        found: dict[tuple[str, str], dict[str, tuple[int, str]]] = {group: {} for group in wanted}
        for namespace, snapshots in listing.namespaces.items() if wanted else ():
            for snapshot in snapshots:
                group = (snapshot.backup_type, snapshot.backup_id)
                if group in wanted:
                    note = (snapshot.backup_time, comment(snapshot.comment))
                    known = found[group].setdefault(namespace, (0, ""))
                    if note[1] and note > known:
                        found[group][namespace] = note
        for group, by_namespace in found.items():
            if len(by_namespace) == 1:
                notes[store, group[0], group[1]] = next(iter(by_namespace.values()))[1]
    return notes


COLLECTOR = Collector(
    name="tasks",
    help="Tasks: results and durations within a window, and what is running.",
    metrics=(TOTAL, DURATION, RUNNING, LAST_RUN, RUNNING_START),
    needs=(Need("Sys.Audit", "/system/tasks", "Audit"),),
    fetch=fetch,
    samples=samples,
)
