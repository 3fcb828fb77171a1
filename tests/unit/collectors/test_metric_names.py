import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from pbs_exporter import collectors
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import AnyCollector, Collector
from pbs_exporter.collectors.tape import TapeCollector
from pbs_exporter.config import ExporterSettings
from pbs_exporter.exposition import self_metrics
from pbs_exporter.exposition.formats import OPENMETRICS
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.scrape import scrape_metrics
from pbs_exporter.simulator import Replay, SimulatedPbs, Source, demo_world
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.fixed_metrics import FIXED
from tests.support.paths import RECORDINGS, ROOT, recorded_time, recording_file

DECLARED = (
    *(metric for collector in COLLECTORS for metric in collector.metrics),
    *scrape_metrics.METRICS,
    *self_metrics.METRICS,
)
BY_NAME = {metric.name: metric for metric in DECLARED}

_FIXED = "the specification fixes this name"
ALLOWED = {
    "pbs_snapshot_count: a gauge that ends in _count": _FIXED,
    "pbs_task_total: a gauge that ends in _total": _FIXED,
    "pbs_gc_last_run_timestamp: a time without _seconds": _FIXED,
}

_BASE_UNITS = ("seconds", "bytes", "ratio", "celsius", "volts", "joules", "meters", "grams", "amperes")
_OTHER_UNIT = re.compile(
    "second|byte|ratios|percents?|percentage|minutes?|hours?|days?|weeks?|(?:milli|micro|nano)seconds?|bits?|"
    "(?:kilo|mega|giga|tera|kibi|mebi|gibi|tebi)bytes?|fahrenheit|kelvin"
)
_ABBREVIATION = re.compile("s|ms|us|ns|secs?|m|mins?|h|hrs?|d|b|[kmgtp]i?b|pct")
_TYPES = frozenset(("gauge", "counter", "histogram", "summary", "untyped", "stateset"))
_NAME = re.compile(r"pbs_[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_API_PATH = re.compile(r"\(/[a-z]+(?:[-/a-z{}]+)(?:[,;][^()]*)?\)\.")


def lint(metric: Metric) -> Iterator[str]:
    """Yield a line for each of Prometheus's naming rules that a metric breaks."""
    for problem in (*_name_problems(metric), *_type_problems(metric), *_unit_problems(metric)):
        yield f"{metric.name}: {problem}"


def _name_problems(metric: Metric) -> Iterator[str]:
    if not _NAME.fullmatch(metric.name):
        yield "not pbs_ and snake case"
    for label in metric.labels:
        if not _LABEL.fullmatch(label):
            yield f"label {label} is not snake case"
        if f"_by_{label}" in metric.name:
            yield f"names its label {label}"
    if len(set(metric.labels)) < len(metric.labels):
        yield "a label twice"
    if not metric.help.strip():
        yield "no help"


def _type_problems(metric: Metric) -> Iterator[str]:
    if metric.type == "counter" and not metric.name.endswith("_total"):
        yield "a counter without _total"
    if metric.type != "counter" and metric.name.endswith("_total"):
        yield f"a {metric.type} that ends in _total"
    for end in ("_count", "_sum", "_bucket", "_created"):
        # A histogram's own name has none of these suffixes; its samples get them.
        if metric.name.endswith(end):
            yield f"a {metric.type} that ends in {end}"
    for label in ("le", "quantile"):
        if label in metric.labels:
            yield f"label {label} on a {metric.type}"
    if _TYPES & set(metric.name.split("_")):
        yield "names its type"


def _unit_problems(metric: Metric) -> Iterator[str]:
    words = metric.name.removesuffix("_total").split("_")
    for word in words:
        if _OTHER_UNIT.fullmatch(word):
            yield f"{word} is no base unit in the plural"
        if _ABBREVIATION.fullmatch(word):
            yield f"{word} is an abbreviated unit"
    # pbs_datastore_total_bytes: `total` in front of the unit isn't allowed either.
    if any(word in _BASE_UNITS for word in words[:-1]):
        yield "a unit that is no suffix"
    if "timestamp" in words and words[-1] != "seconds":
        yield "a time without _seconds"
    if words[-1] == "info" and metric.unit:
        yield "an info with a unit"


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        (Metric("pbs_snapshot_count", "."), "a gauge that ends in _count"),
        (Metric("pbs_task_total", "."), "a gauge that ends in _total"),
        (Metric("pbs_requests", ".", (), "counter"), "a counter without _total"),
        (Metric("pbs_size_sum", "."), "a gauge that ends in _sum"),
        (Metric("pbs_size_bucket", ".", (), "histogram"), "a histogram that ends in _bucket"),
        (Metric("pbs_size_created", "."), "a gauge that ends in _created"),
        (Metric("pbs_size_bytes", ".", ("le",)), "label le on a gauge"),
        (Metric("pbs_size_bytes", ".", ("quantile",)), "label quantile on a gauge"),
        (Metric("pbs_age_minutes", "."), "minutes is no base unit in the plural"),
        (Metric("pbs_age_days", "."), "days is no base unit in the plural"),
        (Metric("pbs_age_second", "."), "second is no base unit in the plural"),
        (Metric("pbs_cpu_percent", "."), "percent is no base unit in the plural"),
        (Metric("pbs_size_kilobytes", "."), "kilobytes is no base unit in the plural"),
        (Metric("pbs_size_kb", "."), "kb is an abbreviated unit"),
        (Metric("pbs_wait_ms", "."), "ms is an abbreviated unit"),
        (Metric("pbs_bytes_used", "."), "a unit that is no suffix"),
        (Metric("pbs_last_timestamp", "."), "a time without _seconds"),
        (Metric("pbs_size_gauge", "."), "names its type"),
        (Metric("pbs_size_by_datastore", ".", ("datastore",)), "names its label datastore"),
        (Metric("pbs_size", ".", ("store", "store")), "a label twice"),
        (Metric("pbs_size", ".", ("backupType",)), "label backupType is not snake case"),
        (Metric("pbs_size", ".", ("_type",)), "label _type is not snake case"),
        (Metric("pbs_sizeBytes", "."), "not pbs_ and snake case"),
        (Metric("backup_size", "."), "not pbs_ and snake case"),
        (Metric("pbs_size:sum", "."), "not pbs_ and snake case"),
        (Metric("pbs_size_bytes", " "), "no help"),
    ],
    ids=lambda value: value.name if isinstance(value, Metric) else None,
)
def test_lint_finds(metric: Metric, found: str) -> None:
    """Each naming rule reports a name that breaks it, and nothing else about that name."""
    assert list(lint(metric)) == [f"{metric.name}: {found}"]


