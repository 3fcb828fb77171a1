"""Random histories of a PBS: incremental listings have the same result as full listings."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbs_exporter.collectors import DEFAULTS
from tests.support.backup_history import BackupHistory, Group, Place, Snapshot
from tests.support.backup_history_pbs import BackupHistoryPbs
from tests.support.exporter import Exporter, FakeClock, exporting, make_settings
from tests.support.incremental_listing import SEES_ALL, full_listings_done
from tests.support.running import NOW, simulated

# Many similar runs: other tests cover the same lines, and tracing doubles the time.
pytestmark = pytest.mark.no_cover

REFRESH = 900.0

COLLECTORS = {name: name in ("snapshots", "tasks") for name in DEFAULTS}
"""Only the collectors whose metrics come from listings."""

STORES = ("main", "mirror")
NAMESPACES = ("a", "a/b", "c")
GROUPS = (("vm", "100"), ("ct", "101"), ("vm", "101"), ("host", "web.example.org"))

T = TypeVar("T")

# --- events, each at a place that a number chooses


class Chance:
    """Chooses places and names by number. An event that is impossible there doesn't happen."""

    def __init__(self, history: BackupHistory, numbers: Sequence[int]) -> None:
        self.history = history
        self._numbers = list(numbers)
        self.unseen: set[Place] = set()

    def number(self) -> int:
        return self._numbers.pop(0) if self._numbers else 0

    def of(self, choices: Sequence[T]) -> T:
        return choices[self.number() % len(choices)]

    def some(self, choices: Sequence[T]) -> list[T]:
        """Return one of the items, or none if there are none."""
        return [self.of(choices)] if choices else []

    def store(self) -> str:
        return self.of(list(self.history.stores))

    def running(self) -> list[Place]:
        return self.some([place for place in self.history.places() if self.history.running(place)])

    def idle(self, has: Callable[[Group], object] = lambda _: True) -> list[Place]:
        """Return a group without a running backup for which `has` is true, or nothing."""
        history = self.history
        return self.some([place for place in history.places() if not history.running(place) and has(history.at(place))])

    def namespace(self) -> list[tuple[str, str]]:
        """Return a namespace other than the root without a running backup, or nothing."""
        busy = {(place.store, place.namespace) for place in self.history.places() if self.history.running(place)}
        found = [(store, name) for store, known in self.history.stores.items() for name in known.namespaces if name]
        return self.some([key for key in found if key not in busy])

    def unused(self, store: str) -> list[str]:
        return self.some([name for name in NAMESPACES if name not in self.history.stores[store].namespaces])


def add(chance: Chance) -> None:
    """Back up an existing group, or a new one."""
    store = chance.store()
    place = Place(store, chance.of(list(chance.history.stores[store].namespaces)), chance.of(GROUPS))
    if place in set(chance.history.places()) and chance.history.running(place):
        return
    how = chance.number() % 4
    chance.history.start_backup(place)
    if how in (0, 1):
        chance.history.finish_backup(place, 1000 + chance.number(), encrypted=how == 1)
    elif how == 2:
        chance.history.abort_backup(place, leaves=True)


def finish(chance: Chance) -> None:
    for place in chance.running():
        chance.history.finish_backup(place, 1000 + chance.number())


def abort(chance: Chance) -> None:
    for place in chance.running():
        chance.history.abort_backup(place, leaves=bool(chance.number() % 2))


def remove(chance: Chance) -> None:
    """Remove any snapshot, even the last one of its group."""
    for place in chance.idle(lambda group: group.snapshots):
        chance.history.remove(place, chance.of(chance.history.at(place).oldest_first()))


def prune(chance: Chance) -> None:
    for place in chance.idle(lambda group: len(group.snapshots) > 1):
        chance.history.prune(place, 1 + chance.number() % (len(chance.history.at(place).snapshots) - 1))


def remove_and_start(chance: Chance) -> None:
    """Make a change that only the list of tasks shows. The group keeps its count and its newest finished snapshot."""
    for place in chance.idle(lambda group: len(group.finished()) > 1):
        chance.history.remove(place, chance.history.at(place).finished()[0])
        chance.history.start_backup(place)
        if chance.number() % 2:
            chance.history.abort_backup(place, leaves=True)


def remove_group(chance: Chance) -> None:
    for place in chance.idle():
        chance.history.remove_group(place)


