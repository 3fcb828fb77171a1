"""Backup groups: age, size, count, verification, encryption, and the newest failures."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import ANY_IS_A_WARNING, ANY_IS_BAD, OF_LIMIT, PLAIN, VERIFICATION, YES_IS_FINE
from monitoring.dashboards.source.failing import newest_failures, too_old
from monitoring.dashboards.source.panels import graph, last, number, of_series, steady
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import (
    GROUP,
    PBS,
    backup_type,
    by,
    datastore,
    instance,
    named_root,
    namespace,
    source,
)

_LABELS = ("datastore", "namespace", "backup_type", "backup_id")
_KEYS = {
    "instance": "PBS",
    "datastore": "Datastore",
    "namespace": "Namespace",
    "backup_type": "Type",
    "backup_id": "ID",
}
_EACH = by(*_LABELS)
_NAME = "{{instance}} {{datastore}} {{namespace}} {{backup_type}}/{{backup_id}}"
_AGE = f"group:pbs_snapshot_age:seconds{{{GROUP}}}"
_LIMIT = f"group:pbs_snapshot_age:limit_seconds{{{GROUP}}}"
_SIZE = f"pbs_snapshot_size_bytes{{{GROUP}}}"
_COUNT = f"pbs_snapshot_count{{{GROUP}}}"
_LAST = f"pbs_snapshot_last_verification{{{GROUP}}}"
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
        [source(), instance(), datastore(), namespace(), backup_type()],
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
        too_old("Too old", _AGE, _LIMIT),
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
            f"count({_COUNT} unless on (instance, {', '.join(_LABELS)})"
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
    def each(expr: str) -> str:
        return named_root(f"max {_EACH} ({expr})")

    notes = f"count {by(*_LABELS, 'comment')} (pbs_snapshot_info{{{GROUP}}})"
    return table(
        "Groups",
        "A row for each backup group, those nearest to or farthest over their limit first; a click on a heading sorts, "
        "the funnel in it filters. The name is the note that most snapshots have. "
        "A blank cell is what PBS didn't say.",
        _KEYS,
        [
            Text({"comment": "Name"}, named_root(f"topk {_EACH} (1, {notes})")),
            Column("Of limit", each(f"{_AGE} / {_LIMIT}"), "percentunit", steps=OF_LIMIT),
            Column("Age", each(f"time() - pbs_snapshot_last_timestamp_seconds{{{GROUP}}}"), "s"),
            Column("Size", each(_SIZE), "bytes"),
            Column("Snapshots", each(_COUNT)),
            Text({"state": "Verified"}, named_root(f"max {by(*_LABELS, 'state')} ({_LAST} == 1)"), VERIFICATION),
            Column(
                "Verified ago",
                each(f"time() - pbs_snapshot_last_verification_timestamp_seconds{{{GROUP}}}"),
                "s",
            ),
            Column("Encrypted", each(f"pbs_snapshot_last_encrypted{{{GROUP}}}"), states=YES_IS_FINE),
            Column("Protected", each(f"pbs_snapshot_protected{{{GROUP}}}")),
            Column("Unfinished", each(f"pbs_snapshot_unfinished{{{GROUP}}}"), steps=ANY_IS_A_WARNING),
            Column("Damaged", each(f"pbs_snapshot_damaged{{{GROUP}}}"), steps=ANY_IS_BAD),
        ],
        empty="no backups",
        sort="Of limit",
        links=_LINKS,
        filters=True,
    )


def _failures() -> object:
    links = {"Task": ("pbs-jobs-tasks", {"instance": "PBS"})}
    return newest_failures("Backups, verifications, syncs and prunes", _TASK, "Task type", links)


def _flaws() -> object:
    def each(expr: str) -> str:
        return named_root(f"max {_EACH} ({expr} > 0)")

    return table(
        "Snapshots that aren't whole",
        "Groups with snapshots that are running or were aborted, that PBS can't read, or that failed verification. "
        "Empty while all snapshots are whole.",
        _KEYS,
        [
            Column("Unfinished", each(f"pbs_snapshot_unfinished{{{GROUP}}}"), steps=ANY_IS_A_WARNING),
            Column("Damaged", each(f"pbs_snapshot_damaged{{{GROUP}}}"), steps=ANY_IS_BAD),
            Column(
                "Failed verification",
                each(f'pbs_snapshot_verification{{state="failed", {GROUP}}}'),
                steps=ANY_IS_BAD,
            ),
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
                [(steady(10, _AGE, last(_AGE)), _NAME)],
                empty="no backups, or rules not loaded",
                links=here,
            ),
        ),
        (
            12,
            graph(
                "Largest backups",
                "Logical size of the newest finished snapshot: the ten largest.",
                "bytes",
                [(steady(10, _SIZE, last(_SIZE)), _NAME)],
                empty="no backups",
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
                        steady(20, f"sum {store} ({_COUNT})", f"sum {store} ({last(_COUNT)})"),
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
                [(f"sum by (state) (pbs_snapshot_verification{{{GROUP}}})", "{{state}}")],
                empty="no backups",
                stacked=True,
            ),
        ),
    )
