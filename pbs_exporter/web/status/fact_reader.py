"""The facts about a target, from its last scrape and its listings."""

import re

import msgspec

from pbs_exporter.collectors.access import AccessCollector
from pbs_exporter.collectors.privileges import grants, missing
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.errors import TOKEN_REFUSED, PbsError, PbsExporterError, PbsTimeout, TlsFailed, Unreachable
from pbs_exporter.pbs.models import Version
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.collector_run import Outcome
from pbs_exporter.scrape.failure_log import ScrapeReport, same_cause
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.status.facts import (
    DOWN,
    NOT_QUERIED,
    CollectorRow,
    DatastoreRow,
    Down,
    Facts,
    LastScrape,
    MissingPrivilege,
    PbsState,
    State,
    TokenPrivileges,
)

_KINDS: tuple[tuple[str, tuple[type[PbsError], ...]], ...] = (
    ("PBS refuses the token", TOKEN_REFUSED),
    ("No trusted TLS connection to PBS", (TlsFailed,)),
    ("No connection to PBS", (Unreachable,)),
    ("No answer from PBS", (PbsTimeout,)),
    ("No usable answer from PBS", (PbsError,)),
)


def read_facts(target: Target, listings: dict[str, ListingStatus], disabled: tuple[str, ...]) -> Facts:
    """Return the facts about a target, sorted by state; datastores of the same state by name.

    It may run in a thread: of the target it reads what is never changed, but only replaced.
    """
    last = target.last_scrape
    outcomes = [] if last is None else [_newest(outcome, listings) for outcome in last.outcomes]
    return Facts(
        pbs=PbsState(target.settings.endpoint, version_number(target.version), down_of(last)),
        scrape=None if last is None else LastScrape(last.at, last.seconds),
        collectors=read_collectors(target, last, listings),
        disabled=disabled,
        datastores=tuple(
            sorted(_datastores(last, outcomes, listings), key=lambda row: (row.state.rank, _natural(row.name)))
        ),
        privileges=_privileges(target, last),
    )


