"""Guests of Proxmox VE: which have no backup on any PBS, and which only old ones."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import ANY_IS_A_WARNING, ANY_IS_BAD, BAD, GOOD, OF_LIMIT, WARNING, States
from monitoring.dashboards.source.panels import number
from monitoring.dashboards.source.tables import Column, table
from monitoring.dashboards.source.variables import cluster, source

_OF = 'instance=~"$cluster"'
_ID = "backup_type, backup_id"
_GUEST = f"pve_cluster, {_ID}"
_GUESTS = f"guest:pve_guest_info:max{{{_OF}}}"
_AGE = f"guest:pbs_snapshot_age:seconds{{{_OF}}}"
_LIMIT = f"guest:pbs_snapshot_age:limit_seconds{{{_OF}}}"
_NONE = f"{_GUESTS} unless on ({_GUEST}) guest:pbs_snapshot_last:timestamp_seconds"
_BACKUP: States = {2: ("none", BAD), 1: ("old", WARNING), 0: ("current", GOOD)}
_EMPTY = "no guests, or rules not loaded"


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-guests",
        "Guests of Proxmox VE with and without backups, with prometheus-pve-exporter and monitoring/rules/optional.",
        [source(), cluster()],
    )
    board.line(4, *((6, panel) for panel in _numbers()))
    board.line(24, (24, _guests()))
    return board.build()


def _numbers() -> tuple[object, ...]:
    return (
        number(
            "Guests", "Guests without templates and those tagged no-monitor.", "none", _count(_GUESTS), empty=_EMPTY
        ),
        number(
            "Without backup",
            "Guests of which no PBS has a finished backup.",
            "none",
            _count(_NONE),
            empty=_EMPTY,
            steps=ANY_IS_BAD,
        ),
        number(
            "Only old backups",
            "Guests whose newest backup, on whichever PBS, is older than their limit.",
            "none",
            _count(f"{_AGE} > {_LIMIT}"),
            empty=_EMPTY,
            steps=ANY_IS_A_WARNING,
        ),
        number(
            "Current backup",
            "Guests whose newest backup is younger than their limit.",
            "none",
            _count(f"{_AGE} <= {_LIMIT}"),
            empty=_EMPTY,
        ),
    )


def _count(expr: str) -> str:
    return f"count({expr}) or 0 * count({_GUESTS})"


def _guests() -> object:
    def each(expr: str) -> str:
        return f"max by (instance, {_ID}, name) ({expr})"

    def of_pbs(expr: str) -> str:
        return each(f"{_GUESTS} * on ({_GUEST}) group_left () {expr}")

    return table(
        "Guests",
        "A row for each guest, those without a backup first, and then those with old ones; a click on a heading sorts, "
        "the funnel in it filters. Backups count on every PBS, by type and ID. Names are those of Proxmox VE.",
        {"instance": "Proxmox VE", "backup_type": "Type", "backup_id": "ID", "name": "Name"},
        [
            Column("Backup", each(f"2 * ({_NONE}) or ({_AGE} > bool {_LIMIT})"), states=_BACKUP),
            Column("Newest", each(_AGE), "s"),
            Column("Of limit", each(f"{_AGE} / {_LIMIT}"), "percentunit", steps=OF_LIMIT),
            Column("Snapshots", of_pbs(f"sum by ({_GUEST}) (pbs_snapshot_count)")),
            Column("PBS", of_pbs(f"count by ({_GUEST}) (count by (job, instance, {_GUEST}) (pbs_snapshot_count))")),
        ],
        empty=_EMPTY,
        sort="Backup",
        filters=True,
    )
