"""Whatever PBS or a client sends, the response is a 200 in a valid format without duplicate series."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pbs_exporter.exposition.formats import accepts_gzip, choose
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.page import Page
from pbs_exporter.plain_text import comment, printable
from pbs_exporter.simulator import Answer, Call, Certificate, SimulatedPbs
from pbs_exporter.web.budget import budget
from tests.support.canned_pbs import NOW, CannedPbs, snapshot
from tests.support.exporter import Exporter, FakeClock, exporting, make_settings
from tests.support.metrics_page import Scraped

# Many similar runs: other tests cover the same lines, and tracing doubles the time.
pytestmark = pytest.mark.no_cover

CERTIFICATE = Certificate.make()

pure = settings(derandomize=True, max_examples=100, deadline=None, database=None)
scraping = settings(
    pure,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

# --- strategies for answers

TEXTS = st.text(st.characters(exclude_categories=()), max_size=80)
"""Any code points, including lone surrogates and control characters."""

NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=0, max_value=2**40),
    st.floats(),
    st.sampled_from([0, -1, NOW, NOW * 1000, 2**53 + 1, 2**63, 2**64, 10**400]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)

FIELDS = (
    *("store", "comment", "maintenance", "mount-status", "backend-type", "error", "total", "used", "avail"),
    *("estimated-full-date", "gc-status", "upid", "index-data-bytes", "disk-bytes", "pending-bytes", "still-bad"),
    *("last-run-endtime", "last-run-state", "last-run-upid", "next-run", "duration", "ns", "backup-type", "backup-id"),
    *("backup-time", "size", "owner", "protected", "verification", "state", "files", "filename", "crypt-mode"),
    *("worker_type", "worker_id", "starttime", "endtime", "status", "name", "vendor", "model", "serial", "version"),
    *("release", "repoid", "cpu", "wait", "loadavg", "uptime", "memory", "swap", "root", "free", "cpuinfo", "cpus"),
)
KEYS = st.one_of(st.sampled_from(FIELDS), TEXTS)
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=8)),
    max_leaves=30,
)
ANYTHING = st.one_of(OBJECTS, st.lists(st.dictionaries(KEYS, SCALARS, max_size=12), max_size=6))


def near(row: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return rows of nearly the right shape: each field is correct, missing, or arbitrary."""
    return st.fixed_dictionaries(
        {}, optional={key: st.one_of(st.just(value), st.just(value), SCALARS) for key, value in row.items()}
    )


