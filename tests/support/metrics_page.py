"""A parsed page of metrics, and its values about PBS."""

import re
from functools import lru_cache

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Key = frozenset[tuple[str, str]]

_FAMILY = re.compile(r"(?=^# HELP )", re.MULTILINE)
_HEAD = re.compile(r"(?:#[^\n]*\n)*")


class Scraped:
    """A page, parsed by prometheus_client's own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {}
        self._series: dict[str, dict[Key, float]] = {}
        for part in _FAMILY.split(text):
            head = re.match(_HEAD, part)[0]  # type: ignore[index] # it matches always, if only nothing
            for line in part[len(head) :].split("\n"):
                self._add(*_parsed(head, line))

    def _add(self, family: Metric | None, sample: Sample | None, key: Key) -> None:
        if family is None:
            return
        known = self.families.get(family.name)
        if known is None:
            known = self.families[family.name] = Metric(family.name, family.documentation, family.type)
        if sample is not None:
            series = self._series.setdefault(sample.name, {})
            assert key not in series, f"{sample.name}{sample.labels} is on the page twice"
            series[key] = sample.value
            known.samples.append(sample)

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return all series of that sample name, as labels and value."""
        return [(dict(key), value) for key, value in self._series.get(name, {}).items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of exactly that series, or `None` if it isn't there."""
        return self._series.get(name, {}).get(frozenset(labels.items()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a family's values by one of its labels, which must be different in all its series."""
        series = self.series(name)
        found = {labels[label]: value for labels, value in series}
        assert len(found) == len(series), f"{name} has several series for one {label}"
        return found

    def facts(self) -> dict[tuple[str, Key], float]:
        """Return the values of all series, by name and labels."""
        return {(name, key): value for name, series in self._series.items() for key, value in series.items()}


# The parser is slow, and most lines of a page are the same as on the previous one.
@lru_cache(maxsize=100_000)
def _parsed(head: str, line: str) -> tuple[Metric | None, Sample | None, Key]:
    """Return the family of a line below this head, its sample, and the sample's labels."""
    families = list(text_string_to_metric_families(f"{head}{line}\n"))
    if not families:
        return None, None, frozenset()
    family = families[-1]
    if not family.samples:
        return family, None, frozenset()
    (sample,) = family.samples
    return family, sample, frozenset(sample.labels.items())


Facts = dict[tuple[str, frozenset[tuple[str, str]]], float]


def facts(scraped: Scraped) -> Facts:
    """Return all values about PBS on a page, without those about the scrape and its time."""
    about_us = ("pbs_scrape_", "pbs_exporter_", "pbs_collector_", "pbs_host_time_seconds")
    return {key: value for key, value in scraped.facts().items() if not key[0].startswith(about_us)}


def without(known: Facts, *names: str) -> Facts:
    """Return the facts without the named metrics."""
    return {key: value for key, value in known.items() if key[0] not in names}


LISTING_TIMES = ("pbs_snapshot_listing_timestamp_seconds", "pbs_snapshot_full_listing_timestamp_seconds")


def failed(scraped: Scraped) -> set[str]:
    """Return the collectors whose success is 0."""
    return {name for name, value in scraped.by("pbs_scrape_collector_success", "collector").items() if value == 0}


def failed_datastores(scraped: Scraped) -> set[tuple[str, str]]:
    """Return the pairs of collector and datastore whose success is 0."""
    series = scraped.series("pbs_scrape_datastore_success")
    return {(labels["collector"], labels["datastore"]) for labels, value in series if value == 0}


def listed_at(scraped: Scraped) -> dict[str, float]:
    """Return the time of each datastore's listing."""
    return scraped.by("pbs_snapshot_listing_timestamp_seconds", "datastore")
