"""An incremental listing: the groups of every namespace, and the snapshots of those that have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from pbs_exporter.errors import ListingUnfinished, PbsError, PbsTimeout
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.concurrently import concurrently, failures, first_failure, results
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient, NamespaceNames, name_namespaces
from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints, are_many, batch_of, changed_groups
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots, GroupId, GroupSummary
from pbs_exporter.pbs.snapshots.known import Known
from pbs_exporter.pbs.snapshots.listing import GroupKey, Namespaces, group_of
from pbs_exporter.pbs.snapshots.task_hints import Hints


class IncrementalListing(msgspec.Struct, frozen=True, kw_only=True):
    """What an incremental listing found.

    `names` are the namespaces to list, `namespaces` the groups of those that told theirs, `errors` the first failure of
    each that failed, in whole or in part. `groups_number` was drawn before the namespaces and their groups were asked
    for, `number` before the groups `listed` were. `omitted` is what couldn't be read, or has to wait. `full_is_wanted`
    says that only a full listing shows what has changed, `all_seen` that each namespace has told its groups, `goes_on`
    that a request timed out, and that PBS is still working on it.
    """

    names: tuple[str, ...]
    namespace_count: int
    namespaces: Namespaces
    errors: Mapping[str, BaseException]
    groups_number: int
    number: int
    listed: frozenset[GroupKey]
    fingerprints: Fingerprints
    relist: frozenset[GroupKey]
    omitted: PbsError | None
    full_is_wanted: bool
    all_seen: bool
    goes_on: bool

    @property
    def error(self) -> BaseException | None:
        """A failure, or what was left out, or `None`."""
        return first_failure(self.errors.values()) or self.omitted


class ManyChanged(msgspec.Struct, frozen=True):
    """More groups have changed than are listed one by one: what `/groups` said of them."""

    rows: Fingerprints


class _GroupRows(msgspec.Struct, frozen=True):
    """What `/groups` said. `kept` are the groups of namespaces whose answer is incomplete, as they were before."""

    rows: Fingerprints
    kept: Mapping[str, dict[GroupId, GroupSummary]]
    errors: dict[str, BaseException]
    all_seen: bool


class _GroupListings(msgspec.Struct, frozen=True):
    """The groups that were listed one by one, those that failed, and those that have to wait."""

    listed: dict[GroupKey, GroupedSnapshots]
    failed: dict[GroupKey, Exception]
    waiting: frozenset[GroupKey]


async def list_changes(
    datastore: DatastoreClient,
    names: NamespaceNames,
    known: Known,
    *,
    groups_number: int,
    hints: Callable[[], Awaitable[Hints]],
    next_number: Callable[[], int],
    full_is_possible: bool,
) -> IncrementalListing | ManyChanged:
    """List the groups that have changed, and those that `hints` name. Raise no `PbsError`.

    `hints` may take a while: the changed groups are listed meanwhile. Where many have changed, return at once if a full
    listing is possible, and else list a bounded batch of them.
    """
    read = _read(await concurrently(datastore.groups, names.wanted), known)
    changed = changed_groups(read.rows, known.fingerprints, known.groups, known.relist)
    if full_is_possible and are_many(changed, read.rows):
        return ManyChanged(read.rows)
    batch = batch_of(changed, read.rows)
    number = next_number()

    async def list_group(key: GroupKey) -> GroupedSnapshots:
        return (await datastore.snapshots(*key)).value

    async def list_hinted() -> tuple[Hints, Mapping[GroupKey, GroupedSnapshots | Exception]]:
        named = await hints()
        keys = [key for key in read.rows if key not in changed and named.name(*key)]
        return named, await concurrently(list_group, keys)

    # If this is cancelled, it waits until all requests have ended.
    async with asyncio.TaskGroup() as group:
        at_once = group.create_task(concurrently(list_group, batch))
        hinted = group.create_task(list_hinted())
    named, more = hinted.result()
    outcomes = {**at_once.result(), **more}
    listings = _GroupListings(results(outcomes), failures(outcomes), changed - batch)
    return _assembled(known, names, read, listings, (groups_number, number), full_is_wanted=named.everything)


def _read(answers: Mapping[str, Rows[GroupRow] | Exception], known: Known) -> _GroupRows:
    rows: dict[GroupKey, GroupRow] = {}
    kept: dict[str, dict[GroupId, GroupSummary]] = {}
    errors: dict[str, BaseException] = {}
    before = known.groups
    for namespace, answer in answers.items():
        error = answer if isinstance(answer, Exception) else answer.omitted
        if error is not None:
            errors[namespace] = error
        # A group that is missing from a whole answer is gone. Of one that isn't whole nobody knows.
        kept[namespace] = dict(before.get(namespace, {})) if error else {}
        if not isinstance(answer, Exception):
            # A group without snapshots counts as none.
            rows |= {(namespace, (row.backup_type, row.backup_id)): row for row in answer.rows if row.backup_count}
    all_seen = not any(isinstance(answer, Exception) for answer in answers.values())
    return _GroupRows(rows, kept, errors, all_seen)


def _assembled(
    known: Known,
    names: NamespaceNames,
    read: _GroupRows,
    listings: _GroupListings,
    numbers: tuple[int, int],
    *,
    full_is_wanted: bool,
) -> IncrementalListing:
    before = known.groups
    omitted = {key: answer.omitted for key, answer in listings.listed.items() if answer.omitted}
    unseen = {key for key in known.relist if key not in read.rows and key[1] in read.kept.get(key[0], {})}
    groups = {namespace: dict(those) for namespace, those in read.kept.items()}
    for key in read.rows:
        namespace, group_id = key
        listed = listings.listed.get(key)
        group = listed.groups.get(group_id) if listed is not None else group_of(before, key)
        if group is not None:
            groups[namespace][group_id] = group
    still_there = {key: row for key, row in known.fingerprints.items() if group_of(groups, key) is not None}
    seen = {key: row for key, row in read.rows.items() if key not in listings.waiting}
    errors = dict(read.errors)
    for (namespace, _), error in listings.failed.items():
        errors.setdefault(namespace, error)
    name_namespaces(errors, names)
    waiting = len(listings.waiting)
    postponed = ListingUnfinished(f"{waiting} changed groups wait for the next listings") if waiting else None
    return IncrementalListing(
        names=tuple(names.wanted),
        namespace_count=names.count,
        # A namespace that hasn't told its groups and was never listed isn't there.
        namespaces={name: those for name, those in groups.items() if name not in read.errors or those},
        errors=errors,
        groups_number=numbers[0],
        number=numbers[1],
        listed=frozenset(listings.listed),
        fingerprints={**still_there, **seen},
        relist=frozenset({*listings.failed, *omitted, *unseen}),
        omitted=next(iter(omitted.values()), postponed),
        full_is_wanted=full_is_wanted,
        all_seen=read.all_seen and not waiting,
        goes_on=any(isinstance(error, PbsTimeout) for error in (*read.errors.values(), *listings.failed.values())),
    )