def test_names_follow_the_rules() -> None:
    """Every declared metric follows the naming rules except those on the list, and every exception is needed."""
    assert {problem for metric in DECLARED for problem in lint(metric)} == set(ALLOWED)


def test_fixed_names() -> None:
    """The 33 specified families are declared as gauges with exactly the specified labels."""
    assert len(FIXED) == 33
    declared = {name: BY_NAME[name].labels for name in FIXED if name in BY_NAME}
    assert declared == FIXED
    assert {BY_NAME[name].type for name in FIXED} == {"gauge"}


def test_each_family_has_one_owner() -> None:
    """No family is declared twice, neither by two collectors nor by a collector and the exporter."""
    # In OpenMetrics, a counter and a gauge whose names differ only in `_total` are the same family.
    names = Counter(metric.name.removesuffix("_total") for metric in DECLARED)
    assert [name for name, times in names.items() if times > 1] == []


def test_every_collector_file_is_listed() -> None:
    """Every collector is in COLLECTORS under a unique name."""
    modules = [
        importlib.import_module(f"{collectors.__name__}.{module.name}")
        for module in pkgutil.iter_modules(collectors.__path__)
    ]
    made = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Collector) and kind.__module__ == module.__name__
        if kind is not Collector
    ]
    assert sorted(kind.name for kind in made) == sorted(collector.name for collector in COLLECTORS)
    assert len(DEFAULTS) == len(COLLECTORS)


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_help_is_a_sentence(metric: Metric) -> None:
    """Every help is one line that begins with a capital or a digit and ends with one full stop."""
    assert re.fullmatch(r"[A-Z0-9][^\n]*[^.\s]\.", metric.help), metric.help


