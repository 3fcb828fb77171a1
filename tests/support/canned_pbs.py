"""A PBS with answers that a test sets, for cases that no recording has."""

import json
from collections.abc import Iterable
from typing import Any

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.simulator import Answer, Call, SimulatedPbs
from pbs_exporter.simulator.answer import UNAUTHORIZED, LoginFailure
from pbs_exporter.simulator.certificate import Certificate
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped

NOW = 1_795_000_000
"""The time at which these pages are scraped."""
DAY = 86_400

Json = Any
Series = dict[frozenset[tuple[str, str]], float]

_CERTIFICATE = Certificate.make()
_COLLECTORS = ("host", "datastores", "snapshots", "tasks", "gc", "tape")
"""Collectors of most of these pages."""


class CannedPbs:
    """A source of answers: the `data` of each answer, or a whole `Answer`, by path.

    Snapshots are given by namespace, groups too where each has its own. Tasks are selected by `since` and `running`,
    as in PBS.
    """

    def __init__(self, answers: dict[str, Json]) -> None:
        self.answers = {
            "/version": {"version": "4.2", "release": "3", "repoid": "abc"},
            "/nodes/localhost/status": {},
            "/status/metrics": {"data": []},
            "/nodes/localhost/subscription": {},
            "/access/permissions": {},
            **answers,
        }

    def pbs_time(self) -> float:
        """Return the time that the exporter has too."""
        return NOW

    def unauthorized(self, _failure: LoginFailure) -> Answer:
        """Refuse a login."""
        return UNAUTHORIZED

    def answer(self, call: Call) -> Answer:
        """Return the answer that the test set."""
        said = self.answers.get(call.path, {"": []} if call.path.endswith("/snapshots") else [])
        query = dict(call.query)
        if call.path.endswith("/namespace"):
            listing = self.answers.get(call.path.replace("/namespace", "/snapshots"), {"": []})
            said = [{"ns": namespace} for namespace in listing]
        elif call.path.endswith("/snapshots") or (call.path.endswith("/groups") and isinstance(said, dict)):
            said = said[query["ns"]]
        elif call.path.endswith("/tasks"):
            said = [task for task in said if _picked(task, query)]
        if isinstance(said, Answer):
            return said
        # Unlike msgspec, the standard library encodes lone surrogates and NaN.
        return Answer(200, json.dumps({"data": said}).encode())


def _picked(task: Json, query: dict[str, str]) -> bool:
    if query.get("running") == "1":
        return "endtime" not in task
    return bool(task["starttime"] >= int(query["since"]))


async def page(
    answers: dict[str, Json], only: Iterable[str] = _COLLECTORS, *, now: float = NOW, **settings: Json
) -> Scraped:
    """Scrape a PBS with these answers and collectors at that time. `settings` are keys of `[pbs]`."""
    collectors = dict.fromkeys(DEFAULTS, False) | dict.fromkeys(only, True)
    async with SimulatedPbs(CannedPbs(answers), tls=False, certificate=_CERTIFICATE) as pbs:
        made = make_settings(pbs, collectors=collectors, **settings)
        async with exporting(made, FakeClock(now).clock) as exporter:
            return await exporter.scrape()


async def snapshots_page(listings: dict[str, dict[str, Json]], **settings: Json) -> Scraped:
    """Scrape datastores with these snapshots: datastore → namespace → rows."""
    stores: Json = [{"store": store} for store in listings]
    paths = {f"/admin/datastore/{store}/snapshots": listing for store, listing in listings.items()}
    return await page({"/admin/datastore": stores, **paths}, ["snapshots"], **settings)


def snapshot(time: int, backup_type: str = "vm", backup_id: str = "100", **fields: Json) -> Json:
    """Return a row of `/snapshots`, finished by default. `fields` change its keys, and `None` removes one."""
    row = {
        "backup-type": backup_type,
        "backup-id": backup_id,
        "backup-time": time,
        "size": 1000,
        "owner": "root@pam",
        "protected": False,
        "files": [{"filename": "index.json.blob", "crypt-mode": "none", "size": 500}],
        **fields,
    }
    return {key: value for key, value in row.items() if value is not None}


def series(scraped: Scraped, name: str) -> list[tuple[dict[str, str], float]]:
    """Return a metric's series in the page's order."""
    return [
        (dict(sample.labels), sample.value)
        for family in scraped.families.values()
        for sample in family.samples
        if sample.name == name
    ]


def success(scraped: Scraped, collector: str) -> float | None:
    """Return a collector's success."""
    return scraped.value("pbs_scrape_collector_success", collector=collector)
