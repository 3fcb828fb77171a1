"""The pages for the recorded answers of real PBS servers.

Each recording is replayed at the time at which it was made. Its page is checked twice: each series against
`tests/support/expected_page.py`, and the whole text against `tests/data/golden/NAME.prom`. After an intended change,
write the golden files again and review the difference:

    UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/service/test_recordings.py
"""

import datetime as dt
import os
import re
from collections.abc import Iterable

import pytest

from pbs_exporter.simulator import Certificate, Replay, SimulatedPbs
from tests.support import expected_page
from tests.support.expected_collectors import VALID_FROM, VALID_UNTIL, with_disks
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.fixed_metrics import FIXED
from tests.support.metrics_page import Scraped
from tests.support.paths import DATA, RECORDINGS, recorded_time, recording_file

GOLDEN = DATA / "golden"
UPDATE = os.environ.get("UPDATE_GOLDEN", "") not in ("", "0")

MEASURED = (
    "pbs_scrape_collector_duration_seconds",
    "pbs_exporter_scrape_duration_seconds",
    "pbs_exporter_api_request_duration_seconds",
    "pbs_exporter_build_info",
)
"""Metrics that differ from run to run, or from machine to machine."""

_pages: dict[str, Scraped] = {}
_expected: dict[str, dict[str, dict[expected_page.Labels, float]]] = {}


async def page(recording: str) -> Scraped:
    """Return the page of a recording, scraped once for all tests."""
    if recording not in _pages:
        clock = FakeClock(recorded_time(recording)).clock
        replay = Replay(recording_file(recording))
        certificate = Certificate.make(not_before=utc(VALID_FROM), not_after=utc(VALID_UNTIL))
        disks = with_disks(expected_page.Recording(recording_file(recording)))
        async with (
            SimulatedPbs(replay, forbidden_delay=0.0, certificate=certificate) as pbs,
            exporting(make_settings(pbs, collectors={"disks": disks}), clock) as exporter,
        ):
            _pages[recording] = await exporter.scrape()
    return _pages[recording]


def utc(time: float) -> dt.datetime:
    """Return the date of a Unix time, in the form that certificates have."""
    return dt.datetime.fromtimestamp(time, tz=dt.UTC)


def counted(recording: str) -> dict[str, dict[expected_page.Labels, float]]:
    """Return all series expected for a recording, computed from its bodies."""
    if recording not in _expected:
        _expected[recording] = expected_page.expected_series(expected_page.Recording(recording_file(recording)))
    return _expected[recording]


def on_page(scraped: Scraped, name: str) -> dict[expected_page.Labels, float]:
    """Return the page's series of a metric."""
    return {frozenset(labels.items()): value for labels, value in scraped.series(name)}


def names(scraped: Scraped) -> set[str]:
    """Return the names of all samples on the page."""
    return {sample.name for family in scraped.families.values() for sample in family.samples}


SUBJECTS = ("pbs_up|pbs_version", "pbs_scrape_", "pbs_host_", "pbs_datastore_", "pbs_snapshot_", "pbs_task_", "pbs_gc_")

OTHERS = (
    "pbs_group_",
    "pbs_tape_",
    "pbs_job_",
    "pbs_subscription_|pbs_updates_|pbs_service_",
    "pbs_token_",
    "pbs_disk_|pbs_zfs_",
)


@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("subject", [*SUBJECTS, *OTHERS])
async def test_every_series_is_what_the_recorded_bodies_say(recording: str, subject: str) -> None:
    """The page has exactly the series, labels and values that are computed from the recorded bodies."""
    scraped = await page(recording)
    expected = counted(recording)
    of_subject = sorted(name for name in names(scraped) | set(expected) if re.match(subject, name))
    shown = {name: on_page(scraped, name) for name in of_subject if name not in MEASURED}
    wanted = {name: expected.get(name, {}) for name in of_subject if name not in MEASURED}
    assert shown == wanted


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_nothing_else_is_on_the_page(recording: str) -> None:
    """Every series is either expected for the recording, or one of the exporter's own."""
    own = re.compile(r"pbs_scrape_collector_duration_seconds|pbs_exporter_")
    assert {name for name in names(await page(recording)) if not own.match(name)} == set(counted(recording))


