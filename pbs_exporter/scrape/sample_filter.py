"""Which of a collector's samples the filters keep."""

from collections.abc import Iterable, Iterator

from pbs_exporter.config import Filters, keeps
from pbs_exporter.exposition.metric import Metric, Sample, Series
from pbs_exporter.exposition.row_family import Labels

_GROUP = ("backup_type", "backup_id")


def filtered(samples: Iterable[Sample | Series], filters: Filters) -> Iterable[Sample | Series]:
    """Leave out samples with a label `datastore`, or labels of a backup group, that the filters don't keep."""
    return _kept(samples, filters) if filters.datastores or filters.groups else samples


def _kept(samples: Iterable[Sample | Series], filters: Filters) -> Iterator[Sample | Series]:
    for sample in samples:
        if isinstance(sample, Series):
            metric, rows, duplicates = sample
            every = zip(rows, rows.values(), strict=True)
            kept = {labels: value for labels, value in every if _keeps(filters, metric, labels)}
            yield Series(metric, kept, duplicates)
        elif _keeps(filters, sample.metric, sample.labels):
            yield sample


def _keeps(filters: Filters, metric: Metric, labels: Labels) -> bool:
    names = metric.labels
    if "datastore" in names and not keeps(filters.datastores, labels[names.index("datastore")]):
        return False
    if not set(_GROUP) <= set(names):
        return True
    return keeps(filters.groups, "/".join(labels[names.index(name)] for name in _GROUP))
