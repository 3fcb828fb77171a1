"""What a page says of PBS, in forms that tests compare."""

from tests.support.metrics_page import Scraped

Facts = dict[tuple[str, frozenset[tuple[str, str]]], float]


def facts(scraped: Scraped) -> Facts:
    """Return all values about PBS on a page, without those about the scrape."""
    about_us = ("pbs_scrape_", "pbs_exporter_", "pbs_collector_")
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
