"""What is known of one datastore's snapshots."""

from collections.abc import Mapping

import msgspec

from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints
from pbs_exporter.pbs.snapshots.listing import GroupKey, Listing, Namespaces


class Known(msgspec.Struct, frozen=True):
    """What earlier listings have shown.

    `listed_at` (monotonic seconds) is when PBS answered the listing's counts and times. `relist` has the groups whose
    own listing failed. `group_numbers` has the number of each group's own listing, where that is later than the full
    listing `full_number`. `incremental_number` is the number of the newest incremental listing that is shown.
    """

    listing: Listing | None = None
    listed_at: float | None = None
    fingerprints: Fingerprints = {}
    relist: frozenset[GroupKey] = frozenset()
    group_numbers: Mapping[GroupKey, int] = {}
    full_number: int = -1
    incremental_number: int = -1

    @property
    def namespaces(self) -> Namespaces:
        """The groups by namespace; none before the first listing."""
        return self.listing.namespaces if self.listing else {}