def rows(*examples: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return answers that are lists of such rows, or arbitrary."""
    listed = st.lists(st.one_of(*map(near, examples)), max_size=6)
    return st.one_of(listed, listed, listed, ANYTHING)


UPID = "UPID:pbs:00000277:00000DB1:00000000:69294A28:garbage_collection:a:root@pam:"
STORES = [
    {"store": "a", "comment": "x", "backend-type": "filesystem"},
    {"store": "b", "maintenance": "offline,message=x", "mount-status": "mounted"},
]
GC = {
    "store": "a",
    "upid": UPID,
    "last-run-upid": UPID,
    "last-run-state": "OK",
    "last-run-endtime": NOW - 100,
    "duration": 60,
    "next-run": NOW + 100,
    "index-data-bytes": 10,
    "disk-bytes": 5,
    "disk-chunks": 3,
    "pending-bytes": 0,
    "pending-chunks": 0,
    "removed-bytes": 1,
    "removed-chunks": 1,
    "still-bad": 0,
}
TASK = {
    "upid": UPID,
    "worker_type": "backup",
    "worker_id": "a:vm/100",
    "starttime": NOW - 500,
    "endtime": NOW - 400,
    "status": "OK",
}
RUNNING = {"upid": UPID + "2", "worker_type": "reader", "worker_id": "a:vm/100/69294A28", "starttime": NOW - 50}
USAGE = {
    "store": "a",
    "total": 10,
    "used": 5,
    "avail": 5,
    "estimated-full-date": NOW + 10_000,
    "gc-status": {"index-data-bytes": 10, "disk-bytes": 5, "upid": UPID},
    "error": "gone",
}
NODE = {
    "cpu": 0.1,
    "wait": 0.1,
    "loadavg": [1, 2, 3],
    "uptime": 5,
    "memory": {"total": 3, "used": 2, "free": 1},
    "swap": {"total": 3, "used": 2, "free": 1},
    "root": {"total": 3, "used": 2, "avail": 1},
    "cpuinfo": {"cpus": 4, "model": "x"},
    "current-kernel": {"release": "6"},
    "boot-info": {"mode": "efi", "secureboot": True},
}
DRIVE = {"name": "d", "vendor": "v", "model": "m", "serial": "s", "state": "busy"}
SNAPSHOT = snapshot(NOW - 1000, comment="note", verification={"state": "ok", "upid": UPID})

PATHS = {
    "/version": st.one_of(near({"version": "4.2", "release": "3", "repoid": "a"}), ANYTHING),
    "/nodes/localhost/status": st.one_of(near(NODE), ANYTHING),
    "/nodes/localhost/tasks": rows(TASK, RUNNING),
    "/admin/datastore": rows(*STORES),
    "/admin/datastore/{store}/namespace": rows({"ns": ""}, {"ns": "x"}),
    "/admin/datastore/{store}/snapshots": rows(SNAPSHOT, {**SNAPSHOT, "backup-time": NOW - 2000, "size": None}),
    "/admin/datastore/{store}/status": st.one_of(near({"total": 3, "used": 2, "avail": 1}), ANYTHING),
    "/status/datastore-usage": rows(USAGE),
    "/admin/gc": rows(GC),
    "/tape/drive": rows(DRIVE),
}
"""Strategies for the answers of the endpoints, by path template."""

GOOD: dict[str, Any] = {
    "/version": {"version": "4.2", "release": "3", "repoid": "a"},
    "/nodes/localhost/status": NODE,
    "/nodes/localhost/tasks": [TASK, RUNNING],
    "/admin/datastore": STORES,
    "/admin/datastore/{store}/namespace": [{"ns": ""}, {"ns": "x"}],
    "/admin/datastore/{store}/snapshots": [SNAPSHOT],
    "/admin/datastore/{store}/status": {"total": 3, "used": 2, "avail": 1},
    "/status/datastore-usage": [{**USAGE, "error": None}],
    "/admin/gc": [GC],
    "/tape/drive": [DRIVE],
}


class Said(CannedPbs):
    """A PBS with answers by path template."""

    def answer(self, call: Call) -> Answer:
        """Return the answer for a path."""
        segments = call.path.split("/")
        if segments[1:3] == ["admin", "datastore"] and len(segments) > 3:
            segments[3] = "{store}"
        # Unlike msgspec, the standard library encodes lone surrogates and NaN.
        return Answer(200, json.dumps({"data": self.answers.get("/".join(segments))}).encode())


@asynccontextmanager
async def exporter_and_answers() -> AsyncIterator[tuple[Said, Exporter]]:
    """Run an exporter in front of a PBS whose answers can be changed."""
    said = Said(dict(GOOD))
    async with (
        SimulatedPbs(said, tls=False, certificate=CERTIFICATE) as pbs,
        exporting(make_settings(pbs), FakeClock(NOW).clock) as exporter,
    ):
        yield said, exporter


Scenario = Callable[[Said, Exporter], Coroutine[Any, Any, None]]


class Bench:
    """One running exporter for all examples of a test. It has its own event loop, because hypothesis has none."""

    def __init__(self, runner: asyncio.Runner, said: Said, exporter: Exporter) -> None:
        self._runner = runner
        self._said = said
        self._exporter = exporter

    def run(self, scenario: Scenario, **answers: Any) -> None:
        """Run a scenario while PBS gives these answers. All other answers are good."""
        self._said.answers = GOOD | answers
        self._runner.run(scenario(self._said, self._exporter))


@pytest.fixture
def bench() -> Any:
    """Run an exporter."""
    with asyncio.Runner() as runner:
        manager = exporter_and_answers()
        said, exporter = runner.run(manager.__aenter__())
        try:
            yield Bench(runner, said, exporter)
        finally:
            runner.run(manager.__aexit__(None, None, None))


def distinct_series(families: list[Family]) -> list[tuple[str, frozenset[tuple[str, str]]]]:
    """Return all series of a page. Raise `AssertionError` if a series or a family occurs twice."""
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    found = [(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples]
    assert len(found) == len(set(found))
    return found


async def check_page(exporter: Exporter, headers: dict[str, str] | None = None) -> set[str]:
    """Scrape a page, which must be valid in its format. Return the names of its samples."""
    async with exporter.client.get("/metrics", headers=headers) as response:
        text = await response.text()
        assert response.status == 200, text
        content_type = response.headers["Content-Type"]
    if content_type.startswith("application/openmetrics-text"):
        names = {name for name, _ in distinct_series(list(parse_openmetrics(text)))}  # type: ignore[no-untyped-call]
    else:
        assert content_type.startswith("text/plain; version=")
        heads = re.findall("^# TYPE (.+) .+$", text, re.MULTILINE)
        assert len(heads) == len(set(heads))
        # The parser refuses duplicate series.
        names = {name for name, _ in Scraped(text).facts()}
    assert {"pbs_up", "pbs_scrape_collector_success", "pbs_exporter_build_info"} <= names
    return names


OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


async def check_both(_said: Said, exporter: Exporter) -> None:
    """Scrape in both formats, and check the status page."""
    assert await check_page(exporter) == await check_page(exporter, OPENMETRICS)
    async with exporter.client.get("/") as response:
        html = await response.text()
    assert response.status == 200
    assert "error of the exporter" not in html, html


NEEDED: dict[str, dict[str, Any]] = {"/admin/datastore/{store}/status": {"/status/datastore-usage": None}}
"""Answers without which an endpoint isn't queried."""


@pytest.mark.parametrize("template", PATHS)
def test_any_json_of_any_endpoint_makes_a_valid_page(bench: Bench, template: str) -> None:
    """Any answer of one endpoint makes a page that is valid in both formats, and no collector raises an error."""

    @scraping
    @given(data=PATHS[template])
    def check(data: object) -> None:
        bench.run(check_both, **NEEDED.get(template, {}), **{template: data})

    check()


@scraping
@given(answers=st.fixed_dictionaries(dict(PATHS)))
def test_any_json_of_all_endpoints_makes_a_valid_page(bench: Bench, answers: dict[str, Any]) -> None:
    """Any answers of all endpoints at once make a page that is valid in both formats."""
    bench.run(check_both, **answers)


@scraping
@given(texts=st.lists(TEXTS, min_size=4, max_size=4))
def test_any_text_can_stand_in_any_label(bench: Bench, texts: list[str]) -> None:
    """Comments, owners, IDs and models with any characters become labels of a valid page, and no sample is lost."""
    note, owner, backup_id, model = texts

    async def scenario(_said: Said, exporter: Exporter) -> None:
        names = await check_page(exporter)
        assert {"pbs_snapshot_info", "pbs_snapshot_count", "pbs_host_info", "pbs_tape_drive_info"} <= names
        assert await check_page(exporter, OPENMETRICS) == names

    bench.run(
        scenario,
        **{
            "/admin/datastore/{store}/snapshots": [
                {**SNAPSHOT, "comment": note, "owner": owner, "backup-id": backup_id},
            ],
            "/admin/datastore": [{"store": "a", "comment": note}],
            "/nodes/localhost/status": {"cpuinfo": {"model": model}},
            "/tape/drive": [{"name": backup_id, "model": model}],
        },
    )


HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
ACCEPT_PARTS = st.sampled_from(
    [
        *(
            "text/plain",
            "application/openmetrics-text",
            "*/*",
            "text/*",
            ";version=1.0.0",
            ";version=0.0.4",
            ";version=",
        ),
        *(";version=9", ";q=0", ";q=0.5", ";q=1", ";q=x", ";q=", ";escaping=allow-utf-8", ";escaping=x"),
        *(",", ";", "=", '"', ",,", "gzip", "identity", "*", "deflate"),
    ]
)
ACCEPTS = st.one_of(HEADER_VALUES, st.lists(ACCEPT_PARTS, max_size=12).map("".join))
DEADLINES = st.one_of(
    HEADER_VALUES,
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["nan", "-1", "abc", "0", "inf", "1_0", "1e3", "0x10", "5s", "+7", "1e-300"]),
)


