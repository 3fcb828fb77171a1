"""`python -m benchmarks.dashboards`: what each dashboard's queries cost Prometheus, with twelve PBS of 500 groups each.

It needs `make .venv-monitoring/ready` and the programs that `make test-monitoring` installs.
"""

import sys
import tempfile
from pathlib import Path

from tests.monitoring.fleet import fleet
from tests.monitoring.grafana import dashboards

_ROW = "| {:18} | {:>7} | {:>7} | {:>11} | {:>11} | {:>9} |\n".format


def main() -> None:
    """Print a row for each dashboard. Each query is sent alone, and twice: the second is measured."""
    sys.stdout.write(_ROW("dashboard", "queries", "KB", "samples", "slowest, ms", "sum, ms"))
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder)) as running:
        for uid, board in dashboards().items():
            list(running.costs(board))
            costs = list(running.costs(board))
            times = [1000 * cost.seconds for cost in costs]
            size, samples = sum(cost.size for cost in costs), sum(cost.samples for cost in costs)
            cells = f"{size // 1000:,}", f"{samples:,}", f"{max(times):.0f}", f"{sum(times):.0f}"
            sys.stdout.write(_ROW(uid, len(costs), *cells))


if __name__ == "__main__":
    main()
