"""How a datastore is listed: in full, or what has changed.

PBS reads every manifest for a full listing, and a few directories for its list of groups. So the groups tell
what has changed, and only that is listed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.pbs import models
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed  # noqa: TC001 - one way to import is enough
from pbs_exporter.pbs.snapshots.group_summary import Group, GroupId, Groups, Listed
from pbs_exporter.pbs.snapshots.task_hints import Hints

MANY = 20
"""More changed groups than this, and more than a tenth of all, cost PBS more one by one than a full listing."""

_MANIFEST = "index.json.blob"

Namespaces = dict[str, Groups]
"""Groups by namespace, the root's as `""`."""

Key = tuple[str, GroupId]
"""Which group: its namespace, and its ID there."""

Fingerprints = dict[Key, models.GroupRow]
"""What `/groups` said of each group before the group was listed."""


class Known(msgspec.Struct, frozen=True):
    """What is known of a datastore's groups. `again` are those whose own listing wasn't good."""

    namespaces: Namespaces
    fingerprints: Fingerprints
    again: frozenset[Key] = frozenset()


class Look(msgspec.Struct, frozen=True):
    """What a look for changes needs: what is known, what tasks say, and the number that its listings get."""

    known: Known
    hints: Callable[[], Awaitable[Hints]]
    numbers: Iterator[int]


class Walk(msgspec.Struct, frozen=True):
    """A full listing. `seconds` is what its longest answer took, `left_out` what couldn't be read of it.

    With an `error` it isn't whole. `goes_on` says that an answer timed out: PBS is still at it.
    """

    namespaces: Namespaces
    seconds: float
    left_out: PbsError | None
    error: BaseException | None
    goes_on: bool


class Changes(Known, frozen=True, kw_only=True):
    """What is known after only what changed was listed: what failed is as it was before.

    `listed` are the groups that were listed, from `number` on; `everything` says that a full listing would show
    more. `error` is the first thing that failed, `left_out` what couldn't be read of groups that were listed.
    `all_seen` says that each namespace has told its groups, `goes_on` that an answer timed out: PBS is still at it.
    """

    number: int
    listed: frozenset[Key]
    everything: bool
    error: BaseException | None
    left_out: PbsError | None
    all_seen: bool
    goes_on: bool


async def names(client: PbsClient, store: str, lane: Lane) -> list[str]:
    """Give a datastore's namespaces."""
    answer = await client.namespaces(store, lane)
    if answer.left_out is not None:
        # Without the namespace's name there is no telling what is missing.
        raise answer.left_out
    return list(dict.fromkeys(row.ns for row in answer.rows))


async def full(
    client: PbsClient,
    store: str,
    namespaces: Callable[[], Awaitable[Sequence[str]]],
    expected: Sequence[str],
    lane: Lane,
) -> Walk:
    """List all namespaces: the expected ones at once, the others when they are known. Raises nothing.

    One that fails doesn't end the others: PBS goes on with their work anyway.
    """
    answers: dict[str, Timed[Listed]] = {}
    errors: dict[str, Exception] = {}

    async def snapshots(name: str) -> None:
        try:
            answers[name] = await client.snapshots(store, name, lane=lane)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            errors[name] = error

    async def others() -> Sequence[str]:
        found = await namespaces()
        await asyncio.gather(*(snapshots(name) for name in found if name not in expected))
        return found

    named, *_ = await asyncio.gather(others(), *map(snapshots, expected), return_exceptions=True)
    if named is None or isinstance(named, BaseException):
        found, error = expected, named
    else:
        # What was expected and is gone could not be listed, which is no failure.
        found, error = named, next((errors[name] for name in named if name in errors), None)
    good = {name: answers[name] for name in found if name in answers}
    return Walk(
        {name: answer.value.groups for name, answer in good.items()},
        max((answer.seconds for answer in good.values()), default=0.0),
        next((answer.value.left_out for answer in good.values() if answer.value.left_out), None),
        error,
        goes_on=any(isinstance(error, PbsTimeout) for error in errors.values()),
    )


