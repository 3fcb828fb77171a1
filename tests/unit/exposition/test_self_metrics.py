"""The exporter's own metrics are those of prometheus_client's instruments, in a fraction of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from pbs_exporter.exposition.self_metrics import API_DURATION, API_REQUESTS, BUCKETS, ApiMetrics
from tests.support.registries import MODELS, Given, written

ENDPOINTS = ("/version", "/admin/datastore/{store}/groups", 'a"\\\n')
SECONDS = st.sampled_from([0.0, *BUCKETS, 600.1, 1e9]) | st.floats(0, 1e4)
OBSERVATIONS = st.lists(
    st.tuples(st.sampled_from(ENDPOINTS), st.sampled_from(["200", "timeout"]), SECONDS), max_size=30
)


def expected(observations: list[tuple[str, str, float]]) -> CollectorRegistry:
    """Return prometheus_client's own counter and histogram of the same observations."""
    registry = CollectorRegistry()
    requests = Counter(API_REQUESTS.name, API_REQUESTS.help, API_REQUESTS.labels, registry=registry)
    durations = Histogram(
        API_DURATION.name, API_DURATION.help, API_DURATION.labels, unit="seconds", buckets=BUCKETS, registry=registry
    )
    for endpoint, code, seconds in observations:
        requests.labels(endpoint, code).inc()
        durations.labels(endpoint).observe(seconds)
    return registry


@pytest.mark.no_cover
@given(OBSERVATIONS)
def test_requests_are_counted_as_prometheus_client_does(observations: list[tuple[str, str, float]]) -> None:
    """Each format has the same bytes as with prometheus_client's counter and histogram, whatever was observed."""
    own = ApiMetrics()
    for observation in observations:
        own.observe(*observation)
    registry = CollectorRegistry()
    registry.register(own)
    for form, model in MODELS:
        assert written(form, registry) == model(expected(observations))


def test_a_page_keeps_what_was_counted_when_it_began() -> None:
    """What is counted while a page is rendered changes nothing of it."""
    own = ApiMetrics()
    own.observe("/version", "200", 0.1)
    families = list(own.collect())
    own.observe("/version", "200", 0.1)
    own.observe("/version", "403", 0.1)
    registry = CollectorRegistry()
    registry.register(Given(families))
    for form, model in MODELS:
        assert written(form, registry) == model(expected([("/version", "200", 0.1)]))
