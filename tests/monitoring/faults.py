"""Faults of a simulated PBS, its host and its exporter. Each lasts for the duration of a block."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import msgspec

from pbs_exporter.simulator import Certificate, Fault
from pbs_exporter.simulator.world.layout import DAY
from tests.monitoring.calm_pbs import TASKS, Rows, store, task, upid, without_manifest
from tests.monitoring.monitored_pbs import MonitoredPbs

Make = Callable[[MonitoredPbs], AbstractContextManager[None]]
"""Makes a fault for the duration of a block."""
_SOME_SCRAPES = 12
"""Seconds."""

Row = dict[str, Any]
AnswerChange = Callable[[Any, int], object]
"""Returns the changed `data` of an answer. Its arguments are the unchanged data and the time (Unix seconds)."""


def changed_answer(pattern: str, change: AnswerChange, *, after: AnswerChange | None = None) -> Make:
    """Change an answer of PBS; with `after`, change it again when the fault ends."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        now = monitored.world.now
        end = monitored.source.change(pattern, lambda data: change(data, now))
        try:
            yield
        finally:
            end()
            if after is not None:
                monitored.source.change(pattern, lambda data: after(data, now))

    return make


def both(*faults: Make) -> Make:
    """Make several faults with one cause."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        with ExitStack() as entered:
            for fault in faults:
                entered.enter_context(fault(monitored))
            yield

    return make


def failed_answer(pattern: str, status: int, text: str) -> Make:
    """Make PBS answer with an error."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        armed = monitored.pbs.faults.add(pattern, Fault.status(status, text))
        try:
            yield
        finally:
            armed.remove()

    return make


def row(key: str, value: str, **changes: Any) -> AnswerChange:
    """Change the rows of a list with this value of `key`. `None` removes a key, and `_` stands for `-` in its name."""
    changed = {name.replace("_", "-"): new for name, new in changes.items()}

    def change(rows: Rows, _: int) -> Rows:
        return [_merged(row, changed) if row[key] == value else row for row in rows]

    return change


def _merged(row: Row, changes: Mapping[str, Any]) -> Row:
    return {name: value for name, value in {**row, **changes}.items() if value is not None}


def added(*rows: Callable[[int], Row]) -> AnswerChange:
    """Add rows to a list. Each is a function of the time."""
    return lambda data, now: [*data, *(row(now) for row in rows)]


def failed_task(worker_type: str, worker_id: str, status: str) -> Make:
    """Add a task that failed half an hour ago."""
    return changed_answer(TASKS, added(lambda now: task(worker_type, worker_id, now - 1800, 60, status)))


def group(backup_id: str, change: Callable[[Rows, int], Rows]) -> AnswerChange:
    """Change the snapshots of a group, newest first, and leave all others."""

    def change_group(rows: Rows, now: int) -> Rows:
        chosen = sorted((row for row in rows if row["backup-id"] == backup_id), key=lambda row: -row["backup-time"])
        if not chosen:  # It is in another namespace.
            return rows
        return [*(row for row in rows if row["backup-id"] != backup_id), *change(chosen, now)]

    return change_group


def not_since(seconds: int) -> Callable[[Rows, int], Rows]:
    """Keep only the snapshots older than `seconds`."""
    return lambda rows, now: [row for row in rows if row["backup-time"] < now - seconds]


def older_by(seconds: int) -> Callable[[Rows, int], Rows]:
    """Make all snapshots older by `seconds`."""
    return lambda rows, _: [row | {"backup-time": row["backup-time"] - seconds} for row in rows]


def unfinished(rows: Rows, now: int) -> Rows:
    """Add a snapshot whose backup was aborted an hour ago."""
    return [without_manifest(rows[0] | {"backup-time": now - 3600}, damaged=False), *rows]


def damaged(rows: Rows, _: int) -> Rows:
    """Make the manifest of the oldest snapshot unreadable."""
    return [*rows[:-1], without_manifest(rows[-1], damaged=True)]


