"""What wins where a full listing, an incremental one and listings of single groups overlap.

Listings are numbered in the order in which they begin. Of two that read the same group, the later one is right.
An incremental listing that began after a full one is also the better authority on which groups exist.
"""

from collections.abc import Mapping

import msgspec

from pbs_exporter.clock import Instant
from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints, confirmed
from pbs_exporter.pbs.snapshots.full_listing import FullListing
from pbs_exporter.pbs.snapshots.group_summary import GroupSummary
from pbs_exporter.pbs.snapshots.incremental_listing import IncrementalListing
from pbs_exporter.pbs.snapshots.known import Known
from pbs_exporter.pbs.snapshots.listing import GroupKey, Listing, Namespaces, group_of


def with_full(known: Known, full: FullListing, number: int, at: Instant) -> Known:
    """Return what is known after a full listing that has succeeded. `number` is its own, `at` when it was answered."""
    later = {key: own for key, own in known.group_numbers.items() if own > number}
    if known.listing is None or known.incremental_number < number:
        namespaces = _replaced(full.namespaces, {key: group_of(known.namespaces, key) for key in later})
        listing = Listing(namespaces, at.unix, at.unix, full.namespace_count)
        listed_at: float | None = at.monotonic
    else:
        namespaces = {
            namespace: {
                group_id: group if (namespace, group_id) in later else read.get(group_id, group)
                for group_id, group in groups.items()
            }
            for namespace, groups in known.namespaces.items()
            for read in (full.namespaces.get(namespace, {}),)
        }
        listing = msgspec.structs.replace(known.listing, namespaces=namespaces, full_timestamp=at.unix)
        listed_at = known.listed_at
    return msgspec.structs.replace(
        known,
        listing=listing,
        listed_at=listed_at,
        fingerprints=confirmed(known.fingerprints, namespaces),
        group_numbers=later,
        full_number=number,
    )


def with_incremental(known: Known, found: IncrementalListing, at: Instant) -> Known:
    """Return what is known after an incremental listing.

    Where it failed in part, its groups are taken and the listing keeps its time.
    """
    own = found.listed if found.number > known.full_number else frozenset()
    namespaces = {
        namespace: {
            group_id: group if (namespace, group_id) in own else before.get(group_id, group)
            for group_id, group in groups.items()
        }
        for namespace, groups in found.namespaces.items()
        for before in (known.namespaces.get(namespace, {}),)
    }
    after = msgspec.structs.replace(
        known,
        fingerprints=found.fingerprints
        if known.full_number < found.number
        else confirmed(found.fingerprints, namespaces),
        relist=found.relist,
        group_numbers={**known.group_numbers, **dict.fromkeys(own, found.number)},
    )
    if known.listing is None:
        return after
    if found.error is not None:
        return msgspec.structs.replace(after, listing=msgspec.structs.replace(known.listing, namespaces=namespaces))
    listing = Listing(namespaces, at.unix, known.listing.full_timestamp, found.namespace_count)
    return msgspec.structs.replace(after, listing=listing, listed_at=at.monotonic, incremental_number=found.number)


def with_fingerprints(known: Known, rows: Fingerprints) -> Known:
    """Return what is known where `rows` were answered before the newest full listing began.

    What changed while PBS read is missing from them or disagrees, and so isn't missed.
    """
    return msgspec.structs.replace(known, fingerprints=confirmed(rows, known.namespaces), relist=frozenset())


def _replaced(namespaces: Namespaces, groups: Mapping[GroupKey, GroupSummary | None]) -> Namespaces:
    merged = {namespace: dict(those) for namespace, those in namespaces.items()}
    for (namespace, group_id), group in groups.items():
        if group is not None:
            merged.setdefault(namespace, {})[group_id] = group
    return merged
