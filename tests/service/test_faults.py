"""What goes wrong at PBS costs what it must and no more, is said once, and is over when it is over."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.pbs.http import transport
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.simulator import Fault
from tests.support.metrics_page import Scraped
from tests.support.page_facts import LISTING_TIMES, Facts, facts, failed, failed_datastores, listed_at, without
from tests.support.running import Setup, running
from tests.support.small_pbs import NAMESPACES, NOW, SNAPSHOTS, STATUS, small_world

STORES = ("main", "archive")
_METRICS = {collector.name: {metric.name for metric in collector.metrics} for collector in COLLECTORS}

LOST: dict[str, tuple[set[str], set[str]]] = {
    "/version": (set(), {"pbs_version"}),
    "/nodes/localhost/status": ({"host"}, _METRICS["host"]),
    "/admin/datastore": (
        {"datastores", "snapshots", "s3"},
        {"pbs_datastore_info", "pbs_datastore_maintenance", "pbs_datastore_mounted", *_METRICS["s3"]},
    ),
    "/status/datastore-usage": (
        {"datastores"},
        {"pbs_datastore_estimated_full_timestamp_seconds", "pbs_datastore_deduplication_factor"},
    ),
    NAMESPACES: ({"snapshots"}, set()),
    SNAPSHOTS: ({"snapshots"}, set()),
    "/nodes/localhost/tasks": ({"tasks"}, _METRICS["tasks"]),
    "/admin/gc": ({"gc"}, _METRICS["gc"]),
    "/tape/drive": ({"tape"}, _METRICS["tape"]),
    "/admin/sync": ({"jobs"}, set()),
    "/admin/verify": ({"jobs"}, set()),
    "/admin/prune": ({"jobs"}, set()),
    "/tape/backup": ({"jobs"}, set()),
    "/status/metrics": ({"io"}, _METRICS["io"]),
    "/nodes/localhost/subscription": ({"subscription"}, set()),
    "/nodes/localhost/apt/update": ({"updates"}, set()),
    "/nodes/localhost/services": ({"services"}, set()),
    "/access/permissions": ({"access"}, set()),
    "/access/users": ({"access"}, set()),
    "/nodes/localhost/disks/list": ({"disks"}, set()),
    "/nodes/localhost/disks/zfs": ({"disks"}, set()),
    "/tape/media/list": ({"tape_media"}, _METRICS["tape_media"]),
}
"""By endpoint: the collectors that fail with it, and the metrics that a page then doesn't have.

Listings and what slow collectors brought stay.
"""

JOB_TYPES = {"/admin/sync": "sync", "/admin/verify": "verify", "/admin/prune": "prune", "/tape/backup": "tape_backup"}
NEVER_BROUGHT = {
    "/access/permissions": {"pbs_token_privilege"},
    "/access/users": {"pbs_token_expire_timestamp_seconds"},
    "/nodes/localhost/disks/list": {name for name in _METRICS["disks"] if name.startswith("pbs_disk_")},
    "/nodes/localhost/disks/zfs": {name for name in _METRICS["disks"] if name.startswith("pbs_zfs_")},
}
"""By endpoint of a slow collector that has two: the metrics that a first page with its fault doesn't have."""
SLOW = {collector.name for collector in COLLECTORS if collector.intervals}
STAY = {metric.name for collector in COLLECTORS if collector.intervals for metric in collector.metrics} | _METRICS[
    "snapshots"
]
"""Metrics that are shown also where PBS doesn't answer."""

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
"""By name: what PBS does, and what the request is counted as."""


EAGER: dict[str, Any] = {
    "listing_timeout_seconds": 5.0,
    "slow_interval_seconds": 0.0,
    "collectors": {"disks": True},
}
"""Settings with which each scrape asks all endpoints."""


class Impatience:
    """Makes one endpoint's time short, so that a stall is seen soon and nothing else depends on the machine's speed."""

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
    # No test answer but the one that is too large comes near.
    monkeypatch.setattr(transport, "BODY_LIMIT", 1_000_000)
    return Impatience(monkeypatch)


def lines(logs: list[Any], event: str) -> list[tuple[str, ...]]:
    """Give level and subject of each line that says `event`."""
    return sorted(
        (line["log_level"], line["collector"], *([line["datastore"]] if "datastore" in line else []))
        for line in logs
        if line["event"] == event
    )


def counted(page: Scraped, template: str) -> dict[str, float]:
    """Give how many requests to an endpoint had each code."""
    series = page.series("pbs_exporter_api_requests_total")
    return {labels["code"]: value for labels, value in series if labels["endpoint"] == template}


