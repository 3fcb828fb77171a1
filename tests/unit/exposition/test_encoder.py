"""The encoder's output equals prometheus_client's, byte for byte."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest as text
from prometheus_client.metrics_core import METRIC_TYPES
from prometheus_client.samples import Timestamp

from pbs_exporter.exposition.encoder import ROWS_AT_ONCE, encode
from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.row_family import InfoRows, Run, SharedLabels
from tests.support.registries import Given, assert_same, family, registry

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text('\\"\n\r\0%{}=,ü', max_size=6)
LEGACY = st.from_regex(r"[a-z_]{1,4}(_bytes|_seconds)?(_total|_created|_gsum)?", fullmatch=True)
NAMES = LEGACY | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
VALUES = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 10**10),
    st.booleans(),
    st.sampled_from([0, 0.0, -0.0, 1, 1e6, 999_999.5, 10**15, 2**53, 2**53 + 1, 1e16, 1e22, 10**300]),
)


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """Make pages of arbitrary metrics, label values and values."""
    page = Page()
    for name in draw(st.lists(NAMES.filter(lambda name: name != "_total"), max_size=4, unique=True)):
        labels = tuple(draw(st.lists(NAMES, max_size=4)))
        metric = Metric(name, draw(TEXTS), labels, draw(st.sampled_from(["gauge", "counter", "histogram"])))
        rows = draw(st.lists(st.tuples(st.tuples(*[TEXTS for _ in labels]), VALUES), max_size=6))
        page.add([Sample(metric, row, value) for row, value in rows])
    return page


@st.composite
def families(draw: st.DrawFn) -> Family:
    """Make families of any kind, with samples of any name, and with timestamps."""
    family = Family(draw(NAMES), draw(TEXTS), draw(st.sampled_from(METRIC_TYPES)), draw(st.sampled_from(["", "bytes"])))
    suffixes = st.sampled_from(["", "_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info"])
    times = st.none() | st.integers(0, 2**40) | st.builds(Timestamp, st.integers(0, 2**40), st.integers(0, 10**9 - 1))
    labels = st.dictionaries(NAMES, TEXTS, max_size=3)
    for _ in range(draw(st.integers(0, 4))):
        family.add_sample(family.name + draw(suffixes), draw(labels), draw(VALUES), draw(times))
    return family


@st.composite
def instruments(draw: st.DrawFn) -> CollectorRegistry:
    """Make registries with one of each of prometheus_client's instruments."""
    registry = CollectorRegistry()
    label, value = draw(TEXTS), draw(st.floats(0, 1e18))
    Counter("c", draw(TEXTS), ["label"], registry=registry).labels(label).inc(value)
    Gauge("g_bytes", draw(TEXTS), ["label"], registry=registry, unit="bytes").labels(label).set(draw(st.floats()))
    Summary("s", draw(TEXTS), ["label"], registry=registry).labels(label).observe(draw(st.floats()))
    Histogram("h", draw(TEXTS), ["label"], registry=registry, buckets=(0.5, 1, 1e6)).labels(label).observe(value)
    Info("i", draw(TEXTS), ["label"], registry=registry).labels(label).info({"key": draw(TEXTS)})
    Enum("e", draw(TEXTS), ["label"], registry=registry, states=["on", draw(TEXTS)]).labels(label).state("on")
    return registry


# Other tests cover the same lines, and tracing doubles the time of these repeated runs.
@pytest.mark.no_cover
@given(page=pages(), others=st.lists(families(), max_size=2), own=instruments())
def test_any_page_is_written_as_prometheus_client_does(
    page: Page, others: list[Family], own: CollectorRegistry
) -> None:
    """Each format has the same bytes for any page, also with prometheus_client's own kinds."""

    def make() -> CollectorRegistry:
        registry = page.registry()
        registry.register(Given(others))
        registry.register(own)
        return registry

    assert_same(make)


ODD = [
    *(0, 0.0, -0.0, False, 1, 1.0, True, -1, 0.1, 1e-9, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), 1.7976931348623157e308),
    *(999_999, 1_000_000, 1_000_000.5, 123_456_789, 1_700_000_000, -1_000_000, 10**15, 10**16, 10**17, 2**1000),
    *(2**53 - 1, 2**53, 2**53 + 1, 2.0**53, 2**64 - 1, 2**64),
]