@scraping
@given(accept=ACCEPTS, accept_encoding=ACCEPTS)
def test_any_negotiation_ends_in_a_valid_page(bench: Bench, accept: str, accept_encoding: str) -> None:
    """Any `Accept` header gets a page in a format that the client can read."""

    async def scenario(_said: Said, exporter: Exporter) -> None:
        await check_page(exporter, {"Accept": accept.strip(), "Accept-Encoding": accept_encoding.strip()})

    bench.run(scenario)


@scraping
@given(deadline=DEADLINES)
def test_any_deadline_ends_in_a_valid_page(bench: Bench, deadline: str) -> None:
    """Any value of Prometheus's timeout header gets a page in time."""

    async def scenario(_said: Said, exporter: Exporter) -> None:
        await check_page(exporter, {"X-Prometheus-Scrape-Timeout-Seconds": deadline.strip()})

    bench.run(scenario)


@pure
@given(header=st.one_of(st.none(), TEXTS, DEADLINES), most=st.floats(min_value=0.1, max_value=1e6))
def test_a_budget_is_never_more_than_allowed(header: str | None, most: float) -> None:
    """The time budget of a scrape is positive, within the limit, and less than Prometheus's timeout."""
    seconds = budget(header, most)
    assert 0 < seconds <= most
    if seconds != most:
        assert float(header or "") / 2 <= seconds < float(header or "")