def up(known: Facts) -> float:
    return known["pbs_up", frozenset()]


def left(known: Facts, endpoint: str, *metrics: str) -> Facts:
    """Give what a page still has without these metrics, and without the jobs that the endpoint lists."""
    of_type = ("job_type", JOB_TYPES.get(endpoint, ""))
    return {key: value for key, value in without(known, *metrics).items() if of_type not in key[1]}


def comparable(page: Scraped) -> Facts:
    return without(facts(page), "pbs_up", *LISTING_TIMES)


class Endpoint:
    """An endpoint that is given one fault after the other, and the last page on which nothing was amiss."""

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
        """Note the page after a fault has passed."""
        self._whole = page


@pytest_asyncio.fixture(params=LOST, scope="module", loop_scope="module")
async def endpoint(request: pytest.FixtureRequest) -> AsyncIterator[Endpoint]:
    """Run one exporter for all faults of an endpoint."""
    # No task leaves the window while the clock moves on.
    async with running(**EAGER, task_window_seconds=200_000) as setup:
        yield Endpoint(request.param, setup)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_costs_what_it_must_is_said_once_and_passes(
    endpoint: Endpoint, fault: str, impatience: Impatience
) -> None:
    """One endpoint's fault leaves all other samples as they were, has one code and one line; then all is whole."""
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
    setup.clock.advance(7)
    with capture_logs() as logs:
        again = await setup.scrape()
    assert comparable(again) == comparable(whole)
    assert up(facts(again)) == 1
    assert failed(again) == set()
    assert listed_at(again) == dict.fromkeys(STORES, setup.clock.time)
    assert lines(logs, "failing") == []
    assert lines(logs, "recovered") == [("info", *subject) for _, *subject in expected]
    assert {line["failed_for_seconds"] for line in logs if line["event"] == "recovered"} == {7.0}
    endpoint.recovered(again)


def subjects(endpoint: str) -> list[tuple[str, ...]]:
    """Give the lines that an endpoint's fault must write."""
    if endpoint == "/version":
        return [("warning", "version")]
    if endpoint in (NAMESPACES, SNAPSHOTS):
        return [("warning", "snapshots", store) for store in sorted(STORES)]
    return [("warning", name) for name in sorted(LOST[endpoint][0])]


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in LOST if endpoint != "/version"])
async def test_a_fault_on_the_first_scrape_costs_no_other_collector(endpoint: str) -> None:
    """A fault that is there from the start leaves the other collectors whole, and is over at the next scrape."""
    async with running(**EAGER) as well:
        whole = await well.scrape()
    async with running(**EAGER) as setup:
        setup.pbs.faults.add(endpoint, Fault.status(500, "worker panicked"))
        page = await setup.scrape()
        assert failed(page) == LOST[endpoint][0]
        # Of snapshots there is no older listing yet, and of their notes none either.
        notes = _METRICS["tasks"] if "snapshots" in failed(page) else set()
        gone = LOST[endpoint][1] | (_METRICS["snapshots"] if "snapshots" in failed(page) else set()) | notes
        for name in SLOW & failed(page):
            gone |= NEVER_BROUGHT.get(endpoint, _METRICS[name])
        assert without(facts(page), *notes) == left(facts(whole), endpoint, *gone)
        setup.pbs.faults.clear()
        assert facts(await setup.scrape()) == facts(whole)


async def test_version_failing_on_the_first_scrape_leaves_all_collectors_whole() -> None:
    """Where PBS can't say its version, pbs_up is 0, and every collector is asked all the same."""
    async with running() as setup:
        setup.pbs.faults.add("/version", Fault.status(500, "worker panicked"))
        page = await setup.scrape()
        assert up(facts(page)) == 0
        assert failed(page) == set()
        setup.pbs.faults.clear()
        assert without(facts(await setup.scrape()), "pbs_version", "pbs_up") == without(facts(page), "pbs_up")


async def test_a_failure_that_lasts_is_said_every_ten_minutes() -> None:
    """A lasting failure has one line at its start and one each 10 minutes, with PBS's reason; its end has one."""
    async with running() as setup:
        await setup.scrape()
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "no such\tdisk\nsecond line"))
        said = []
        with capture_logs() as logs:
            for _ in range(25):
                await setup.scrape()
                said.append(len([line for line in logs if line["event"] == "failing"]))
                setup.clock.advance(60)
        assert said == [1] * 10 + [2] * 10 + [3] * 5
        assert {(line["log_level"], line["collector"], line["reason"]) for line in logs} == {
            ("warning", "gc", "500 no suchdisk")
        }
        setup.pbs.faults.clear()
        with capture_logs() as logs:
            await setup.scrape()
            await setup.scrape()
        assert [(line["event"], line["log_level"], line["failed_for_seconds"]) for line in logs] == [
            ("recovered", "info", 25 * 60.0)
        ]