@pytest.mark.parametrize("order", [1, -1])
def test_numbers_are_written_alike_whatever_was_written_before(order: int) -> None:
    """Equal numbers with different spellings keep their own text."""
    metric = Metric("pbs_x", "X.", ("number",))
    page = Page()
    page.add([Sample(metric, (str(index),), value) for index, value in enumerate(ODD[::order])])
    assert_same(page.registry)


@pytest.mark.parametrize("number", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE])
def test_families_of_any_length_are_whole(number: int) -> None:
    """Rows are written in batches: none is lost between them, and escaping in one doesn't affect another."""
    metric = Metric("pbs_x", "X.", ("b", "a"))
    page = Page()
    page.add([metric.series(((str(n), '"' if n == ROWS_AT_ONCE else "%s"), n % 7) for n in range(number))])
    assert_same(page.registry)


@pytest.mark.parametrize("number", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE])
def test_families_that_share_labels(number: int) -> None:
    """The text of shared labels is right in each family, whatever its name, its kind and the order of its labels."""
    labels = SharedLabels([(str(n), '"\\' if n == ROWS_AT_ONCE else "%s", "ü") for n in range(number)])
    other = SharedLabels([(str(n), "x", "y") for n in range(number)])
    page = Page()
    for name, kind in (("pbs_x", "gauge"), ("pbs_y_bytes_total", "counter"), ("pbs.z", "gauge"), ("pbs", "histogram")):
        page.add([Metric(name, "X.", ("b", "a", "c"), kind).numbers(labels, range(number))])  # type: ignore[arg-type]
    page.add([Metric("pbs_order", "Order.", ("a", "b", "c")).numbers(labels, [0] * number)])
    page.add([Metric("pbs_other", "Other.", ("a", "b", "c")).numbers(other, [ODD[-1]] * number)])  # type: ignore[list-item]
    page.add([Metric("pbs_state", "State.", ("b", "a", "c", "0")).numbers(labels.with_each("xy"), range(2 * number))])
    assert_same(page.registry)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize(
    "lengths", [[1], [3, 1, 2], [ROWS_AT_ONCE + 1, 1, 2 * ROWS_AT_ONCE], [7] * ROWS_AT_ONCE, [0, 2, 0]]
)
def test_runs_of_rows_that_differ_in_one_label(lengths: list[int], column: int) -> None:
    """A run is written as its rows would be, at whichever place on a line the label is."""

    def runs() -> Iterator[Run]:
        for n, length in enumerate(lengths):
            labels = [f'"{n}', "%s"]
            labels.insert(column, "")
            yield tuple(labels), range(length)

    rows = InfoRows(sum(lengths), column, runs)
    page = Page()
    page.add([Series(Metric("pbs_x", "X.", ("c", "a", "b")), rows, 0)])
    assert page.size == len(list(rows)) == len(list(rows.values()))
    assert_same(page.registry)


def test_equal_rows_are_equal_pieces() -> None:
    """Pages that differ in one family have equal pieces for the others, so that clients can share them."""
    labels = SharedLabels([(str(n),) for n in range(3 * ROWS_AT_ONCE)])
    first, second = (
        [Metric(name, "X.", ("a",)).numbers(labels, [value] * 3 * ROWS_AT_ONCE) for name, value in values]
        for values in ([("pbs_x", 1), ("pbs_y", 2)], [("pbs_x", 1), ("pbs_y", 3)])
    )
    pages = [Page(), Page()]
    for page, series in zip(pages, (first, second), strict=True):
        page.add(series)
    one, two = (encode(page.registry(), text) for page in pages)
    assert len(set(one) & set(two)) == 3 + 2 + 1


def test_a_family_without_rows_has_a_head() -> None:
    """An empty family has its help and its type, as in prometheus_client."""
    assert_same(lambda: registry(family({})))


def test_what_no_text_can_hold_is_refused() -> None:
    """A lone surrogate is an error, as in prometheus_client, and never a broken page."""
    with pytest.raises(UnicodeEncodeError):
        encode(registry(family({("\ud800", ""): 1})), text)


@pytest.mark.parametrize("row", [(), ("a",)])
def test_a_row_with_too_few_labels_is_refused(row: tuple[str, ...]) -> None:
    """A row with too few label values is an error, and never a series with others' labels."""
    with pytest.raises((ValueError, IndexError)):
        encode(registry(family({("a", "b"): 1, row: 2})), text)
