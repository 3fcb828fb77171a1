"""The table of all settings: section, key, parser and help. Variables, documentation and tests derive from it."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from pbs_exporter.config import credentials, network, values
from pbs_exporter.config.filters import Filters, patterns
from pbs_exporter.config.model import ExporterSettings, ListenAddress, TargetSettings

PREFIX = "PBS_EXPORTER__"
SHORT_PREFIX = "PBS_EXPORTER_"
FILE_VARIABLE = "PBS_EXPORTER_CONFIG"

SEPARATOR = "/"
"""Between the parts of a section's name. The name of a target can't have it."""

TARGETS = "targets"
LABELS = "labels"
_OF_A_TARGET = {"pbs": "", "collectors": "/collectors", "filters": "/filters", LABELS: "/labels"}
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_IN_VARIABLES = re.compile(r"(?:(?!__)[a-z0-9_/])*")

_SHORT = frozenset(
    {
        ("pbs", "endpoint"),
        ("pbs", "token_id"),
        ("pbs", "token_secret"),
        ("pbs", "verify_tls"),
        ("pbs", "timeout_seconds"),
        ("pbs", "snapshot_history_limit"),
        ("exporter", "listen_address"),
        ("exporter", "log_level"),
    }
)
"""Settings with a second variable, with single underscores. No others: Kubernetes sets variables of that form."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    section: str
    key: str
    help: str
    """One line, without the default."""
    default: str
    """As in a settings file: `5`, `"info"`, `true`; `""` if there is none."""
    required: bool = False
    parse: values.Parser[object]

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the environment variables, the one with precedence first.

        Empty for a target whose name no variable can have.
        """
        name = f"{self.section.replace(SEPARATOR, '__')}__{self.key}".upper()
        if (self.section, self.key) in _SHORT:
            return PREFIX + name, SHORT_PREFIX + name.replace("__", "_")
        return (PREFIX + name,) if _IN_VARIABLES.fullmatch(self.section) else ()

    def __str__(self) -> str:
        return f"[{shown_section(self.section)}] {self.key}"

    @property
    def names(self) -> str:
        """The variable, and the key in a file, for an error."""
        return " ".join([*self.variables[:1], f"({self} in a file)" if self.variables else str(self)])


def shown_section(section: str) -> str:
    """Return a section's name as a file has it."""
    parts = [part if _BARE.fullmatch(part) else f'"{part}"' for part in section.split(SEPARATOR)]
    return ".".join(parts)


def _rows(
    section: str, struct: type[msgspec.Struct], rows: Iterable[tuple[str, values.Parser[object], str]]
) -> list[Setting]:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    return [
        Setting(
            section=section,
            key=key,
            help=text,
            default=_shown(fields[key].default),
            required=fields[key].required,
            parse=parse,
        )
        for key, parse, text in rows
    ]


