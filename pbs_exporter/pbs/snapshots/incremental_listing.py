"""An incremental listing: the groups of every namespace, and the snapshots of those that have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient, NamespaceNames
from pbs_exporter.pbs.snapshots.fingerprints import Fingerprints, are_many, changed_groups
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots, GroupId, GroupSummary
from pbs_exporter.pbs.snapshots.known import Known
from pbs_exporter.pbs.snapshots.listing import GroupKey, Namespaces, group_of
from pbs_exporter.pbs.snapshots.task_hints import Hints


class IncrementalListing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known after an incremental listing. What failed is as it was before.

    `listed` are the groups that were listed, from `number` on. `error` is the first failure, `omitted` what couldn't
    be read of groups that were listed. `full_is_wanted` says that only a full listing shows what has changed,
    `all_seen` that `/groups` answered for every namespace, `goes_on` that a request timed out, and that PBS is still
    working on it.
    """

    namespaces: Namespaces
    namespace_count: int
    fingerprints: Fingerprints
    relist: frozenset[GroupKey]
    number: int
    listed: frozenset[GroupKey]
    full_is_wanted: bool
    error: BaseException | None
    omitted: PbsError | None
    all_seen: bool
    goes_on: bool


class ManyChanged(msgspec.Struct, frozen=True):
    """More groups have changed than are listed one by one: what `/groups` said of them."""

    rows: Fingerprints


class _GroupRows(msgspec.Struct, frozen=True):
    """What `/groups` said. `kept` are the groups of namespaces whose answer is incomplete, as they were before."""

    rows: Fingerprints
    kept: Mapping[str, dict[GroupId, GroupSummary]]
    errors: list[BaseException]
    all_seen: bool


class _GroupListings(msgspec.Struct, frozen=True):
    """The groups that were listed one by one, and those that failed."""

    listed: dict[GroupKey, GroupedSnapshots]
    failed: dict[GroupKey, Exception]


async def list_changes(
    datastore: DatastoreClient,
    names: NamespaceNames,
    known: Known,
    *,
    hints: Callable[[], Awaitable[Hints]],
    next_number: Callable[[], int],
) -> IncrementalListing | ManyChanged:
    """List the groups that have changed, and those that `hints` name. Raise no `PbsError`.

    `hints` may take a while: the changed groups are listed meanwhile.
    """
    answers = await asyncio.gather(*map(datastore.groups, names.wanted), return_exceptions=True)
    read = _read(dict(zip(names.wanted, answers, strict=True)), known)
    changed = changed_groups(read.rows, known.fingerprints, known.namespaces, known.relist)
    if are_many(changed, read.rows):
        return ManyChanged(read.rows)
    number = next_number()
    listings = _GroupListings({}, {})

    async def list_group(key: GroupKey) -> None:
        try:
            listings.listed[key] = (await datastore.snapshots(*key)).value
        except Exception as error:  # noqa: BLE001 - returned
            listings.failed[key] = error

    async def list_hinted() -> Hints:
        named = await hints()
        await asyncio.gather(*(list_group(key) for key in read.rows if key not in changed and named.name(*key)))
        return named

    hinted = asyncio.ensure_future(list_hinted())
    await asyncio.gather(hinted, *map(list_group, changed))
    return _assembled(known, names, read, listings, number, full_is_wanted=hinted.result().everything)


def _read(answers: Mapping[str, Rows[GroupRow] | BaseException], known: Known) -> _GroupRows:
    rows: dict[GroupKey, GroupRow] = {}
    kept: dict[str, dict[GroupId, GroupSummary]] = {}
    errors: list[BaseException] = []
    for namespace, answer in answers.items():
        error = answer if isinstance(answer, BaseException) else answer.omitted
        # A group that is missing from a complete answer is gone. An incomplete answer shows nothing about it.
        kept[namespace] = dict(known.namespaces.get(namespace, {})) if error else {}
        errors += [error] if error else []
        if not isinstance(answer, BaseException):
            # A group without snapshots counts as none.
            rows |= {(namespace, (row.backup_type, row.backup_id)): row for row in answer.rows if row.backup_count}
    all_seen = not any(isinstance(answer, BaseException) for answer in answers.values())
    return _GroupRows(rows, kept, errors, all_seen)


def _assembled(
    known: Known,
    names: NamespaceNames,
    read: _GroupRows,
    listings: _GroupListings,
    number: int,
    *,
    full_is_wanted: bool,
) -> IncrementalListing:
    omitted = {key: answer.omitted for key, answer in listings.listed.items() if answer.omitted}
    unseen = {key for key in known.relist if key not in read.rows and key[1] in read.kept.get(key[0], {})}
    namespaces = {namespace: dict(groups) for namespace, groups in read.kept.items()}
    for key in read.rows:
        namespace, group_id = key
        listed = listings.listed.get(key)
        group = listed.groups.get(group_id) if listed is not None else group_of(known.namespaces, key)
        if group is not None:
            namespaces[namespace][group_id] = group
    still_there = {key: row for key, row in known.fingerprints.items() if group_of(namespaces, key) is not None}
    errors: Sequence[BaseException] = (*read.errors, *listings.failed.values())
    return IncrementalListing(
        namespaces=namespaces,
        namespace_count=names.count,
        fingerprints={**still_there, **read.rows},
        relist=frozenset({*listings.failed, *omitted, *unseen}),
        number=number,
        listed=frozenset(listings.listed),
        full_is_wanted=full_is_wanted,
        error=next(iter(errors), None),
        omitted=next(iter(omitted.values()), None),
        all_seen=read.all_seen,
        goes_on=any(isinstance(error, PbsTimeout) for error in errors),
    )
