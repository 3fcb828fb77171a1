"""The content of the status page, as plain data."""

from enum import StrEnum

import msgspec

from pbs_exporter.pbs.snapshots.listing import ListingStatus

NOT_QUERIED = "not queried in the last scrape"
"""Why the state of a datastore is unknown: PBS's list of datastores failed."""

DOWN = "PBS is down"
"""Why the rest isn't asked while PBS is down. The reason for that is shown once."""


class State(StrEnum):
    """The state of a collector or a datastore, from worst to best."""

    FAILED = "failed"
    WAITING = "waiting"
    UNASKED = "not asked"
    UNREADABLE = "not listed"
    OK = "ok"

    @property
    def rank(self) -> int:
        """The sort key: 0 for the worst state."""
        return _RANKS[self]


_RANKS = {state: rank for rank, state in enumerate(State)}


class CollectorRow(msgspec.Struct, frozen=True):
    """A collector's last result.

    `reasons` are why it failed or what it waits for, `datastores` those for which it failed. `at` is the time of the
    result, `samples_of` the time of its samples if they may be older (Unix seconds). `every_seconds` is the interval
    of a slow collector.
    """

    name: str
    state: State
    reasons: tuple[str, ...]
    datastores: tuple[str, ...]
    at: float | None
    took_seconds: float | None
    samples_of: float | None
    every_seconds: float | None


class DatastoreRow(msgspec.Struct, frozen=True):
    """A datastore's last result, from all collectors, and the state of its snapshot listing if there is one."""

    name: str
    state: State
    reasons: tuple[str, ...]
    at: float | None
    listing: ListingStatus | None


class MissingPrivilege(msgspec.Struct, frozen=True):
    """A privilege that the token lacks, and the collectors that need it."""

    privilege: str
    path: str
    collectors: tuple[str, ...]


class TokenPrivileges(msgspec.Struct, frozen=True):
    """The privileges that the token lacks, and the commands that grant them.

    `at` is the time of PBS's answer (Unix seconds). Without one, `unknown` is the reason, and `missing` is empty.
    """

    missing: tuple[MissingPrivilege, ...]
    commands: tuple[str, ...]
    at: float | None
    unknown: str | None


class Down(msgspec.Struct, frozen=True):
    """Why PBS was down in the last scrape: what kind of failure it was, and its reason."""

    kind: str
    reason: str


class PbsState(msgspec.Struct, frozen=True):
    """The PBS. `version` is the last one reported, `down` why it was down in the last scrape, if it was."""

    endpoint: str
    version: str | None
    down: Down | None


class LastScrape(msgspec.Struct, frozen=True):
    """The last scrape: its start (Unix seconds) and duration."""

    at: float
    took_seconds: float


class Facts(msgspec.Struct, frozen=True):
    """The content of the page. `scrape` is `None` before the first one, `disabled` are disabled collectors."""

    pbs: PbsState
    scrape: LastScrape | None
    collectors: tuple[CollectorRow, ...]
    disabled: tuple[str, ...]
    datastores: tuple[DatastoreRow, ...]
    privileges: TokenPrivileges
