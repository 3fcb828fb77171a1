"""Registries of given families, and pages written from them in each format."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from pbs_exporter.exposition.formats import OPENMETRICS, TEXT, TEXT_1, Format, choose, render
from pbs_exporter.exposition.row_family import Form, RowFamily

MODELS = ((TEXT, text), (TEXT_1, text), (OPENMETRICS, openmetrics))
Rows = dict[tuple[str, ...], float]


class Given:
    """A source of these families."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Family]:
        return self._families


def assert_same(make: Callable[[], CollectorRegistry]) -> None:
    """Compare all formats with prometheus_client's, each from a registry of its own."""
    for form, model in MODELS:
        assert written(form, make()) == model(make())


def written(form: Format, registry: CollectorRegistry) -> bytes:
    chosen = choose(f"{form.media_type};version={form.version}")
    assert chosen.format is form
    return b"".join(render(registry, chosen))


def family(rows: Rows) -> RowFamily:
    """Return a row family with two labels and these rows."""
    return RowFamily((Form("x_bytes", "X.", "counter", "bytes", "x_bytes_total", ("b", "a")), rows))


def registry(*given: Family) -> CollectorRegistry:
    """Return a registry with these families."""
    made = CollectorRegistry()
    made.register(Given(given))
    return made
