"""The variables of the dashboards, and the label matchers that use them."""

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from monitoring.dashboards.source.panels import SOURCE

SITE = "$site_label"
"""The label that says at which site a PBS is. Its name is a variable too."""
PBS = f'{SITE}=~"$site", instance=~"$instance"'
EXPORTER = f"up{{{PBS}}} and last_over_time(pbs_up{{{PBS}}}[$__range])"
"""Whether exporters can be scraped. Another job's target can have the same instance, and has its own `up`."""
STORE = f'{PBS}, datastore=~"$datastore"'
GROUP = f'{STORE}, namespace=~"${{namespace:pipe}}", backup_type=~"$backup_type"'
JOB = f'{STORE}, job_type=~"$job_type"'

LABELS = ("datastore", "namespace", "backup_type", "backup_id")
"""The labels of a backup group, beside those of its PBS."""

ROOT = "/"
"""The name of the root namespace, which has no label."""

NOWHERE = "no site"
"""The name of the site of a PBS whose target has no such label."""

_ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


def named_root(expr: str) -> str:
    """Return the series of `expr` with a label for the root namespace too: a table joins rows by it."""
    return f'label_replace({expr}, "namespace", "{ROOT}", "namespace", "")'


def names(matchers: str) -> str:
    """Return the last known `pbs_group_info` of each group, whose label `comment` is the guest's name."""
    return f"topk {by(*LABELS)} (1, last_over_time(pbs_group_info{{{matchers}}}[2h] @ end()))"


def with_names(expr: str, matchers: str) -> str:
    """Return the groups of `expr` with the guests' names, and those without as they are."""
    known = names(matchers)
    return f"({expr}) * {on(*LABELS)} group_left (comment) {known} or ({expr}) unless {on(*LABELS)} {known}"


def source() -> DatasourceVariable:
    """Return the variable for the Prometheus that the panels query."""
    return DatasourceVariable("datasource").type("prometheus").label("Data source")


def everywhere() -> list[object]:
    """Return the variables of every dashboard: the data source, and the sites."""
    return [source(), _site_label(), _site()]


def _site_label() -> TextBoxVariable:
    """Return the variable for the name of the label that tells sites apart."""
    made = TextBoxVariable("site_label").label("Site label").default_value("site")
    return made.description("The label of your scrape targets that says where a PBS is: site, cluster, team.")


def _site() -> QueryVariable:
    """Return the variable for sites. "All" includes PBS without that label."""
    return _several("site", "Site", f"label_values(pbs_up, {SITE})")


def instance(*, several: bool = True) -> QueryVariable:
    """Return the variable for the PBS."""
    made = _query("instance", "PBS", f'label_values(pbs_up{{{SITE}=~"$site"}}, instance)')
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
    return f"by ({_each(*labels)})"


def on(*labels: str) -> str:
    """Return the `on` clause of a PBS and these labels."""
    return f"on ({_each(*labels)})"


def _each(*labels: str) -> str:
    return ", ".join((SITE, "instance", *labels))


def by_site(operator: str, expr: str) -> str:
    """Return one series for each site, with the label `site` whatever the targets' own is called."""
    of_each = f'label_replace({operator} by ({SITE}) ({expr}), "site", "$1", "{SITE}", "(.+)")'
    return f'max by (site) (label_replace({of_each}, "site", "{NOWHERE}", "site", ""))'
