"""What is filtered out isn't asked for where that is possible, is on no page, and is no failure."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from pbs_exporter.config import Filters, keeps, load
from pbs_exporter.errors import ConfigError
from pbs_exporter.simulator import Replay, SimulatedPbs
from tests.support.clock import FakeClock
from tests.support.exporter import exporting, make_settings
from tests.support.metrics_page import Scraped
from tests.support.page_facts import facts, failed
from tests.support.recordings import recorded_time, recording_file
from tests.support.running import Setup, running
from tests.support.small_pbs import NAMESPACES, SNAPSHOTS, small_world

GROUP = "backup_id"


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ((), ["", "a", "a/b", "b", "[x]"]),
        (("a",), ["a"]),
        (("a*",), ["a", "a/b"]),
        (("*",), ["", "a", "a/b", "b", "[x]"]),
        (("!a",), ["", "a/b", "b", "[x]"]),
        (("!a*", "!b"), ["", "[x]"]),
        (("a*", "!a/*"), ["a"]),
        (("!a/*", "a*"), ["a"]),
        (("",), [""]),
        (("!",), ["a", "a/b", "b", "[x]"]),
        (("A",), []),
        (("?", "a?b"), ["a", "a/b", "b"]),
        (("[[]x]",), ["[x]"]),
    ],
)
def test_patterns(patterns: tuple[str, ...], kept: list[str]) -> None:
    """Kept is what any plain pattern matches as a whole, or all where there is none, and no excluding one does."""
    assert [name for name in ("", "a", "a/b", "b", "[x]") if keeps(patterns, name)] == kept


def of_store(scraped: Scraped, store: str) -> list[str]:
    """Return the names of a datastore's series."""
    return [name for name, labels in facts(scraped) if ("datastore", store) in labels]


async def test_a_datastore_that_is_left_out_is_not_asked() -> None:
    """Of a datastore that is left out PBS isn't asked, none of its series is there, and the others are as ever."""
    async with running(small_world(3, 2)) as well:
        whole = await well.scrape()
        assert of_store(whole, "main")
    async with running(small_world(3, 2), filters=Filters(datastores=("!main",))) as setup:
        scraped = await setup.scrape()
        assert setup.asked("/admin/datastore/main/*") == 0
        assert of_store(scraped, "main") == []
        assert scraped.by("pbs_scrape_datastore_success", "datastore") == {"archive": 1, "offsite": 1}
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
    """PBS isn't asked for the snapshots of a namespace that is left out; how many there are stays whole."""
    async with running(small_world(1, 3), filters=Filters(namespaces=patterns), listing_mode=mode) as setup:
        for _ in range(2):
            scraped = await setup.scrape()
            assert namespaces_asked(setup) <= {("main", name) for name in listed}
            assert {labels["namespace"] for labels, _ in scraped.series("pbs_snapshot_count")} == listed
            assert scraped.value("pbs_datastore_namespaces", datastore="main") == 3
            assert failed(scraped) == set()
        assert setup.asked(NAMESPACES) == 2


async def test_a_task_without_its_namespace_has_no_comment() -> None:
    """A backup's comment is empty where a namespace is left out, which may have that guest too."""
    async with running(small_world(1, 1)) as setup:
        known = {labels["comment"] for labels, _ in (await setup.scrape()).series("pbs_task_total")}
    async with running(small_world(1, 2), filters=Filters(namespaces=("",))) as setup:
        cut = {labels["comment"] for labels, _ in (await setup.scrape()).series("pbs_task_total")}
    assert len(known) > 1
    assert cut == {""}


async def test_groups_cut_samples_and_no_requests() -> None:
    """Groups that are left out have no series; PBS is asked as ever, and the rest of the page is whole."""
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
    """Where the datastore that makes PBS refuse the usage of all is left out, nothing has failed."""
    recording = "pbs-4.2.3-vanished"
    clock = FakeClock(recorded_time(recording)).clock
    async with SimulatedPbs(Replay(recording_file(recording))) as pbs:
        settings = make_settings(pbs, filters=Filters(datastores=("!gone",)))
        async with exporting(settings, clock) as exporter:
            scraped = await exporter.scrape()
    assert failed(scraped) == set()
    assert "gone" not in scraped.by("pbs_datastore_readable", "datastore")
    assert len(scraped.by("pbs_datastore_total_bytes", "datastore")) > 3


GOOD = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://pbs.example.com:8007",
    "PBS_EXPORTER__PBS__TOKEN_ID": "a@pbs!b",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": "x",
}


def from_file(text: str, tmp_path: Any) -> Filters:
    """Load a settings file with that section."""
    file = tmp_path / "settings.toml"
    file.write_text(f"[filters]\n{text}\n")
    return load(str(file), GOOD, {})[0].filters


def test_filters_of_a_file(tmp_path: Any) -> None:
    """A file has lists, in which an empty pattern is the root namespace."""
    filters = from_file('datastores = ["a", "!b*"]\nnamespaces = ["", "!"]\ngroups = ["vm/*"]', tmp_path)
    assert filters == Filters(datastores=("a", "!b*"), namespaces=("", "!"), groups=("vm/*",))


def test_filters_of_the_environment() -> None:
    """The environment has patterns separated by commas, with space around them or not."""
    environ = {"PBS_EXPORTER__FILTERS__DATASTORES": "a, !b*", "PBS_EXPORTER__FILTERS__NAMESPACES": ",prod"}
    assert load(None, GOOD | environ, {})[0].filters == Filters(datastores=("a", "!b*"), namespaces=("", "prod"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('datastores = "main"', '"main" is not a list'),
        ("datastores = 5", "5 is not a list"),
        ("datastores = [5]", "5 is not text"),
        ('datastores = [["a"]]', "a list is not text"),
        ('datastores = ["a", ""]', '"" is an empty pattern'),
        ('groups = ["!"]', '"!" is an empty pattern'),
        ('datastores = ["a[b"]', '"a[b" has a [ without its ]'),
        ('namespaces = ["[]"]', '"[]" has a [ without its ]'),
        ('groups = ["vm"]', '"vm" has no /'),
    ],
)
def test_bad_filters(text: str, complaint: str, tmp_path: Any) -> None:
    """A pattern that can't be meant so ends the start with a line that says what is wrong and what would be right."""
    with pytest.raises(ConfigError) as error:
        from_file(text, tmp_path)
    (problem,) = error.value.problems
    assert complaint in problem
    assert "write a list of patterns" in problem