_FROM_PBS = (
    *(metric for collector in COLLECTORS for metric in collector.metrics),
    scrape_metrics.UP,
    scrape_metrics.VERSION,
)


@pytest.mark.parametrize("metric", _FROM_PBS, ids=lambda metric: metric.name)
def test_help_names_the_api_path(metric: Metric) -> None:
    """The help of every metric about PBS ends with the API path of its value, or with TLS."""
    assert _API_PATH.search(metric.help) or re.search(r"\(TLS, \w+\)\.$", metric.help), metric.help


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_collector_says_what_it_needs(collector: AnyCollector) -> None:
    """Every collector has a help sentence, metrics, and the names of the privileges and roles that it needs."""
    assert re.fullmatch(r"[A-Z].*[^.]\.", collector.help)
    # The notes of groups are on the series of `snapshots`.
    assert collector.metrics or collector.name == "groups"
    assert collector.needs or collector.name in ("certificate", "access")
    for need in collector.needs:
        assert re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", need.privilege)
        assert need.path.startswith("/")
        assert need.role


def _sources() -> Iterator[tuple[str, Source, float | None]]:
    for recording in RECORDINGS:
        yield recording, Replay(recording_file(recording)), recorded_time(recording)
    yield "demo", demo_world(), None


SOURCES = [pytest.param(source, now, id=name) for name, source, now in _sources()]


async def _page(
    source: Source, now: float | None, enabled: Iterable[str], accept: str = "text/plain", *, tls: bool = False
) -> str:
    """Return the raw page of an exporter with only these collectors."""
    clock = None if now is None else FakeClock(now).clock
    async with SimulatedPbs(source, tls=tls, forbidden_delay=0) as pbs:
        settings = make_settings(
            pbs,
            collectors={name: name in enabled for name in DEFAULTS},
            exporter=ExporterSettings(process_metrics=False),
        )
        async with (
            exporting(settings, clock) as exporter,
            exporter.client.get("/metrics", headers={"Accept": accept}) as response,
        ):
            assert response.status == 200
            return await response.text()


def _family(sample_line: str) -> str:
    """Return the family of a line in the text format."""
    name = re.split(r"[{ ]", sample_line, maxsplit=1)[0]
    histogram = re.sub(r"_(bucket|sum|count)$", "", name)
    return histogram if histogram in BY_NAME and BY_NAME[histogram].type == "histogram" else name


@pytest.mark.parametrize(("source", "now"), SOURCES)
async def test_page_has_declared_metrics_alone(source: Source, now: float | None) -> None:
    """Every family on a page is declared, and has the declared help, type and labels."""
    lines = (await _page(source, now, DEFAULTS)).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert {_family(line) for line in samples} <= BY_NAME.keys()
    for kind, attribute in (("HELP", "help"), ("TYPE", "type")):
        said = dict(line.removeprefix(f"# {kind} ").split(" ", 1) for line in lines if line.startswith(f"# {kind} "))
        assert said == {name: getattr(BY_NAME[name], attribute) for name in said}
        assert said.keys() >= {_family(line) for line in samples}
    for line in samples:
        metric = BY_NAME[_family(line)]
        labels = re.findall(r'[{,]([a-z_]+)="(?:[^"\\]|\\.)*"', line)
        assert set(labels) - {"le"} == set(metric.labels), line


