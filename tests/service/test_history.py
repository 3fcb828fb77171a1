"""`history`: PBS's own past, as a file for promtool."""

import io
import re
import signal
import stat
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from pbs_exporter.clock import Clock
from pbs_exporter.commands import history
from pbs_exporter.commands.output import replacing
from pbs_exporter.exposition.timed import TimedFamilies
from pbs_exporter.simulator import Fault, Replay, SimulatedPbs, World
from tests.support.exporter import FakeClock, main_of, make_settings
from tests.support.metrics_page import Scraped
from tests.support.paths import recorded_time, recording_file
from tests.support.program import closed_port, run_program, settings, started
from tests.support.running import simulated

HOUR, DAY = 3600, 86400
RECORDING = "pbs-4.2.3-rrd"
IDENTITY = ("--label", "job=pbs", "--label", "instance=pbs1")
OF_MAIN, OF_HOST, OF_ANY = "/admin/datastore/main/rrd", "/nodes/localhost/rrd", "*/rrd"
NAMES = {
    *(f"pbs_datastore_{name}_bytes" for name in ("total", "used", "available")),
    *(f"pbs_host_{name}" for name in ("cpu_usage", "io_wait", "load1")),
    *(f"pbs_host_{name}_bytes" for name in ("memory_used", "memory_total", "swap_used", "swap_total")),
    *(f"pbs_host_{name}_bytes" for name in ("rootfs_used", "rootfs_total")),
}

Rows = list[dict[str, Any]]


@pytest.fixture
async def pbs() -> AsyncIterator[SimulatedPbs]:
    """Run a PBS with two datastores and ten years of history."""
    async with simulated(World(2, 1, 1, 1, seed=1)) as running:
        yield running