def _shown(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case int() | float():
            return f"{default:g}"
        case tuple():
            return "[]"
        case str() | ListenAddress():
            return f'"{default}"'
        case _:
            return '""'


SETTINGS: tuple[Setting, ...] = (
    *_rows(
        "pbs",
        TargetSettings,
        (
            ("endpoint", network.endpoint, "The address of PBS, such as `https://pbs.example.com:8007`"),
            ("token_id", credentials.token_id, "The ID of the API token, `USER@REALM!NAME`"),
            (
                "token_secret",
                credentials.token_secret,
                "The secret of the API token, unless `token_secret_file` names a file that holds it",
            ),
            (
                "token_secret_file",
                credentials.token_secret_file,
                "File that contains only the secret, instead of `token_secret`; read again when PBS refuses the login",
            ),
            (
                "verify_tls",
                values.boolean,
                "Verify PBS's certificate against the system's CAs; always on if `ca_file` or `fingerprint` is set",
            ),
            (
                "ca_file",
                network.ca_file,
                "PEM file of the CA, or of PBS's own certificate, to trust instead of the system's CAs",
            ),
            (
                "fingerprint",
                network.fingerprint,
                "SHA-256 fingerprint of the only certificate to trust; can't be combined with `ca_file`",
            ),
            (
                "timeout_seconds",
                values.seconds(),
                "Timeout of one API request; snapshot listings use `listing_timeout_seconds` instead",
            ),
            (
                "snapshot_history_limit",
                values.integer(minimum=0),
                "Newest snapshots per group to export as `pbs_snapshot_info`; 0 exports all",
            ),
            (
                "max_concurrent_requests",
                values.integer(minimum=2),
                "Requests to PBS at the same time (at least 2); what costs PBS much has lower limits",
            ),
            (
                "scrape_timeout_seconds",
                values.seconds(),
                "Timeout of one scrape if Prometheus sends none, and its upper limit otherwise",
            ),
            (
                "listing_timeout_seconds",
                values.seconds(),
                "Timeout for listing the snapshots of one namespace; a listing continues after its scrape has ended",
            ),
            (
                "listing_interval_seconds",
                values.seconds(minimum=0),
                "Age up to which a snapshot listing is reused; 0 lists at every scrape",
            ),
            (
                "listing_max_age_seconds",
                values.seconds(),
                "Age up to which the last good listing is exported while newer ones fail or take long",
            ),
            (
                "listing_mode",
                values.choice("auto", "full", "changes"),
                "What a scrape lists: `full`, everything; `changes`, changed groups; `auto`, everything if PBS is fast",
            ),
            (
                "listing_refresh_seconds",
                values.seconds(minimum=1),
                "Interval of full listings in the background, if scrapes list only changes",
            ),
            (
                "listing_idle_seconds",
                values.seconds(minimum=0),
                "Age up to which a listing is reused while no task changes its datastore, if scrapes list only changes",
            ),
            (
                "slow_interval_seconds",
                values.seconds(minimum=0),
                "Interval of slow collectors (12 times that for `updates`); 0 runs them at every scrape",
            ),
            ("task_window_seconds", values.seconds(), "Window for finished tasks, in seconds"),
        ),
    ),
    *_rows(
        "exporter",
        ExporterSettings,
        (
            (
                "listen_address",
                network.listen_address,
                "Address to listen on: `HOST:PORT`, `:PORT` for all addresses (IPv4 and IPv6), or `[IPV6]:PORT`",
            ),
            (
                "log_level",
                values.choice("debug", "info", "warn", "error", also={"warning": "warn"}),
                "`debug`, `info`, `warn` or `error`; logs go to stderr",
            ),
            (
                "log_format",
                values.choice("logfmt", "json", "console"),
                "`logfmt`, `json`, or `console` for interactive use",
            ),
            ("max_requests", values.integer(minimum=1), "Scrapes at the same time; further ones get status 503"),
            (
                "max_connections",
                values.integer(minimum=1),
                "Open connections of clients; a new one closes the one that has been idle for longest",
            ),
            (
                "process_metrics",
                values.boolean,
                "Export metrics of the exporter's own process: memory, CPU time, open files",
            ),
            ("lifecycle", values.boolean, "Permit to read the settings again by a request to `/-/reload`"),
            (
                "external_url",
                network.external_url,
                "Where Prometheus reaches the exporter behind a proxy, for `/sd`; by default as the request says",
            ),
            (
                "web_config_file",
                network.web_config_file,
                "File with TLS, login, headers and rate limit of this port, in the format of Prometheus's exporters",
            ),
        ),
    ),
    *_rows(
        "filters",
        Filters,
        (
            ("datastores", patterns("main"), "Patterns of the datastores to export; `!` excludes"),
            (
                "namespaces",
                patterns("prod*", empty=True),
                'Patterns of the namespaces to list; `!` excludes; the root namespace is `""`',
            ),
            ("groups", patterns("vm/*", needs="/"), "Patterns of the groups (`TYPE/ID`) to export; `!` excludes"),
        ),
    ),
)
"""All settings except the section `[collectors]`."""


def settings_table(collectors: Mapping[str, bool]) -> tuple[Setting, ...]:
    """Return all settings, including one for each of `collectors` (name → default)."""
    switches = (
        Setting(
            section="collectors",
            key=name,
            help=f"The collector `{name}`",
            default=_shown(on),
            parse=values.boolean,
        )
        for name, on in collectors.items()
    )
    return (*SETTINGS, *switches)


def target_section(name: str, section: str = "pbs") -> str:
    """Return the section in which a target has keys of its own: those of this section, or its labels."""
    return f"{TARGETS}{SEPARATOR}{name}{_OF_A_TARGET[section]}"


def target_rows(name: str, table: Iterable[Setting]) -> list[Setting]:
    """Return the settings of a target: those of `[pbs]`, and collectors and filters of its own."""
    return [
        msgspec.structs.replace(row, section=target_section(name, row.section))
        for row in table
        if row.section in _OF_A_TARGET
    ]


def label_row(name: str, label: str) -> Setting:
    """Return the setting of a target's label."""
    section = target_section(name, LABELS)
    text = "A label that Prometheus gets from `/sd`"
    return Setting(section=section, key=label, help=text, default='""', parse=values.label(label))