@pytest.mark.parametrize(("source", "now"), SOURCES)
async def test_page_has_each_family_and_series_once(source: Source, now: float | None) -> None:
    """A page has each family once, the samples of a family together, and each series once."""
    lines = (await _page(source, now, DEFAULTS)).splitlines()
    helps = [line.split(" ")[2] for line in lines if line.startswith("# HELP ")]
    assert len(helps) == len(set(helps))
    samples = [line for line in lines if not line.startswith("#")]
    families = [_family(line) for line in samples]
    changes = [family for before, family in zip([None, *families], families, strict=False) if before != family]
    assert len(changes) == len(set(changes))
    series = Counter(line.rsplit(" ", 1)[0] for line in samples)
    assert [name for name, times in series.items() if times > 1] == []


@pytest.mark.parametrize("collector", [one for one in COLLECTORS if one.metrics], ids=lambda collector: collector.name)
async def test_collector_samples_what_it_declares(collector: AnyCollector) -> None:
    """A collector makes only its own metrics, even if another one runs too."""
    folder = "pbs-4.2.3-more"
    # The recorded PBS hosts have no systemd.
    recorded = collector.name != "services"
    source, now = (Replay(recording_file(folder)), recorded_time(folder)) if recorded else (demo_world(), None)
    page = await _page(source, now, [collector.name, "tape"], tls=True)
    families = {_family(line) for line in page.splitlines() if not line.startswith("#")}
    others = () if collector.name == "tape" else TapeCollector.metrics
    own = {metric.name for metric in (*scrape_metrics.METRICS, *self_metrics.METRICS, *others)}
    of_collector = families - own
    assert of_collector
    assert of_collector <= {metric.name for metric in collector.metrics}


MOMENTARY = {
    "pbs_datastore_idle": "where scrapes list only changes",
    "pbs_datastore_maintenance": "while one is in maintenance",
    "pbs_task_running_start_timestamp_seconds": "while a task runs",
}


async def test_demo_shows_every_family() -> None:
    """The first page of the demo with all collectors on has at least one sample of each collector's families."""
    page = await _page(demo_world(), None, DEFAULTS, tls=True)
    sampled = {_family(line) for line in page.splitlines() if not line.startswith("#")}
    declared = {metric.name for collector in COLLECTORS for metric in collector.metrics}
    assert declared - sampled <= MOMENTARY.keys()


async def test_demo_shows_every_fixed_family() -> None:
    """The first page of the demo has a sample of each of the 33 specified families."""
    page = await _page(demo_world(), None, DEFAULTS)
    sampled = {_family(line) for line in page.splitlines() if not line.startswith("#")}
    assert FIXED.keys() - sampled == set()


async def test_units_equal_the_suffix() -> None:
    """In OpenMetrics exactly the families whose name ends with a base unit have a UNIT line with it."""
    folder = "pbs-4.2.3-more"
    accept = f"{OPENMETRICS.media_type}; version={OPENMETRICS.version}"
    page = await _page(Replay(recording_file(folder)), recorded_time(folder), DEFAULTS, accept)
    families = list(openmetrics_families(page))  # type: ignore[no-untyped-call]
    units = {family.name: family.unit for family in families}
    assert len(units) > 50
    assert units == {name: (name.rpartition("_")[2] if name.endswith(_BASE_UNITS) else "") for name in units}


def _test_functions() -> Iterator[tuple[str, str | None]]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(ROOT)}: {node.name}", ast.get_docstring(node)


def test_every_test_says_what_it_tests() -> None:
    """Every test function has a docstring that is a sentence."""
    found = dict(_test_functions())
    assert f"{Path(__file__).relative_to(ROOT)}: test_every_test_says_what_it_tests" in found
    assert [name for name, text in found.items() if not (text or "").rstrip().endswith(".")] == []
