"""The task list."""

from collections.abc import Iterable

import msgspec

from pbs_exporter.simulator.answer import Answer
from pbs_exporter.simulator.api import Params
from pbs_exporter.simulator.world.plan import Plan, TaskRow

_DEFAULT_LIMIT = 50


def task_list(plans: Iterable[Plan], params: Params, now: int, kept_seconds: int) -> Answer:
    """Return `/nodes/{node}/tasks`: running tasks, followed by finished ones, each with the newest first."""
    store = params.get("store")
    running: list[TaskRow] = []
    finished: list[TaskRow] = []
    begin = max(now - kept_seconds, _number(params, "since", 0))
    end = min(now, _number(params, "until", now))
    for plan in plans:
        if store is not None and plan.store != store:
            continue
        for number in _candidates(plan, begin, end, now, running_only=params.get("running") is True):
            row = plan.row(number, now)
            if _wanted(row, params):
                (running if row.endtime is None else finished).append(row)
    running.sort(key=lambda row: -row.starttime)
    finished.sort(key=lambda row: -(row.endtime or 0))
    rows = running + finished
    start = _number(params, "start", 0)
    limit = _number(params, "limit", _DEFAULT_LIMIT) or len(rows)
    shown = rows[start : start + limit]
    # PBS's total is a hint for paging: it only tells that there are more.
    total = start + len(shown) + (start + limit < len(rows))
    return Answer.stream(msgspec.json.encode(shown), total=total)


def _candidates(plan: Plan, begin: int, end: int, now: int, *, running_only: bool) -> Iterable[int]:
    if not running_only:
        return plan.rhythm.since(begin, end)
    number = plan.rhythm.running(now)
    return () if number is None or not begin <= plan.rhythm.start(number) <= end else (number,)


def _wanted(row: TaskRow, params: Params) -> bool:
    typefilter, userfilter = params.get("typefilter", ""), params.get("userfilter", "")
    states = params.get("statusfilter")
    return (
        str(typefilter) in row.worker_type
        and str(userfilter) in row.user
        and not (params.get("errors") is True and row.status == "OK")
        and not (isinstance(states, list) and _state(row.status) not in states)
    )


def _state(status: str | None) -> str | None:
    if status is None or status == "unknown":
        return status
    if status == "OK":
        return "ok"
    return "warning" if status.startswith("WARNINGS: ") else "error"


def _number(params: Params, name: str, otherwise: int) -> int:
    value = params.get(name)
    return value if isinstance(value, int) else otherwise
