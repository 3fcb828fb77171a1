"""All PBS at a glance, and what needs attention."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import (
    ANY_IS_A_WARNING,
    ANY_IS_BAD,
    DAYS_UNTIL_FULL,
    FILL,
    OF_LIMIT,
    OVERDUE,
    SEVERITY,
    UP,
    Steps,
)
from monitoring.dashboards.source.failing import too_old
from monitoring.dashboards.source.panels import bars, graph, last, number, of_series, steady
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import (
    EXPORTER,
    LABELS,
    PBS,
    by,
    everywhere,
    instance,
    named_root,
    names,
    on,
    with_names,
)

_ALERTS = f'alertname=~"Pbs.*", {PBS}'
_FIRING = f'ALERTS{{alertstate="firing", {_ALERTS}}}'
_RULES = f"0 * count(datastore:pbs_datastore_used:ratio{{{PBS}}})"
"""Zero if the rules are loaded, and no value if they aren't."""

_AGE = f"group:pbs_snapshot_age:seconds{{{PBS}}}"
_LIMIT = f"group:pbs_snapshot_age:limit_seconds{{{PBS}}}"
_USED = f"datastore:pbs_datastore_used:ratio{{{PBS}}}"
_FULL = f"datastore:pbs_datastore_full:seconds{{{PBS}}}"
_ROWS = 500
_OLDEST = f"backup_type:pbs_snapshot_age:max_seconds{{{PBS}}}"
_OVER = f"backup_type:pbs_snapshot_age:over_limit{{{PBS}}}"
_NEXT = f"pbs_job_next_run_timestamp_seconds{{{PBS}}}"
_RUNNING = f'pbs_job_status{{status="running", {PBS}}} == 1'
_LATE = f"time() - {_NEXT} > 60 unless {on('job_type', 'job_id')} ({_RUNNING})"
"""PBS starts what is due once a minute."""


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-overview",
        "All Proxmox Backup Servers: which answer, what needs attention, how old backups are, what fills up.",
        [*everywhere(), instance()],
    )
    _numbers(board)
    board.line(10, (24, _attention()))
    # Twelve rows without scrolling.
    board.line(15, (24, _servers()))
    board.row("Datastores")
    board.line(9, (10, _fill()), (14, _forecast()))
    board.row("Backups")
    board.line(9, (24, _oldest()))
    _over_time(board)
    return board.build()


def _numbers(board: Board) -> None:
    board.line(
        4,
        (
            4,
            number(
                "PBS not answering",
                "Exporters that can't be scraped, and PBS that don't answer or refuse the token.",
                "none",
                f"count((({EXPORTER}) == 0) or (pbs_up{{{PBS}}} == 0)) or 0 * count({EXPORTER})",
                empty="no PBS is scraped",
                steps=ANY_IS_BAD,
            ),
        ),
        (4, _alerts("critical", ANY_IS_BAD)),
        (4, _alerts("warning", ANY_IS_A_WARNING)),
        (
            4,
            too_old("Backups too old", PBS),
        ),
        (
            4,
            number(
                "Failing jobs",
                "Sync, verify, prune and tape backup jobs whose last known run failed.",
                "none",
                f"sum(job:pbs_job_status:error{{{PBS}}})",
                empty="no jobs, or rules not loaded",
                steps=ANY_IS_BAD,
            ),
        ),
        (
            4,
            number(
                "Full within 30 days",
                "Datastores that are full then, by the trend of two weeks or by PBS's own estimate.",
                "none",
                f"count({_FULL} < 30 * 86400) or 0 * count({_USED})",
                empty="rules not loaded",
                steps=ANY_IS_A_WARNING,
            ),
        ),
    )


def _alerts(severity: str, steps: Steps) -> object:
    return number(
        f"Alerts: {severity}",
        f"Alerts of severity {severity} that fire now.",
        "none",
        f'count(ALERTS{{alertstate="firing", severity="{severity}", {_ALERTS}}}) or {_RULES}',
        empty="rules not loaded",
        steps=steps,
    )