def read_collectors(
    target: Target, last: ScrapeReport | None, listings: dict[str, ListingStatus]
) -> tuple[CollectorRow, ...]:
    """Return the last result of each collector, sorted by state."""
    if last is None:
        return ()
    slow = {
        collector.name: collector.intervals * target.settings.slow_interval_seconds
        for collector in target.collectors
        if collector.intervals
    }
    waiting = {store for store, listing in listings.items() if listing.tried_at is None}
    rows = [
        _collector(_newest(outcome, listings), waiting, slow.get(outcome.name), last.error) for outcome in last.outcomes
    ]
    return tuple(sorted(rows, key=lambda row: row.state.rank))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `store9` before `store10`."""
    parts = re.split("([0-9]+)", name)
    return [(int(part) if part[:1].isdecimal() and part.isascii() else 0, part) for part in parts]


def version_number(version: Version | None) -> str | None:
    """Return the version with its release; `None` if it is unknown."""
    if version is None or version.version is None:
        return None
    return ".".join(part for part in (version.version, version.release) if part)


def down_of(last: ScrapeReport | None) -> Down | None:
    """Return why PBS was down in the last scrape, if it was."""
    if last is None or last.error is None:
        return None
    kind = next(kind for kind, classes in _KINDS if isinstance(last.error, classes))
    return Down(kind, reason_text(last.error))


def reason_text(error: BaseException) -> str:
    """Return the text for the page. Only our own errors have text that is safe to show; others are in the log."""
    return str(error) if isinstance(error, PbsExporterError) else "an internal error of the exporter; see its log"


def _newest(outcome: Outcome, listings: dict[str, ListingStatus]) -> Outcome:
    """Return an outcome with the current state of listings, which may have ended since the scrape."""
    if outcome.name != SnapshotsCollector.name:
        return outcome
    return msgspec.structs.replace(outcome, datastores={store: known.error for store, known in listings.items()})


def _collector(outcome: Outcome, waiting: set[str], every_seconds: float | None, down: PbsError | None) -> CollectorRow:
    own_error = None if same_cause(outcome.error, down) else outcome.error
    bad = [store for store, error in outcome.datastores.items() if error is not None and not same_cause(error, down)]
    listed = outcome.name == SnapshotsCollector.name
    reasons = () if own_error is None else (reason_text(own_error),)
    if outcome.success:
        state = State.OK
    elif not reasons and not bad:
        state, reasons = State.UNASKED, (DOWN,)
    elif outcome.at is None or (not reasons and listed and waiting.issuperset(bad)):
        state = State.WAITING
    else:
        state = State.FAILED
        bad = [store for store in bad if not (listed and store in waiting)]
    asked = outcome.at is not None and state is not State.UNASKED
    return CollectorRow(
        name=outcome.name,
        state=state,
        reasons=reasons,
        datastores=tuple(sorted(bad, key=_natural)),
        at=outcome.at if asked else None,
        took_seconds=outcome.seconds if asked else None,
        samples_of=outcome.data_from,
        every_seconds=every_seconds,
    )


def _datastores(
    last: ScrapeReport | None, outcomes: list[Outcome], listings: dict[str, ListingStatus]
) -> list[DatastoreRow]:
    down = last.error if last else None
    reasons: dict[str, list[str]] = {store: [] for store in listings}
    at: dict[str, float | None] = {store: listing.tried_at for store, listing in listings.items()}
    for outcome in outcomes:
        for store, error in outcome.datastores.items():
            at.setdefault(store, outcome.at)
            found = reasons.setdefault(store, [])
            if error is not None and not same_cause(error, down):
                found.append(f"{outcome.name}: {reason_text(error)}")
    unlisted = {} if last is None else last.unlisted
    queried = _queried(last)
    rows = []
    for store in reasons.keys() | unlisted.keys():
        listing = listings.get(store)
        texts = reasons.get(store, [])
        if texts:
            only_waits = listing is not None and listing.tried_at is None and len(texts) == 1
            state = State.WAITING if only_waits else State.FAILED
        elif down is not None and store not in unlisted:
            state, texts = State.UNASKED, [DOWN]
        elif store not in queried and (listing is not None or store in unlisted):
            state, texts = State.UNREADABLE, [unlisted.get(store, NOT_QUERIED)]
        else:
            state = State.OK
        scraped_at = last.at if last is not None else None
        rows.append(DatastoreRow(store, state, tuple(texts), at.get(store, scraped_at), listing))
    return rows


def _queried(last: ScrapeReport | None) -> set[str]:
    """Return the datastores of the last scrape's listing; none if PBS didn't list its datastores."""
    outcomes = () if last is None else last.outcomes
    return {
        store
        for outcome in outcomes
        if outcome.name == SnapshotsCollector.name and outcome.error is None
        for store in outcome.datastores
    }


def _privileges(target: Target, last: ScrapeReport | None) -> TokenPrivileges:
    known = target.permissions
    if known is None:
        return TokenPrivileges((), (), None, _why_unknown(target, last))
    lacking = missing(target.enabled, known.by_path)
    needed_by: dict[tuple[str, str], dict[str, None]] = {}
    for need, names in lacking.items():
        needed_by.setdefault((need.privilege, need.path), {}).update(dict.fromkeys(names))
    return TokenPrivileges(
        missing=tuple(
            MissingPrivilege(privilege, path, tuple(names)) for (privilege, path), names in needed_by.items()
        ),
        commands=tuple(grants(lacking, known.by_path, target.settings.token_id)),
        at=known.at,
        unknown=None,
    )


def _why_unknown(target: Target, last: ScrapeReport | None) -> str:
    if AccessCollector.name not in target.enabled:
        return f"the collector {AccessCollector.name} is disabled"
    outcomes = () if last is None else last.outcomes
    error = next((outcome.error for outcome in outcomes if outcome.name == AccessCollector.name), None)
    if last is not None and same_cause(error, last.error):
        return DOWN
    return "PBS hasn't been queried yet" if error is None else reason_text(error)
