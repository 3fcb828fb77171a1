"""Snapshots, of every namespace of every datastore."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from pbs_exporter.collectors.base import Collector, CollectorRequest, Context, Need, Result
from pbs_exporter.collectors.result import Shared
from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.exposition.metric import Metric, Series
from pbs_exporter.exposition.row_family import InfoRows, Run, SharedLabels
from pbs_exporter.pbs.models import Datastore
from pbs_exporter.pbs.snapshots.group_notes import GroupNote, Notes
from pbs_exporter.pbs.snapshots.group_summary import VERIFICATIONS, GroupId, GroupSummary
from pbs_exporter.pbs.snapshots.listing import Listing
from pbs_exporter.plain_text import label

_GROUP = ("datastore", "namespace", "backup_type", "backup_id")

_MANY = 4
"""Number of snapshots per group above which runs of them are faster than each alone."""

_API = "(/admin/datastore/{{store}}/snapshots, {})."


def _metric(name: str, what: str, field: str, *labels: str) -> Metric:
    return Metric(f"pbs_snapshot_{name}", f"{what} {_API.format(field)}", (*_GROUP, *labels))


_Labelled = tuple[tuple[str, ...], GroupSummary, GroupNote | None]


class SnapshotsCollector(Collector[Mapping[str, Listing]]):
    """Shows the snapshot listings, which outlast a scrape."""

    name = "snapshots"
    help = "Snapshots of all namespaces: each one, and the counts, times, sizes and verification of each group."
    needs = (Need("Datastore.Audit", "/datastore", "Audit"),)

    INFO = _metric(
        "info",
        "A snapshot, one of the newest snapshot_history_limit of its group; always 1",
        "backup-time, comment, owner, verification.state",
        "backup_time",
        "comment",
        "owner",
        "verification_state",
    )
    SIZE = _metric("size_bytes", "Logical size of the group's newest finished snapshot", "size")
    COUNT = _metric("count", "Number of snapshots of the group, finished or not", "rows")
    UNFINISHED = _metric(
        "unfinished",
        "Number of snapshots of the group that are in progress or were aborted",
        "files without index.json.blob",
    )
    DAMAGED = _metric(
        "damaged",
        "Number of snapshots of the group whose manifest PBS can't read",
        "files with index.json.blob, but no size",
    )
    LAST = _metric("last_timestamp_seconds", "Time of the group's newest finished snapshot", "backup-time")
    FIRST = _metric("first_timestamp_seconds", "Time of the group's oldest finished snapshot", "backup-time")
    LOGICAL_SIZE = _metric(
        "logical_size_bytes",
        "Sum of the logical sizes of the group's snapshots, before deduplication",
        "size",
    )
    VERIFICATION = _metric(
        "verification", "Number of snapshots of the group in this verification state", "verification.state", "state"
    )
    LAST_VERIFIED = _metric(
        "last_verification_timestamp_seconds",
        "Start of the newest verification of any snapshot of the group",
        "verification.upid",
    )
    LAST_VERIFICATION = _metric(
        "last_verification",
        "Verification state of the group's newest finished snapshot: 1 for the current state, else 0",
        "verification.state",
        "state",
    )
    LAST_ENCRYPTED = _metric(
        "last_encrypted", "1 if the group's newest finished snapshot is encrypted, else 0", "files.crypt-mode"
    )
    PROTECTED = _metric("protected", "Number of protected snapshots of the group", "protected")
    ENCRYPTED = _metric("encrypted", "Number of encrypted snapshots of the group", "files.crypt-mode")
    GROUP_INFO = Metric(
        "pbs_group_info",
        "A backup group: its owner, the comment of its newest snapshot that has one, and its own note; always 1 "
        "(/admin/datastore/{store}/snapshots, owner, comment; /admin/datastore/{store}/groups, comment).",
        (*_GROUP, "owner", "comment", "group_comment"),
    )
    MAX_AGE = Metric(
        "pbs_group_max_age_seconds",
        "How old the group's newest backup may be, by max-age=N (with h, d or w) in its own note "
        "(/admin/datastore/{store}/groups, comment).",
        _GROUP,
    )
    LISTED = Metric(
        "pbs_snapshot_listing_timestamp_seconds",
        "When PBS returned the data behind the counts and times of snapshots (/admin/datastore/{store}/snapshots).",
        ("datastore",),
    )
    FULLY_LISTED = Metric(
        "pbs_snapshot_full_listing_timestamp_seconds",
        "When PBS last read every manifest; comments, protection and verification can be that old "
        "(/admin/datastore/{store}/snapshots).",
        ("datastore",),
    )
    NAMESPACES = Metric(
        "pbs_datastore_namespaces",
        "Number of namespaces that the token may see, including the root (/admin/datastore/{store}/namespace).",
        ("datastore",),
    )
    IDLE = Metric(
        "pbs_datastore_idle",
        "1 while the tasks prove that nothing has changed since the datastore was last looked at, which is then done "
        "every listing_idle_seconds only, else 0; only if scrapes list changes (/nodes/localhost/tasks).",
        ("datastore",),
    )
    metrics = (
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
        GROUP_INFO,
        MAX_AGE,
        LISTED,
        FULLY_LISTED,
        NAMESPACES,
        IDLE,
    )

    async def fetch(self, request: CollectorRequest) -> Result[Mapping[str, Listing]]:
        """List every datastore that PBS can read. Return the listings that this response shows."""
        unlisted: dict[str, str] = {}
        try:
            # The last good listings are shown even if PBS takes too long for the list of datastores.
            async with asyncio.timeout_at(request.until):
                rows, failures = await request.datastores()
        except PbsError as error:
            failures = (error,)
        except TimeoutError:
            failures = (PbsTimeout(PbsTimeout.SCRAPE_OVER, by_client=True),)
        else:
            unlisted = {row.store: _unavailable(row) for row in rows if not row.available}
            await _refresh(request, [row.store for row in rows if row.available])
        listings = request.snapshots.shown()
        return Result(listings, failures, request.snapshots.errors(), Shared(listings, unlisted))

    def samples(self, listings: Mapping[str, Listing], context: Context) -> Iterator[Series]:
        """Make samples of all listings, metric by metric: there are tens of thousands of samples."""
        # A family comes with the first datastore that has a sample of it, filtered or not.
        stores = [label(store) for store in listings]
        series = [*self._listings(listings), *self._of_groups(list(_groups(listings, context.notes)))]
        known = [one for one in series if len(one.rows)]
        return iter(sorted(known, key=lambda one: stores.index(next(iter(one.rows))[0])))

    def _listings(self, listings: Mapping[str, Listing]) -> Iterator[Series]:
        shown = [((label(store),), listing) for store, listing in listings.items()]
        yield self.LISTED.series((labels, listing.timestamp) for labels, listing in shown)
        yield self.FULLY_LISTED.series((labels, listing.full_timestamp) for labels, listing in shown)
        yield self.NAMESPACES.series((labels, listing.namespace_count) for labels, listing in shown)
        yield self.IDLE.series((labels, listing.idle) for labels, listing in shown)

    def _of_groups(self, labelled: Sequence[_Labelled]) -> Iterator[Series]:
        groups = [group for _, group, _ in labelled]
        shared = SharedLabels([labels for labels, _, _ in labelled])
        with_state = shared.with_each(VERIFICATIONS)
        number = sum(len(group.kept) for group in groups)
        if number > _MANY * len(groups) and shared.are_unique and all(map(_has_unique_times, groups)):
            column = self.INFO.labels.index("backup_time")
            yield Series(self.INFO, InfoRows(number, column, lambda: _runs(labelled)), 0)
        else:
            yield self.INFO.infos(_snapshots(labelled))
        yield self.COUNT.numbers(shared, [group.count for group in groups])
        yield self.UNFINISHED.numbers(shared, [group.unfinished for group in groups])
        yield self.DAMAGED.numbers(shared, [group.damaged for group in groups])
        yield self.PROTECTED.numbers(shared, [group.protected for group in groups])
        yield self.ENCRYPTED.numbers(shared, [group.encrypted for group in groups])
        states = [group.verification(state) for group in groups for state in VERIFICATIONS]
        yield self.VERIFICATION.numbers(with_state, states)
        yield self.GROUP_INFO.infos(_group_infos(labelled))
        yield self.MAX_AGE.series((labels, note.max_age) for labels, _, note in labelled if note is not None)
        yield self.LAST_VERIFIED.numbers(shared, [group.verified for group in groups])

        finished = [(labels, group, group.newest) for labels, group, _ in labelled if group.newest is not None]
        if len(finished) < len(groups):
            shared = SharedLabels([labels for labels, _, _ in finished])
            with_state = shared.with_each(VERIFICATIONS)
        yield self.SIZE.numbers(shared, [newest.size for _, _, newest in finished])
        yield self.LAST.numbers(shared, [newest.time for _, _, newest in finished])
        yield self.FIRST.numbers(shared, [group.first for _, group, _ in finished])
        yield self.LOGICAL_SIZE.numbers(shared, [group.logical_size for _, group, _ in finished])
        states = [state == newest.verification for _, _, newest in finished for state in VERIFICATIONS]
        yield self.LAST_VERIFICATION.numbers(with_state, states)
        yield self.LAST_ENCRYPTED.numbers(shared, [newest.encrypted for _, _, newest in finished])


async def _refresh(request: CollectorRequest, stores: Sequence[str]) -> None:
    """List these datastores, with what the other collectors ask for. The mode `full` has no use for that."""
    if request.settings.listing_mode == "full":
        await request.snapshots.refresh(stores, request.until)
        return
    proves = {"tasks", "access"} <= request.enabled.keys()
    await request.snapshots.refresh(
        stores,
        request.until,
        request.task_list.start(),
        request.host_status.start() if "host" in request.enabled else None,
        sees_all_tasks=request.sees_all_tasks if proves else False,
    )


def _unavailable(row: Datastore) -> str:
    if row.mount_status == "notmounted":
        return "not mounted"
    return f"in maintenance: {row.mode}"


def _groups(listings: Mapping[str, Listing], notes: Mapping[str, Notes]) -> Iterator[_Labelled]:
    """Return all groups with their labels, those of a namespace by their newest snapshot, the latest first."""
    for store, listing in listings.items():
        noted_in_store = notes.get(store, {})
        for namespace, groups in listing.namespaces.items():
            place = (label(store), label(namespace))
            noted = noted_in_store.get(namespace, {})
            for group_id, group in sorted(groups.items(), key=_last, reverse=True):
                backup_type, backup_id = group_id
                yield (*place, label(backup_type), label(backup_id)), group, noted.get(group_id)


_all_but_time = attrgetter("note", "owner", "verification")


def _last(item: tuple[GroupId, GroupSummary]) -> int:
    return item[1].last


def _has_unique_times(group: GroupSummary) -> bool:
    return len({kept.time for kept in group.kept}) == len(group.kept)


def _group_infos(groups: Iterable[_Labelled]) -> Iterator[tuple[str, ...]]:
    for labels, group, note in groups:
        yield *labels, label(group.owner or ""), group.note[1], "" if note is None else note.text


def _snapshots(groups: Iterable[_Labelled]) -> Iterator[tuple[str, ...]]:
    for labels, group, _ in groups:
        for kept in group.kept:
            yield *labels, str(kept.time), kept.note, kept.owner, kept.verification


def _runs(groups: Iterable[_Labelled]) -> Iterator[Run]:
    """Return the same. Snapshots that follow each other are often alike but for the time."""
    for labels, group, _ in groups:
        for alike, some in groupby(group.kept, _all_but_time):
            yield (*labels, "", *alike), [kept.time for kept in some]
