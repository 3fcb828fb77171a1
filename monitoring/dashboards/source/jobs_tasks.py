"""Jobs and tasks: their states, durations and failures; tape drives and tapes."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import ANY_IS_A_WARNING, ANY_IS_BAD, JOB, OVERDUE, YES_IS_FINE
from monitoring.dashboards.source.failing import newest_failures
from monitoring.dashboards.source.panels import (
    FEW_POINTS,
    bars,
    graph,
    last,
    latest,
    number,
    of_series,
    steady,
    timeline,
)
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import JOB as MATCH
from monitoring.dashboards.source.variables import PBS, by, datastore, everywhere, instance, job_type, on

_LABELS = ("job_type", "job_id", "datastore")
_EACH = by(*_LABELS)
_STATES = ("never", "ok", "running", "unknown", "warning", "error")
"""As `colors.JOB` numbers them."""

_DURATION = f"pbs_job_last_run_duration_seconds{{{MATCH}}}"
_NEXT = f"pbs_job_next_run_timestamp_seconds{{{MATCH}}}"
_MINUTE, _HOUR = 60, 3600
"""PBS starts what is due once a minute."""


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-jobs-tasks",
        "Sync, verify, prune and tape backup jobs, tasks of every kind, and tapes: state, duration, failures.",
        [*everywhere(), instance(), datastore(), job_type()],
    )
    _numbers(board)
    board.row("Jobs")
    board.line(10, (24, _jobs()))
    board.line(9, (14, _states()), (10, _durations_of_jobs()))
    board.row("Tasks")
    board.line(9, (14, _failures()), (10, _running()))
    _tasks(board)
    board.row("Tape")
    board.line(7, (12, _tapes()), (12, _drives()))
    return board.build()


def _state() -> str:
    numbered = (
        f'max {_EACH} (pbs_job_status{{status="{state}", {MATCH}}} == 1) * {number_}'
        for number_, state in enumerate(_STATES)
    )
    return " or ".join(numbered)


def _overdue(seconds: int) -> str:
    """Return how long ago jobs should have started, if it is longer ago than this and they don't run."""
    running = f'pbs_job_status{{status="running", {MATCH}}} == 1'
    return f"time() - {_NEXT} > {seconds} unless {on('job_type', 'job_id')} ({running})"


def _numbers(board: Board) -> None:
    jobs = f"pbs_job_enabled{{{MATCH}}}"
    tasks = f'pbs_task_total{{status="%s", {PBS}}}'
    panels = (
        number("Jobs", "Jobs that the filters leave.", "none", f"count({jobs})", empty="no jobs"),
        number(
            "Failing",
            "Jobs whose last known run failed. While a job runs PBS hides that run, and it is remembered.",
            "none",
            f"sum(job:pbs_job_status:error{{{MATCH}}})",
            empty="no jobs, or rules not loaded",
            steps=ANY_IS_BAD,
        ),
        number(
            "Overdue",
            "Jobs that should have started more than an hour ago, and don't run.",
            "none",
            f"count({_overdue(_HOUR)}) or 0 * count({jobs})",
            empty="no jobs",
            steps=ANY_IS_BAD,
        ),
        number(
            "Never ran",
            "Jobs of which PBS knows no run.",
            "none",
            f'sum(pbs_job_status{{status="never", {MATCH}}})',
            empty="no jobs",
            steps=ANY_IS_A_WARNING,
        ),
        number(
            "Running tasks",
            "Tasks of every kind that run now.",
            "none",
            f"sum({tasks % 'running'}) or 0 * count(pbs_up{{{PBS}}} == 1)",
            empty="no PBS answers",
        ),
        number(
            "Failed tasks",
            "Tasks that ended in an error within the exporter's window, 24 hours if it isn't set otherwise.",
            "none",
            f"sum({tasks % 'error'})",
            empty="no task is known",
            steps=ANY_IS_A_WARNING,
        ),
    )
    board.line(4, *((4, panel) for panel in panels))


def _jobs() -> object:
    def each(metric: str) -> str:
        return f"max {_EACH} ({metric}{{{MATCH}}})"

    return table(
        "Jobs",
        "A row for each job, the worst first. "
        "While a job runs PBS hides how its last run went, so those cells stay blank meanwhile.",
        {"instance": "PBS", "job_type": "Type", "job_id": "Job", "datastore": "Datastore"},
        [
            Column("State", _state(), states=JOB),
            Column("Enabled", each("pbs_job_enabled"), states=YES_IS_FINE),
            Column("Last run", f"1000 * {each('pbs_job_last_run_timestamp_seconds')}", "dateTimeFromNow"),
            Column("Took", each("pbs_job_last_run_duration_seconds"), "s"),
            Column("Next run in", f"max {_EACH} ({_NEXT} - time() >= 0)", "s"),
            Column("Overdue by", f"max {_EACH} ({_overdue(_MINUTE)} or 0 * {_NEXT})", "s", steps=OVERDUE),
            Text(
                {
                    "namespace": "Namespace",
                    "remote": "Remote",
                    "remote_datastore": "There",
                    "direction": "Direction",
                    "schedule": "Schedule",
                },
                f"max {by(*_LABELS, 'namespace', 'remote', 'remote_datastore', 'direction', 'schedule')}"
                f" (pbs_job_info{{{MATCH}}})",
            ),
        ],
        empty="no jobs",
        sort="State",
        links={"Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"})},
        filters=True,
    )


