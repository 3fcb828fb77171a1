"""Which groups have changed, by what `/groups` says of them.

PBS reads a few directories for `/groups`, and every manifest for `/snapshots`. A row of `/groups` is the fingerprint of
a group: while it stays the same, the group's snapshots needn't be listed again.
"""

from collections.abc import Collection, Mapping

from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.group_summary import GroupSummary
from pbs_exporter.pbs.snapshots.listing import GroupKey, Namespaces, group_of

MANY = 20
"""More changed groups than this, and more than a tenth of all, cost PBS more one by one than a full listing."""

BATCH = 200
"""Number of changed groups that one listing lists at most, where a full listing isn't possible."""

_MANIFEST = "index.json.blob"

Fingerprints = Mapping[GroupKey, GroupRow]
"""What `/groups` said of each group before the group was listed."""


def changed_groups(
    rows: Fingerprints, known: Fingerprints, namespaces: Namespaces, relist: Collection[GroupKey]
) -> frozenset[GroupKey]:
    """Return the groups to list: those whose row isn't the known one, and those of `relist`.

    This can't see snapshots that were removed while as many were added, all older than the newest finished one,
    between two listings. A client's backup is newer than all others, so that takes a sync of old snapshots into a
    group that is pruned at the same time. Count, last backup and newest snapshot are right even then; the rest comes
    with the next full listing.
    """
    return frozenset(
        key
        for key, row in rows.items()
        if key in relist or _has_changed(row, known.get(key), group_of(namespaces, key))
    )


def are_many(changed: Collection[GroupKey], rows: Fingerprints) -> bool:
    """Whether a full listing costs PBS less than listing these groups one by one."""
    return len(changed) > max(MANY, len(rows) / 10)


def batch_of(changed: frozenset[GroupKey], rows: Fingerprints) -> frozenset[GroupKey]:
    """Return the changed groups to list now: all, or those with the newest backups."""
    if len(changed) <= BATCH:
        return changed
    return frozenset(sorted(changed, key=lambda key: (-rows[key].last_backup, key))[:BATCH])


def confirmed(fingerprints: Fingerprints, namespaces: Namespaces) -> Fingerprints:
    """Return the fingerprints that match the groups: a full listing may have read a group later than `/groups`."""
    return {key: row for key, row in fingerprints.items() if _agree(row, group_of(namespaces, key))}


def _has_changed(row: GroupRow, before: GroupRow | None, group: GroupSummary | None) -> bool:
    return not _agree(row, group) if before is None or group is None else row != before


def _agree(row: GroupRow, group: GroupSummary | None) -> bool:
    """Whether a group that was listed without asking `/groups` first is what the row says."""
    if group is None or (row.backup_count, row.owner) != (group.count, group.owner):
        return False
    if _MANIFEST in (row.files or ()):
        return group.newest is not None and row.last_backup == group.newest.time
    return group.newest is None and row.last_backup == group.last
