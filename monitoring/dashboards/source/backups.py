"""Backup groups: age, size, count, verification, encryption, and the newest failures."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import ANY_IS_A_WARNING, ANY_IS_BAD, OF_LIMIT, PLAIN, VERIFICATION, YES_IS_FINE
from monitoring.dashboards.source.failing import newest_failures, too_old
from monitoring.dashboards.source.panels import FEW_POINTS, graph, last, latest, number, of_series, steady
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import (
    GROUP,
    LABELS,
    PBS,
    backup_type,
    by,
    datastore,
    everywhere,
    instance,
    named_root,
    names,
    namespace,
    on,
    with_names,
)

_KEYS = {
    "instance": "PBS",
    "datastore": "Datastore",
    "namespace": "Namespace",
    "backup_type": "Type",
    "backup_id": "ID",
}
_EACH = by(*LABELS)
_NAME = "{{instance}} {{datastore}} {{namespace}} {{backup_type}}/{{backup_id}} {{comment}}"
_AGE = f"group:pbs_snapshot_age:seconds{{{GROUP}}}"
_LIMIT = f"group:pbs_snapshot_age:limit_seconds{{{GROUP}}}"
_SIZE = f"pbs_snapshot_size_bytes{{{GROUP}}}"
_COUNT = f"pbs_snapshot_count{{{GROUP}}}"
_COUNTS = f"backup_type:pbs_snapshot_count:sum{{{GROUP}}}"
_LAST = f"pbs_snapshot_last_verification{{{GROUP}}}"
_ROWS = 500
"""The most rows of a table: Prometheus chooses them, and a browser can sort them."""
_LINKS = {
    "Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"}),
    "ID": ("pbs-backups", {"instance": "PBS", "datastore": "Datastore", "backup_type": "Type"}),
}
_TASK = f'worker_type=~"backup|verif.*|sync.*|prune.*", worker_id=~"(.*:)?($datastore)(:.*)?", {PBS}'
"""Tasks that work on backups. Their IDs have the datastore between colons: first, or after a sync job's remote."""


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-backups",
        "Backup groups: how old, how large, how many, verified, encrypted; and what failed last.",
        [*everywhere(), instance(), datastore(), namespace(), backup_type()],
        refresh="5m",
    )
    _numbers(board)
    board.line(16, (24, _groups()))
    board.row("What isn't well")
    board.line(9, (12, _failures()), (12, _flaws()))
    board.row("Over time")
    _over_time(board)
    return board.build()


def _numbers(board: Board) -> None:
    panels = (
        number(
            "Groups",
            "Backup groups that the filters leave.",
            "none",
            f"count({_COUNT})",
            empty="no backups",
            steps=PLAIN,
        ),
        number(
            "Snapshots",
            "Snapshots of these groups, finished or not.",
            "none",
            f"sum({_COUNT})",
            empty="no backups",
        ),
        too_old("Too old", GROUP),
        number(
            "Verification failed",
            "Groups whose newest finished snapshot failed verification.",
            "none",
            f'sum(pbs_snapshot_last_verification{{state="failed", {GROUP}}})',
            empty="no backups",
            steps=ANY_IS_BAD,
        ),
        number(
            "Never verified",
            "Groups of which no snapshot was ever verified.",
            "none",
            f"count({_COUNT} unless {on(*LABELS)}"
            f" pbs_snapshot_last_verification_timestamp_seconds{{{GROUP}}}) or 0 * count({_COUNT})",
            empty="no backups",
            steps=ANY_IS_A_WARNING,
        ),
        number(
            "Not encrypted",
            "Groups whose newest finished snapshot isn't encrypted. No fault where encryption isn't wanted.",
            "none",
            f"count(pbs_snapshot_last_encrypted{{{GROUP}}} == 0) or 0 * count(pbs_snapshot_last_encrypted{{{GROUP}}})",
            empty="no backups",
        ),
        number(
            "Unfinished",
            "Snapshots that are running or were aborted.",
            "none",
            f"sum(pbs_snapshot_unfinished{{{GROUP}}})",
            empty="no backups",
        ),
        number(
            "Damaged",
            "Snapshots whose manifest PBS can't read.",
            "none",
            f"sum(pbs_snapshot_damaged{{{GROUP}}})",
            empty="no backups",
            steps=ANY_IS_BAD,
        ),
    )
    board.line(4, *((3, panel) for panel in panels))