class Past:
    """A written file, as prometheus_client's own parser reads it, which refuses what isn't OpenMetrics."""

    def __init__(self, text: str) -> None:
        self.series: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call] # the parser has no types
            for sample in family.samples:
                assert sample.timestamp is not None
                key = (sample.name, frozenset(sample.labels.items()))
                self.series[key].append((float(sample.timestamp), sample.value))

    def of(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """Return the times and values of a series, which must have exactly these labels."""
        return self.series.get((name, frozenset(labels.items())), [])

    def names(self) -> set[str]:
        return {name for name, _ in self.series}

    def stores(self) -> set[str]:
        return {dict(labels)["datastore"] for name, labels in self.series if name == "pbs_datastore_used_bytes"}


def inside(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


async def written(pbs: SimulatedPbs, folder: Path, *arguments: str, **variables: str) -> tuple[Past, list[str]]:
    """Run `history` to its good end. Return the file, and the lines on stderr."""
    file = folder / "past.om"
    ended = await run_program("history", "--output", str(file), *arguments, env=settings(pbs, **variables))
    assert (ended.code, ended.stdout) == (0, ""), ended.stderr
    return Past(file.read_text()), ended.lines


async def read(
    pbs: SimulatedPbs,
    *,
    since: int = 6 * HOUR,
    until: int = 3 * HOUR,
    clock: Clock | None = None,
    collectors: dict[str, bool] | None = None,
) -> Past:
    """Return what `history` would write, without the program around it."""
    families, text = TimedFamilies({}, io.BytesIO), io.BytesIO()
    config, span = main_of(make_settings(pbs, collectors=collectors)), history.Span(since, until)
    samples = await history.read(config, families, span, clock or Clock())
    families.write_to(text)
    past = Past(text.getvalue().decode())
    assert samples == sum(map(len, past.series.values()))
    assert families.series == len(past.series)
    return past


async def test_history_has_the_series_of_a_scrape(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """Each series of the file is one of `/metrics`, with the labels of the command line on top."""
    past, _ = await written(pbs, tmp_path, "--since", "4h", *IDENTITY, "--label", "site=zürich")
    page = Scraped((await run_program("once", env=settings(pbs))).stdout)
    assert past.names() == NAMES
    extra = {("job", "pbs"), ("instance", "pbs1"), ("site", "zürich")}
    assert all(extra <= labels and (name, labels - extra) in page.facts() for name, labels in past.series)
    assert past.stores() == {"main", "archive"}


async def test_history_is_as_fine_as_pbs_has_it(pbs: SimulatedPbs) -> None:
    """Minutes, half hours, quarters of days and weeks follow one another, from ten years ago to three hours ago."""
    past = await read(pbs, since=3660 * DAY, collectors={"host": False})
    for (name, _), points in past.series.items():
        times = [at for at, _ in points]
        steps = [later - earlier for earlier, later in pairwise(times)]
        # The simulated server was down for an hour each month.
        common = [int(step) for step in steps if steps.count(step) > 100]
        assert list(dict.fromkeys(common)) == [7 * DAY, 6 * HOUR, HOUR // 2, 60], name
        assert min(steps) > 0
        assert 3640 * DAY < time.time() - times[0] < 3661 * DAY
        assert 3 * HOUR <= time.time() - times[-1] < 6 * HOUR


async def test_history_writes_what_pbs_said(pbs: SimulatedPbs) -> None:
    """The values are those of the rows, and each is in the week that its row's time lies in."""
    pbs.faults.add(OF_ANY, Fault.rows(lambda rows: [row | {"used": row["time"] // (7 * DAY)} for row in rows]))
    past = await read(pbs, since=3660 * DAY, until=370 * DAY, collectors={"host": False})
    used = past.of("pbs_datastore_used_bytes", datastore="main")
    assert len(used) > 400
    assert [value for _, value in used] == [at // (7 * DAY) for at, _ in used]


@pytest.mark.parametrize(
    ("arguments", "begins", "ends"),
    [
        (("--since", "5h"), 5 * HOUR, 3 * HOUR),
        (("--since", "1h", "--until", "0h"), HOUR, 0),
        (("--since", "3w", "--until", "1w"), 21 * DAY, 7 * DAY),
    ],
    ids=["until three hours ago", "until now", "two weeks"],
)
async def test_history_of_a_span(
    pbs: SimulatedPbs, tmp_path: Path, arguments: tuple[str, ...], begins: int, ends: int
) -> None:
    """`--since` and `--until` bound the times, and PBS is asked for nothing else."""
    began = time.time()
    past, _ = await written(pbs, tmp_path, *arguments)
    times = [at for at, _ in past.of("pbs_host_load1")]
    took = time.time() - began
    # The step at an end is left out unless it is within.
    assert began - begins <= times[0] < began - begins + took + HOUR
    assert began - ends - HOUR <= times[-1] < began - ends + took
    asked = " ".join(request.query for request in pbs.requests)
    assert ("timeframe=hour" in asked, "timeframe=month" in asked) == (ends == 0, begins > DAY)
    assert "timeframe=decade" not in asked
    assert "timeframe=year" not in asked


async def test_history_of_a_recorded_pbs() -> None:
    """The answers of a real PBS of the last hour, and its empty ones of the last year, are read as they are."""
    file, clock = recording_file(RECORDING), FakeClock(recorded_time(RECORDING)).clock
    async with SimulatedPbs(Replay(file)) as pbs:
        pbs.faults.add("/admin/datastore", Fault.json([{"store": "main"}]))
        past = await read(pbs, since=HOUR, until=0, clock=clock)
        year = await read(pbs, since=360 * DAY, until=30 * DAY, clock=clock)
    assert past.names() == NAMES
    assert {len(points) for points in past.series.values()} == {27}
    assert not year.series
    used = past.of("pbs_datastore_used_bytes", datastore="main")
    # The step in which the first value lies, and the last one that was over when it was recorded.
    assert used[0] == (1795645260.0, 18026819584.0)
    assert used[-1] == (1795646820.0, 21824399360.0)
    assert past.of("pbs_host_cpu_usage")[0] == (1795645260.0, 0.8794272353713584)
    assert past.of("pbs_host_load1")[0] == (1795645260.0, 1.9)
    assert past.of("pbs_host_memory_used_bytes")[0] == (1795645260.0, 850307072.0)
    assert past.of("pbs_host_rootfs_total_bytes")[0] == (1795645260.0, 270553174016.0)


async def test_history_twice_is_the_same(pbs: SimulatedPbs) -> None:
    """A second run writes the same samples, although PBS's times have shifted with the request."""
    first = await read(pbs, since=DAY)
    pbs.faults.add(OF_ANY, Fault.rows(lambda rows: [row | {"time": row["time"] // 60 * 60 + 7} for row in rows]))
    second = await read(pbs, since=DAY)
    for key, points in first.series.items():
        again = dict(second.series[key])
        # Values of before, which the second run may have begun after.
        assert all(again.get(at, value) == value for at, value in points)
        assert len(again.keys() & dict(points).keys()) > 1000


async def test_history_replaces_the_file_at_the_end(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """The file is replaced by a whole one that everybody can read, and no other one is left."""
    file = tmp_path / "past.om"
    file.write_text("old")
    with file.open() as reader:
        _, lines = await written(pbs, tmp_path, "--since", "6h", *IDENTITY)
        assert reader.read() == "old"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert inside(tmp_path) == ["past.om"]
    progress = [re.search(r"msg=read subject=(.+) number=(\d) of=3 samples=[1-9]\d*$", line) for line in lines]
    assert [found.groups() for found in progress if found] == [
        ("host", "1"),
        ('"datastore main"', "2"),
        ('"datastore archive"', "3"),
    ]
    assert re.search(rf"msg=written file={file} series=15 samples=[1-9]\d*$", lines[-1])
    assert not [line for line in lines if "are missing" in line]


async def test_history_on_standard_output(pbs: SimulatedPbs) -> None:
    """`--output -` writes the same text to standard output, and nothing else."""
    ended = await run_program("history", "--output", "-", "--since", "6h", env=settings(pbs))
    assert ended.code == 0
    assert ended.stdout.endswith("\n# EOF\n")
    assert Past(ended.stdout).names() == NAMES
    assert any('labels="job, instance"' in line and "level=warn" in line for line in ended.lines)


async def test_history_of_a_target(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """`--target` writes the past of that target."""
    keys = ("ENDPOINT", "TOKEN_ID", "TOKEN_SECRET")
    variables = {f"PBS_EXPORTER__TARGETS__SITE1__{key}": settings(pbs)[f"PBS_EXPORTER__PBS__{key}"] for key in keys}
    file = tmp_path / "past.om"
    ended = await run_program("history", "--output", str(file), "--target", "site1", "--since", "4h", env=variables)
    assert ended.code == 0, ended.stderr
    assert Past(file.read_text()).stores() == {"main", "archive"}
    ended = await run_program("history", "--output", str(file), env=variables)
    assert ended.lines == ["pbs-exporter: [pbs] has no endpoint, so name a target; the targets are site1"]


async def test_history_has_what_the_settings_keep(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """Datastores that the filters exclude and collectors that are disabled have no past, and aren't asked."""
    off = {"PBS_EXPORTER__COLLECTORS__HOST": "false", "PBS_EXPORTER__FILTERS__DATASTORES": "!archive"}
    past, _ = await written(pbs, tmp_path, "--since", "6h", **off)
    assert past.names() == {name for name in NAMES if "datastore" in name}
    assert past.stores() == {"main"}
    assert {request.path for request in pbs.requests} == {"/admin/datastore", OF_MAIN}


FAULTS = {
    "403": (Fault.status(403, "permission check failed"), "403 permission check failed"),
    "400": (Fault.status(400, "datastore 'main' is not mounted"), "400 datastore 'main' is not mounted"),
    "a page": (Fault.body(b"<html>Log in</html>"), "not JSON, or truncated: '<html>Log in</html>'"),
    "no list": (Fault.json({"a": 1}), "expected a list, got an object"),
    "endless": (Fault.json([{"time": time} for time in range(150_000)]), "larger than 2 MiB"),
    "cut": (Fault.cut(), "the connection broke"),
    "reset": (Fault.reset(), "the connection broke"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_datastore_that_cannot_be_read(pbs: SimulatedPbs, fault: str) -> None:
    """A datastore that can't be read is a warning with the reason, and all others are there."""
    act, reason = FAULTS[fault]
    pbs.faults.add(OF_MAIN, act)
    with capture_logs() as logs:
        past = await read(pbs)
    assert past.names() == NAMES
    assert past.stores() == {"archive"}
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert (warning["event"], warning["subject"]) == ("left out", "datastore main")
    assert reason in warning["reason"]


async def test_a_warning_is_a_line(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """What can't be read is a line on stderr, and the exit code is 0."""
    pbs.faults.add(OF_HOST, Fault.status(403, "permission check failed"))
    past, lines = await written(pbs, tmp_path, "--since", "6h")
    assert past.names() == {name for name in NAMES if "datastore" in name}
    assert any('msg="left out" subject=host reason="403 permission check failed"' in line for line in lines)


async def test_datastores_that_are_away() -> None:
    """Datastores in maintenance or not mounted are warnings, and PBS isn't asked for them."""
    world = World(3, 1, 1, 1, seed=1)
    world.stores[0].maintenance = "offline,message=disk swap"
    world.stores[1].removable, world.stores[1].mounted = True, False
    with capture_logs() as logs:
        async with simulated(world) as pbs:
            past = await read(pbs)
        asked = {request.path for request in pbs.requests if request.path.endswith("/rrd")}
    assert past.stores() == {"offsite"}
    assert asked == {OF_HOST, "/admin/datastore/offsite/rrd"}
    reasons = {entry["subject"]: entry["reason"] for entry in logs if entry["event"] == "left out"}
    assert reasons == {"datastore main": "maintenance mode offline", "datastore archive": "not mounted"}


DAMAGE: dict[str, Callable[[Rows], object]] = {
    "backwards": lambda rows: rows[::-1],
    "twice": lambda rows: [row for row in rows for _ in range(2)],
    "two values at a time": lambda rows: [*rows, *(row | {"used": 1} for row in rows)],
    "from the future": lambda rows: [*rows, {"time": int(time.time()) + DAY, "used": 1}, {"time": 1 << 62, "used": 1}],
    "before the epoch": lambda rows: [{"time": -(1 << 62), "used": 1}, {"time": 0, "used": 1}, *rows],
    "wrong types": lambda rows: [{"time": "x"}, 7, None, {"used": 1}, *rows, {"time": rows[-1]["time"], "used": "1"}],
    "negative": lambda rows: [row | {"io_ticks": -1, "netin": None, "new": {}} for row in rows],
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_wrong_rows(pbs: SimulatedPbs, damage: str) -> None:
    """Whatever the rows are, times ascend, none is in the future or older than asked, and the good rows are there."""
    pbs.faults.add(OF_MAIN, Fault.rows(DAMAGE[damage]))
    past = await read(pbs)
    used = [at for at, _ in past.of("pbs_datastore_used_bytes", datastore="main")]
    assert used == sorted(set(used))
    assert time.time() - 7 * HOUR < used[0] <= used[-1] < time.time() - 3 * HOUR
    # In one hour of 700, the simulated server was down.
    assert len(used) > 100


async def test_numbers_that_are_none(pbs: SimulatedPbs) -> None:
    """NaN, Infinity and numbers that are too large make no sample, and cost only themselves."""
    at = int(time.time()) - 5 * HOUR
    values = ("NaN", "Infinity", "-Infinity", "1e999", "null", "9" * 400)
    rows = [f'{{"time":{at + 60 * number},"used":{value},"total":5}}' for number, value in enumerate(values)]
    pbs.faults.add(OF_MAIN, Fault.body(f'{{"data":[{",".join(rows)}]}}'.encode(), content_type="application/json"))
    past = await read(pbs)
    assert len(past.of("pbs_datastore_total_bytes", datastore="main")) == len(values)
    assert past.of("pbs_datastore_used_bytes", datastore="main") == []


async def test_a_list_with_a_datastore_twice(pbs: SimulatedPbs) -> None:
    """A datastore that PBS lists twice, as it is or with a character that labels can't have, is one series."""
    pbs.faults.add("/admin/datastore", Fault.json([{"store": name} for name in ("ma\x00in", "main", "main")]))
    past = await read(pbs)
    assert past.stores() == {"main"}


async def test_labels_with_everything(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """Quotes, line breaks, line separators and backslashes in a label stay what they are."""
    text = 'a"b\\c\nd\u2028e\x85f 1.0\n# EOF'
    past, _ = await written(pbs, tmp_path, "--since", "6h", "--label", f"note={text}")
    assert {dict(labels)["note"] for _, labels in past.series} == {text}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        *(
            (
                ("--since", age),
                f"error: argument --since: {age!r} is no age; write a number and h, d, w or y, such as 30d",
            )
            for age in ("1", "-1y", "1m", "٣d", "999999d")
        ),
        ((), "error: the following arguments are required: --output"),
    ],
)
async def test_wrong_ages(pbs: SimulatedPbs, tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """An age that is none is one line of usage and one that says what is right; so is a missing `--output`."""
    output = ("--output", str(tmp_path / "past.om")) if arguments else ()
    since = (f"{arguments[0]}={arguments[1]}",) if arguments else ()
    ended = await run_program("history", *output, *since, env=settings(pbs))
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.lines[-1] == f"pbs-exporter history: {line}".replace("'٣d'", r"'\u0663d'")
    assert inside(tmp_path) == []
    assert pbs.requests == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--since", "3h"), "--since must be longer ago than --until, which is 3h by default"),
        (("--since", "6h", "--until", "2d"), "--since must be longer ago than --until, which is 3h by default"),
        (("--label", "datastore=x"), "--label datastore: is a label of metrics already; choose another name"),
        (("--target", "x"), "there is no target 'x'; the settings have no [targets]"),
    ],
    ids=["until is longer ago", "both", "a label of metrics", "no such target"],
)
async def test_what_cannot_be_written(pbs: SimulatedPbs, tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """A span that is none, a label of the metrics or an unknown target is one line, before PBS is asked."""
    ended = await run_program("history", "--output", str(tmp_path / "past.om"), *arguments, env=settings(pbs))
    assert (ended.code, ended.lines) == (1, [f"pbs-exporter: {line}"])
    assert inside(tmp_path) == []
    assert pbs.requests == []


@pytest.mark.parametrize(
    ("output", "reason"),
    [("missing/past.om", "no such file or directory"), ("", "is a directory"), ("file/x", "not a directory")],
    ids=["no folder", "is a folder", "folder is a file"],
)
async def test_a_folder_that_cannot_be_written(pbs: SimulatedPbs, tmp_path: Path, output: str, reason: str) -> None:
    """If the file can't be written, that is told before PBS is asked."""
    (tmp_path / "file").touch()
    path = tmp_path / output
    ended = await run_program("history", "--output", str(path), env=settings(pbs))
    assert (ended.code, ended.lines[-1]) == (1, f"pbs-exporter: can't write {path}: {reason}")
    assert pbs.requests == []


async def test_history_without_values(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """If PBS has no values of that time, that is one line and exit code 1, and an older file stays."""
    file = tmp_path / "past.om"
    file.write_text("old")
    pbs.faults.add(OF_ANY, Fault.rows(lambda rows: [{"time": row["time"]} for row in rows]))
    ended = await run_program("history", "--output", str(file), env=settings(pbs))
    assert ended.code == 1
    assert ended.lines[-1].startswith("pbs-exporter: nothing to write: PBS has no values of that time")
    assert file.read_text() == "old"
    assert inside(tmp_path) == ["past.om"]


async def test_history_of_a_dead_pbs(tmp_path: Path) -> None:
    """If PBS can't be reached, that is one line and exit code 1, and there is no file."""
    variables = {
        "PBS_EXPORTER__PBS__ENDPOINT": f"https://127.0.0.1:{closed_port()}",
        "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
        "PBS_EXPORTER__PBS__TOKEN_SECRET": "secret",
        "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "error",
    }
    ended = await run_program("history", "--output", str(tmp_path / "past.om"), env=variables)
    assert ended.code == 1
    assert len(ended.lines) == 1
    assert "refused" in ended.lines[0]
    assert inside(tmp_path) == []


async def test_history_with_a_wrong_token(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """A refused token is one request and one line without the secret."""
    secret = "11111111-2222-3333-4444-555555555555"
    variables = settings(pbs, PBS_EXPORTER__PBS__TOKEN_SECRET=secret, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error")
    ended = await run_program("history", "--output", str(tmp_path / "past.om"), env=variables)
    assert (ended.code, ended.lines) == (1, ["pbs-exporter: 401 authentication failed"])
    assert len(pbs.requests) == 1
    assert inside(tmp_path) == []


async def test_a_pbs_that_ends_leaves_no_half_file(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """If PBS refuses the token while it is asked, there is no file, rather than one without the last datastores."""
    pbs.faults.add("/admin/datastore/archive/rrd", Fault.status(401, "authentication failed"))
    ended = await run_program("history", "--output", str(tmp_path / "past.om"), env=settings(pbs))
    assert ended.code == 1
    assert inside(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
async def test_a_signal_leaves_nothing(pbs: SimulatedPbs, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end it without a file and without a traceback, and an older file stays."""
    file = tmp_path / "past.om"
    file.write_text("old")
    pbs.faults.add("/admin/datastore/archive/rrd", Fault.stall())
    async with started("history", "--output", str(file), env=settings(pbs)) as running:
        await running.line('subject="datastore main"')
        ended = await running.end(number)
    assert (ended.code, ended.stdout) == (130, "")
    assert "Traceback" not in ended.stderr
    assert file.read_text() == "old"
    assert inside(tmp_path) == ["past.om"]


def test_an_end_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the moment in which the file is written leaves neither it nor a temporary one."""

    def write() -> None:
        with replacing(tmp_path / "past.om") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert inside(tmp_path) == []
