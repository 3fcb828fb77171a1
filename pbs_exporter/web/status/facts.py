"""What the status page says, as plain facts. PBS isn't asked for it."""

import re
from enum import StrEnum

import msgspec

from pbs_exporter.collectors.access import AccessCollector
from pbs_exporter.collectors.privileges import grants, missing
from pbs_exporter.collectors.snapshots import SnapshotsCollector
from pbs_exporter.errors import PbsExporterError
from pbs_exporter.pbs.models import Version
from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.collector_run import Outcome
from pbs_exporter.scrape.target import LastScrape, Target

NOT_ASKED = "not asked in the last scrape"
"""Why it isn't known how a datastore is now: PBS is down, or its list of datastores failed."""


class State(StrEnum):
    """How it stands with a collector or a datastore; the worst comes first."""

    FAILED = "failed"
    WAITING = "waiting"
    UNREADABLE = "not listed"
    OK = "ok"

    @property
    def rank(self) -> int:
        """Where it belongs on the page."""
        return list(State).index(self)


class Collector(msgspec.Struct, frozen=True):
    """A collector's last result.

    `reasons` say why it failed, or what it waits for; `datastores` are those that it failed for. `at` is when
    that was asked for, `samples_of` when its samples were, if that may be before (Unix times). A slow one asks
    every so many seconds.
    """

    name: str
    state: State
    reasons: tuple[str, ...]
    datastores: tuple[str, ...]
    at: float | None
    took_seconds: float | None
    samples_of: float | None
    every_seconds: float | None


class Datastore(msgspec.Struct, frozen=True):
    """How it stands with a datastore: what any collector says of it, and its listing where it has one."""

    name: str
    state: State
    reasons: tuple[str, ...]
    at: float | None
    listing: ListingStatus | None


class Missing(msgspec.Struct, frozen=True):
    """A privilege that the token lacks, and the collectors that need it."""

    privilege: str
    path: str
    collectors: tuple[str, ...]


class Rights(msgspec.Struct, frozen=True):
    """What the token lacks, and the commands that grant it.

    `at` is when PBS said so (Unix time). Where it hasn't, `unknown` says why, and nothing is missing.
    """

    missing: tuple[Missing, ...]
    commands: tuple[str, ...]
    at: float | None
    unknown: str | None


class Pbs(msgspec.Struct, frozen=True):
    """The PBS that is asked. `version` is what it said last, `down` why it is down in the last scrape, if it is."""

    endpoint: str
    version: str | None
    down: str | None


class Scrape(msgspec.Struct, frozen=True):
    """The last scrape: when it began (Unix time), and how long it took."""

    at: float
    took_seconds: float


class Facts(msgspec.Struct, frozen=True):
    """All that is on the page. `scrape` is `None` before the first one; `switched_off` are collectors."""

    pbs: Pbs
    scrape: Scrape | None
    collectors: tuple[Collector, ...]
    switched_off: tuple[str, ...]
    datastores: tuple[Datastore, ...]
    rights: Rights


