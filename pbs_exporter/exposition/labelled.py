"""Labels for each series of a page."""

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric as Family

from pbs_exporter.exposition.encoder import FamilySource


class Labelled:
    """Families with labels that each of their samples gets."""

    def __init__(self, families: FamilySource, labels: Mapping[str, str]) -> None:
        self._families = families
        self._labels = labels

    def collect(self) -> Iterator[Family]:
        """Yield the families."""
        for family in self._families.collect():
            if self._labels:
                labelled = Family(family.name, family.documentation, family.type, family.unit)
                labelled.samples = [
                    sample._replace(labels={**self._labels, **sample.labels}) for sample in family.samples
                ]
                yield labelled
            else:
                yield family
