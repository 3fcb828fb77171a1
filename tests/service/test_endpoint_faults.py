"""Each fault of each endpoint removes only its own samples, is logged once, and leaves nothing after it ends."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from pbs_exporter.pbs.http import transport
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.simulator import Fault
from tests.support.fault_effects import (
    EAGER,
    LOST,
    METRICS,
    NEVER_BROUGHT,
    SLOW,
    STORES,
    comparable,
    counted,
    left,
    lines,
    up,
)
from tests.support.metrics_page import Scraped, facts, failed, listed_at, without
from tests.support.running import GROUPS, NAMESPACES, SNAPSHOTS, Setup, running

# Many similar runs: other tests cover the same lines, and tracing doubles the time.
pytestmark = pytest.mark.no_cover

FAULTS: dict[str, tuple[Callable[[], Fault], str]] = {
    "400": (lambda: Fault.status(400, "parameter verification failed"), "400"),
    "403": (lambda: Fault.status(403, "permission check failed"), "403"),
    "404": (lambda: Fault.status(404, "Path '/x' not found."), "404"),
    "500": (lambda: Fault.status(500, "worker panicked"), "500"),
    "502 from a proxy": (lambda: Fault.body(b"<html>Bad Gateway</html>", 502), "502"),
    "status of no text": (lambda: Fault.status(503, "", content_type=None), "503"),
    "bytes that are no text": (lambda: Fault.body(b"\xff\xfe\x00", 500, "application/octet-stream"), "500"),
    "redirect": (lambda: Fault.redirect("https://elsewhere.invalid/login"), "301"),
    "reset": (Fault.reset, "protocol"),
    "closed in the status line": (Fault.partial_head, "protocol"),
    "closed in the body": (Fault.cut, "protocol"),
    "a page of a proxy": (lambda: Fault.body(b"<html>Log in</html>"), "decode"),
    "nothing": (lambda: Fault.body(b""), "decode"),
    "truncated JSON": (Fault.truncated, "decode"),
    "too large": (lambda: Fault.huge(1_200_000), "decode"),
    "JSON without data": (lambda: Fault.body(b'{"success":1}'), "decode"),
    "null": (lambda: Fault.json(None), "decode"),
    "a text": (lambda: Fault.json("none"), "decode"),
    "a number": (lambda: Fault.json(7), "decode"),
    "never answered": (Fault.stall, "timeout"),
    "stalled in the body": (Fault.stall_body, "timeout"),
    "too slow": (lambda: Fault.slow(30), "timeout"),
}
"""By name: the behavior of PBS, and the code under which the request is counted."""


class Impatience:
    """Shortens one endpoint's timeout: a stall is detected soon, and other requests keep a generous time limit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.template: str | None = None
        get = Transport.get

        async def impatient(transport: Transport, template: str, *args: Any, **options: Any) -> object:
            if template == self.template:
                options["timeout_seconds"] = 0.1
            return await get(transport, template, *args, **options)

        monkeypatch.setattr(Transport, "get", impatient)

    @contextmanager
    def of(self, template: str | None) -> Iterator[None]:
        self.template = template
        yield
        self.template = None


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> Impatience:
    # Only the answer that is meant to be too large comes near this limit.
    monkeypatch.setattr(transport, "BODY_LIMIT", 1_000_000)
    return Impatience(monkeypatch)


class Endpoint:
    """An endpoint with one fault after the other, and the last page without a failure."""

    def __init__(self, name: str, setup: Setup) -> None:
        self.name = name
        self.setup = setup
        self._whole: Scraped | None = None

    async def whole(self) -> Scraped:
        """Return the page before the next fault."""
        if self._whole is None:
            self.setup.pbs.faults.clear()
            self._whole = await self.setup.scrape()
        whole, self._whole = self._whole, None
        assert failed(whole) == set()
        assert up(facts(whole)) == 1
        return whole

    def recovered(self, page: Scraped) -> None:
        """Keep the page after a fault has passed."""
        self._whole = page


@pytest_asyncio.fixture(params=LOST, scope="module", loop_scope="module")
async def endpoint(request: pytest.FixtureRequest) -> AsyncIterator[Endpoint]:
    """Run one exporter for all faults of an endpoint."""
    # No task may leave the window while the clock advances.
    async with running(**EAGER, task_window_seconds=200_000) as setup:
        yield Endpoint(request.param, setup)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_costs_what_it_must_is_said_once_and_passes(
    endpoint: Endpoint, fault: str, impatience: Impatience
) -> None:
    """A fault changes only its endpoint's samples, is counted under one code and logged once, and leaves nothing."""
    make, code = FAULTS[fault]
    name, setup = endpoint.name, endpoint.setup
    lost_collectors, lost_metrics = LOST[name]
    whole = await endpoint.whole()
    before = counted(whole, name)

    setup.pbs.faults.add(name, make())
    with capture_logs() as logs, impatience.of(name if code == "timeout" else None):
        page = await setup.scrape()
    assert comparable(page) == left(comparable(whole), name, *lost_metrics)
    assert up(facts(page)) == (name != "/version")
    assert failed(page) == lost_collectors
    assert listed_at(page) == listed_at(whole) == dict.fromkeys(STORES, setup.clock.time)
    after = counted(page, name)
    assert {answer for answer, count in after.items() if count != before.get(answer, 0)} == {code}
    expected = subjects(name)
    assert lines(logs, "failing") == expected
    assert lines(logs, "recovered") == []

    setup.pbs.faults.clear()
    # A listing that hit its time limit isn't started again before that much time has passed.
    setup.clock.advance(70)
    with capture_logs() as logs:
        again = await setup.scrape()
    assert comparable(again) == comparable(whole)
    assert up(facts(again)) == 1
    assert failed(again) == set()
    assert listed_at(again) == dict.fromkeys(STORES, setup.clock.time)
    assert lines(logs, "failing") == []
    assert lines(logs, "recovered") == [("info", *subject) for _, *subject in expected]
    assert {line["failed_for_seconds"] for line in logs if line["event"] == "recovered"} == {70.0}
    endpoint.recovered(again)


