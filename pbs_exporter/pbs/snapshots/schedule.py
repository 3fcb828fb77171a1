"""When a datastore is listed, and how. Pure: each function takes values and returns values.

Times are seconds of the monotonic clock. `listed_at` is when PBS answered what is shown, `None` before that.
"""

import math
from typing import Literal

import msgspec

SLOW_SECONDS = 0.5
"""A datastore whose answers take this long together is listed incrementally (`listing_mode` = `auto`)."""

QUICK_SECONDS = 0.25
"""A datastore whose answers take less together is listed in full again."""

RETRY_SECONDS = 60.0
"""Delay before a full listing in the background is tried again after a failure."""

IDLE_SECONDS = 86_400.0
"""Minimum interval of full listings in the background while nothing changes."""

Mode = Literal["full", "changes"]


class Limits(msgspec.Struct, frozen=True):
    """The settings that decide: `listing_…_seconds`, without that part of their names."""

    interval: float
    timeout: float
    refresh: float
    max_age: float
    idle: float = 0.0


class Schedule(msgspec.Struct, frozen=True):
    """What is due, and what must wait.

    `mode` is what scrapes wait for: `full` is a full listing, `changes` an incremental one, while full ones run in the
    background. `full_began_at` belongs to a full listing under way, or is `None`. `full_is_wanted` says that only a
    full one shows what has changed, `full_failed` that the last one didn't succeed.
    """

    mode: Mode
    scraped_at: float = -math.inf
    incremental_not_before: float = -math.inf
    full_began_at: float | None = None
    full_is_wanted: bool = False
    full_due_at: float = -math.inf
    full_not_before: float = -math.inf
    full_failed: bool = False


def is_incremental(schedule: Schedule, listed_at: float | None) -> bool:
    """Whether scrapes wait for an incremental listing. The first one is full in either mode."""
    return schedule.mode == "changes" and listed_at is not None


def is_due(schedule: Schedule, limits: Limits, listed_at: float | None, now: float) -> bool:
    """Whether a scrape at this time starts a listing."""
    if listed_at is not None and now - listed_at < limits.interval:
        return False
    incremental = is_incremental(schedule, listed_at)
    return now >= (schedule.incremental_not_before if incremental else schedule.full_not_before)


def may_skip(limits: Limits, listed_at: float | None, now: float) -> bool:
    """Whether a datastore in which nothing has changed needn't be looked at."""
    return listed_at is not None and now - listed_at < limits.idle


def may_list_in_full(schedule: Schedule, now: float) -> bool:
    """Whether a full listing may start: none is under way, and PBS isn't still working on one that timed out."""
    return schedule.full_began_at is None and now >= schedule.full_not_before


def is_quick(answer_seconds: float | None) -> bool:
    """Whether PBS took little for its answers to the last full listing; `None` is no such listing."""
    return answer_seconds is not None and answer_seconds < SLOW_SECONDS


def full_is_promising(schedule: Schedule, now: float) -> bool:
    """Whether it is worth listing all where many groups have changed: the last full listing succeeded, and PBS is idle.

    Else the changed groups are listed one by one, or nothing would be listed until a full listing gets through.
    """
    return not schedule.full_failed and now >= schedule.full_not_before


def next_full_at(schedule: Schedule, limits: Limits, listed_at: float | None, *, is_as_listed: bool = False) -> float:
    """Return when the next full listing may start, in the background or with a scrape.

    `is_as_listed` says that nothing has changed since the last one that succeeded.
    """
    if is_incremental(schedule, listed_at):
        rest = max(0.0, IDLE_SECONDS - limits.refresh) if is_as_listed and not schedule.full_failed else 0.0
        due_at = -math.inf if schedule.full_is_wanted else schedule.full_due_at + rest
    else:
        due_at = -math.inf if listed_at is None else listed_at + limits.interval
    return max(due_at, schedule.full_not_before)


def background_at(
    schedule: Schedule, limits: Limits, listed_at: float | None, now: float, *, is_as_listed: bool = False
) -> float | None:
    """Return when a full listing is to start in the background. `None`: a scrape starts it, or nobody scrapes."""
    is_scraped = now - schedule.scraped_at <= limits.max_age
    if not is_incremental(schedule, listed_at) or not is_scraped or schedule.full_began_at is not None:
        return None
    return next_full_at(schedule, limits, listed_at, is_as_listed=is_as_listed)


def full_began(schedule: Schedule, now: float) -> Schedule:
    """Return the schedule while a full listing is under way."""
    return msgspec.structs.replace(schedule, full_began_at=now, full_is_wanted=False)


def full_ended(
    schedule: Schedule, limits: Limits, now: float, *, is_good: bool, goes_on: bool, spread: float
) -> Schedule:
    """Return the schedule after a full listing.

    A snapshot that vanishes while PBS reads fails the whole answer, so the next try comes soon. `spread` (0.8 to 1)
    shortens the interval after a good one, or all datastores would be listed at the same time every time. Where a
    request timed out PBS goes on working on it, and another one would add to its work.
    """
    seconds = limits.refresh * spread if is_good else min(RETRY_SECONDS, limits.refresh)
    return msgspec.structs.replace(
        schedule,
        full_began_at=None,
        full_failed=not is_good,
        full_due_at=now + seconds,
        full_not_before=now + limits.timeout if goes_on else schedule.full_not_before,
    )


def incremental_ended(
    schedule: Schedule, limits: Limits, now: float, *, goes_on: bool, full_is_wanted: bool
) -> Schedule:
    """Return the schedule after an incremental listing, which may have found that a full one is needed."""
    return msgspec.structs.replace(
        schedule,
        incremental_not_before=now + limits.timeout if goes_on else schedule.incremental_not_before,
        full_is_wanted=schedule.full_is_wanted or full_is_wanted,
    )


def scraped(schedule: Schedule, now: float) -> Schedule:
    """Return the schedule after a scrape has asked for the listing."""
    return msgspec.structs.replace(schedule, scraped_at=now)


def choose_mode(mode: Mode, seconds: float) -> Mode:
    """Return the mode for the next scrapes, by what PBS took for all answers of a full listing."""
    return "changes" if seconds >= limit_of(mode) else "full"


def limit_of(mode: Mode) -> float:
    """Return the threshold between the modes. Hysteresis keeps a datastore near it from switching back and forth."""
    return QUICK_SECONDS if mode == "changes" else SLOW_SECONDS
