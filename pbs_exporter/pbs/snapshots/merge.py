"""What wins where a full listing, an incremental one and listings of single groups overlap.

Listings are numbered in the order in which they begin. Of two that read the same group, the later one is right. So it
is for which groups and which namespaces exist. Each namespace keeps its own time: one that fails costs itself only.
"""

from collections.abc import Collection

from msgspec.structs import replace

from pbs_exporter.clock import Instant
from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints, confirmed
from pbs_exporter.pbs.snapshots.full_listing import FullListing
from pbs_exporter.pbs.snapshots.group_summary import GroupId
from pbs_exporter.pbs.snapshots.incremental_listing import IncrementalListing
from pbs_exporter.pbs.snapshots.known import Known, KnownNamespace
from pbs_exporter.pbs.snapshots.listing import Groups


def with_full(known: Known, full: FullListing, number: int, at: Instant) -> Known:
    """Return what is known after a full listing. `number` is its own, `at` when it was answered.

    A namespace that failed is as it was before.
    """
    if full.names is None:
        return known
    is_newest = known.names_number < number
    names = tuple(full.names) if is_newest else known.names
    later = {key: own for key, own in known.group_numbers.items() if own > number}
    own_listings: dict[str, set[GroupId]] = {}
    for namespace, group_id in later:
        own_listings.setdefault(namespace, set()).add(group_id)
    namespaces: dict[str, KnownNamespace] = {}
    for name in names:
        before, read = known.namespaces.get(name), full.namespaces.get(name)
        if read is not None:
            namespaces[name] = _after_full(before, read, own_listings.get(name, set()), number, at)
        elif before is not None:
            namespaces[name] = before
    after = replace(
        known,
        names=names,
        names_number=max(known.names_number, number),
        namespace_count=full.namespace_count if is_newest else known.namespace_count,
        namespaces=namespaces,
        listed=at if full.namespaces or not names else known.listed,
        group_numbers=later if full.error is None else known.group_numbers,
    )
    return replace(after, fingerprints=confirmed(known.fingerprints, after.groups))


def _after_full(
    before: KnownNamespace | None, read: Groups, own: Collection[GroupId], number: int, at: Instant
) -> KnownNamespace:
    if before is None or before.groups_number < number:
        later = {} if before is None else {group_id: before.groups[group_id] for group_id in own & before.groups.keys()}
        return KnownNamespace({**read, **later}, at, at.unix, number, -1 if before is None else before.groups_number)
    groups = {
        group_id: group if group_id in own else read.get(group_id, group) for group_id, group in before.groups.items()
    }
    return replace(before, groups=groups, full_at=at.unix, full_number=number)


def with_incremental(known: Known, found: IncrementalListing, at: Instant) -> Known:
    """Return what is known after an incremental listing.

    Where a namespace failed in part, the groups that were listed are taken, and the namespace keeps its time.
    """
    is_newest = known.names_number < found.groups_number
    names = found.names if is_newest else known.names
    namespaces: dict[str, KnownNamespace] = {}
    for name in names:
        before, read = known.namespaces.get(name), found.namespaces.get(name)
        if read is not None:
            namespaces[name] = _after_incremental(before, name, read, found, at)
        elif before is not None:
            namespaces[name] = before
    after = replace(
        known,
        names=names,
        names_number=max(known.names_number, found.groups_number),
        namespace_count=found.namespace_count if is_newest else known.namespace_count,
        namespaces=namespaces,
        listed=known.listed if names and found.errors.keys() >= set(names) else at,
        relist=found.relist,
        group_numbers={**known.group_numbers, **dict.fromkeys(found.listed, found.number)},
    )
    is_overtaken = any(one.full_number > found.groups_number for one in namespaces.values())
    return replace(
        after, fingerprints=confirmed(found.fingerprints, after.groups) if is_overtaken else found.fingerprints
    )


def _after_incremental(
    before: KnownNamespace | None, name: str, read: Groups, found: IncrementalListing, at: Instant
) -> KnownNamespace:
    if before is None:
        return KnownNamespace(read, at, at.unix, groups_number=found.groups_number)
    is_overtaken = before.full_number > found.groups_number
    listed = {
        group_id: group
        for group_id, group in read.items()
        if (name, group_id) in found.listed and found.number > before.full_number
    }
    exist = before.groups if is_overtaken else read
    groups = {group_id: listed.get(group_id) or before.groups.get(group_id) or read[group_id] for group_id in exist}
    if is_overtaken:
        return replace(before, groups=groups)
    return replace(
        before, groups=groups, at=before.at if name in found.errors else at, groups_number=found.groups_number
    )


def with_fingerprints(known: Known, rows: Fingerprints) -> Known:
    """Return what is known where `rows` were answered before the newest full listing began.

    What changed while PBS read is missing from them or disagrees, and so isn't missed.
    """
    return replace(known, fingerprints=confirmed(rows, known.groups), relist=frozenset())