def subjects(endpoint: str) -> list[tuple[str, ...]]:
    """Return the log lines that an endpoint's fault must cause."""
    if endpoint == "/version":
        return [("warning", "version")]
    lost = sorted(LOST[endpoint][0])
    if endpoint in (NAMESPACES, SNAPSHOTS, GROUPS):
        return [("warning", name, store) for name in lost for store in sorted(STORES)]
    return [("warning", name) for name in lost]


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in LOST if endpoint != "/version"])
async def test_a_fault_on_the_first_scrape_costs_no_other_collector(endpoint: str) -> None:
    """A fault in the first scrape leaves the other collectors complete. The next scrape is complete."""
    async with running(**EAGER) as well:
        whole = await well.scrape()
    async with running(**EAGER) as setup:
        setup.pbs.faults.add(endpoint, Fault.status(500, "worker panicked"))
        page = await setup.scrape()
        assert failed(page) == LOST[endpoint][0]
        # There is no older listing yet, and so no snapshots and no notes.
        notes = METRICS["tasks"] if "snapshots" in failed(page) else set()
        gone = LOST[endpoint][1] | (METRICS["snapshots"] if "snapshots" in failed(page) else set()) | notes
        for name in SLOW & failed(page):
            gone |= NEVER_BROUGHT.get(endpoint, METRICS[name])
        assert without(facts(page), *notes) == left(facts(whole), endpoint, *gone)
        setup.pbs.faults.clear()
        assert facts(await setup.scrape()) == facts(whole)


async def test_version_failing_on_the_first_scrape_leaves_all_collectors_whole() -> None:
    """If PBS's version can't be read, pbs_up is 0, and every collector still runs."""
    async with running() as setup:
        setup.pbs.faults.add("/version", Fault.status(500, "worker panicked"))
        page = await setup.scrape()
        assert up(facts(page)) == 0
        assert failed(page) == set()
        setup.pbs.faults.clear()
        assert without(facts(await setup.scrape()), "pbs_version", "pbs_up") == without(facts(page), "pbs_up")


BAD_ROWS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("/admin/datastore", "datastores", {"store": 7}),
    ("/status/datastore-usage", "datastores", {"total": "much"}),
    ("/nodes/localhost/tasks", "tasks", {"starttime": "today"}),
    ("/admin/gc", "gc", {"store": None}),
    ("/tape/drive", "tape", {"name": []}),
    ("/admin/sync", "jobs", {"store": 1}),
    ("/admin/verify", "jobs", {"next-run": "soon"}),
    ("/admin/prune", "jobs", {"id": None}),
    ("/tape/backup", "jobs", {"last-run-endtime": []}),
    ("/tape/media/list", "tape_media", {"pool": 7}),
    ("/nodes/localhost/apt/update", "updates", {"Package": None}),
    ("/nodes/localhost/services", "services", {"service": 1}),
    ("/access/users", "access", {"userid": {}}),
    ("/nodes/localhost/disks/list", "disks", {"size": "big"}),
    ("/nodes/localhost/disks/zfs", "disks", {"name": 0}),
)


@pytest.mark.parametrize("bad", ["field", "text", "null", "list"])
@pytest.mark.parametrize(("endpoint", "collector", "fields"), BAD_ROWS, ids=[row[0] for row in BAD_ROWS])
async def test_a_row_of_the_wrong_shape_costs_itself(
    endpoint: str, collector: str, fields: dict[str, object], bad: str
) -> None:
    """A malformed row among good ones is left out, and its collector's success is 0."""

    def spoil(rows: list[Any]) -> list[Any]:
        new: object = {**rows[0], **fields} if bad == "field" else {"text": "row", "null": None, "list": [1]}[bad]
        return [new, *rows]

    async with running(**EAGER) as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(endpoint, Fault.rows(spoil))
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        shared = {"groups", "snapshots", "s3"} if endpoint == "/admin/datastore" else set()
        assert failed(page) == {collector} | shared
        assert counted(page, endpoint).keys() == {"200"}


@pytest.mark.parametrize("endpoint", [*(endpoint for endpoint, *_ in BAD_ROWS), NAMESPACES, SNAPSHOTS])
async def test_doubled_rows_give_no_doubled_series(endpoint: str) -> None:
    """Duplicate rows make no duplicate series. The page is valid, and otherwise complete."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(endpoint, Fault.rows(lambda rows: [*rows, *rows]))
        # `Scraped` refuses a page with a duplicate series.
        page = await setup.scrape()
        assert facts(page).keys() == facts(whole).keys()
        assert up(facts(page)) == 1
        assert failed(page) <= LOST[endpoint][0] - ({"snapshots", "s3"} if endpoint == "/admin/datastore" else set())
