"""Panels about failures that several dashboards share."""

from collections.abc import Mapping

from monitoring.dashboards.source.colors import ANY_IS_BAD
from monitoring.dashboards.source.panels import number
from monitoring.dashboards.source.tables import Column, table
from monitoring.dashboards.source.variables import by


def too_old(title: str, matchers: str) -> object:
    """Return a panel with the number of groups that are older than their limit."""
    return number(
        title,
        "Backup groups whose newest finished snapshot is older than their limit. "
        "Datastores in maintenance or not mounted don't count.",
        "none",
        f"sum(backup_type:pbs_snapshot_age:over_limit{{{matchers}}})",
        empty="no backups, or rules not loaded",
        steps=ANY_IS_BAD,
    )


def newest_failures(
    kinds: str, matchers: str, type_title: str, links: Mapping[str, tuple[str, Mapping[str, str]]]
) -> object:
    """Return a table of tasks whose newest run failed or warned. The label matchers choose their kinds."""
    failed = f'pbs_task_duration_seconds{{status=~"error|warning", {matchers}}}'
    return table(
        "Newest runs that failed",
        f"{kinds} whose newest run in the exporter's window ended in an error or a warning; "
        "a newer run that ends well takes the row away. The longest 500. Why it failed stands in PBS's task log. "
        "Empty while the newest run of everything ended well.",
        {
            "instance": "PBS",
            "status": "Result",
            "worker_type": type_title,
            "worker_id": "Task",
            "comment": "Name",
        },
        [Column("Ran for", f"topk(500, max {by('status', 'worker_type', 'worker_id', 'comment')} ({failed}))", "s")],
        empty="the newest run of everything ended well",
        sort="Result",
        descending=False,
        links=links,
        states={"Result": {"error": ("error", "red"), "warning": ("warning", "orange")}},
    )