def _states() -> object:
    return timeline(
        "State of jobs",
        "How each job's last run ended, and when it ran.",
        _state(),
        "{{instance}} {{job_type}} {{job_id}}",
        JOB,
        empty="no jobs",
        links=[of_series("pbs-jobs-tasks", "instance", "job_type")],
    )


def _durations_of_jobs() -> object:
    return graph(
        "Duration of jobs",
        "How long the last run of each job took: the ten that took longest.",
        "s",
        [(steady(10, _DURATION, last(_DURATION)), "{{instance}} {{job_type}} {{job_id}}")],
        empty="no job has run",
        links=[of_series("pbs-jobs-tasks", "instance", "job_type")],
    )


def _failures() -> object:
    return newest_failures("Tasks", PBS, "Type", {"PBS": ("pbs-backups", {"instance": "PBS"})})


def _running() -> object:
    return graph(
        "Running tasks",
        "Tasks that run, by type.",
        "none",
        [(f"sum {by('worker_type')} (pbs_task_running{{{PBS}}})", "{{instance}} {{worker_type}}")],
        empty="no task runs",
        stacked=True,
    )


def _tasks(board: Board) -> None:
    of_type = f"worker_type:pbs_task_duration_seconds:max{{{PBS}}}"
    newest = f"pbs_task_duration_seconds{{{PBS}}}"
    board.line(
        9,
        (
            8,
            graph(
                "Tasks by result",
                "Tasks that ended within the exporter's window, 24 hours if it isn't set otherwise, by how they ended.",
                "none",
                [(f'sum by (status) (pbs_task_total{{status!="running", {PBS}}})', "{{status}}")],
                empty="no task is known",
                stacked=True,
            ),
        ),
        (
            8,
            graph(
                "Failed tasks by type",
                "Tasks of the window that ended in an error, by type. Empty where no task of the window failed.",
                "none",
                [
                    (
                        f'sum {by("worker_type")} (pbs_task_total{{status="error", {PBS}}})',
                        "{{instance}} {{worker_type}}",
                    ),
                ],
                empty="no task failed",
                stacked=True,
            ),
        ),
        (
            8,
            graph(
                "Longest running task",
                "How long the longest running task of each type has been running. Empty while no task runs.",
                "s",
                [
                    (
                        f"time() - pbs_task_running_start_timestamp_seconds{{{PBS}}}",
                        "{{instance}} {{worker_type}}",
                    ),
                ],
                empty="no task runs",
            ),
        ),
    )
    board.line(
        9,
        (
            8,
            graph(
                "Longest of each type",
                "The longest of the newest runs of each type of task: what the alert on long runs compares with. "
                "The twenty types that take longest.",
                "s",
                [(steady(20, of_type, last(of_type)), "{{instance}} {{worker_type}}")],
                empty="no task has ended, or rules not loaded",
            ),
        ),
        (
            8,
            graph(
                "Longest tasks",
                "Duration of the newest run of a task, whatever its result: the ten longest.",
                "s",
                [(steady(10, newest, latest(newest)), "{{instance}} {{worker_type}} {{worker_id}} {{comment}}")],
                empty="no task has ended",
                points=FEW_POINTS,
            ),
        ),
        (
            8,
            bars(
                "Time since the last task",
                "How long ago the newest task of each type ended, within the window: the twelve where it is longest.",
                "s",
                f"sort_desc(topk(12, time() - pbs_task_last_run_timestamp_seconds{{{PBS}}}))",
                "{{instance}} {{worker_type}}",
                empty="no task has ended",
            ),
        ),
    )


def _tapes() -> object:
    return table(
        "Tapes",
        "Tapes by pool, status and kind of place. A tape without a pool is unassigned. Empty without tapes.",
        {"instance": "PBS", "pool": "Pool", "status": "Status", "location": "Place"},
        [Column("Tapes", f"max {by('pool', 'status', 'location')} (pbs_tape_media{{{PBS}}})")],
        empty="no tapes",
        sort="Pool",
        descending=False,
        links={"PBS": ("pbs-host-exporter", {"instance": "PBS"})},
    )


def _drives() -> object:
    each = by("name", "vendor", "model", "serial")
    return table(
        "Tape drives",
        "Configured drives and their devices, as far as PBS sees them. Empty without a tape drive.",
        {"instance": "PBS", "name": "Drive"},
        [
            Text(
                {"vendor": "Vendor", "model": "Model", "serial": "Serial"},
                f"max {each} (pbs_tape_drive_info{{{PBS}}})",
            ),
            Column(
                "State",
                f"max {by('name')} (pbs_tape_drive_busy{{{PBS}}})",
                states={0: ("free", "green"), 1: ("busy", "blue")},
            ),
        ],
        empty="no tape drive",
        sort="Drive",
        descending=False,
        links={"PBS": ("pbs-host-exporter", {"instance": "PBS"})},
    )
