"""Tasks: how they ended, how long they took, and which are running."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import of_rows
from pbs_exporter.collectors.states import result
from pbs_exporter.exposition.metric import Metric, Sample
from pbs_exporter.pbs.models import Task
from pbs_exporter.pbs.snapshots.listing import Listing
from pbs_exporter.pbs.snapshots.task_hints import Guest, guest

_API = "(/nodes/localhost/tasks, {})."

_SNAPSHOT_TIME = re.compile(r"/[0-9A-Fa-f]{8}\Z")

_OF_A_SNAPSHOT = ("reader", "verify_snapshot")


class TasksCollector(Collector[list[Task]]):
    """Asks for the tasks of the window and the running ones."""

    name = "tasks"
    help = "Tasks: results and durations within a window, and the running ones."
    needs = (Need("Sys.Audit", "/system/tasks", "Audit"),)

    TOTAL = Metric(
        "pbs_task_total",
        f"Number of tasks that ended within task_window_seconds or are running {_API.format('status')}",
        ("worker_type", "status", "comment"),
    )
    DURATION = Metric(
        "pbs_task_duration_seconds",
        f"Duration of the newest task of this type and ID within the window {_API.format('starttime, endtime')}",
        ("worker_type", "status", "worker_id", "comment"),
    )
    RUNNING = Metric(
        "pbs_task_running", f"Number of running tasks {_API.format('no status')}", ("worker_type", "comment")
    )
    LAST_RUN = Metric(
        "pbs_task_last_run_timestamp_seconds",
        f"When a task of this type last ended within the window, whatever its result {_API.format('endtime')}",
        ("worker_type",),
    )
    RUNNING_START = Metric(
        "pbs_task_running_start_timestamp_seconds",
        f"Start of the task of this type that has been running longest {_API.format('starttime')}",
        ("worker_type",),
    )
    metrics = (TOTAL, DURATION, RUNNING, LAST_RUN, RUNNING_START)

    async def fetch(self, request: CollectorRequest) -> Result[list[Task]]:
        """Ask for the tasks of the window and for the running ones."""
        return of_rows(await request.task_list.get())

    def samples(self, tasks: list[Task], context: Context) -> Iterator[Sample]:
        """Make samples of the running tasks and of those that ended in the window."""
        begin = context.now - context.settings.task_window_seconds
        running = [task for task in tasks if task.endtime is None and task.status is None]
        ended = [task for task in tasks if task.endtime is not None and task.endtime >= begin]
        notes = _notes({whose for task in (*running, *ended) if (whose := guest(task))}, context.listings)
        comments = {task.upid: notes.get(guest(task), "") for task in (*running, *ended)}

        totals = Counter((task.worker_type, _status(task), comments[task.upid]) for task in (*running, *ended))
        for (worker_type, status, note), number in totals.items():
            yield from self.TOTAL(number, worker_type, status, note)
        for task in _newest(ended, _worker):
            # Negative if PBS's clock was set back. The series also tells the result, so it stays.
            took = max(0, (task.endtime or 0) - task.starttime)
            yield from self.DURATION(took, task.worker_type, _status(task), _worker(task)[1], comments[task.upid])
        for (worker_type, note), number in Counter((task.worker_type, comments[task.upid]) for task in running).items():
            yield from self.RUNNING(number, worker_type, note)
        for task in _newest(ended, lambda task: task.worker_type):
            yield from self.LAST_RUN(task.endtime, task.worker_type)
        starts: dict[str, int] = {}
        for task in running:
            starts[task.worker_type] = min(task.starttime, starts.get(task.worker_type, task.starttime))
        for worker_type, start in starts.items():
            yield from self.RUNNING_START(start, worker_type)


def _status(task: Task) -> str:
    """Return how a task ended, or `running`. PBS has no status for a task that ended without a result."""
    return "unknown" if task.status is None and task.endtime is not None else result(task.status)


def _worker(task: Task) -> tuple[str, str]:
    """Return type and ID. The ID has no snapshot time, which would give each task a series of its own."""
    worker_id = task.worker_id or ""
    if task.worker_type in _OF_A_SNAPSHOT:
        worker_id = _SNAPSHOT_TIME.sub("", worker_id)
    return task.worker_type, worker_id


def _newest(ended: list[Task], key: Callable[[Task], Hashable]) -> Iterable[Task]:
    """Return the newest task of each key: by its end, then its start, then PBS's order."""
    newest: dict[Hashable, Task] = {}
    for task in ended:
        known = newest.setdefault(key(task), task)
        if (task.endtime or 0, task.starttime) > (known.endtime or 0, known.starttime):
            newest[key(task)] = task
    return newest.values()


def _notes(guests: Collection[Guest], listings: Mapping[str, Listing]) -> dict[Guest | None, str]:
    """Return the comment of each guest's newest snapshot that has one.

    A backup task doesn't name its namespace: if several namespaces have the guest, none of their comments is used.
    """
    notes: dict[Guest | None, str] = {}
    for store, backup_type, backup_id in guests:
        listing = listings.get(store)
        if listing is None or listing.namespace_count != len(listing.namespaces):
            # A namespace that isn't listed may have the guest too.
            continue
        found = [
            group
            for groups in listing.namespaces.values()
            if (group := groups.get((backup_type, backup_id))) is not None
        ]
        if len(found) == 1:
            notes[store, backup_type, backup_id] = found[0].note[1]
    return notes
