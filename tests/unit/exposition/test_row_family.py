"""A row family behaves as a prometheus_client family with the same samples."""

from collections.abc import Callable, Iterable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest as text
from prometheus_client.samples import Sample as FamilySample

from tests.support.registries import MODELS, Given, family, registry, written


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
