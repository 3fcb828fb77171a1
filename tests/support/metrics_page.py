"""A page of metrics, parsed."""

import re
from functools import lru_cache

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

Key = frozenset[tuple[str, str]]

_FAMILY = re.compile(r"(?=^# HELP )", re.MULTILINE)


class Scraped:
    """A page, parsed by prometheus_client's own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {}
        self._series: dict[str, dict[Key, float]] = {}
        for part in _FAMILY.split(text):
            for family, samples in _parsed(part):
                self.families[family.name] = family
                for name, key, value in samples:
                    series = self._series.setdefault(name, {})
                    assert key not in series, f"{name}{dict(key)} is on the page twice"
                    series[key] = value

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return all series of that sample name, as labels and value."""
        return [(dict(key), value) for key, value in self._series.get(name, {}).items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of exactly that series, or `None` if it isn't there."""
        return self._series.get(name, {}).get(frozenset(labels.items()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a family's values by one of its labels, which must tell all its series apart."""
        series = self.series(name)
        found = {labels[label]: value for labels, value in series}
        assert len(found) == len(series), f"{name} has several series for one {label}"
        return found

    def facts(self) -> dict[tuple[str, Key], float]:
        """Return the values of all series, by name and labels."""
        return {(name, key): value for name, series in self._series.items() for key, value in series.items()}


# The parser is slow, and most families of a page are those of the page before.
@lru_cache(maxsize=2000)
def _parsed(part: str) -> list[tuple[Metric, list[tuple[str, Key, float]]]]:
    return [
        (family, [(sample.name, frozenset(sample.labels.items()), sample.value) for sample in family.samples])
        for family in text_string_to_metric_families(part)
    ]
