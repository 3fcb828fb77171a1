"""The series of a metrics page, by some of their labels."""

import time

from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.servers import Labels


class LabelledSeries:
    """The series of a metrics page."""

    def __init__(self, text: str) -> None:
        self._at = time.time()
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def rows(self, name: str, **labels: str) -> list[tuple[Labels, float]]:
        """Return the series of a metric that have these labels, and perhaps more."""
        return [
            (sample.labels, sample.value)
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only series with these labels, or `None` if there is none."""
        rows = self.rows(name, **labels)
        assert len(rows) <= 1, f"{name}{labels}: {rows}"
        return rows[0][1] if rows else None

    def age(self, name: str, **labels: str) -> float:
        """Return the seconds from a time in the metrics to the reading of the page."""
        value = self.value(name, **labels)
        assert value is not None, f"no {name}{labels}"
        return self._at - value
