"""Past samples for Prometheus, for the rules that compare with the last days."""

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.servers import Labels

DAY, MINUTE = 86400, 60

AGES = tuple(days * DAY + 30 * MINUTE for days in range(14, 0, -1))
"""Seconds before now that `last_over_time(…[2h] offset 7d)` reads, and the same for a day and two weeks."""

COMPARED = (
    "pbs_datastore_available_bytes",
    "pbs_datastore_deduplication_factor",
    "pbs_host_uptime_seconds",
    "pbs_snapshot_count",
    "pbs_snapshot_last_encrypted",
    "pbs_snapshot_size_bytes",
)
"""The metrics whose past the rules read, over days that a test can't wait for."""

Point = tuple[str, Labels, float, float]
"""Name, labels, value, Unix time."""


def of_page(page: str, target: Mapping[str, str]) -> Iterator[Point]:
    """Yield the past of a page: each day of the last two weeks was like now. `target` are Prometheus's own labels."""
    now = time.time()
    for family in text_string_to_metric_families(page):
        for shown in family.samples:
            if shown.name in COMPARED:
                for age in AGES:
                    yield shown.name, {**shown.labels, **target}, shown.value, now - age


def openmetrics_text(points: Iterable[Point]) -> str:
    """Write points as promtool reads them."""
    families: dict[str, list[str]] = {}
    for name, labels, value, at in points:
        families.setdefault(name, []).append(sample(name, labels, value, at))
    return "".join(line for name, rows in families.items() for line in (f"# TYPE {name} gauge\n", *rows)) + END


END = "# EOF\n"


def sample(name: str, labels: Mapping[str, str], value: float | str, at: float) -> str:
    """Write the line of one sample, at a Unix time."""
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value} {at:.3f}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
