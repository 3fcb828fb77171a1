"""Datastores: usage, growth, garbage collection, namespaces, and the age of listings."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import (
    ANY_IS_BAD,
    DATASTORE,
    DAYS_UNTIL_FULL,
    FILL,
    GOOD,
    SUCCESS,
    WARNING,
    Steps,
)
from monitoring.dashboards.source.panels import bars, graph, last, of_series, steady, timeline
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import STORE, by, datastore, everywhere, instance, named_root

_EACH = by("datastore")
_NAME = "{{instance}} {{datastore}}"
_USED = f"pbs_datastore_used_bytes{{{STORE}}}"
_TOTAL = f"pbs_datastore_total_bytes{{{STORE}}}"
_STATE = (
    f"max {_EACH} (2 * datastore:pbs_datastore_unavailable:bool{{{STORE}}})"
    f" or max {_EACH} (pbs_datastore_readable{{{STORE}}})"
)
_DAY = 86400
_LISTING_OLD: Steps = {None: GOOD, 1800: WARNING}
_MANIFESTS_OLD: Steps = {None: GOOD, 2700: WARNING}


def _steady(number: int, metric: str) -> str:
    """Return the metric of the datastores with the largest last values."""
    selector = f"{metric}{{{STORE}}}"
    return steady(number, selector, last(selector))


def _oldest(number: int, metric: str) -> str:
    """Return the age of a timestamp, for the datastores with the oldest ones."""
    selector = f"{metric}{{{STORE}}}"
    return steady(number, f"time() - {selector}", f"-{last(selector)}")


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-datastore",
        "Datastores: usage, growth and forecast, deduplication, garbage collection, namespaces, age of listings.",
        [*everywhere(), instance(), datastore()],
        since="now-7d",
        refresh="5m",
    )
    board.line(9, (24, _datastores()))
    board.line(6, (24, _states()))
    board.row("Space")
    _space(board)
    board.row("Garbage collection")
    _garbage_collection(board)
    board.row("Contents")
    board.line(9, (14, _namespaces()), (10, _listings()))
    board.row("Input and output")
    _traffic(board)
    return board.build()


def _datastores() -> object:
    def age(metric: str) -> str:
        return f"time() - max {_EACH} ({metric}{{{STORE}}})"

    def most(metric: str) -> str:
        return f"max {_EACH} ({metric}{{{STORE}}})"

    return table(
        "Datastores",
        "A row for each datastore. Away on purpose is one in maintenance, or a removable one that isn't mounted. "
        "A blank cell is what PBS didn't say.",
        {"instance": "PBS", "datastore": "Datastore"},
        [
            Column("State", _STATE, states=DATASTORE),
            Column("Used", most("datastore:pbs_datastore_used:ratio"), "percentunit", steps=FILL, gauge=True),
            Column("Available", most("pbs_datastore_available_bytes"), "bytes"),
            Column("Growth per day", f"max {_EACH} (deriv({_USED}[7d])) * {_DAY}", "bytes"),
            Column("Full in", most("datastore:pbs_datastore_full:seconds"), "s", steps=DAYS_UNTIL_FULL),
            Column("Dedup.", most("pbs_datastore_deduplication_factor"), "none"),
            Column("GC", most("pbs_gc_status"), states=SUCCESS),
            Column("GC age", age("pbs_gc_last_run_timestamp"), "s"),
            Column("Bad chunks", most("pbs_gc_bad_chunks"), steps=ANY_IS_BAD),
            Column("Namespaces", most("pbs_datastore_namespaces")),
            Column("Groups", f"count {_EACH} (pbs_snapshot_count{{{STORE}}})"),
            Column("Snapshots", f"sum {_EACH} (pbs_snapshot_count{{{STORE}}})"),
            Column("Listing", age("pbs_snapshot_listing_timestamp_seconds"), "s", steps=_LISTING_OLD),
            Text(
                {"comment": "Comment"},
                f"max {by('datastore', 'comment')} (pbs_datastore_info{{{STORE}}})",
            ),
        ],
        empty="no datastore is known",
        sort="Used",
        links={
            "Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"}),
            "Groups": ("pbs-backups", {"instance": "PBS", "datastore": "Datastore"}),
        },
    )


def _states() -> object:
    return timeline(
        "State of datastores",
        "When PBS could read each datastore, and when it was away on purpose: in maintenance, or not mounted.",
        _STATE,
        _NAME,
        DATASTORE,
        empty="no datastore is known",
        links=[of_series("pbs-datastore", "instance", "datastore")],
    )


def _space(board: Board) -> None:
    full = f"datastore:pbs_datastore_full:seconds{{{STORE}}}"
    estimate = f"pbs_datastore_estimated_full_timestamp_seconds{{{STORE}}}"
    board.line(
        8,
        (
            12,
            graph(
                "Used",
                "How much of the datastore's file system is used, by all that is on it: the 20 fullest.",
                "percentunit",
                [(_steady(20, "datastore:pbs_datastore_used:ratio"), _NAME)],
                empty="no datastore is known, or rules not loaded",
                steps=FILL,
                most=1,
            ),
        ),
        (
            12,
            graph(
                "Used in 30 days",
                "Where the straight line through the last seven days leads to in 30 days, as a share of the size. "
                "Means little on a datastore that is younger than a week.",
                "percentunit",
                [
                    (
                        steady(20, f"clamp_min(predict_linear({_USED}[7d], 30 * {_DAY}) / {_TOTAL}, 0)", last(_USED)),
                        _NAME,
                    )
                ],
                empty="no datastore is known",
                steps=FILL,
            ),
        ),
    )
    board.line(
        8,
        (
            12,
            graph(
                "Growth per day",
                "How much the used bytes grew, by the straight line through the week before. Less than 0 where garbage "
                "collection freed more than backups brought.",
                "bytes",
                [(steady(20, f"deriv({_USED}[7d]) * {_DAY}", last(_USED)), _NAME)],
                empty="no datastore is known",
                least=None,
            ),
        ),
        (
            12,
            graph(
                "Time until full",
                "By the alert's forecast, and by PBS's own estimate, which takes a month into account. "
                "Empty where no datastore grows.",
                "s",
                [
                    (steady(10, full, f"-{last(full)}"), f"{_NAME}, forecast"),
                    (
                        steady(10, f"{estimate} - time() > 0", f"-{last(estimate)}"),
                        f"{_NAME}, PBS's estimate",
                    ),
                ],
                empty="no datastore grows",
            ),
        ),
    )
    board.line(
        8,
        (
            12,
            graph(
                "Used bytes",
                "Used bytes of the datastore's file system: the ten largest.",
                "bytes",
                [(_steady(10, "pbs_datastore_used_bytes"), _NAME)],
                empty="no datastore is known",
            ),
        ),
        (
            12,
            graph(
                "Deduplication factor",
                "Logical bytes over bytes on disk, as of the last successful garbage collection.",
                "none",
                [(_steady(20, "pbs_datastore_deduplication_factor"), _NAME)],
                empty="no garbage collection has run",
            ),
        ),
    )


def _garbage_collection(board: Board) -> None:
    board.line(
        8,
        (
            8,
            graph(
                "Removed and pending",
                "Bytes that the last successful garbage collection removed, and those that no snapshot needs but that "
                "are still too young to be removed.",
                "bytes",
                [
                    (_steady(10, "pbs_gc_removed_bytes"), f"{_NAME} removed"),
                    (_steady(10, "pbs_gc_pending_bytes"), f"{_NAME} pending"),
                ],
                empty="no garbage collection has run",
            ),
        ),
        (
            8,
            bars(
                "Time since the last run",
                "How long ago garbage collection ended, well or not: the twelve where it is longest. "
                "While one runs PBS hides the run before.",
                "s",
                f"sort_desc(topk(12, time() - max {_EACH} (pbs_gc_last_run_timestamp{{{STORE}}})))",
                _NAME,
                empty="no garbage collection has run",
                steps={None: GOOD, 7 * _DAY: WARNING},
                links=[of_series("pbs-datastore", "instance", "datastore")],
            ),
        ),
        (
            8,
            graph(
                "Duration",
                "How long the last garbage collection took, where it ended well.",
                "s",
                [(_steady(20, "pbs_gc_duration_seconds"), _NAME)],
                empty="no garbage collection has ended well",
            ),
        ),
    )


def _namespaces() -> object:
    each = by("datastore", "namespace")
    group = "pbs_snapshot_count"
    return table(
        "Namespaces",
        "What each namespace holds. The logical size is what the snapshots would take without deduplication.",
        {"instance": "PBS", "datastore": "Datastore", "namespace": "Namespace"},
        [
            Column("Groups", named_root(f"count {each} ({group}{{{STORE}}})")),
            Column("Snapshots", named_root(f"sum {each} ({group}{{{STORE}}})")),
            Column("Logical size", named_root(f"sum {each} (pbs_snapshot_logical_size_bytes{{{STORE}}})"), "bytes"),
            Column(
                "Newest backup",
                named_root(f"1000 * max {each} (pbs_snapshot_last_timestamp_seconds{{{STORE}}})"),
                "dateTimeFromNow",
            ),
            Column("Oldest group", named_root(f"max {each} (group:pbs_snapshot_age:seconds{{{STORE}}})"), "s"),
        ],
        empty="no backups",
        sort="Logical size",
        links={"Namespace": ("pbs-backups", {"instance": "PBS", "datastore": "Datastore"})},
    )


def _listings() -> object:
    return graph(
        "Age of listings",
        "How long ago PBS answered what counts and times of snapshots come from, and how long ago it last read every "
        "manifest, which is how old notes, protection and verification can be.",
        "s",
        [
            (_oldest(10, "pbs_snapshot_listing_timestamp_seconds"), f"{_NAME} listing"),
            (_oldest(10, "pbs_snapshot_full_listing_timestamp_seconds"), f"{_NAME} manifests"),
        ],
        empty="no listing is known",
        steps=_MANIFESTS_OLD,
    )


def _traffic(board: Board) -> None:
    def rate(metric: str) -> str:
        selector = f"{metric}{{{STORE}}}"
        return steady(10, f"rate({selector}[$__rate_interval])", f"rate({selector}[$__range] @ end())")

    requests = f"rate(pbs_datastore_s3_requests_total{{{STORE}}}[$__rate_interval])"
    board.line(
        8,
        (
            8,
            graph(
                "Read and written",
                "Bytes read from and written to the datastore's block device or ZFS dataset, which others may share.",
                "Bps",
                [
                    (rate("pbs_datastore_read_bytes_total"), f"{_NAME} read"),
                    (rate("pbs_datastore_written_bytes_total"), f"{_NAME} written"),
                ],
                empty="not before PBS 3.3",
            ),
        ),
        (
            8,
            graph(
                "S3 requests",
                "Requests to buckets that were answered, by method. Empty without an S3 datastore.",
                "reqps",
                [
                    (f"sum {by('datastore', 'method')} ({requests})", f"{_NAME} {{{{method}}}}"),
                ],
                empty="no S3 datastore",
            ),
        ),
        (
            8,
            graph(
                "S3 bytes",
                "Bytes sent to buckets and got from them. Empty without an S3 datastore.",
                "Bps",
                [
                    (rate("pbs_datastore_s3_uploaded_bytes_total"), f"{_NAME} sent"),
                    (rate("pbs_datastore_s3_downloaded_bytes_total"), f"{_NAME} got"),
                ],
                empty="no S3 datastore",
            ),
        ),
    )
