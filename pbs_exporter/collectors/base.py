"""What a collector is, and what its samples may depend on."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from pbs_exporter.collectors.privileges import Enabled, Need
from pbs_exporter.collectors.request import CollectorRequest
from pbs_exporter.collectors.result import Result
from pbs_exporter.config import TargetSettings
from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.pbs.snapshots.group_notes import Notes
from pbs_exporter.pbs.snapshots.listing import Listing

__all__ = ["AnyCollector", "Collector", "CollectorRequest", "Context", "Need", "Result", "enabled", "switched_on"]

T = TypeVar("T")


class Context(msgspec.Struct, frozen=True):
    """What `samples` is given besides the answer.

    `now` is the scrape's time (Unix seconds). `listings` are those that the collector `snapshots` shows in this
    response, by datastore; the collector `tasks` takes comments from them. `certificate` (DER) is what PBS showed at
    the newest TLS handshake, if there was one. `notes` are those of backup groups, by datastore.
    """

    now: float
    settings: TargetSettings
    enabled: Enabled
    listings: Mapping[str, Listing] = {}
    certificate: bytes | None = None
    notes: Mapping[str, Notes] = {}


class Collector(ABC, Generic[T]):
    """One subject of the metrics. It has no state: what it finds, it returns.

    Its switch in the settings, its success and duration, its section in docs/metrics.md and the tests that hold for
    all collectors derive from this.
    """

    name: str
    """Its name in `[collectors]` and in the label `collector`."""

    help: str
    """What it collects, as a sentence for the documentation."""

    metrics: tuple[Metric, ...]
    """Every metric that it has samples of."""

    needs: tuple[Need, ...] = ()
    """The privileges without which PBS refuses or, worse, answers with an empty list."""

    default: bool = True
    """Whether it is enabled where the settings don't say."""

    intervals: int = 0
    """0 asks PBS in each scrape. A slow collector asks once in this many `slow_interval_seconds`."""

    @abstractmethod
    async def fetch(self, request: CollectorRequest) -> Result[T]:
        """Ask PBS. A `PbsError` costs the samples of this collector and no others."""

    @abstractmethod
    def samples(self, answer: T, context: Context) -> Iterable[Sample | Series]:
        """Make samples of the answer. Nothing is awaited."""


AnyCollector = Collector[Any]


def switched_on(collectors: Iterable[AnyCollector], switches: Mapping[str, bool]) -> list[AnyCollector]:
    """Return the collectors that the settings enable. `switches` has each by its name."""
    return [collector for collector in collectors if switches[collector.name]]


def enabled(collectors: Collection[AnyCollector]) -> Enabled:
    """Return what these collectors need if no others are enabled."""
    names = {collector.name for collector in collectors}
    return {
        collector.name: tuple(need for need in collector.needs if need.only_with in (None, *names))
        for collector in collectors
    }