@pytest.mark.parametrize("name", FIXED)
async def test_every_specified_metric_is_in_a_recording(name: str) -> None:
    """Each of the 33 specified names has samples on the pages of the recordings."""
    assert any([on_page(await page(recording), name) for recording in RECORDINGS])


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_requests_are_counted(recording: str) -> None:
    """The exporter counts each of its requests once, by path template and status."""
    wanted = expected_page.requests(expected_page.Recording(recording_file(recording)))
    assert {
        (labels["endpoint"], labels["code"]): value
        for labels, value in (await page(recording)).series("pbs_exporter_api_requests_total")
    } == wanted


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_page_is_the_golden_file(recording: str) -> None:
    """The page equals the golden file line by line, except for the values that each run measures."""
    golden = GOLDEN / f"{recording}.prom"
    text = stable((await page(recording)).text)
    if UPDATE:
        golden.write_text(text)
    assert text.splitlines() == golden.read_text().splitlines()


def stable(text: str) -> str:
    """Replace measured values by a placeholder, and sort the lines whose order depends on PBS's answers."""
    lines: list[str] = []
    unordered: list[str] = []
    for line in text.splitlines():
        if line.startswith(("pbs_exporter_api_", "pbs_scrape_datastore_")):
            unordered.append(_placeholder(line))
            continue
        lines += sorted(unordered)
        unordered = []
        lines.append(_placeholder(line))
    return "\n".join((*lines, *sorted(unordered), ""))


def _placeholder(line: str) -> str:
    if line.startswith("pbs_exporter_build_info"):
        return re.sub(r'="[^"]*"', '="…"', line)
    # The number of timed requests is fixed. Only their durations vary.
    if line.startswith(MEASURED) and "_seconds_count{" not in line:
        return f"{line.rpartition(' ')[0]} …"
    return line


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_of_a_state_set_exactly_one_is_true(recording: str) -> None:
    """A state set has all its states for each group: one is 1, and the others are 0."""
    things: dict[expected_page.Labels, dict[str, float]] = {}
    for labels, value in (await page(recording)).series("pbs_snapshot_last_verification"):
        state = labels.pop("state")
        things.setdefault(frozenset(labels.items()), {})[state] = value
    assert things
    for values in things.values():
        assert values.keys() == {"ok", "failed", "none"}
        assert sorted(values.values()) == [0, 0, 1]


@pytest.mark.parametrize("recording", RECORDINGS)
async def test_states_of_a_group_add_up(recording: str) -> None:
    """A group's counts of snapshots by verification state add up to its count of snapshots."""
    scraped = await page(recording)
    sums: dict[expected_page.Labels, float] = {}
    for labels, value in scraped.series("pbs_snapshot_verification"):
        del labels["state"]
        key = frozenset(labels.items())
        sums[key] = sums.get(key, 0) + value
    assert sums == on_page(scraped, "pbs_snapshot_count")
    assert sums


def _groups(scraped: Scraped, **wanted: str) -> Iterable[dict[str, str]]:
    return [
        labels
        for labels, _ in scraped.series("pbs_snapshot_count")
        if all(labels.get(name, "") == value for name, value in wanted.items())
    ]


async def test_types_with_one_id_are_different_groups() -> None:
    """A virtual machine, a container and a host with the same ID are three groups."""
    scraped = await page("pbs-4.2.3")
    found = {labels["backup_type"] for labels in _groups(scraped, datastore="main", namespace="", backup_id="100")}
    assert found == {"vm", "ct", "host"}


async def test_namespaces_and_datastores_with_one_id_are_different_groups() -> None:
    """A guest in several namespaces or datastores is a separate group in each."""
    scraped = await page("pbs-4.2.3")
    groups = list(_groups(scraped, backup_type="vm", backup_id="100"))
    assert len({labels.get("namespace", "") for labels in groups if labels["datastore"] == "main"}) > 1
    assert len({labels["datastore"] for labels in groups}) > 1
