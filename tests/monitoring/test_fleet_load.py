from collections.abc import Iterator

import pytest

from tests.monitoring.fleet import Cost, Fleet, fleet
from tests.monitoring.grafana import dashboards

BOARDS = dashboards()
MOST_BYTES, MOST_SAMPLES = 1_700_000, 10_000_000
"""Of all queries of a refresh. The first dashboards needed up to 11 MB and 33 million samples."""
MOST_ROWS = 500


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Run a Prometheus with a fleet."""
    with fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_a_refresh_costs_little(uid: str, large: Fleet) -> None:
    """For a fleet, the answers to a dashboard's queries are small, and Prometheus reads few samples for them."""
    costs = list(large.costs(BOARDS[uid]))
    assert sum(cost.size for cost in costs) < MOST_BYTES, largest(costs, "size")
    assert sum(cost.samples for cost in costs) < MOST_SAMPLES, largest(costs, "samples")
    assert max(cost.series for cost in costs) <= MOST_ROWS, largest(costs, "series")


def largest(costs: list[Cost], field: str) -> list[Cost]:
    return sorted(costs, key=lambda cost: getattr(cost, field), reverse=True)[:3]
