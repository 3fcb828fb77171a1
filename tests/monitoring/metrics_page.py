"""The exporter's page, as a test looks at it."""

import time

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.servers import Labels


class Page:
    """A parsed page."""

    def __init__(self, text: str) -> None:
        self._at = time.time()
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def rows(self, name: str, **labels: str) -> list[tuple[Labels, float]]:
        """Give the series of a metric that have these labels among others."""
        return [
            (sample.labels, sample.value)
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """Give the value of the one series that has these labels, or `None` if there is none."""
        rows = self.rows(name, **labels)
        assert len(rows) <= 1, f"{name}{labels}: {rows}"
        return rows[0][1] if rows else None

    def age(self, name: str, **labels: str) -> float:
        """Give how many seconds ago a point in time was, when the page was read."""
        value = self.value(name, **labels)
        assert value is not None, f"no {name}{labels}"
        return self._at - value