async def test_a_failure_that_comes_back_is_said_again_at_once() -> None:
    """A failure after a recovery is a new one, however short the time between."""
    async with running() as setup:
        await setup.scrape()
        with capture_logs() as logs:
            for _ in range(3):
                armed = setup.pbs.faults.add("/tape/drive", Fault.status(500, "no"))
                await setup.scrape()
                armed.remove()
                await setup.scrape()
        assert [line["event"] for line in logs] == ["failing", "recovered"] * 3


async def test_a_slow_answer_within_its_time_costs_nothing() -> None:
    """An answer that comes late, but in time, is as good as any."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("*", Fault.slow(0.05))
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        assert failed(page) == set()


async def test_a_connection_that_pbs_closed_costs_nothing() -> None:
    """A kept connection that PBS closes before any byte of an answer is no failure, nor a second request counted."""
    async with running(max_concurrent_requests=1) as setup:
        whole = await setup.scrape()
        dropped = setup.pbs.faults.add("*", Fault.drop_kept())
        page = await setup.scrape()
        assert dropped.hits > 0
        assert facts(page) == facts(whole)
        assert failed(page) == set()
        assert {labels["code"] for labels, _ in page.series("pbs_exporter_api_requests_total")} == {"200"}


async def test_a_new_connection_that_is_reset_is_not_tried_again() -> None:
    """Only a kept connection is worth a second try: a fresh one that breaks has failed."""
    async with running(collectors={"snapshots": False}) as setup:
        setup.pbs.faults.add("*", Fault.reset())
        page = await setup.scrape()
        assert up(facts(page)) == 0
        assert setup.asked("/version") == 1


async def test_a_pbs_that_is_away_costs_all_but_the_page() -> None:
    """Where nothing listens the page is a 200 that says so, with the listings known; then all comes back."""
    async with running() as setup:
        whole = await setup.scrape()
        port = int(setup.pbs.endpoint.rpartition(":")[2])
        await setup.pbs.stop()
        page = await setup.scrape()
        assert up(facts(page)) == 0
        # There was a certificate before.
        assert failed(page) == {collector.name for collector in COLLECTORS if collector.default} - SLOW - {
            "certificate"
        }
        assert counted(page, "/version") == {"200": 1, "connect": 1}
        assert {name for name, _ in facts(page)} - {"pbs_up"} == {name for name, _ in facts(whole) if name in STAY}
        await setup.pbs.start(port)
        assert facts(await setup.scrape()) == facts(whole)


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
    """A bad row beside good ones is left out, and its collector says success 0."""

    def spoil(rows: list[Any]) -> list[Any]:
        new: object = {**rows[0], **fields} if bad == "field" else {"text": "row", "null": None, "list": [1]}[bad]
        return [new, *rows]

    async with running(**EAGER) as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(endpoint, Fault.rows(spoil))
        page = await setup.scrape()
        assert facts(page) == facts(whole)
        shared = {"snapshots", "s3"} if endpoint == "/admin/datastore" else set()
        assert failed(page) == {collector} | shared
        assert counted(page, endpoint).keys() == {"200"}


@pytest.mark.parametrize(
    "row",
    [
        {"backup-type": "vm", "backup-id": "9", "backup-time": NOW, "size": "big"},
        {"backup-type": "vm", "backup-id": "9"},
        {"backup-type": "vm", "backup-id": "9", "backup-time": 1, "files": "none"},
        "a text",
        None,
    ],
)
async def test_a_bad_snapshot_fails_its_datastore_and_leaves_the_others(row: object) -> None:
    """A snapshot that can't be read costs itself: the rest of a fresh listing is shown, its datastore is 0."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore/main/snapshots", Fault.rows(lambda rows: [*rows, row]))
        setup.clock.advance(7)
        page = await setup.scrape()
        assert comparable(page) == comparable(whole)
        assert failed(page) == {"snapshots"}
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == dict.fromkeys(STORES, NOW + 7)


