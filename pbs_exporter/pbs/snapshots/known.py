"""What is known of one datastore's snapshots."""

import math
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from pbs_exporter.clock import Instant
from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints
from pbs_exporter.pbs.snapshots.listing import GroupKey, Groups, Listing, Namespaces


class KnownNamespace(msgspec.Struct, frozen=True):
    """The groups of a namespace, and which listings they come from.

    `at` is when PBS answered their counts and times, `full_at` when it answered the newest full listing (Unix seconds),
    whose number is `full_number`. `groups_number` is the number of the newest incremental listing that said which
    groups exist.
    """

    groups: Groups
    at: Instant
    full_at: float
    full_number: int = -1
    groups_number: int = -1


class Known(msgspec.Struct, frozen=True):
    """What earlier listings have shown.

    `names` are the namespaces that PBS listed at the listing `names_number`, `namespace_count` counts those that the
    filters leave out too. `namespaces` has those whose listing has succeeded at least once. `listed` is when that was
    last so for any. At `proven_at` (monotonic seconds) tasks proved that nothing had changed since. `relist` has the
    groups whose own listing failed, `group_numbers` the number of each group's newest own listing.
    """

    names: tuple[str, ...] = ()
    names_number: int = -1
    namespace_count: int = 0
    namespaces: Mapping[str, KnownNamespace] = {}
    listed: Instant | None = None
    proven_at: float = -math.inf
    fingerprints: Fingerprints = {}
    relist: frozenset[GroupKey] = frozenset()
    group_numbers: Mapping[GroupKey, int] = {}

    @property
    def groups(self) -> Namespaces:
        """The groups by namespace."""
        return {name: namespace.groups for name, namespace in self.namespaces.items()}

    @property
    def listed_at(self) -> float | None:
        """When any namespace was last listed (monotonic seconds), or `None`."""
        return None if self.listed is None else self.listed.monotonic


def proven(known: Known, now: float) -> Known:
    """Return what is known once tasks have proved that nothing has changed until `now` (monotonic seconds)."""
    return replace(known, proven_at=now)


def newest_listing(known: Known) -> Listing | None:
    """Return all that is known as a listing, however old it is."""
    return None if known.listed is None else _listing(known, known.namespaces, known.listed)


def fresh_listing(known: Known, max_age: float, now: float) -> Listing | None:
    """Return what is shown at a time (monotonic seconds): the namespaces that aren't too old, `None` if all are.

    Age counts from the last proof that nothing has changed, where there was one.
    """

    def is_fresh(at: Instant) -> bool:
        return now - max(at.monotonic, known.proven_at) <= max_age

    if known.listed is None or not is_fresh(known.listed):
        return None
    fresh = {name: one for name, one in known.namespaces.items() if is_fresh(one.at)}
    return None if known.namespaces and not fresh else _listing(known, fresh, known.listed)


def _listing(known: Known, namespaces: Mapping[str, KnownNamespace], listed: Instant) -> Listing:
    return Listing(
        {name: one.groups for name, one in namespaces.items()},
        min((one.at.unix for one in namespaces.values()), default=listed.unix),
        min((one.full_at for one in namespaces.values()), default=listed.unix),
        known.namespace_count,
    )
