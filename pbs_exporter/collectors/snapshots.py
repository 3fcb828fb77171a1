"""Snapshots, of every namespace of every datastore."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from pbs_exporter.collectors import states
from pbs_exporter.collectors.base import Ask, Collector, Context, Need
from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.metrics import Metric, Sample, comment, state_set
from pbs_exporter.pbs.listing import Listing
from pbs_exporter.pbs.models import Snapshot, Verification, upid_start

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
        await ask.listings.refresh([row.store for row in rows if row.available], ask.until)
    ask.datastore_failures = ask.listings.errors()
    ask.shown = ask.listings.shown()
    return ask.shown


def samples(listings: Mapping[str, Listing], context: Context) -> Iterator[Sample]:
    """Make the samples of each listing."""
    limit = context.settings.snapshot_history_limit or None
    for store, listing in listings.items():
        yield from LISTED(listing.timestamp, store)
        yield from FULLY_LISTED(listing.timestamp, store)
        yield from NAMESPACES(len(listing.namespaces), store)
        for namespace, snapshots in listing.namespaces.items():
            for (backup_type, backup_id), group in groups(snapshots).items():
                labels = (store, namespace, backup_type, backup_id)
                yield from _rows(labels, group[:limit])
                yield from _numbers(labels, group)
                yield from _newest(labels, group)


def groups(snapshots: list[Snapshot]) -> dict[tuple[str, str], list[Snapshot]]:
    """Sort a namespace's snapshots into groups (type and ID), each with its newest first."""
    found: dict[tuple[str, str], list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.backup_time, reverse=True):
        found.setdefault((snapshot.backup_type, snapshot.backup_id), []).append(snapshot)
    return found


def _rows(labels: tuple[str, ...], group: list[Snapshot]) -> Iterator[Sample]:
    for snapshot in group:
        note = comment(snapshot.comment)
        yield from INFO(1, *labels, str(snapshot.backup_time), note, snapshot.owner, _verification(snapshot))


def _numbers(labels: tuple[str, ...], group: list[Snapshot]) -> Iterator[Sample]:
    yield from COUNT(len(group), *labels)
    without_size = [snapshot for snapshot in group if snapshot.size is None]
    damaged = sum(snapshot.has_manifest for snapshot in without_size)
    yield from UNFINISHED(len(without_size) - damaged, *labels)
    yield from DAMAGED(damaged, *labels)
    yield from PROTECTED(sum(snapshot.protected is True for snapshot in group), *labels)
    yield from ENCRYPTED(sum(snapshot.encrypted for snapshot in group), *labels)
    verified = Counter(map(_verification, group))
    for state in states.VERIFICATIONS:
        yield from VERIFICATION(verified[state], *labels, state)
    starts = (upid_start(snapshot.verification.upid) for snapshot in group if snapshot.verification)
    yield from LAST_VERIFIED(max((start for start in starts if start is not None), default=None), *labels)


def _newest(labels: tuple[str, ...], group: list[Snapshot]) -> Iterator[Sample]:
    """Make the samples that only a finished snapshot gives."""
    finished = [snapshot for snapshot in group if snapshot.size is not None]
    if not finished:
        return
    newest = finished[0]
    yield from SIZE(newest.size, *labels)
    yield from LAST(newest.backup_time, *labels)
    yield from FIRST(finished[-1].backup_time, *labels)
    yield from LOGICAL_SIZE(sum(snapshot.size or 0 for snapshot in finished), *labels)
    yield from state_set(LAST_VERIFICATION, states.VERIFICATIONS, _verification(newest), *labels)
    yield from LAST_ENCRYPTED(newest.encrypted, *labels)


def _verification(snapshot: Snapshot) -> str:
    return states.verification((snapshot.verification or Verification()).state)


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
