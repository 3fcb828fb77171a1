"""Snapshots, of every namespace of every datastore."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.metrics import Metric, Sample, Series, state_set
from pbs_exporter.pbs.groups import VERIFICATIONS, Finished, Group, GroupId
from pbs_exporter.pbs.store_listing import Listing
from pbs_exporter.text import clean

_GROUP = ("datastore", "namespace", "backup_type", "backup_id")
_API = "(/admin/datastore/{{store}}/snapshots, {})."


def _metric(name: str, what: str, field: str, *labels: str) -> Metric:
    return Metric(f"pbs_snapshot_{name}", f"{what} {_API.format(field)}", (*_GROUP, *labels))


INFO = _metric(
    "info",
    "A snapshot, the newest snapshot_history_limit of each group; always 1",
    "backup-time, comment, owner, verification.state",
    "backup_time",
    "comment",
    "owner",
    "verification_state",
)
SIZE = _metric("size_bytes", "Logical size of the group's newest finished snapshot", "size")
COUNT = _metric("count", "Snapshots of the group, finished or not", "rows")
UNFINISHED = _metric(
    "unfinished", "Snapshots of the group that are running or were aborted", "files without index.json.blob"
)
DAMAGED = _metric(
    "damaged",
    "Snapshots of the group whose manifest PBS can't read",
    "files with index.json.blob, but no size",
)
LAST = _metric("last_timestamp_seconds", "Time of the group's newest finished snapshot", "backup-time")
FIRST = _metric("first_timestamp_seconds", "Time of the group's oldest finished snapshot", "backup-time")
LOGICAL_SIZE = _metric(
    "logical_size_bytes",
    "Sum of the logical sizes of the group's snapshots, which is not what they take on disk",
    "size",
)
VERIFICATION = _metric(
    "verification", "Snapshots of the group in that state of verification", "verification.state", "state"
)
LAST_VERIFIED = _metric(
    "last_verification_timestamp_seconds",
    "Start of the newest verification of any snapshot of the group",
    "verification.upid",
)
LAST_VERIFICATION = _metric(
    "last_verification",
    "State of verification of the group's newest finished snapshot: 1 for its state, else 0",
    "verification.state",
    "state",
)
LAST_ENCRYPTED = _metric(
    "last_encrypted", "1 if the group's newest finished snapshot is encrypted, else 0", "files.crypt-mode"
)
PROTECTED = _metric("protected", "Protected snapshots of the group", "protected")
ENCRYPTED = _metric("encrypted", "Encrypted snapshots of the group", "files.crypt-mode")
LISTED = Metric(
    "pbs_snapshot_listing_timestamp_seconds",
    "When PBS answered what the snapshots' counts and times come from (/admin/datastore/{store}/snapshots).",
    ("datastore",),
)
FULLY_LISTED = Metric(
    "pbs_snapshot_full_listing_timestamp_seconds",
    "When PBS last read every manifest: notes, protection and verification may be that old "
    "(/admin/datastore/{store}/snapshots).",
    ("datastore",),
)
NAMESPACES = Metric(
    "pbs_datastore_namespaces",
    "Namespaces that the token may see, with the root (/admin/datastore/{store}/namespace).",
    ("datastore",),
)


async def fetch(ask: Ask) -> Mapping[str, Listing]:
    """Have every datastore listed that PBS can read, and give the listings that this page shows."""
    try:
        # The last good listings are shown also where PBS takes its time for the list of datastores.
        async with asyncio.timeout_at(ask.until):
            rows = await ask.datastores()
    except (PbsError, TimeoutError) as error:
        ask.failures.append(error if isinstance(error, PbsError) else PbsTimeout("the scrape's time was up"))
    else:
        stores = [row.store for row in rows if row.available]
        # In the mode "full" nobody waits for tasks.
        tasks = None if ask.settings.listing_mode == "full" else ask.shared_tasks.start()
        await ask.listings.refresh(stores, ask.until, tasks)
    ask.datastore_failures = ask.listings.errors()
    ask.shown = ask.listings.shown()
    return ask.shown


def samples(listings: Mapping[str, Listing], _context: Context) -> Iterator[Sample | Series]:
    """Make the samples of each listing."""
    for store, listing in listings.items():
        yield from LISTED(listing.timestamp, store)
        yield from FULLY_LISTED(listing.full_timestamp, store)
        yield from NAMESPACES(len(listing.namespaces), store)
        groups = list(_groups(store, listing))
        yield INFO.series(_snapshots(groups))
        for labels, group in groups:
            yield from _numbers(labels, group)
            if group.newest is not None:
                yield from _newest(labels, group, group.newest)


def _groups(store: str, listing: Listing) -> Iterator[tuple[tuple[str, ...], Group]]:
    """Give all groups with their labels, each namespace's latest first."""
    for namespace, groups in listing.namespaces.items():
        for (backup_type, backup_id), group in sorted(groups.items(), key=_last, reverse=True):
            yield (clean(store), clean(namespace), clean(backup_type), clean(backup_id)), group


def _last(item: tuple[GroupId, Group]) -> int:
    return item[1].last


def _snapshots(groups: Iterable[tuple[tuple[str, ...], Group]]) -> Iterator[tuple[tuple[str, ...], float]]:
    for labels, group in groups:
        for kept in group.kept:
            yield (*labels, str(kept.time), kept.note, kept.owner, kept.verification), 1.0


def _numbers(labels: tuple[str, ...], group: Group) -> Iterator[Sample]:
    yield from COUNT(group.count, *labels)
    yield from UNFINISHED(group.unfinished, *labels)
    yield from DAMAGED(group.damaged, *labels)
    yield from PROTECTED(group.protected, *labels)
    yield from ENCRYPTED(group.encrypted, *labels)
    for state in VERIFICATIONS:
        yield from VERIFICATION(group.verification(state), *labels, state)
    yield from LAST_VERIFIED(group.verified, *labels)


def _newest(labels: tuple[str, ...], group: Group, newest: Finished) -> Iterator[Sample]:
    """Make the samples that only a finished snapshot gives."""
    yield from SIZE(newest.size, *labels)
    yield from LAST(newest.time, *labels)
    yield from FIRST(group.first, *labels)
    yield from LOGICAL_SIZE(group.logical_size, *labels)
    yield from state_set(LAST_VERIFICATION, VERIFICATIONS, newest.verification, *labels)
    yield from LAST_ENCRYPTED(newest.encrypted, *labels)


COLLECTOR = Collector(
    name="snapshots",
    help="Snapshots: each one, and counts, times, sizes and verification of each group, in every namespace.",
    metrics=(
        INFO,
        SIZE,
        COUNT,
        UNFINISHED,
        DAMAGED,
        LAST,
        FIRST,
        LOGICAL_SIZE,
        VERIFICATION,
        LAST_VERIFIED,
        LAST_VERIFICATION,
        LAST_ENCRYPTED,
        PROTECTED,
        ENCRYPTED,
        LISTED,
        FULLY_LISTED,
        NAMESPACES,
    ),
    needs=(Need("Datastore.Audit", "/datastore", "Audit"),),
    fetch=fetch,
    samples=samples,
)