async def changes(
    client: PbsClient,
    store: str,
    namespaces: Sequence[str],
    look: Look,
) -> Changes | Fingerprints:
    """List the groups that have changed. Where so many have that a full listing is cheaper, give what there is.

    Raises nothing: what fails costs itself only.
    """
    before = look.known
    answers = await asyncio.gather(*(client.groups(store, name) for name in namespaces), return_exceptions=True)
    errors: list[BaseException] = []
    rows: Fingerprints = {}
    kept: Namespaces = {}
    for name, answer in zip(namespaces, answers, strict=True):
        error = answer if isinstance(answer, BaseException) else answer.left_out
        # What isn't in a whole answer is gone. Of one that isn't whole there is no telling.
        kept[name] = dict(before.namespaces.get(name, {})) if error else {}
        errors += [error] if error else []
        # A group without snapshots is as good as none.
        found = [] if isinstance(answer, BaseException) else [row for row in answer.rows if row.backup_count]
        rows |= {(name, _id(row)): row for row in found}

    known = {key: before.namespaces.get(key[0], {}).get(key[1]) for key in rows}
    changed = {
        key
        for key, row in rows.items()
        if key in before.again or _has_changed(row, before.fingerprints.get(key), known[key])
    }
    if len(changed) > max(MANY, len(rows) / 10):
        return rows
    number = next(look.numbers)
    listed: dict[Key, Listed] = {}
    failed: dict[Key, Exception] = {}

    async def listing(key: Key) -> None:
        try:
            listed[key] = (await client.snapshots(store, *key)).value
        except Exception as error:  # noqa: BLE001 - judged by the caller
            failed[key] = error

    async def hinted() -> Hints:
        named = await look.hints()
        await asyncio.gather(*(listing(key) for key in rows if key not in changed and named.name(*key)))
        return named

    late = asyncio.ensure_future(hinted())
    await asyncio.gather(late, *map(listing, changed))

    left_out = {key: answer.left_out for key, answer in listed.items() if answer.left_out}
    unseen = {key for key in before.again if key not in rows and key[1] in kept.get(key[0], {})}
    for key in rows:
        group = listed[key].groups.get(key[1]) if key in listed else known[key]
        if group is not None:
            kept[key[0]][key[1]] = group
    seen = {key: row for key, row in before.fingerprints.items() if key[1] in kept.get(key[0], {})} | rows
    errors += failed.values()
    return Changes(
        kept,
        seen,
        frozenset({*failed, *left_out, *unseen}),
        number=number,
        listed=frozenset(listed),
        everything=late.result().everything,
        error=next(iter(errors), None),
        left_out=next(iter(left_out.values()), None),
        all_seen=not any(isinstance(answer, BaseException) for answer in answers),
        goes_on=any(isinstance(error, PbsTimeout) for error in errors),
    )


def still_right(fingerprints: Fingerprints, namespaces: Namespaces) -> Fingerprints:
    """Leave out the fingerprints of groups that aren't shown as they say: a full listing read something else."""
    return {
        (namespace, group): row
        for (namespace, group), row in fingerprints.items()
        if _agrees(row, namespaces.get(namespace, {}).get(group))
    }


def _id(row: models.GroupRow) -> GroupId:
    return row.backup_type, row.backup_id


def _has_changed(row: models.GroupRow, before: models.GroupRow | None, group: Group | None) -> bool:
    """Tell whether a group isn't what it was.

    What this can't see: snapshots that were removed and as many added, all older than the newest finished one,
    between two looks. A backup that a client makes is newer than all others, so that takes a sync of old
    snapshots into a group that is pruned at the same time. Count, last backup and newest snapshot are right
    even then; the rest is until the next full listing, `listing_refresh_seconds` later at most. What a full
    listing reads between two equal looks is bounded by `still_right`.
    """
    return not _agrees(row, group) if before is None or group is None else row != before


def _agrees(row: models.GroupRow, group: Group | None) -> bool:
    """Tell whether a listing that was made without a look at `/groups` before is what the row says."""
    if group is None or (row.backup_count, row.owner) != (group.count, group.owner):
        return False
    if _MANIFEST in (row.files or ()):
        return group.newest is not None and row.last_backup == group.newest.time
    return group.newest is None and row.last_backup == group.last
