"""Tasks: how they ended, how long they took, and which are running."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.collectors.states import result
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots.listing import Listing
from pbs_exporter.pbs.snapshots.task_hints import Guest, guest

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


async def fetch(ask: Ask) -> list[Task]:
    """Ask for the tasks of the window and for the running ones."""
    return await ask.tasks()


def samples(tasks: list[Task], context: Context) -> Iterator[Sample]:
    """Make the samples of the tasks that run, and of those that ended in the window."""
    begin = context.now - context.settings.task_window_seconds
    running = [task for task in tasks if task.endtime is None and task.status is None]
    ended = [task for task in tasks if task.endtime is not None and task.endtime >= begin]
    notes = _notes({whose for task in (*running, *ended) if (whose := guest(task))}, context.listings)
    comments = {task.upid: notes.get(guest(task), "") for task in (*running, *ended)}

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


def _notes(guests: Collection[Guest], listings: Mapping[str, Listing]) -> dict[Guest | None, str]:
    """Give the note of each guest's newest snapshot that has one.

    A backup's task doesn't say its namespace: where several have the guest, there is no telling whose note.
    """
    notes: dict[Guest | None, str] = {}
    for store, backup_type, backup_id in guests:
        listing = listings.get(store)
        if listing is None or listing.namespace_count != len(listing.namespaces):
            # One that isn't listed may have the guest too.
            continue
        found = [
            group
            for groups in listing.namespaces.values()
            if (group := groups.get((backup_type, backup_id))) is not None
        ]
        if len(found) == 1:
            notes[store, backup_type, backup_id] = found[0].note[1]
    return notes


COLLECTOR = Collector(
    name="tasks",
    help="Tasks: results and durations within a window, and what is running.",
    metrics=(TOTAL, DURATION, RUNNING, LAST_RUN, RUNNING_START),
    needs=(Need("Sys.Audit", "/system/tasks", "Audit"),),
    fetch=fetch,
    samples=samples,
)