def _worst() -> str:
    """Return the worst alerts that fire, as many as a table shows."""
    firing = 'ALERTS{{alertstate="firing", severity="{}", {}}}'.format
    ranked = (f"{-rank} * {firing(severity, _ALERTS)}" for rank, severity in enumerate(SEVERITY))
    return f"topk({_ROWS}, {' or '.join(ranked)})"


def _attention() -> object:
    since = f"ALERTS_FOR_STATE{{{_ALERTS}}} and ignoring (alertstate) {_worst()}"
    ranked = f"1000 * ({with_names(since, PBS)})"
    for rank, severity in enumerate(SEVERITY, start=1):
        ranked = f'label_replace({ranked}, "rank", "{rank}", "severity", "{severity}")'
    return table(
        "What needs attention",
        f"Alerts that fire now, the worst first, {_ROWS} of them at most. "
        "A cell leads to the dashboard of the PBS, datastore, group, job or collector that it names. "
        "Empty while no alert fires.",
        {
            "rank": "Severity",
            "alertname": "Alert",
            "instance": "PBS",
            "datastore": "Datastore",
            "namespace": "Namespace",
            "backup_type": "Type",
            "backup_id": "ID",
            "comment": "Name",
            "job_type": "Job type",
            "job_id": "Job",
            "worker_type": "Task type",
            "worker_id": "Task",
            "collector": "Collector",
            "privilege": "Privilege",
            "service": "Service",
            "disk": "Disk",
            "pool": "Pool",
            "name": "Drive",
            "version": "Version",
        },
        [Column("Since", ranked, "dateTimeFromNow")],
        empty="nothing needs attention, or rules not loaded",
        sort="Severity",
        descending=False,
        links={
            "PBS": ("pbs-host-exporter", {"instance": "PBS"}),
            "Collector": ("pbs-host-exporter", {"instance": "PBS"}),
            "Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"}),
            "ID": ("pbs-backups", {"instance": "PBS", "datastore": "Datastore"}),
            "Job": ("pbs-jobs-tasks", {"instance": "PBS"}),
            "Task": ("pbs-jobs-tasks", {"instance": "PBS"}),
        },
        hide=("job", "severity", "state", "status", "mode", "model", "serial", "vendor", "path"),
        states={"Severity": {str(rank): shown for rank, shown in enumerate(SEVERITY.values(), start=1)}},
    )


def _servers() -> object:
    each = by()
    return table(
        "Servers",
        "A row for each PBS. What an unreachable PBS would say is not known, so those cells stay blank.",
        {"instance": "PBS"},
        [
            Column("State", f"max {each} (pbs_up{{{PBS}}} or 0 * ({EXPORTER}))", states=UP),
            Text(
                {"version": "Version"},
                f'max {by("version")} (label_join(pbs_version{{{PBS}}}, "version", ".", "version", "release"))',
            ),
            Column("Alerts", f"count {each} ({_FIRING})", steps=ANY_IS_A_WARNING),
            Column("Datastores", f"count {each} (pbs_datastore_readable{{{PBS}}})"),
            Column("Not readable", f"sum {each} (1 - pbs_datastore_readable{{{PBS}}})", steps=ANY_IS_A_WARNING),
            Column("Fullest", f"max {each} ({_USED})", "percentunit", steps=FILL, gauge=True),
            Column("First full in", f"min {each} ({_FULL})", "s", steps=DAYS_UNTIL_FULL),
            Column("Groups", f"count {each} (pbs_snapshot_count{{{PBS}}})"),
            Column("Oldest backup", f"max {each} ({_OLDEST})", "s"),
            Column("Too old", f"sum {each} ({_OVER})", steps=ANY_IS_BAD),
            Column("Failing jobs", f"sum {each} (job:pbs_job_status:error{{{PBS}}})", steps=ANY_IS_BAD),
            Column("Failed tasks", f'sum {each} (pbs_task_total{{status="error", {PBS}}})', steps=ANY_IS_A_WARNING),
            Column("Job overdue by", f"max {each} ({_LATE} or 0 * {_NEXT})", "s", steps=OVERDUE),
            Column("Uptime", f"max {each} (pbs_host_uptime_seconds{{{PBS}}})", "s"),
        ],
        empty="no PBS is scraped",
        sort="Alerts",
        links={"PBS": ("pbs-host-exporter", {"instance": "PBS"})},
    )


