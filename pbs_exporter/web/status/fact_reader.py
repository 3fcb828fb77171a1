"""The facts about a target, from its last scrape and its listings."""

import re

import msgspec

from pbs_exporter.collectors.access import AccessCollector
from pbs_exporter.collectors.privileges import grants, missing
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.errors import PbsExporterError
from pbs_exporter.pbs.models import Version
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.collector_run import Outcome
from pbs_exporter.scrape.failure_log import ScrapeReport, same_cause
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.status.facts import (
    NOT_QUERIED,
    CollectorRow,
    DatastoreRow,
    Facts,
    LastScrape,
    MissingPrivilege,
    PbsState,
    State,
    TokenPrivileges,
)


def read_facts(target: Target, listings: dict[str, ListingStatus], disabled: tuple[str, ...]) -> Facts:
    """Return the facts about a target, sorted by state; datastores of the same state by name.

    It may run in a thread: of the target it reads what is never changed, but only replaced.
    """
    last = target.last_scrape
    outcomes = [] if last is None else [_newest(outcome, listings) for outcome in last.outcomes]
    slow = {
        collector.name: collector.intervals * target.settings.slow_interval_seconds
        for collector in target.collectors
        if collector.intervals
    }
    waiting = {store for store, listing in listings.items() if listing.tried_at is None}
    down = last.error if last else None
    collectors = [_collector(outcome, waiting, slow.get(outcome.name), down) for outcome in outcomes]
    return Facts(
        pbs=PbsState(target.settings.endpoint, version_number(target.version), reason_text(down)),
        scrape=None if last is None else LastScrape(last.at, last.seconds),
        collectors=tuple(sorted(collectors, key=lambda collector: collector.state.rank)),
        disabled=disabled,
        datastores=tuple(
            sorted(_datastores(last, outcomes, listings), key=lambda row: (row.state.rank, _natural(row.name)))
        ),
        privileges=_privileges(target, outcomes),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `store9` before `store10`."""
    parts = re.split("([0-9]+)", name)
    return [(int(part) if part[:1].isdecimal() and part.isascii() else 0, part) for part in parts]


def version_number(version: Version | None) -> str | None:
    """Return the version with its release; `None` if it is unknown."""
    if version is None or version.version is None:
        return None
    return ".".join(part for part in (version.version, version.release) if part)


def reason_text(error: BaseException | None, down: BaseException | None = None) -> str | None:
    """Return the text for the page. Only our own errors have text that is safe to show; others are in the log.

    `down` is why PBS is down. The page shows that once.
    """
    if error is None:
        return None
    if same_cause(error, down):
        return "PBS is down"
    return str(error) if isinstance(error, PbsExporterError) else "an internal error of the exporter; see its log"


def _newest(outcome: Outcome, listings: dict[str, ListingStatus]) -> Outcome:
    """Return an outcome with the current state of listings, which may have ended since the scrape."""
    if outcome.name != SnapshotsCollector.name:
        return outcome
    return msgspec.structs.replace(outcome, datastores={store: known.error for store, known in listings.items()})


def _collector(
    outcome: Outcome, waiting: set[str], every_seconds: float | None, down: BaseException | None
) -> CollectorRow:
    bad = tuple(sorted((store for store, error in outcome.datastores.items() if error is not None), key=_natural))
    listed = outcome.name == SnapshotsCollector.name
    reason = reason_text(outcome.error, down)
    if outcome.success:
        state = State.OK
    elif outcome.at is None or (reason is None and listed and waiting.issuperset(bad)):
        state = State.WAITING
    else:
        state = State.FAILED
    return CollectorRow(
        name=outcome.name,
        state=state,
        reasons=() if reason is None else (reason,),
        datastores=bad if state is State.WAITING or not listed else tuple(name for name in bad if name not in waiting),
        at=outcome.at,
        took_seconds=None if outcome.at is None else outcome.seconds,
        samples_of=outcome.data_from,
        every_seconds=every_seconds,
    )


def _datastores(
    last: ScrapeReport | None, outcomes: list[Outcome], listings: dict[str, ListingStatus]
) -> list[DatastoreRow]:
    reasons: dict[str, list[str]] = {store: [] for store in listings}
    at: dict[str, float | None] = {store: listing.tried_at for store, listing in listings.items()}
    for outcome in outcomes:
        for store, error in outcome.datastores.items():
            at.setdefault(store, outcome.at)
            found = reasons.setdefault(store, [])
            if error is not None:
                found.append(f"{outcome.name}: {reason_text(error, last.error if last else None)}")
    unlisted = {} if last is None else last.unlisted
    queried = _queried(last)
    rows = []
    for store in reasons.keys() | unlisted.keys():
        listing = listings.get(store)
        texts = reasons.get(store, [])
        if texts:
            only_waits = listing is not None and listing.tried_at is None and len(texts) == 1
            state = State.WAITING if only_waits else State.FAILED
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


def _privileges(target: Target, outcomes: list[Outcome]) -> TokenPrivileges:
    known = target.permissions
    if known is None:
        return TokenPrivileges((), (), None, _why_unknown(target, outcomes))
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


def _why_unknown(target: Target, outcomes: list[Outcome]) -> str:
    if AccessCollector.name not in target.enabled:
        return f"the collector {AccessCollector.name} is disabled"
    error = next((outcome.error for outcome in outcomes if outcome.name == AccessCollector.name), None)
    down = None if target.last_scrape is None else target.last_scrape.error
    return reason_text(error, down) or "PBS hasn't been queried yet"