def remake_group(chance: Chance) -> None:
    for place in chance.idle():
        chance.history.remake_group(place)


def replace_old(chance: Chance) -> None:
    """Make a change that the list of groups doesn't show."""
    for place in chance.idle(lambda group: len(group.finished()) > 1):
        chance.history.replace_old(place)
        chance.unseen.add(place)


def add_namespace(chance: Chance) -> None:
    store = chance.store()
    for name in chance.unused(store):
        chance.history.add_namespace(store, name)


def remove_namespace(chance: Chance) -> None:
    for store, name in chance.namespace():
        chance.history.remove_namespace(store, name)


def rename_namespace(chance: Chance) -> None:
    for store, name in chance.namespace():
        for new in chance.unused(store):
            chance.history.rename_namespace(store, name, new)


def verify(chance: Chance) -> None:
    worker_type, state = chance.of(("verificationjob", "verify")), chance.of(("ok", "failed"))
    chance.history.verify(chance.store(), worker_type, state)


def verify_group(chance: Chance) -> None:
    for place in chance.idle():
        chance.history.verify_group(place, chance.of(("ok", "failed")))


def with_snapshot(chance: Chance) -> list[tuple[Place, Snapshot]]:
    places = chance.idle(Group.finished)
    return [(place, chance.of(chance.history.at(place).finished())) for place in places]


def verify_snapshot(chance: Chance) -> None:
    for place, snapshot in with_snapshot(chance):
        chance.history.verify_snapshot(place, snapshot, chance.of(("ok", "failed")))


def note(chance: Chance) -> None:
    for _, snapshot in with_snapshot(chance):
        chance.history.note(snapshot, chance.of(("web", "db", "")))


def protect(chance: Chance) -> None:
    for _, snapshot in with_snapshot(chance):
        chance.history.protect(snapshot, protected=not snapshot.protected)


def note_group(chance: Chance) -> None:
    for place in chance.idle():
        chance.history.note_group(place, chance.of(("web", "db", "")))


def own(chance: Chance) -> None:
    for place in chance.idle():
        chance.history.own(place, chance.of(("alice@pbs", "bob@pbs")))


def open_or_close(chance: Chance) -> None:
    store = chance.store()
    if chance.history.stores[store].maintenance:
        chance.history.open_store(store)
    else:
        chance.history.close_store(store)


def wait(chance: Chance) -> None:
    chance.history.clock.advance(chance.of((10, 60, 300)))


OPERATIONS: list[Callable[[Chance], None]] = [
    *(add, finish, abort, remove, prune, remove_and_start, remove_group, remake_group, replace_old),
    *(add_namespace, remove_namespace, rename_namespace, open_or_close, wait),
    *(verify, verify_group, verify_snapshot, note, protect, note_group, own),
]

NUMBERS = st.tuples(*[st.sampled_from(range(12))] * 5)
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(OPERATIONS), NUMBERS), min_size=1, max_size=8),
        st.sampled_from([False, True]),
    ),
    min_size=1,
    max_size=3,
)
"""Operations and their numbers before each scrape, and whether a full listing becomes due after them."""

# --- comparison

FULL_LISTING = "pbs_snapshot_full_listing_timestamp_seconds"

LISTING = "pbs_snapshot_listing_timestamp_seconds"

LATER = (
    *("pbs_snapshot_verification", "pbs_snapshot_last_verification", "pbs_snapshot_protected"),
    *("pbs_snapshot_last_verification_timestamp_seconds", FULL_LISTING),
)
"""Metrics that only a full listing shows. The labels below are the same."""

ONLY_OF_CHANGES = "pbs_datastore_idle"

LATER_LABELS = ("comment", "verification_state")

Facts = dict[tuple[str, frozenset[tuple[str, str]]], float]

SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def compared_series(
    text: str, without: Sequence[str], labels: Sequence[str] = (), unseen: Collection[Place] = ()
) -> Facts:
    """Return a page's values about PBS, without some metrics, labels and groups. A full parser is too slow here."""
    found: Facts = defaultdict(float)
    for name, inner, value in SAMPLE.findall(re.sub("^#.*\n", "", text, flags=re.MULTILINE)):
        if name in without or name.startswith(("pbs_exporter_", "pbs_scrape_collector_duration")):
            continue
        known = dict(LABEL.findall(inner))
        if _place(known) not in unseen:
            # Only the exporter with incremental listings asks for groups, which have the notes.
            kept = {key: text for key, text in known.items() if key not in (*labels, "group_comment")}
            found[name, frozenset(kept.items())] += float(value)
    return found


