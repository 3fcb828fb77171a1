"""What a metric, a sample, a page, a comment and a state set are."""

import math

import pytest
from prometheus_client import generate_latest

from pbs_exporter.exposition.metric import Metric, state_set
from pbs_exporter.exposition.page import Page
from pbs_exporter.plain_text import comment, printable

UP = Metric("pbs_up", "Whether it is up.")
SIZE = Metric("pbs_size_bytes", "How large it is.", ("datastore", "namespace"))
REQUESTS = Metric("pbs_requests_total", "How many.", ("code",), "counter")


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b", "c")])
def test_labels_must_be_as_many_as_declared(labels: tuple[str, ...]) -> None:
    """Too few or too many labels are a bug of ours that is heard of, because prometheus_client would lose them."""
    with pytest.raises(TypeError, match=f"^pbs_size_bytes has 2 labels, not {len(labels)}$"):
        SIZE(1, *labels)


@pytest.mark.parametrize("labels", [(), ("a",)])
def test_labels_must_be_right_without_a_value_too(labels: tuple[str, ...]) -> None:
    """A wrong number of labels is found even where the value is unknown, and so in every test."""
    with pytest.raises(TypeError):
        SIZE(None, *labels)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_an_unknown_value_makes_no_sample(value: float | None) -> None:
    """What PBS didn't say, or said as no number, is absent and never 0."""
    assert SIZE(value, "main", "") == ()


@pytest.mark.parametrize("value", [0, 0.0, -1, 1e-9, 2**53 + 1, 2**64, True])
def test_a_known_value_is_kept_as_it_is(value: float) -> None:
    """Every number that PBS says is a sample, 0 too."""
    ((metric, labels, kept),) = SIZE(value, "main", "ns")
    assert (metric, labels, kept) == (SIZE, ("main", "ns"), value)


def test_a_number_beyond_any_float_makes_no_sample() -> None:
    """A whole number that no float can hold is as good as none."""
    assert UP(10**400) == ()


def test_a_missing_label_is_empty() -> None:
    """A label that PBS says nothing for is there, and empty."""
    assert [sample.labels for sample in SIZE(1, None, "")] == [("", "")]


CLEANED = [
    ("plain", "plain"),
    ("", ""),
    ("a\x00b\x1fc\x7fd\x9fe", "abcde"),
    ("a\nb\tc\r\n", "abc"),
    ("lone \ud800 and \udfff", "lone  and "),
    ("\N{WOMAN}\u200d\N{PERSONAL COMPUTER}", "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}"),
    ("\u2028\u00a0\ufeff", "\u2028\u00a0\ufeff"),
    ("\U0001f600", "\U0001f600"),
    ('"quoted\\"', '"quoted\\"'),
]


@pytest.mark.parametrize(("text", "cleaned"), CLEANED)
def test_labels_are_clean(text: str, cleaned: str) -> None:
    """Control characters and lone surrogates are taken out of a label, and nothing else."""
    assert printable(text) == cleaned
    assert [sample.labels for sample in SIZE(1, text, text)] == [(cleaned, cleaned)]


COMMENTS = [
    (None, ""),
    ("", ""),
    ("web server", "web server"),
    ("first\nsecond", "first"),
    ("first\r\nsecond", "first"),
    ("first\rsecond", "first"),
    ("\nsecond", ""),
    ("  kept  ", "  kept  "),
    ("tab\there", "tabhere"),
    ("a\u2028b", "a\u2028b"),
    ("x" * 64, "x" * 64),
    ("x" * 65, "x" * 63 + "…"),
    ("\U0001f600" * 64, "\U0001f600" * 64),
    ("\U0001f600" * 65, "\U0001f600" * 63 + "…"),
    ("\x00" * 100 + "x" * 64, "x" * 64),
    ("x" * 64 + "\x07", "x" * 64),
    ("x" * 64 + "\n" + "y", "x" * 64),
    ("e\u0301" * 33, "e\u0301" * 31 + "e…"),
]


@pytest.mark.parametrize(("text", "label"), COMMENTS)
def test_a_comment_is_its_clean_first_line(text: str | None, label: str) -> None:
    """A comment is the text before the first line break, printable, and cut to 64 code points with `…` at the end."""
    assert comment(text) == label


STATES = ("ok", "failed", "none")
STATE = Metric("pbs_state", "State.", ("datastore", "state"))


@pytest.mark.parametrize("current", STATES)
def test_a_state_set_writes_every_state(current: str) -> None:
    """All states have a sample, and exactly the current one is 1."""
    made = {sample.labels: sample.value for sample in state_set(STATE, STATES, current, "main")}
    assert made == {("main", state): float(state == current) for state in STATES}


def test_a_page_has_each_family_and_series_once() -> None:
    """The first sample of a series counts, the others are counted as doubles; families stay together."""
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


def test_labels_that_are_the_same_when_clean_are_doubles() -> None:
    """Two names that differ in a control character only are one series: the page stays valid."""
    page = Page()
    assert page.add([*SIZE(1, "a", ""), *SIZE(2, "a\x00", "")]) == 1


def test_a_page_is_written_with_help_and_type() -> None:
    """HELP and TYPE are on every family, a counter keeps its `_total`, and label values are escaped."""
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


UNITS = [
    ("pbs_up", ""),
    ("pbs_size_bytes", "bytes"),
    ("pbs_read_bytes_total", "bytes"),
    ("pbs_last_timestamp_seconds", "seconds"),
    ("pbs_life_remaining_ratio", "ratio"),
    ("pbs_bytes_of_something", ""),
    ("pbs_requests_total", ""),
]


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_the_unit_is_how_the_name_ends(name: str, unit: str) -> None:
    """The unit is the last word of the name, or the one before `_total`."""
    assert Metric(name, "").unit == unit
