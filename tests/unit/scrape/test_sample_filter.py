"""Excluded samples aren't exported, cost no requests if possible, and are no failure."""

from urllib.parse import parse_qs

import pytest

from pbs_exporter.config import Filters
from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped, facts, failed
from tests.support.paths import recorded_time, recording_file
from tests.support.running import NAMESPACES, SNAPSHOTS, Setup, running, small_world

GROUP = "backup_id"


def of_store(scraped: Scraped, store: str) -> list[str]:
    """Return the names of a datastore's series."""
    return [name for name, labels in facts(scraped) if ("datastore", store) in labels]


async def test_a_datastore_that_is_left_out_is_not_asked() -> None:
    """An excluded datastore isn't asked for, has no series, and doesn't change the others."""
    async with running(small_world(3, 2)) as well:
        whole = await well.scrape()
        assert of_store(whole, "main")
    async with running(small_world(3, 2), filters=Filters(datastores=("!main",))) as setup:
        scraped = await setup.scrape()
        assert setup.asked("/admin/datastore/main/*") == 0
        assert of_store(scraped, "main") == []
        success = scraped.series("pbs_scrape_datastore_success")
        assert {(labels["datastore"], value) for labels, value in success} == {("archive", 1), ("offsite", 1)}
        assert failed(scraped) == set()
    expected = {
        key for key in facts(whole) if ("datastore", "main") not in key[1] and not key[0].startswith("pbs_task")
    }
    assert {key for key in facts(scraped) if not key[0].startswith("pbs_task")} == expected
    assert tasks(scraped) == tasks(whole)


def tasks(scraped: Scraped) -> float:
    """Count the tasks, whatever their comment."""
    return sum(value for _, value in scraped.series("pbs_task_total"))


def namespaces_asked(setup: Setup) -> set[tuple[str, str]]:
    """Return datastore and namespace of each listing request."""
    return {
        (request.path.split("/")[3], parse_qs(request.query, keep_blank_values=True)["ns"][0])
        for request in setup.pbs.requests_to(SNAPSHOTS)
    }


@pytest.mark.parametrize(
    ("patterns", "listed"),
    [(("prod",), {"prod"}), (("!prod*",), {""}), (("",), {""}), (("!",), {"prod", "prod/db"}), (("no",), set())],
)
@pytest.mark.parametrize("mode", ["full", "changes"])
async def test_a_namespace_that_is_left_out_is_not_listed(
    patterns: tuple[str, ...], listed: set[str], mode: str
) -> None:
    """The snapshots of an excluded namespace aren't requested; the number of namespaces still includes it."""
    async with running(small_world(1, 3), filters=Filters(namespaces=patterns), listing_mode=mode) as setup:
        for _ in range(2):
            scraped = await setup.scrape()
            assert namespaces_asked(setup) <= {("main", name) for name in listed}
            assert {labels["namespace"] for labels, _ in scraped.series("pbs_snapshot_count")} == listed
            assert scraped.value("pbs_datastore_namespaces", datastore="main") == 3
            assert failed(scraped) == set()
        # Where listings don't ask for groups, the slow collector of their notes asks once.
        assert setup.asked(NAMESPACES) == (3 if mode == "full" else 2)


async def test_a_task_without_its_namespace_has_no_comment() -> None:
    """A backup's comment is empty if an excluded namespace may have that guest too."""
    async with running(small_world(1, 1)) as setup:
        known = {labels["comment"] for labels, _ in (await setup.scrape()).series("pbs_task_total")}
    async with running(small_world(1, 2), filters=Filters(namespaces=("",))) as setup:
        cut = {labels["comment"] for labels, _ in (await setup.scrape()).series("pbs_task_total")}
    assert len(known) > 1
    assert cut == {""}


async def test_groups_cut_samples_and_no_requests() -> None:
    """Excluded groups have no series; the requests and the rest of the page are the same."""
    world = small_world(1, 3)
    async with running(world) as well:
        whole = await well.scrape()
        asked = [request.template for request in well.pbs.requests]
    async with running(world, filters=Filters(groups=("!vm/100",))) as setup:
        scraped = await setup.scrape()
        assert sorted(request.template for request in setup.pbs.requests) == sorted(asked)
    hidden = {("backup_type", "vm"), ("backup_id", "100")}
    assert facts(scraped) == {key: value for key, value in facts(whole).items() if not hidden <= key[1]}
    assert facts(scraped) != facts(whole)


async def test_a_datastore_that_fails_all_usage_can_be_left_out() -> None:
    """If the datastore that fails the usage of all is excluded, nothing has failed."""
    recording = "pbs-4.2.3-vanished"
    clock = FakeClock(recorded_time(recording)).clock
    async with SimulatedPbs(Replay(recording_file(recording))) as pbs:
        settings = make_settings(pbs, filters=Filters(datastores=("!gone",)))
        async with exporting(settings, clock) as exporter:
            scraped = await exporter.scrape()
    assert failed(scraped) == set()
    assert "gone" not in scraped.by("pbs_datastore_readable", "datastore")
    assert len(scraped.by("pbs_datastore_total_bytes", "datastore")) > 3
