"""Metrics, samples and state sets."""

import math
from collections.abc import Sequence

import pytest

from pbs_exporter.exposition.metric import Metric, ratio, state_set
from pbs_exporter.exposition.row_family import SharedLabels
from pbs_exporter.plain_text import printable

UP = Metric("pbs_up", "Whether it is up.")
SIZE = Metric("pbs_size_bytes", "How large it is.", ("datastore", "namespace"))


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b", "c")])
def test_labels_must_be_as_many_as_declared(labels: tuple[str, ...]) -> None:
    """A wrong number of labels is an error, because prometheus_client would drop them silently."""
    with pytest.raises(TypeError, match=f"^pbs_size_bytes has 2 labels, not {len(labels)}$"):
        SIZE(1, *labels)


@pytest.mark.parametrize("labels", [(), ("a",)])
def test_labels_must_be_right_without_a_value_too(labels: tuple[str, ...]) -> None:
    """A wrong number of labels is an error even if the value is unknown, so every test finds it."""
    with pytest.raises(TypeError):
        SIZE(None, *labels)


def test_many_samples_whose_value_is_1() -> None:
    """Series that say 1 are made at once: a repeated one is counted, and a wrong number of labels is an error."""
    rows = [("main", ""), ("main", "lab"), ("main", "")]
    assert SIZE.infos(iter(rows)) == SIZE.series((row, 1.0) for row in rows)
    assert SIZE.infos(rows).duplicates == 1
    with pytest.raises(TypeError, match=r"^pbs_size_bytes has 2 labels, not 1$"):
        SIZE.infos([*rows, ("main",)])


NUMBERS: list[Sequence[int | None]] = [(1, 2, 3), (0, True, -1), (1, None, 3), (None,) * 3, (10**400, 2, -(10**400))]
SHARED = [
    [("main", ""), ("main", "lab"), ("archive", "")],
    [("main", ""), ("main", "lab"), ("main", "")],
    [("main", "")] * 3,
]


@pytest.mark.parametrize("labels", SHARED)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_numbers_of_shared_labels(labels: list[tuple[str, str]], numbers: Sequence[int | None]) -> None:
    """They are the samples that each row alone makes: unknown values are absent, and of equal labels the first wins."""
    made, wanted = SIZE.numbers(SharedLabels(labels), numbers), SIZE.series(zip(labels, numbers, strict=True))
    assert list(zip(made.rows, made.rows.values(), strict=True)) == list(
        zip(wanted.rows, wanted.rows.values(), strict=True)
    )
    assert (len(made.rows), made.duplicates) == (len(wanted.rows), wanted.duplicates)


def test_shared_labels_must_be_as_many_as_declared_and_as_values() -> None:
    """Shared labels of a wrong number, or with too few or too many values, are an error."""
    labels = SharedLabels([("main", ""), ("main", "lab")])
    with pytest.raises(TypeError, match=r"^pbs_size_bytes has 2 labels, not 3$"):
        SIZE.numbers(labels.with_each(["ok"]), [1, 2])
    for values in ([1], [1, 2, 3], [1, None, 3]):
        with pytest.raises(ValueError, match="argument"):
            SIZE.numbers(labels, values)


def test_shared_labels_with_each_state() -> None:
    """Each of the labels has each state, in this order, and they are repeated where the labels were."""
    states = SharedLabels([("main",), ("archive",)]).with_each(["ok", "failed"])
    assert states.every == [("main", "ok"), ("main", "failed"), ("archive", "ok"), ("archive", "failed")]
    assert states.are_unique
    assert not SharedLabels([("main",), ("main",)]).with_each(["ok"]).are_unique


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_an_unknown_value_makes_no_sample(value: float | None) -> None:
    """A value that PBS doesn't return, or returns as no number, is absent and never 0."""
    assert SIZE(value, "main", "") == ()


@pytest.mark.parametrize("value", [0, 0.0, -1, 1e-9, 2**53 + 1, 2**64, True])
def test_a_known_value_is_kept_as_it_is(value: float) -> None:
    """Every number from PBS is a sample, including 0."""
    ((metric, labels, kept),) = SIZE(value, "main", "ns")
    assert (metric, labels, kept) == (SIZE, ("main", "ns"), value)


def test_a_number_beyond_any_float_makes_no_sample() -> None:
    """An integer that doesn't fit into a float is treated as missing."""
    assert UP(10**400) == ()


def test_a_missing_label_is_empty() -> None:
    """A label without a value is present and empty."""
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
    """Control characters and lone surrogates are removed from a label, and nothing else."""
    assert printable(text) == cleaned
    assert [sample.labels for sample in SIZE(1, text, text)] == [(cleaned, cleaned)]


LENGTHS = [
    ("x" * 1024, "x" * 1024),
    ("x" * 1025, "x" * 1023 + "…"),
    ("\x00" * 5000 + "x", "x"),
    ("😀" * 2000, "😀" * 1023 + "…"),
]


@pytest.mark.parametrize(("text", "shown"), LENGTHS, ids=range(len(LENGTHS)))
def test_labels_are_bounded(text: str, shown: str) -> None:
    """A label has at most 1,024 code points without control characters; a longer one is cut, with `…` at the end."""
    assert [sample.labels for sample in SIZE(1, text, "")] == [(shown, "")]


RATIOS = [(1, 2, 0.5), (1, 0, None), (10**400, 1, None), (10**400, 10**400, 1.0), (-1, 4, -0.25)]


@pytest.mark.parametrize(("part", "whole", "expected"), RATIOS)
def test_a_ratio_that_no_float_can_hold_is_unknown(part: int, whole: int, expected: float | None) -> None:
    """A ratio of whole numbers of any size is a number, or unknown."""
    assert ratio(part, whole) == expected


STATES = ("ok", "failed", "none")
STATE = Metric("pbs_state", "State.", ("datastore", "state"))


@pytest.mark.parametrize("current", STATES)
def test_a_state_set_writes_every_state(current: str) -> None:
    """All states have a sample, and exactly the current one is 1."""
    made = {sample.labels: sample.value for sample in state_set(STATE, STATES, current, "main")}
    assert made == {("main", state): float(state == current) for state in STATES}


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