def _place(labels: dict[str, str]) -> Place | None:
    if "backup_id" not in labels:
        return None
    return Place(labels["datastore"], labels["namespace"], (labels["backup_type"], labels["backup_id"]))


async def metrics_text(exporter: Exporter) -> str:
    async with exporter.client.get("/metrics") as response:
        assert response.status == 200
        return await response.text()


# --- two exporters in front of one PBS


class Pair:
    """Two exporters: one with full listings, and one with incremental listings."""

    def __init__(self, full: Exporter, changes: Exporter) -> None:
        self._full = full
        self._changes = changes

    async def refresh(self) -> None:
        """Scrape the exporter with incremental listings, and wait for the full listings that are due."""
        await metrics_text(self._changes)
        await full_listings_done()

    async def compare(self, *without: str, **options: Any) -> None:
        """Scrape both. Except for what is named, both pages must be equal, and no collector may fail."""
        pages = [await metrics_text(exporter) for exporter in (self._full, self._changes)]
        await full_listings_done()
        assert not any(re.search("^pbs_scrape_.*_success.* 0", page, re.MULTILINE) for page in pages)
        full, changes = (compared_series(page, (*without, ONLY_OF_CHANGES), **options) for page in pages)
        assert changes == full


def first_history(clock: FakeClock, stores: int) -> BackupHistory:
    """Return a PBS with a few groups, one of them in two namespaces."""
    history = BackupHistory(clock, *STORES[:stores])
    for store in history.stores:
        history.add_namespace(store, "a")
        for namespace, group, sizes in (
            ("", GROUPS[0], (10, 20, 30)),
            ("", GROUPS[1], (40,)),
            ("a", GROUPS[0], (50, 60)),
        ):
            for size in sizes:
                history.backup(Place(store, namespace, group), size)
    return history


async def live_through(stores: int, kind: str, limit: int, steps: list[Any]) -> None:
    """Run a history in front of both exporters.

    With a `telling` PBS a task follows each step, as it does nearly every change, and the token sees it. A datastore is
    then looked at only after a task, and the time of its listing is that of the last look.
    """
    is_telling = kind == "telling"
    clock = FakeClock(NOW)
    history = first_history(clock, stores)
    async with AsyncExitStack() as stack:
        source = BackupHistoryPbs(history, old=kind == "old", permissions=SEES_ALL if is_telling else None)
        pbs = await stack.enter_async_context(simulated(source))
        exporters = []
        for mode in ("full", "changes"):
            made = make_settings(
                pbs,
                collectors={**COLLECTORS, "access": is_telling},
                listing_idle_seconds=1e9,
                listing_mode=mode,
                listing_refresh_seconds=REFRESH,
                snapshot_history_limit=limit,
            )
            exporters.append(await stack.enter_async_context(exporting(made, clock.clock)))
        pair = Pair(*exporters)
        await pair.compare()
        unseen: set[Place] = set()
        for number, (operations, is_refreshed) in enumerate(steps):
            for operation, numbers in operations:
                chance = Chance(history, numbers)
                operation(chance)
                unseen |= chance.unseen
            if is_telling:
                for store in history.stores:
                    history.run("prunejob", store)
            await pair.compare(*LATER, labels=LATER_LABELS, unseen=unseen)
            if is_refreshed or number == len(steps) - 1:
                clock.advance(REFRESH)
                await pair.refresh()
                await pair.compare(FULL_LISTING, *([LISTING] if is_telling else []))
                unseen.clear()


@pytest.fixture(scope="module")
def runner() -> Any:
    """Return one event loop for all examples, because hypothesis has none."""
    with asyncio.Runner() as running:
        yield running


@pytest.mark.timeout(900)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    stores=st.integers(1, 2),
    kind=st.sampled_from(["new", "old", "telling"]),
    limit=st.sampled_from([0, 1, 2]),
    steps=STEPS,
)
def test_changes_come_to_the_same_as_full_listings(
    runner: asyncio.Runner,
    stores: int,
    kind: str,
    limit: int,
    steps: list[Any],
) -> None:
    """Incremental listings show the same as full listings, and after a refresh also what a list of groups lacks."""
    runner.run(live_through(stores, kind, limit, steps))