@pytest.mark.parametrize("row", [{}, {"ns": 1}, "lab", None])
async def test_a_bad_namespace_fails_the_listing(row: object) -> None:
    """A namespace that can't be read may hide snapshots: the listing before it stays, with its time."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore/main/namespace", Fault.rows(lambda rows: [*rows, row]))
        setup.clock.advance(7)
        page = await setup.scrape()
        assert comparable(page) == comparable(whole)
        assert failed_datastores(page) == {("snapshots", "main")}
        assert listed_at(page) == {"main": NOW, "archive": NOW + 7}


@pytest.mark.parametrize("endpoint", [*(endpoint for endpoint, *_ in BAD_ROWS), NAMESPACES, SNAPSHOTS])
async def test_doubled_rows_give_no_doubled_series(endpoint: str) -> None:
    """Rows that PBS says twice never make a series twice: the page can be read, and is otherwise whole."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add(endpoint, Fault.rows(lambda rows: [*rows, *rows]))
        # `Scraped` refuses a page with a series that comes twice.
        page = await setup.scrape()
        assert facts(page).keys() == facts(whole).keys()
        assert up(facts(page)) == 1
        assert failed(page) <= LOST[endpoint][0] - ({"snapshots", "s3"} if endpoint == "/admin/datastore" else set())


async def test_the_usage_that_fails_is_asked_of_each_datastore() -> None:
    """Where the usage is 400 as a whole each status is asked, and only the datastore that fails is missing."""
    async with running() as setup:
        whole = await setup.scrape()
        assert setup.asked(STATUS) == 0
        setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "unable to open chunk store 'main'"))
        setup.pbs.faults.add("/admin/datastore/main/status", Fault.status(400, "unable to open chunk store 'main'"))
        page = await setup.scrape()
        assert setup.asked(STATUS) == len(STORES)
        assert failed(page) == {"datastores"}
        assert page.by("pbs_datastore_readable", "datastore") == {"main": 0, "archive": 1}
        for name in ("pbs_datastore_total_bytes", "pbs_datastore_used_bytes", "pbs_datastore_available_bytes"):
            assert page.by(name, "datastore") == {"archive": whole.value(name, datastore="archive")}
        success = page.series("pbs_scrape_datastore_success")
        assert [(labels, value) for labels, value in success if labels["collector"] == "datastores"] == [
            ({"collector": "datastores", "datastore": "main"}, 0),
            ({"collector": "datastores", "datastore": "archive"}, 1),
        ]


@pytest.mark.parametrize(
    ("fault", "readable"),
    [
        (Fault.status(403, "permission check failed"), None),
        (Fault.status(500, "worker panicked"), None),
        (Fault.json({"total": 0, "used": 0, "avail": 0}), None),
        (Fault.json([]), None),
        (Fault.status(400, "datastore 'main' is not mounted"), 0),
    ],
    ids=["403", "500", "zeros", "no object", "400"],
)
async def test_a_status_says_unreadable_only_where_pbs_says_so(fault: Fault, readable: float | None) -> None:
    """Of all that a datastore's own status can be, a 400 alone says that PBS can't read it."""
    async with running() as setup:
        setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.faults.add("/admin/datastore/main/status", fault)
        page = await setup.scrape()
        assert page.value("pbs_datastore_readable", datastore="main") == readable
        assert page.value("pbs_datastore_total_bytes", datastore="main") is None
        assert page.value("pbs_datastore_readable", datastore="archive") == 1


async def test_a_datastore_that_failed_recovers_in_the_log_with_the_usage() -> None:
    """A datastore whose own status failed is well again when the usage answers for all, and the log says so."""
    async with running() as setup:
        usage = setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.faults.add("/admin/datastore/main/status", Fault.status(500, "no"))
        with capture_logs() as logs:
            await setup.scrape()
        assert lines(logs, "failing") == [("warning", "datastores"), ("warning", "datastores", "main")]
        usage.remove()
        setup.clock.advance(30)
        with capture_logs() as logs:
            await setup.scrape()
        assert lines(logs, "recovered") == [("info", "datastores"), ("info", "datastores", "main")]
        assert {line["failed_for_seconds"] for line in logs} == {30.0}


@pytest.mark.parametrize(
    "away",
    [
        {"maintenance": "offline,message=new disk"},
        {"maintenance": "delete"},
        {"maintenance": "unmount"},
        {"maintenance": "s3-refresh"},
        {"removable": True, "mounted": False},
    ],
    ids=["offline", "delete", "unmount", "s3-refresh", "not mounted"],
)
@pytest.mark.parametrize("usage_fails", [False, True])
async def test_a_datastore_that_is_away_is_not_asked(away: dict[str, Any], *, usage_fails: bool) -> None:
    """In maintenance or not mounted: PBS isn't asked for it, it isn't readable, and its snapshots vanish at once."""
    world = small_world()
    async with running(world) as setup:
        whole = await setup.scrape()
        for name, value in away.items():
            setattr(world.stores[0], name, value)
        if usage_fails:
            setup.pbs.faults.add("/status/datastore-usage", Fault.status(400, "no"))
        setup.pbs.requests.clear()
        page = await setup.scrape()
        assert setup.asked("/admin/datastore/main/*") == 0
        assert setup.asked("/admin/datastore/archive/snapshots") > 0
        assert failed(page) == ({"datastores"} if usage_fails else set())
        assert page.value("pbs_datastore_readable", datastore="main") == 0
        assert page.value("pbs_datastore_total_bytes", datastore="main") is None
        assert listed_at(page).keys() == {"archive"}
        assert failed_datastores(page) == set()
        assert without_store(page, whole, "main")


