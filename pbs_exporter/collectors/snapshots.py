"""Snapshots, of every namespace of every datastore."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.pbs.models import Datastore
from pbs_exporter.pbs.snapshots.group_summary import VERIFICATIONS, GroupId, GroupSummary
from pbs_exporter.pbs.snapshots.listing import Listing
from pbs_exporter.plain_text import printable

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
        ask.unlisted = {row.store: _unavailable(row) for row in rows if not row.available}
        # In the mode "full" nobody waits for tasks.
        tasks = None if ask.settings.listing_mode == "full" else ask.shared_tasks.start()
        await ask.listings.refresh(stores, ask.until, tasks)
    ask.datastore_failures = ask.listings.errors()
    ask.shown = ask.listings.shown()
    return ask.shown


def _unavailable(row: Datastore) -> str:
    if row.mount_status == "notmounted":
        return "not mounted"
    return f"in maintenance: {row.mode}"


def samples(listings: Mapping[str, Listing], _context: Context) -> Iterator[Sample | Series]:
    """Make the samples of each listing."""
    for store, listing in listings.items():
        yield from LISTED(listing.timestamp, store)
        yield from FULLY_LISTED(listing.full_timestamp, store)
        yield from NAMESPACES(listing.namespace_count, store)
        groups = list(_groups(store, listing))
        yield INFO.series(_snapshots(groups))
        yield from _numbers(groups)


_Labelled = tuple[tuple[str, ...], GroupSummary]


def _groups(store: str, listing: Listing) -> Iterator[_Labelled]:
    """Give all groups with their labels, each namespace's latest first."""
    for namespace, groups in listing.namespaces.items():
        for (backup_type, backup_id), group in sorted(groups.items(), key=_last, reverse=True):
            yield (printable(store), printable(namespace), printable(backup_type), printable(backup_id)), group


def _last(item: tuple[GroupId, GroupSummary]) -> int:
    return item[1].last


def _snapshots(groups: Iterable[_Labelled]) -> Iterator[tuple[tuple[str, ...], float]]:
    for labels, group in groups:
        for kept in group.kept:
            yield (*labels, str(kept.time), kept.note, kept.owner, kept.verification), 1.0


def _numbers(groups: Sequence[_Labelled]) -> Iterator[Series]:
    """Give the groups' values, metric by metric: thousands of groups make tens of thousands of them."""
    yield COUNT.series((labels, group.count) for labels, group in groups)
    yield UNFINISHED.series((labels, group.unfinished) for labels, group in groups)
    yield DAMAGED.series((labels, group.damaged) for labels, group in groups)
    yield PROTECTED.series((labels, group.protected) for labels, group in groups)
    yield ENCRYPTED.series((labels, group.encrypted) for labels, group in groups)
    yield VERIFICATION.series(
        ((*labels, state), group.verification(state)) for labels, group in groups for state in VERIFICATIONS
    )
    yield LAST_VERIFIED.series((labels, group.verified) for labels, group in groups)

    finished = [(labels, group, group.newest) for labels, group in groups if group.newest is not None]
    yield SIZE.series((labels, newest.size) for labels, _, newest in finished)
    yield LAST.series((labels, newest.time) for labels, _, newest in finished)
    yield FIRST.series((labels, group.first) for labels, group, _ in finished)
    yield LOGICAL_SIZE.series((labels, group.logical_size) for labels, group, _ in finished)
    yield LAST_VERIFICATION.series(
        ((*labels, state), state == newest.verification) for labels, _, newest in finished for state in VERIFICATIONS
    )
    yield LAST_ENCRYPTED.series((labels, newest.encrypted) for labels, _, newest in finished)


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