@pure
@given(accept=st.one_of(TEXTS, ACCEPTS))
def test_any_accept_header_is_understood(accept: str) -> None:
    """Any `Accept` header selects one of the three formats, and the response repeats nothing of the header."""
    chosen = choose(accept)
    assert chosen.content_type in {
        "text/plain; version=0.0.4; charset=utf-8",
        *(
            f"{kind}; version=1.0.0; charset=utf-8; escaping={escaping}"
            for kind in ("text/plain", "application/openmetrics-text")
            for escaping in ("allow-utf-8", "underscores", "dots", "values")
        ),
    }
    assert accepts_gzip(accept) in (True, False)


@pure
@given(text=TEXTS)
def test_a_comment_is_always_a_label(text: str) -> None:
    """Any text becomes a comment of at most 64 encodable characters on one line. Cleaning it again changes nothing."""
    made = comment(text)
    assert len(made) <= 64
    assert not set(made) & set("\r\n\x00\x7f")
    made.encode()
    assert printable(made) == made == comment(made)


@pure
@given(values=st.lists(st.tuples(TEXTS, st.one_of(st.none(), NUMBERS)), max_size=10))
def test_any_samples_make_a_valid_page(values: list[tuple[str, float | None]]) -> None:
    """Any label values and numbers make a page without duplicate series. An unknown number has no sample."""
    metric = Metric("pbs_x_bytes", "X.", ("name",))
    page = Page()
    for label, value in values:
        page.add(metric(value, label))
    found = distinct_series(list(parse_text(generate_latest(page.registry()).decode())))
    expected = {printable(label) for label, value in values if metric(value, label)}
    assert {dict(labels).get("name", "") for _, labels in found} == expected
