"""What is known of a datastore's snapshots, for collectors and for the status page."""

from collections.abc import Mapping

import msgspec

from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.snapshots.group_summary import GroupId, GroupSummary

Groups = Mapping[GroupId, GroupSummary]
"""The backup groups of one namespace."""

Namespaces = Mapping[str, Groups]
"""Backup groups by namespace. The root namespace is `""`."""

GroupKey = tuple[str, GroupId]
"""A group of a datastore: its namespace, and its ID there."""


class Listing(msgspec.Struct, frozen=True):
    """The snapshots of a datastore, and when PBS had answered (Unix seconds).

    `timestamp` belongs to counts and times, `full_timestamp` to what only a full listing shows. `namespace_count`
    includes the namespaces that the filters leave out. `idle` says that tasks prove that nothing has changed since;
    `None` where scrapes list all.
    """

    namespaces: Namespaces
    timestamp: float
    full_timestamp: float
    namespace_count: int
    idle: bool | None = None


class Attempts(msgspec.Struct, frozen=True):
    """The results of the newest full listing and of the newest incremental one.

    `tried_at` is when the newest of both ended (Unix seconds). `took_seconds` and `answer_seconds` belong to the last
    full listing that succeeded: its duration, and what PBS took for its answers. `None` means that there was none.
    """

    full_error: BaseException | None = PbsTimeout("the first listing isn't finished yet", by_client=True)
    incremental_error: BaseException | None = None
    tried_at: float | None = None
    took_seconds: float | None = None
    answer_seconds: float | None = None

    @property
    def error(self) -> BaseException | None:
        """The error of the newest incremental listing, else that of the newest full one, else `None`."""
        return self.incremental_error or self.full_error


class ListingStatus(msgspec.Struct, frozen=True):
    """How the listing of a datastore is going, for the status page.

    `error` belongs to the newest attempt, which ended at `tried_at`. `listed_at` and `fully_listed_at` belong to the
    listing that is kept (Unix seconds, `None` before the first). `took_seconds` is the duration of the last full
    listing that succeeded, `under_way_seconds` the age of one that is running. The next one starts after
    `due_in_seconds`; 0 means with the next scrape.
    """

    error: BaseException | None
    tried_at: float | None
    listed_at: float | None
    fully_listed_at: float | None
    took_seconds: float | None
    under_way_seconds: float | None
    due_in_seconds: float


def group_of(namespaces: Namespaces, key: GroupKey) -> GroupSummary | None:
    """Return the group with that key, or `None`."""
    namespace, group_id = key
    return namespaces.get(namespace, {}).get(group_id)
