"""An exporter with incremental listings in front of a PBS with a history, and its requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from pbs_exporter.simulator import LoggedRequest
from pbs_exporter.simulator.exchange import Exchange
from tests.support.backup_history import BackupHistory, Group, Place, Snapshot
from tests.support.backup_history_pbs import BackupHistoryPbs
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped
from tests.support.running import NOW, SNAPSHOTS, Setup, simulated
from tests.support.waiting import Gate

GROUPS = "/admin/datastore/{store}/groups"

WEB = Place("main", "", ("vm", "100"))
DNS = Place("main", "", ("ct", "101"))
DEEP = Place("main", "a/b", ("vm", "102"))
OTHER = Place("mirror", "", ("vm", "100"))


def small_history() -> BackupHistory:
    """Return two datastores; the first has namespaces and three groups."""
    history = BackupHistory(FakeClock(NOW), "main", "mirror")
    history.add_namespace("main", "a")
    for place in (WEB, DNS, DEEP, OTHER):
        for size in (10, 20, 30):
            history.backup(place, size)
    # What ends in the second in which a listing begins is news.
    history.clock.advance(1)
    return history


@asynccontextmanager
async def listing_changes(
    history: BackupHistory,
    mode: str = "changes",
    *,
    ahead: float = 0.0,
    source: BackupHistoryPbs | None = None,
    **settings: Any,
) -> AsyncIterator[Setup]:
    """Run an exporter in front of a PBS with that history. Its clock is `ahead` of PBS's by that number of seconds.

    The collector `groups` is off unless the settings say otherwise: it asks for what listings may ask too.
    """
    async with simulated(source or BackupHistoryPbs(history)) as pbs:
        made = make_settings(pbs, listing_mode=mode, **{"collectors": {"groups": False}, **settings})
        async with exporting(made, history.clock.ahead(ahead)) as exporter:
            yield Setup(pbs, exporter, history.clock)


async def full_listings_done() -> None:
    """Wait until no full listing runs in the background."""
    for _ in range(20_000):
        if not any(task.get_name().startswith("full listing of ") for task in asyncio.all_tasks()):
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("a listing in the background doesn't end")


class ObservedScrape:
    """A page, and the requests until all listings that the scrape started had ended."""

    def __init__(self, page: Scraped, requests: list[LoggedRequest]) -> None:
        self.page = page
        self.groups = [requested_place(request) for request in requests if request.template == GROUPS]
        listings = [requested_place(request) for request in requests if request.template == SNAPSHOTS]
        self.listed = {place for place in listings if place.group != ("", "")}
        self.listed_in_full = sorted((place.store, place.namespace) for place in listings if place.group == ("", ""))


async def observe(setup: Setup) -> ObservedScrape:
    """Scrape, and wait for listings in the background."""
    await full_listings_done()
    setup.pbs.requests.clear()
    page = await setup.scrape()
    await full_listings_done()
    return ObservedScrape(page, list(setup.pbs.requests))


def requested_place(request: LoggedRequest) -> Place:
    """Return the namespace or group that a request is about."""
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    group = query.get("backup-type", ""), query.get("backup-id", "")
    return Place(request.path.split("/")[3], query.get("ns", ""), group)


class FullListings(Gate):
    """A gate for full listings: before PBS reads anything, or after it has read."""

    def __init__(self, *, read: bool = False) -> None:
        super().__init__()
        self._read = read

    async def _hold(self, exchange: Exchange) -> web.StreamResponse:
        if "backup-id" in exchange.log.query:
            return await exchange.send(await exchange.answer())
        if self._read:
            answer = await exchange.answer()

            async def as_it_was() -> Any:
                return answer

            exchange.answer = as_it_was
        return await super()._hold(exchange)


def group_value(page: Scraped, name: str, place: Place, **labels: str) -> float | None:
    """Return a group's value."""
    values = {"datastore": place.store, "backup_type": place.group[0], "backup_id": place.group[1], **labels}
    # The page has empty labels, which Prometheus treats as missing.
    return page.value(f"pbs_snapshot_{name}", namespace=place.namespace, **values)


ALL_NAMESPACES = [("main", ""), ("main", "a"), ("main", "a/b"), ("mirror", "")]
OF_MAIN = ALL_NAMESPACES[:3]
TASKS = "/nodes/{node}/tasks"


def fully_listed_at(page: Scraped) -> dict[str, float]:
    """Return the time of each datastore's full listing."""
    return page.by("pbs_snapshot_full_listing_timestamp_seconds", "datastore")


def places(page: Scraped) -> set[Place]:
    """Return the groups on the page."""
    return {
        Place(labels["datastore"], labels["namespace"], (labels["backup_type"], labels["backup_id"]))
        for labels, _ in page.series("pbs_snapshot_count")
    }


def asked_for_changes_only(seen: ObservedScrape) -> bool:
    """Whether the groups of each namespace were requested once, and nothing was listed in full."""
    asked = sorted((place.store, place.namespace) for place in seen.groups)
    return asked == ALL_NAMESPACES and seen.listed_in_full == []


def many_groups(number: int) -> BackupHistory:
    """Return a datastore with `number` groups of one snapshot each, in two namespaces."""
    history = BackupHistory(FakeClock(1_795_000_000.0), "main")
    history.add_namespace("main", "a")
    for index in range(number):
        name = ("", "a")[index % 2]
        history.stores["main"].namespaces[name]["vm", str(index)] = Group(snapshots=[Snapshot(history.now - 500, 10)])
    return history


STORES = ("main", "mirror")
"""The datastores of `small_history`."""

SEES_ALL = {"/system/tasks": {"Sys.Audit": True}}
"""The privileges of a token that sees all tasks."""


@asynccontextmanager
async def idling(history: BackupHistory, **options: Any) -> AsyncIterator[Setup]:
    """Run an exporter with a token that sees all tasks, until nothing has changed since its last scrape."""
    options.setdefault("source", BackupHistoryPbs(history, permissions=SEES_ALL))
    async with listing_changes(history, **options) as setup:
        await observe(setup)
        yield setup


async def later(setup: Setup, seconds: float = 60.0) -> ObservedScrape:
    """Scrape after a while."""
    setup.clock.advance(seconds)
    return await observe(setup)


def idle(seen: ObservedScrape) -> dict[str, float]:
    """Return `pbs_datastore_idle` by datastore."""
    return seen.page.by("pbs_datastore_idle", "datastore")


def looked_at(seen: ObservedScrape) -> list[str]:
    """Return the datastores whose groups were asked for."""
    return sorted({place.store for place in seen.groups})


def looks_done() -> bool:
    """Whether no listing runs that scrapes wait for."""
    return not any(task.get_name().startswith("listing of ") for task in asyncio.all_tasks())