def _fill() -> object:
    return bars(
        "Fullest datastores",
        "How much of each datastore's file system is used: the twelve fullest. "
        "Of an S3 datastore it is the local cache.",
        "percentunit",
        f"sort_desc(topk(12, {_USED}))",
        "{{instance}} {{datastore}}",
        empty="no datastores, or rules not loaded",
        steps=FILL,
        most=1,
        links=[of_series("pbs-datastore", "instance", "datastore")],
    )


def _forecast() -> object:
    nearest = f"bottomk(20, {_FULL})"
    each = by("datastore")

    def of_those(expr: str) -> str:
        return f"max {each} ({expr} and {on('datastore')} {nearest})"

    return table(
        "Datastores that are full next",
        "The twenty that are full first, by the trend of two weeks or by PBS's own estimate. "
        "Empty where no datastore grows.",
        {"instance": "PBS", "datastore": "Datastore"},
        [
            Column("Full in", f"max {each} ({nearest})", "s", steps=DAYS_UNTIL_FULL),
            Column("Used", of_those(_USED), "percentunit", steps=FILL, gauge=True),
            Column("Available", of_those(f"pbs_datastore_available_bytes{{{PBS}}}"), "bytes"),
        ],
        empty="no datastore grows, or rules not loaded",
        sort="Full in",
        descending=False,
        links={"Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"})},
    )


def _oldest() -> object:
    each = by(*LABELS)
    worst = f"topk(25, group:pbs_snapshot_age:rank{{{PBS}}} > 0)"
    known = f"max {by(*LABELS, 'comment')} ({names(PBS)} and {on(*LABELS)} {worst})"
    return table(
        "Oldest backups",
        "The 25 groups whose newest finished snapshot is oldest, as a share of the limit that applies to them.",
        {
            "instance": "PBS",
            "datastore": "Datastore",
            "namespace": "Namespace",
            "backup_type": "Type",
            "backup_id": "ID",
        },
        [
            Text({"comment": "Name"}, named_root(known)),
            Column("Of limit", named_root(f"max {each} ({worst})"), "percentunit", steps=OF_LIMIT),
            Column("Age", named_root(f"max {each} ({_AGE} and {worst})"), "s"),
            Column("Limit", named_root(f"max {each} ({_LIMIT} and {worst})"), "s"),
        ],
        empty="no backups, or rules not loaded",
        sort="Of limit",
        links={
            "Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"}),
            "ID": ("pbs-backups", {"instance": "PBS", "datastore": "Datastore", "backup_type": "Type"}),
        },
    )


def _over_time(board: Board) -> None:
    to_backups = [of_series("pbs-backups", "instance")]
    board.line(
        8,
        (
            12,
            graph(
                "Oldest backup of each PBS",
                "Age of the newest finished snapshot of the group where it is oldest: the ten PBS with the oldest.",
                "s",
                [(steady(10, f"max {by()} ({_OLDEST})", f"max {by()} ({last(_OLDEST)})"), "{{instance}}")],
                empty="no backups, or rules not loaded",
                links=to_backups,
            ),
        ),
        (
            12,
            graph(
                "Backups too old",
                "Backup groups whose newest finished snapshot is older than their limit, of each PBS.",
                "none",
                [(f"sum {by()} ({_OVER})", "{{instance}}")],
                empty="no backups, or rules not loaded",
                stacked=True,
                links=to_backups,
            ),
        ),
    )
    board.line(
        8,
        (
            12,
            graph(
                "Failed tasks",
                "Tasks that ended in an error within the exporter's window, 24 hours if it isn't set otherwise.",
                "none",
                [(f'sum {by()} (pbs_task_total{{status="error", {PBS}}})', "{{instance}}")],
                empty="no task is known",
                stacked=True,
                links=[of_series("pbs-jobs-tasks", "instance")],
            ),
        ),
        (
            12,
            graph(
                "Alerts",
                "Alerts that fired, by name. Empty while none fires.",
                "none",
                [(f"count by (alertname) ({_FIRING})", "{{alertname}}")],
                empty="no alert fired, or rules not loaded",
                stacked=True,
            ),
        ),
    )