def read(target: Target, switched_off: tuple[str, ...]) -> Facts:
    """Gather what is known of a target: problems first, datastores by name."""
    last, listings = target.last, target.listings()
    outcomes = [] if last is None else [_newest(outcome, listings) for outcome in last.outcomes]
    slow = {
        collector.name: collector.intervals * target.settings.slow_interval_seconds
        for collector in target.collectors
        if collector.intervals
    }
    waiting = {store for store, listing in listings.items() if listing.tried_at is None}
    collectors = [_collector(outcome, waiting, slow.get(outcome.name)) for outcome in outcomes]
    return Facts(
        pbs=Pbs(target.settings.endpoint, _version(target.version), _reason(last.error) if last else None),
        scrape=None if last is None else Scrape(last.at, last.seconds),
        collectors=tuple(sorted(collectors, key=lambda collector: collector.state.rank)),
        switched_off=switched_off,
        datastores=tuple(
            sorted(_datastores(last, outcomes, listings), key=lambda row: (row.state.rank, _natural(row.name)))
        ),
        rights=_rights(target, outcomes),
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Give a key that sorts `store9` before `store10`."""
    parts = re.split("([0-9]+)", name)
    return [(int(part) if part[:1].isdecimal() and part.isascii() else 0, part) for part in parts]


def _version(version: Version | None) -> str | None:
    if version is None or version.version is None:
        return None
    return ".".join(part for part in (version.version, version.release) if part)


def _reason(error: BaseException | None) -> str | None:
    """Give what may be shown: the text of our own errors is clean, another one's is for the log."""
    if error is None:
        return None
    return str(error) if isinstance(error, PbsExporterError) else "an error of the exporter, see its log"


def _newest(outcome: Outcome, listings: dict[str, ListingStatus]) -> Outcome:
    """Give an outcome as it stands now: a listing may have ended since the scrape."""
    if outcome.name != SnapshotsCollector.name:
        return outcome
    return msgspec.structs.replace(outcome, datastores={store: known.error for store, known in listings.items()})


def _collector(outcome: Outcome, waiting: set[str], every_seconds: float | None) -> Collector:
    bad = tuple(sorted((store for store, error in outcome.datastores.items() if error is not None), key=_natural))
    listed = outcome.name == SnapshotsCollector.name
    reason = _reason(outcome.error)
    if outcome.success:
        state = State.OK
    elif outcome.at is None or (reason is None and listed and waiting.issuperset(bad)):
        state = State.WAITING
    else:
        state = State.FAILED
    return Collector(
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
    last: LastScrape | None, outcomes: list[Outcome], listings: dict[str, ListingStatus]
) -> list[Datastore]:
    reasons: dict[str, list[str]] = {store: [] for store in listings}
    at: dict[str, float | None] = {store: listing.tried_at for store, listing in listings.items()}
    for outcome in outcomes:
        for store, error in outcome.datastores.items():
            at.setdefault(store, outcome.at)
            found = reasons.setdefault(store, [])
            if error is not None:
                found.append(f"{outcome.name}: {_reason(error)}")
    unlisted = {} if last is None else last.unlisted
    asked = _asked(last)
    rows = []
    for store in reasons.keys() | unlisted.keys():
        listing = listings.get(store)
        texts = reasons.get(store, [])
        if texts:
            only_waits = listing is not None and listing.tried_at is None and len(texts) == 1
            state = State.WAITING if only_waits else State.FAILED
        elif store not in asked and (listing is not None or store in unlisted):
            state, texts = State.UNREADABLE, [unlisted.get(store, NOT_ASKED)]
        else:
            state = State.OK
        scraped_at = last.at if last is not None else None
        rows.append(Datastore(store, state, tuple(texts), at.get(store, scraped_at), listing))
    return rows


def _asked(last: LastScrape | None) -> set[str]:
    """Give the datastores that the last scrape would have listed; none where PBS didn't say which there are."""
    outcomes = () if last is None else last.outcomes
    return {
        store
        for outcome in outcomes
        if outcome.name == SnapshotsCollector.name and outcome.error is None
        for store in outcome.datastores
    }


def _rights(target: Target, outcomes: list[Outcome]) -> Rights:
    known = target.privileges
    if known is None:
        return Rights((), (), None, _why_unknown(target, outcomes))
    lacking = missing(target.enabled, known.permissions)
    needed_by: dict[tuple[str, str], dict[str, None]] = {}
    for need, names in lacking.items():
        needed_by.setdefault((need.privilege, need.path), {}).update(dict.fromkeys(names))
    return Rights(
        missing=tuple(Missing(*right, tuple(names)) for right, names in needed_by.items()),
        commands=tuple(grants(lacking, known.permissions, target.settings.token_id)),
        at=known.at,
        unknown=None,
    )


def _why_unknown(target: Target, outcomes: list[Outcome]) -> str:
    if AccessCollector.name not in target.enabled:
        return f"the collector {AccessCollector.name} is switched off"
    error = next((outcome.error for outcome in outcomes if outcome.name == AccessCollector.name), None)
    return _reason(error) or "PBS hasn't been asked yet"
