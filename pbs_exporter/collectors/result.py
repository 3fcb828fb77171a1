"""What a collector returns."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from pbs_exporter.collectors.privileges import Permissions
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.snapshots.listing import Listing

T = TypeVar("T")
Row = TypeVar("Row")

Failures = Sequence[BaseException]
"""What went wrong. The first one is the one that is reported."""


class Shared(msgspec.Struct, frozen=True):
    """What a collector found that other collectors and the status page may show.

    `listings` are the snapshot listings in this response, `unlisted` the datastores that PBS can't read, with the
    reason, `permissions` what the token may do, and `sees_all_tasks` whether PBS said that it sees the tasks of others.
    Each has one collector that returns it.
    """

    listings: Mapping[str, Listing] = {}
    unlisted: Mapping[str, str] = {}
    permissions: Permissions | None = None
    sees_all_tasks: bool = False


class Result(msgspec.Struct, Generic[T], frozen=True):
    """What a collector found: its answer, what went wrong, and what others may show of it.

    `datastores` has an entry for each datastore that was asked separately: its failure, or `None`.
    """

    answer: T
    failures: Failures = ()
    datastores: Mapping[str, BaseException | None] = {}
    shared: Shared = Shared()


def of_rows(answer: Rows[Row]) -> Result[list[Row]]:
    """Return the good rows of PBS's answer as a result. Rows that were left out are its failure."""
    return Result(answer.rows, omission_failures(answer))


def omission_failures(answer: Rows[Row]) -> Failures:
    """Return the failure that rows of PBS's answer were left out, if any were."""
    return () if answer.omitted is None else (answer.omitted,)
