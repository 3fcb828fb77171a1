"""The host of a PBS, and its exporter."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import ANY_IS_A_WARNING, BAD, BUSY, FILL, GOOD, SUCCESS, UP, WARNING, Steps
from monitoring.dashboards.source.panels import bars, graph, last, number, of_series, steady, timeline
from monitoring.dashboards.source.tables import Column, Text, table
from monitoring.dashboards.source.variables import EXPORTER, PBS, everywhere, instance

_DAY = 86400
_EXPIRES: Steps = {None: BAD, 7 * _DAY: WARNING, 30 * _DAY: GOOD}
_LATENCY = "pbs_exporter_api_request_duration_seconds"


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-host-exporter",
        "The host of one PBS: CPU, memory, input and output, disks; and the exporter's scrapes and requests.",
        [*everywhere(), instance(several=False)],
    )
    _numbers(board)
    board.row("Host")
    _host(board)
    board.row("Services and disks")
    board.line(8, (6, _services()), (9, _disks()), (9, _pools()))
    board.row("Exporter")
    _scrapes(board)
    _requests(board)
    board.line(8, (8, _failed()), (8, _privileges()), (8, _process()))
    return board.build()


def _numbers(board: Board) -> None:
    panels = (
        number(
            "PBS",
            "Whether PBS answers and takes the token; down too where the exporter can't be scraped.",
            "none",
            f"pbs_up{{{PBS}}} or 0 * ({EXPORTER})",
            empty="not scraped",
            states=UP,
        ),
        number(
            "Version",
            "PBS's version.",
            "none",
            f'label_join(pbs_version{{{PBS}}}, "full", ".", "version", "release")',
            empty="unknown",
            legend="{{full}}",
            named=True,
        ),
        number("Uptime", "How long the host has been up.", "s", f"pbs_host_uptime_seconds{{{PBS}}}", empty="unknown"),
        number(
            "Subscription",
            "State of the subscription; none is no fault.",
            "none",
            f"pbs_subscription_status{{{PBS}}} == 1",
            empty="unknown",
            legend="{{status}}",
            named=True,
        ),
        number(
            "Updates",
            "Packages that can be upgraded, as of PBS's own last look for updates.",
            "none",
            f"pbs_updates_pending{{{PBS}}}",
            empty="unknown",
            steps=ANY_IS_A_WARNING,
        ),
        number(
            "Certificate ends in",
            "Until PBS's certificate expires. Empty over plain http.",
            "s",
            f"pbs_certificate_not_after_timestamp_seconds{{{PBS}}} - time()",
            empty="unknown",
            steps=_EXPIRES,
        ),
        number(
            "Token ends in",
            "Until the exporter's token or its user expires, whichever is first. Empty where neither does.",
            "s",
            f"pbs_token_expire_timestamp_seconds{{{PBS}}} - time()",
            empty="never, or unknown",
            steps=_EXPIRES,
        ),
        number(
            "Scrape takes",
            "How long the exporter's last whole scrape took.",
            "s",
            f"pbs_exporter_scrape_duration_seconds{{{PBS}}}",
            empty="not scraped",
        ),
    )
    board.line(4, *((3, panel) for panel in panels))


def _host(board: Board) -> None:
    def rate(metric: str) -> str:
        return f"rate({metric}{{{PBS}}}[$__rate_interval])"

    board.line(
        8,
        (
            8,
            graph(
                "CPU",
                "Use of all CPUs together, and the share of the time that they wait for input and output. "
                "Garbage collection and verification load both for hours.",
                "percentunit",
                [(f"pbs_host_cpu_usage{{{PBS}}}", "use"), (f"pbs_host_io_wait{{{PBS}}}", "I/O wait")],
                empty="unknown",
                most=1,
                steps=BUSY,
            ),
        ),
        (
            8,
            graph(
                "Load",
                "Processes that run or wait, on average, beside the number of CPUs.",
                "none",
                [
                    (f"pbs_host_load1{{{PBS}}}", "1 minute"),
                    (f"pbs_host_load5{{{PBS}}}", "5 minutes"),
                    (f"pbs_host_load15{{{PBS}}}", "15 minutes"),
                    (f"pbs_host_cpus{{{PBS}}}", "CPUs"),
                ],
                empty="unknown",
            ),
        ),
        (
            8,
            graph(
                "Memory",
                "Memory and swap in use, and how much there is. What ZFS's cache takes counts as used.",
                "bytes",
                [
                    (f"pbs_host_memory_used_bytes{{{PBS}}}", "memory used"),
                    (f"pbs_host_memory_total_bytes{{{PBS}}}", "memory"),
                    (f"pbs_host_swap_used_bytes{{{PBS}}}", "swap used"),
                    (f"pbs_host_swap_total_bytes{{{PBS}}}", "swap"),
                ],
                empty="unknown",
            ),
        ),
    )
    board.line(
        8,
        (
            8,
            graph(
                "Root file system",
                "How full the root file system is.",
                "percentunit",
                [(f"pbs_host_rootfs_used_bytes{{{PBS}}} / pbs_host_rootfs_total_bytes{{{PBS}}}", "used")],
                empty="unknown",
                most=1,
                steps=FILL,
            ),
        ),
        (
            8,
            graph(
                "Network",
                "Bytes over all physical network interfaces.",
                "Bps",
                [
                    (rate("pbs_host_network_receive_bytes_total"), "received"),
                    (rate("pbs_host_network_transmit_bytes_total"), "sent"),
                ],
                empty="not before PBS 3.3",
            ),
        ),
        (
            8,
            graph(
                "Disk of the root file system",
                "Bytes read from and written to the root file system's device. "
                "Those of datastores are on their dashboard.",
                "Bps",
                [
                    (rate("pbs_host_disk_read_bytes_total"), "read"),
                    (rate("pbs_host_disk_written_bytes_total"), "written"),
                ],
                empty="not before PBS 3.3",
            ),
        ),
    )


def _services() -> object:
    return table(
        "Services",
        "PBS's services; one that isn't installed or is disabled has no row.",
        {"service": "Service"},
        [
            Column(
                "State",
                f"max by (service) (pbs_service_running{{{PBS}}})",
                states={0: ("stopped", BAD), 1: ("running", GOOD)},
            ),
        ],
        empty="unknown",
        sort="State",
        descending=False,
    )


def _disks() -> object:
    return table(
        "Disks",
        "Health by the disks' own SMART values, and the remaining life of SSDs. "
        "Empty while the collector disks is switched off, as it is by default.",
        {"disk": "Disk"},
        [
            Text(
                {"model": "Model", "serial": "Serial", "status": "SMART"},
                f"max by (disk, model, serial, status) (pbs_disk_health{{{PBS}}} == 1)",
            ),
            Column("Size", f"max by (disk) (pbs_disk_size_bytes{{{PBS}}})", "bytes"),
            Column(
                "Life left",
                f"max by (disk) (pbs_disk_life_remaining_ratio{{{PBS}}})",
                "percentunit",
                steps={None: BAD, 0.1: WARNING, 0.2: GOOD},
                gauge=True,
            ),
        ],
        empty="collector disks is off",
        sort="Life left",
        descending=False,
    )


def _pools() -> object:
    used = f"pbs_zfs_pool_allocated_bytes{{{PBS}}} / pbs_zfs_pool_size_bytes{{{PBS}}}"
    return table(
        "ZFS pools",
        "State, fill and fragmentation of ZFS pools. PBS leaves out a pool that has failed. "
        "Empty while the collector disks is switched off, as it is by default, or without ZFS.",
        {"pool": "Pool"},
        [
            Text({"status": "State"}, f"max by (pool, status) (pbs_zfs_pool_health{{{PBS}}} == 1)"),
            Column("Used", f"max by (pool) ({used})", "percentunit", steps=FILL, gauge=True),
            Column("Size", f"max by (pool) (pbs_zfs_pool_size_bytes{{{PBS}}})", "bytes"),
            Column("Fragmented", f"max by (pool) (pbs_zfs_pool_fragmentation_ratio{{{PBS}}})", "percentunit"),
        ],
        empty="no ZFS, or collector disks is off",
        sort="Used",
    )


def _scrapes(board: Board) -> None:
    board.line(
        8,
        (
            12,
            graph(
                "Time of each collector",
                "How long each collector asked and computed in its last scrape. "
                "They run at once, so the scrape takes about as long as the longest.",
                "s",
                [(f"pbs_scrape_collector_duration_seconds{{{PBS}}}", "{{collector}}")],
                empty="not scraped",
            ),
        ),
        (
            12,
            timeline(
                "Success of each collector",
                "Whether each collector got all that it asked PBS for.",
                f"pbs_scrape_collector_success{{{PBS}}}",
                "{{collector}}",
                SUCCESS,
                empty="not scraped",
            ),
        ),
    )
    board.line(
        8,
        (
            8,
            graph(
                "Scrapes",
                "How long a scrape took: as the exporter measured it, and with the way to Prometheus.",
                "s",
                [
                    (f"pbs_exporter_scrape_duration_seconds{{{PBS}}}", "exporter"),
                    (f"scrape_duration_seconds{{{PBS}}}", "Prometheus"),
                ],
                empty="not scraped",
            ),
        ),
        (
            8,
            timeline(
                "Success for each datastore",
                "Whether each collector got all that it asked PBS for of each datastore.",
                f"pbs_scrape_datastore_success{{{PBS}}}",
                "{{collector}} {{datastore}}",
                SUCCESS,
                empty="no datastore was asked for",
                links=[of_series("pbs-datastore", "instance", "datastore")],
            ),
        ),
        (
            8,
            bars(
                "Age of slow collectors' data",
                "How long ago PBS answered what slow collectors show; they don't ask at each scrape.",
                "s",
                f"sort_desc(time() - pbs_collector_data_timestamp_seconds{{{PBS}}})",
                "{{collector}}",
                empty="unknown",
            ),
        ),
    )


def _requests(board: Board) -> None:
    buckets = f"rate({_LATENCY}_bucket{{{PBS}}}[$__rate_interval])"
    slow = f"histogram_quantile(0.9, sum by (endpoint, le) ({buckets}))"
    requests = f"rate(pbs_exporter_api_requests_total{{{PBS}}}[$__rate_interval])"
    board.line(
        8,
        (
            8,
            graph(
                "Latency of PBS's API",
                "How long the exporter's requests to PBS took, to the last byte of the answer: quantiles of them all.",
                "s",
                [
                    (f"histogram_quantile({quantile}, sum by (le) ({buckets}))", legend)
                    for quantile, legend in ((0.5, "half"), (0.9, "90 %"), (0.99, "99 %"))
                ],
                empty="no requests",
            ),
        ),
        (
            8,
            graph(
                "Slowest endpoints",
                "The time within which 90 % of the requests to an endpoint are answered: the ten slowest.",
                "s",
                [(steady(10, slow, slow.replace("$__rate_interval]", "$__range] @ end()")), "{{endpoint}}")],
                empty="no requests",
            ),
        ),
        (
            8,
            graph(
                "Requests by result",
                "Requests to PBS: HTTP status, or timeout, connect, tls, protocol, decode.",
                "reqps",
                [(f"sum by (code) ({requests})", "{{code}}")],
                empty="no requests",
                stacked=True,
            ),
        ),
    )


def _failed() -> object:
    failed = f'rate(pbs_exporter_api_requests_total{{code!~"2..", {PBS}}}[$__rate_interval])'
    return graph(
        "Failed requests",
        "Requests to PBS that weren't answered with a status below 300, by endpoint and result. "
        "Empty while all are answered well.",
        "reqps",
        [(f"sum by (endpoint, code) ({failed}) > 0", "{{endpoint}} {{code}}")],
        empty="no request failed",
    )


def _privileges() -> object:
    lacking = f"pbs_token_privilege{{{PBS}}}"
    return table(
        "Privileges of the token",
        "What each collector needs, and whether the token has it; what it lacks comes first.",
        {"collector": "Collector", "privilege": "Privilege", "path": "Path"},
        [
            Column(
                "Granted",
                f"max by (collector, privilege, path) ({lacking})",
                states={0: ("no", BAD), 1: ("yes", GOOD)},
            ),
        ],
        empty="collector access is off",
        sort="Granted",
        descending=False,
    )


def _process() -> object:
    memory, of_exporter = "process_resident_memory_bytes", "pbs_exporter_config_last_reload_successful"
    # An exporter's own page has the second metric even without those of its process; a target's page has neither.
    all_exporters = f"({memory} and {of_exporter}) unless on () {last(f'{of_exporter}{{{PBS}}}')}"
    return graph(
        "Memory of the exporter",
        "What the exporter's process takes. For a PBS that is one of several targets, that of all exporters. "
        "Empty where [exporter] process_metrics is false.",
        "bytes",
        [(f"{memory}{{{PBS}}} or ({all_exporters})", "{{instance}}")],
        empty="process metrics are off",
    )
