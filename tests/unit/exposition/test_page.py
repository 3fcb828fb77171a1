"""A page: families and series, each once; a row family behaves as a prometheus_client family with the same samples."""

from collections.abc import Callable, Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest as text
from prometheus_client.samples import Sample as FamilySample

from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.row_family import SharedLabels
from tests.support.registries import MODELS, Given, family, registry, written

UP = Metric("pbs_up", "Whether it is up.")
SIZE = Metric("pbs_size_bytes", "How large it is.", ("datastore", "namespace"))
REQUESTS = Metric("pbs_requests_total", "How many.", ("code",), "counter")


def test_a_page_has_each_family_and_series_once() -> None:
    """The first sample of a series is kept, further ones are counted as duplicates; families stay together."""
    page = Page()
    assert page.add([*UP(1), *SIZE(5, "a", "")]) == 0
    assert page.add([*SIZE(6, "a", ""), *SIZE(7, "a", "ns"), *UP(0)]) == 2
    assert [(family.name, [(s.labels, s.value) for s in family.samples]) for family in page.collect()] == [
        ("pbs_up", [({}, 1)]),
        (
            "pbs_size_bytes",
            [({"datastore": "a", "namespace": ""}, 5), ({"datastore": "a", "namespace": "ns"}, 7)],
        ),
    ]


def test_a_page_leaves_the_pages_that_it_was_given_alone() -> None:
    """Two collectors may have samples of one metric: what is added to a page changes no other page."""
    first, second, whole = Page(), Page(), Page()
    first.add(SIZE(1, "a", ""))
    second.add(SIZE(2, "b", ""))
    whole.add_missing(first)
    assert whole.add_page(second) == 0
    whole.add(SIZE(3, "c", ""))
    assert (first.size, second.size, whole.size) == (1, 1, 3)


def test_labels_that_are_the_same_when_clean_are_doubles() -> None:
    """Two names that differ only in a control character are one series, and the page stays valid."""
    page = Page()
    assert page.add([*SIZE(1, "a", ""), *SIZE(2, "a\x00", "")]) == 1


def test_a_page_is_written_with_help_and_type() -> None:
    """Every family has HELP and TYPE, a counter keeps its `_total`, and label values are escaped."""
    page = Page()
    page.add([*UP(1), *SIZE(1024, 'a"\\', "ü"), *REQUESTS(3, "200")])
    assert generate_latest(page.registry()).decode().splitlines() == [
        "# HELP pbs_up Whether it is up.",
        "# TYPE pbs_up gauge",
        "pbs_up 1.0",
        "# HELP pbs_size_bytes How large it is.",
        "# TYPE pbs_size_bytes gauge",
        'pbs_size_bytes{datastore="a\\"\\\\",namespace="ü"} 1024.0',
        "# HELP pbs_requests_total How many.",
        "# TYPE pbs_requests_total counter",
        'pbs_requests_total{code="200"} 3.0',
    ]


def test_a_page_is_as_large_as_it_has_samples() -> None:
    """The size is the number of samples, and an empty page has none."""
    page = Page()
    assert (page.size, page.empty) == (0, True)
    page.add([*UP(1), *SIZE(1, "a", ""), *SIZE(2, "b", "")])
    assert (page.size, page.empty) == (3, False)


def test_series_of_one_metric_become_one_family() -> None:
    """Two collectors may have many samples of one metric: of equal ones the first wins, and the rest are counted."""
    first = SIZE.numbers(SharedLabels([("a", ""), ("b", "")]), [1, 2])
    second = SIZE.numbers(SharedLabels([("b", ""), ("c", "")]), [3, 4])
    page = Page()
    assert page.add([first, second]) == 1
    assert page.add([*SIZE(5, "c", ""), *SIZE(6, "d", "")]) == 1
    assert [[sample.value for sample in family.samples] for family in page.collect()] == [[1, 2, 4, 6]]
    assert list(first.rows.values()) == [1, 2]


def other_page() -> Page:
    page = Page()
    page.add([*UP(0), *SIZE(1, "a", ""), *SIZE(2, "b", "")])
    return page


def test_adding_a_page_adds_the_series_that_are_missing() -> None:
    """Series that the page already has stay as they are, and their duplicates are counted."""
    page = Page()
    page.add(SIZE(5, "a", ""))
    assert page.add_page(other_page()) == 1
    assert [[sample.value for sample in family.samples] for family in page.collect()] == [[5, 2], [0]]


def test_adding_missing_families_leaves_the_others() -> None:
    """A family that already has a series on the page gets none from the other page."""
    page = Page()
    page.add(SIZE(5, "a", ""))
    page.add_missing(other_page())
    assert [[sample.value for sample in family.samples] for family in page.collect()] == [[5], [0]]


def plain(*samples: FamilySample) -> Family:
    """Make the same family with prometheus_client."""
    made = Family("x_bytes", "X.", "counter", "bytes")
    made.samples = list(samples)
    return made


SAMPLE = FamilySample("x_bytes_total", {"b": "1", "a": "2"}, 3)
OTHER = FamilySample("x_bytes_total", {"b": "4", "a": "5"}, 6, timestamp=7)


def test_a_family_of_rows_is_a_family() -> None:
    """A row family has the equality, the repr and the samples of the equivalent prometheus_client family."""
    assert family({("1", "2"): 3}).samples == [SAMPLE]
    assert family({("1", "2"): 3}) == plain(SAMPLE)
    assert plain(SAMPLE) == family({("1", "2"): 3})
    assert family({("1", "2"): 3}) != plain()
    assert repr(family({("1", "2"): 3})) == repr(plain(SAMPLE))
    assert registry(family({("1", "2"): 3})).get_sample_value("x_bytes_total", {"a": "2", "b": "1"}) == 3


def test_a_registry_can_be_restricted_to_a_family_of_rows() -> None:
    """A restricted registry returns the family only if it was asked for."""

    class Described(Given):
        def describe(self) -> Iterable[Family]:
            return self._families

    made = CollectorRegistry()
    made.register(Described([family({("1", "2"): 3})]))
    assert b'x_bytes_total{a="2",b="1"} 3.0\n' in text(made.restricted_registry(["x_bytes_total"]))
    assert text(made.restricted_registry(["other"])) == b""


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.samples.append(OTHER),
        lambda made: made.add_sample(*OTHER),
        lambda made: setattr(made, "samples", [OTHER]),
        lambda made: made.samples.clear(),
        lambda made: setattr(made, "name", "y"),
        lambda made: setattr(made, "documentation", "Y.\n"),
        lambda made: setattr(made, "unit", ""),
        lambda made: setattr(made, "type", "gauge"),
    ],
)
def test_what_somebody_changes_is_written(change: Callable[[Family], None]) -> None:
    """A family that was changed is written in its current state."""
    changed, expected = family({("1", "2"): 3}), plain(SAMPLE)
    change(changed)
    change(expected)
    for form, model in MODELS:
        assert written(form, registry(changed)) == model(registry(expected))
