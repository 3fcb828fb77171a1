"""The variables of the dashboards, and the label matchers that use them."""

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from monitoring.dashboards.source.panels import SOURCE

PBS = 'instance=~"$instance"'
EXPORTER = f"up{{{PBS}}} and on (job, instance) last_over_time(pbs_up{{{PBS}}}[$__range])"
"""Whether exporters can be scraped. Another job's target can have the same instance, and has its own `up`."""
STORE = f'{PBS}, datastore=~"$datastore"'
GROUP = f'{STORE}, namespace=~"${{namespace:pipe}}", backup_type=~"$backup_type"'
JOB = f'{STORE}, job_type=~"$job_type"'

ROOT = "/"
"""The name of the root namespace, which has no label."""

_ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


def named_root(expr: str) -> str:
    """Return the series of `expr` with a label for the root namespace too: a table joins rows by it."""
    return f'label_replace({expr}, "namespace", "{ROOT}", "namespace", "")'


def source() -> DatasourceVariable:
    """Return the variable for the Prometheus that the panels query."""
    return DatasourceVariable("datasource").type("prometheus").label("Data source")


def instance(*, several: bool = True) -> QueryVariable:
    """Return the variable for the PBS."""
    made = _query("instance", "PBS", "label_values(pbs_up, instance)")
    made.description("A PBS is called as its exporter's scrape target is.")
    return made.multi(multi=True).include_all(include_all=True).current(_ALL) if several else made


def cluster() -> QueryVariable:
    """Return the variable for Proxmox VE: the scrape targets of prometheus-pve-exporter."""
    return _several("cluster", "Proxmox VE", "label_values(guest:pve_guest_info:max, instance)")


def datastore() -> QueryVariable:
    """Return the variable for datastores. "All" includes series that belong to none."""
    return _several("datastore", "Datastore", f"label_values(pbs_datastore_readable{{{PBS}}}, datastore)")


def namespace() -> QueryVariable:
    """Return the variable for namespaces. The root has no label, so its value matches the empty string: `/?`."""
    groups = f'label_replace(pbs_snapshot_count{{{STORE}}}, "namespace", "{ROOT}?", "namespace", "")'
    made = _several("namespace", "Namespace", f"query_result(count by (namespace) ({groups}))")
    return made.regex(r'/namespace="(?<value>(?<text>[^"?]+)\??)"/').description("/ is the root namespace.")


def backup_type() -> QueryVariable:
    """Return the variable for types of backups: vm, ct, host."""
    return _several("backup_type", "Type", f"label_values(pbs_snapshot_count{{{STORE}}}, backup_type)")


def job_type() -> QueryVariable:
    """Return the variable for types of jobs: sync, verify, prune, tape backup."""
    return _several("job_type", "Job type", f"label_values(pbs_job_enabled{{{STORE}}}, job_type)")


def _several(name: str, label: str, query: str) -> QueryVariable:
    made = _query(name, label, query)
    return made.multi(multi=True).include_all(include_all=True).all_value(".*").current(_ALL)


def _query(name: str, label: str, query: str) -> QueryVariable:
    made = QueryVariable(name).label(label).datasource(SOURCE).query({"query": query, "refId": name})
    return made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)


def by(*labels: str) -> str:
    """Return the `by` clause of a PBS and these labels."""
    return f"by ({', '.join(('instance', *labels))})"