def _groups() -> object:
    ratio = f"{_AGE} / {_LIMIT}"
    first = f"{on(*LABELS)} topk({_ROWS}, group:pbs_snapshot_age:rank{{{GROUP}}})"

    def each(expr: str, *labels: str) -> str:
        return named_root(f"max {by(*LABELS, *labels)} ({expr} and {first})")

    return table(
        "Groups",
        f"A row for each backup group: the {_ROWS} farthest over or nearest to their limit. "
        "Choose a datastore, namespace or type to see others. A click on a heading sorts, the funnel in it filters. "
        "The name is the newest note of its snapshots, the note that of the group itself. "
        "A blank cell is what PBS didn't say.",
        _KEYS,
        [
            Text(
                {"comment": "Name", "group_comment": "Note"},
                each(names(GROUP), "comment", "group_comment"),
            ),
            Column("Of limit", each(ratio), "percentunit", steps=OF_LIMIT),
            Column("Age", each(f"time() - pbs_snapshot_last_timestamp_seconds{{{GROUP}}}"), "s"),
            Column("Size", each(_SIZE), "bytes"),
            Column("Snapshots", each(_COUNT)),
            Text({"state": "Verified"}, each(f"{_LAST} == 1", "state"), VERIFICATION),
            Column(
                "Verified ago",
                each(f"time() - pbs_snapshot_last_verification_timestamp_seconds{{{GROUP}}}"),
                "s",
            ),
            Column("Encrypted", each(f"pbs_snapshot_last_encrypted{{{GROUP}}}"), states=YES_IS_FINE),
            Column("Protected", each(f"pbs_snapshot_protected{{{GROUP}}}")),
        ],
        empty="no backups, or rules not loaded",
        sort="Of limit",
        links=_LINKS,
        filters=True,
    )


def _failures() -> object:
    links = {"Task": ("pbs-jobs-tasks", {"instance": "PBS"})}
    return newest_failures("Backups, verifications, syncs and prunes", _TASK, "Task type", links)


def _flaws() -> object:
    flawed = (
        f"pbs_snapshot_unfinished{{{GROUP}}}",
        f"pbs_snapshot_damaged{{{GROUP}}}",
        f'pbs_snapshot_verification{{state="failed", {GROUP}}}',
    )
    unfinished, damaged, failed = (named_root(f"topk({_ROWS}, max {_EACH} ({one} > 0))") for one in flawed)
    any_flaw = " or ".join(f"sum {_EACH} ({one} > 0)" for one in flawed)
    known = f"max {by(*LABELS, 'comment')} ({names(GROUP)} and {on(*LABELS)} topk({_ROWS}, {any_flaw}))"

    return table(
        "Snapshots that aren't whole",
        "Groups with snapshots that are running or were aborted, that PBS can't read, or that failed verification. "
        "Empty while all snapshots are whole.",
        _KEYS,
        [
            Text({"comment": "Name"}, named_root(known)),
            Column("Unfinished", unfinished, steps=ANY_IS_A_WARNING),
            Column("Damaged", damaged, steps=ANY_IS_BAD),
            Column("Failed verification", failed, steps=ANY_IS_BAD),
        ],
        empty="all snapshots are whole",
        sort="Failed verification",
        links=_LINKS,
    )


def _over_time(board: Board) -> None:
    here = [of_series("pbs-backups", "instance", "datastore")]
    store = by("datastore")
    board.line(
        9,
        (
            12,
            graph(
                "Oldest groups",
                "Age of the newest finished snapshot: the ten groups where it is oldest.",
                "s",
                [(with_names(steady(10, _AGE, latest(_AGE)), GROUP), _NAME)],
                empty="no backups, or rules not loaded",
                points=FEW_POINTS,
                links=here,
            ),
        ),
        (
            12,
            graph(
                "Largest backups",
                "Logical size of the newest finished snapshot: the ten largest.",
                "bytes",
                [(with_names(steady(10, _SIZE, latest(_SIZE)), GROUP), _NAME)],
                empty="no backups",
                points=FEW_POINTS,
                links=here,
            ),
        ),
    )
    board.line(
        9,
        (
            12,
            graph(
                "Snapshots",
                "Snapshots of each datastore: the twenty with the most.",
                "none",
                [
                    (
                        steady(20, f"sum {store} ({_COUNTS})", f"sum {store} ({last(_COUNTS)})"),
                        "{{instance}} {{datastore}}",
                    )
                ],
                empty="no backups",
                stacked=True,
                links=here,
            ),
        ),
        (
            12,
            graph(
                "Verification",
                "Snapshots by state of verification; none is one that wasn't verified yet.",
                "none",
                [(f"sum by (state) (backup_type:pbs_snapshot_verification:sum{{{GROUP}}})", "{{state}}")],
                empty="no backups, or rules not loaded",
                stacked=True,
            ),
        ),
    )