def smaller(rows: Rows, _: int) -> Rows:
    """Reduce the newest snapshot to a quarter of its size."""
    return [rows[0] | {"size": rows[0]["size"] // 4}, *rows[1:]]


def plain(rows: Rows, _: int) -> Rows:
    """Remove the encryption of the newest snapshot."""
    files = [file | {"crypt-mode": "none"} if "crypt-mode" in file else file for file in rows[0]["files"]]
    return [rows[0] | {"files": files}, *rows[1:]]


def verified(position: int, state: str) -> Callable[[Rows, int], Rows]:
    """Change the verification state of one snapshot."""

    def change(rows: Rows, _: int) -> Rows:
        rows[position]["verification"] = rows[position]["verification"] | {"state": state}
        return rows

    return change


def shrinking(usage: Row, _: int) -> Row:
    """Fill 60 % of the free space."""
    less = usage["avail"] * 4 // 10
    return usage | {"avail": less, "used": usage["used"] + usage["avail"] - less}


def in_row(name: str, change: AnswerChange) -> AnswerChange:
    """Change one datastore's row in a list."""
    return lambda rows, now: [change(row, now) if row["store"] == name else row for row in rows]


def full(share: float, days: int) -> AnswerChange:
    """Fill a datastore to this share, with PBS's estimate that it is full in `days`.

    The free bytes stay the same, so the trend never reaches zero.
    """

    def change(row: Row, now: int) -> Row:
        total = round(row["avail"] / (1 - share))
        return row | {"total": total, "used": total - row["avail"], "estimated-full-date": now + days * DAY}

    return change


@contextmanager
def pbs_stopped(monitored: MonitoredPbs) -> Iterator[None]:
    """Stop PBS."""
    monitored.stop_pbs()
    try:
        yield
    finally:
        monitored.start_pbs()


@contextmanager
def exporter_stopped(monitored: MonitoredPbs) -> Iterator[None]:
    """Stop the exporter."""
    monitored.stop_exporter()
    try:
        yield
    finally:
        monitored.start_exporter()


@contextmanager
def token_revoked(monitored: MonitoredPbs) -> Iterator[None]:
    """Change the secret that PBS accepts."""
    known, monitored.pbs.secret = monitored.pbs.secret, "00000000-0000-0000-0000-000000000000"
    try:
        yield
    finally:
        monitored.pbs.secret = known


def certificate_ends(days: int) -> Make:
    """Replace PBS's certificate by one that expires in `days`."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        lasting = monitored.pbs.certificate
        monitored.stop_pbs()
        monitored.start_pbs(Certificate.make(not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=days)))
        try:
            yield
        finally:
            monitored.stop_pbs()
            monitored.start_pbs(lasting)

    return make


def privilege_lost(privilege: str) -> Make:
    """Remove a privilege of the token."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        had, monitored.world.privileges = monitored.world.privileges, monitored.world.privileges - {privilege}
        try:
            yield
        finally:
            monitored.world.privileges = had

    return make


@contextmanager
def full_listings_wait(monitored: MonitoredPbs) -> Iterator[None]:
    """Hold back full listings, as a busy disk does. Listings of one group are not delayed."""
    over = threading.Event()

    def wait(rows: Rows) -> Rows:
        over.wait(300)
        return rows

    end = monitored.source.change("/admin/datastore/main/snapshots", wait, whole=True)
    try:
        yield
    finally:
        end()
        over.set()


def datastore_with(name: str, **changes: Any) -> Make:
    """Change attributes of a datastore."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        changed = next(store for store in monitored.world.stores if store.name == name)
        before = {key: getattr(changed, key) for key in changes}
        for key, value in changes.items():
            setattr(changed, key, value)
        try:
            yield
        finally:
            for key, value in before.items():
                setattr(changed, key, value)

    return make


@contextmanager
def datastore_removed(monitored: MonitoredPbs) -> Iterator[None]:
    """Remove the datastore `gone`."""
    before = list(monitored.world.stores)
    monitored.world.stores[:] = [store for store in before if store.name != "gone"]
    try:
        yield
    finally:
        monitored.world.stores[:] = before


def new_datastore(name: str, after: Mapping[str, Any], **changes: Any) -> Make:
    """Add a datastore without groups. It stays after the fault, with the attributes in `after`."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        made = store(name, monitored.world.now, 0, **changes)
        monitored.world.stores.append(made)
        try:
            yield
        finally:
            for key, value in after.items():
                setattr(made, key, value)

    return make


@contextmanager
def target_removed(monitored: MonitoredPbs) -> Iterator[None]:
    """Remove the exporter from the targets that Prometheus finds."""
    aside = monitored.target_file.rename(monitored.target_file.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(monitored.target_file)


def clock_ahead(seconds: float) -> Make:
    """Set PBS's clock forward."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        monitored.source.clock_ahead = seconds
        try:
            yield
        finally:
            monitored.source.clock_ahead = 0.0

    return make


def slow_answer(pattern: str, seconds: float) -> Make:
    """Make PBS take that long for an answer."""

    @contextmanager
    def make(monitored: MonitoredPbs) -> Iterator[None]:
        armed = monitored.pbs.faults.add(pattern, Fault.slow(seconds))
        try:
            yield
        finally:
            armed.remove()

    return make


def gc_never_ran(name: str) -> Make:
    """Report a datastore's garbage collection as planned, without a run."""
    return changed_answer(
        "/admin/gc", in_row(name, lambda row, _: {key: row[key] for key in ("next-run", "schedule", "store")})
    )


def first_gc_failed(name: str) -> Make:
    """Report a datastore's first garbage collection as failed, in the task list too."""
    keys = ("last-run-endtime", "next-run", "schedule", "store")
    error = "marking used chunks failed: can't open index: index too small (7)"
    return both(
        changed_answer(
            "/admin/gc", in_row(name, lambda row, _: {key: row[key] for key in keys} | {"last-run-state": error})
        ),
        failed_task("garbage_collection", name, error),
    )


def swap_grows(status: Row, _: int) -> Row:
    """Fill the memory, and grow the swap from one request to the next."""
    memory, swap = status["memory"], status["swap"]
    used = round(0.98 * memory["total"])
    swapped = swap["used"] + (int(time.time()) % 3600 << 20)
    return status | {"memory": memory | {"used": used}, "swap": swap | {"used": swapped}}


def backup_encrypted(groups: list[Any]) -> None:
    """Encrypt all backups of these groups."""
    groups[:] = [msgspec.structs.replace(group, encrypted=True) for group in groups]


def tokens_end(days: int) -> AnswerChange:
    """Make all tokens with an expiry expire in `days`."""

    def change(users: Rows, now: int) -> Rows:
        for user in users:
            for token in user.get("tokens", ()):
                if "expire" in token:
                    token["expire"] = now + days * DAY
        return users

    return change


def verified_before(days: int) -> Callable[[Rows, int], Rows]:
    """Set the age of the last verification, in days."""

    def change(rows: Rows, now: int) -> Rows:
        then = upid(now - days * DAY, "verificationjob")
        return [row | {"verification": {"upid": then, "state": "ok"}} for row in rows]

    return change


def never_verified(days: int) -> Callable[[Rows, int], Rows]:
    """Remove all verifications, and set the age of the oldest snapshot, in days."""

    def change(rows: Rows, now: int) -> Rows:
        bare = [{key: value for key, value in row.items() if key != "verification"} for row in rows]
        return [*bare[:-1], bare[-1] | {"backup-time": now - days * DAY}]

    return change


def failed_then(name: str, **changes: Any) -> AnswerChange:
    """Make a job fail, and some seconds later start its next run, whose row has these changes."""
    began: list[float] = []

    def change(rows: Rows, now: int) -> object:
        began.append(time.monotonic())
        if began[-1] - began[0] < _SOME_SCRAPES:
            return row("id", name, last_run_state="sync failed with some errors.")(rows, now)
        return row("id", name, **{"last_run_upid": upid(now, "syncjob")} | changes)(rows, now)

    return change


def deduplicated(factor: float) -> AnswerChange:
    """Multiply the deduplication factor."""

    def change(usage: Row, _: int) -> Row:
        status = usage["gc-status"]
        return usage | {"gc-status": status | {"index-data-bytes": round(status["index-data-bytes"] * factor)}}

    return change