@pytest.mark.parametrize("mode", ["read-only", "read-only,message=being moved"])
async def test_a_read_only_datastore_is_asked_as_ever(mode: str) -> None:
    """Read-only is the one maintenance mode in which PBS answers, so nothing is missing."""
    world = small_world()
    async with running(world) as setup:
        whole = await setup.scrape()
        world.stores[0].maintenance = mode
        page = await setup.scrape()
        assert without(facts(page), "pbs_datastore_maintenance") == facts(whole)
        assert page.value("pbs_datastore_maintenance", datastore="main", mode="read-only") == 1


async def test_a_datastore_that_is_gone_vanishes_at_once() -> None:
    """All of a datastore's series are gone with its row in PBS's list, and nothing has failed."""
    world = small_world()
    async with running(world) as setup:
        await setup.scrape()
        world.stores.pop(0)
        page = await setup.scrape()
        assert failed(page) == set()
        assert not [key for key in facts(page) if ("datastore", "main") in key[1]]
        assert listed_at(page).keys() == {"archive"}


async def test_without_the_list_the_last_known_datastores_are_shown() -> None:
    """Where PBS's list of datastores fails, the listings of the last good list stay, and none is asked."""
    async with running() as setup:
        whole = await setup.scrape()
        setup.pbs.faults.add("/admin/datastore", Fault.status(500, "no"))
        setup.pbs.requests.clear()
        setup.clock.advance(30)
        page = await setup.scrape()
        assert listed_at(page) == dict.fromkeys(STORES, NOW)
        assert failed(page) == {"datastores", "snapshots", "s3"}
        assert setup.asked("/admin/datastore/*") == 0
        of_snapshots = {key: value for key, value in facts(whole).items() if key[0] in _METRICS["snapshots"]}
        assert {key: value for key, value in facts(page).items() if key[0] in _METRICS["snapshots"]} == of_snapshots


def without_store(page: Scraped, whole: Scraped, store: str) -> bool:
    """Tell whether the snapshots' series are those of `whole`, but for the ones of that datastore."""

    def snapshots(scraped: Scraped) -> Facts:
        return {key: value for key, value in facts(scraped).items() if key[0] in _METRICS["snapshots"]}

    expected = {key: value for key, value in snapshots(whole).items() if ("datastore", store) not in key[1]}
    return snapshots(page) == expected


async def test_a_bug_in_a_collector_costs_that_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is success 0 of one collector, a traceback in the log, and no text on a page."""
    async with running() as setup:
        whole = await setup.scrape()
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr("pbs_exporter.collectors.tape.TapeCollector.AVAILABLE", staticmethod(fail))
            page = await setup.scrape()
            async with setup.exporter.client.get("/") as response:
                landing = await response.text()
        assert failed(page) == {"tape"}
        assert facts(page) == without(facts(whole), *_METRICS["tape"])
        assert [(line["log_level"], line["collector"], type(line["exc_info"])) for line in logs] == [
            ("error", "tape", ZeroDivisionError)
        ]
        assert "no text for a page" not in landing
        assert facts(await setup.scrape()) == facts(whole)


def fail(_value: object) -> None:
    raise ZeroDivisionError("no text for a page")


async def test_the_status_page_says_what_failed(setup_with_faults: Setup) -> None:
    """The status page names each collector that failed in the last scrape, with PBS's words."""
    await setup_with_faults.scrape()
    async with setup_with_faults.exporter.client.get("/") as response:
        text = await response.text()
    assert "500 disk &lt;away&gt;" in text
    assert "snapshots: 400 no" in text


@pytest.fixture
async def setup_with_faults() -> Any:
    async with running() as setup:
        setup.pbs.faults.add("/admin/gc", Fault.status(500, "disk <away>"))
        setup.pbs.faults.add("/admin/datastore/archive/snapshots", Fault.status(400, "no"))
        yield setup
