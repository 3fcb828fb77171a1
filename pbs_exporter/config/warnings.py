"""Warnings at start, about settings with which the program can run."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from yarl import URL

from pbs_exporter.config.layers import Layer
from pbs_exporter.config.model import Settings, TargetSettings
from pbs_exporter.config.suggestions import similar_variable
from pbs_exporter.config.table import (
    FILE_VARIABLE,
    LABELS,
    PREFIX,
    SHORT_PREFIX,
    Setting,
    shown_section,
    target_section,
)
from pbs_exporter.config.targets import inherited
from pbs_exporter.config.values import RawValue, boolean, visible

_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")
"""Variables that Kubernetes sets in every container for a Service named `pbs-exporter`."""


_TOKEN_ID = f"{PREFIX}PBS__TOKEN_ID, as USERNAME!TOKEN_NAME"
OTHER_EXPORTERS = {
    "PBS_API_TOKEN": f"{PREFIX}PBS__TOKEN_SECRET",
    "PBS_API_TOKEN_FILE": f"{PREFIX}PBS__TOKEN_SECRET_FILE",
    "PBS_API_TOKEN_NAME": _TOKEN_ID,
    "PBS_API_TOKEN_NAME_FILE": _TOKEN_ID,
    "PBS_ENDPOINT": f"{PREFIX}PBS__ENDPOINT",
    "PBS_INSECURE": f"{PREFIX}PBS__VERIFY_TLS, the opposite",
    "PBS_LISTEN_ADDRESS": f"{PREFIX}EXPORTER__LISTEN_ADDRESS",
    "PBS_LOGFORMAT": f"{PREFIX}EXPORTER__LOG_FORMAT",
    "PBS_LOGLEVEL": f"{PREFIX}EXPORTER__LOG_LEVEL",
    "PBS_METRICS_PATH": "always /metrics",
    "PBS_TIMEOUT": f"{PREFIX}PBS__TIMEOUT_SECONDS",
    "PBS_USERNAME": _TOKEN_ID,
    "PBS_USERNAME_FILE": _TOKEN_ID,
}
"""What the variables of natrontech's exporter, and of its successor for Node.js, are called here."""


def about_environment(environ: Mapping[str, str], table: Sequence[Setting]) -> list[str]:
    """Return a line for each variable that seems to be meant for this program and has no effect."""
    return [*_misspelled(environ, table), *_foreign(environ), *about_other_exporters(environ)]


def about_other_exporters(environ: Mapping[str, str]) -> list[str]:
    """Return a line about the variables of other exporters, if there are any: their names, never their values."""
    seen = [f"{name} (here {ours})" for name, ours in OTHER_EXPORTERS.items() if environ.get(name)]
    return [f"another exporter's variables have no effect: {', '.join(seen)}"] if seen else []


def about_targets(settings: Settings, layer: Layer) -> list[str]:
    """Return a line for each setting of a PBS that puts its token at risk or has no effect, and for one PBS twice."""
    defaults = layer.get("pbs", {})
    found = [("", settings.main, defaults)] if settings.main else []
    for name, config in settings.targets.items():
        found.append((name, config, inherited(defaults, layer.get(target_section(name), {}))))
    lines = [line for name, config, raw in found for line in _about_target(name, config.pbs, raw)]
    first: dict[object, str] = {}
    for _, config, raw in found:
        if (known := first.setdefault(_place(config.pbs.endpoint), raw["endpoint"].name)) != raw["endpoint"].name:
            lines.append(f"{raw['endpoint'].name}: is the same PBS as {known}, which is asked twice")
    return lines


def about_labels(settings: Settings, ours: Collection[str]) -> list[str]:
    """Return a line for each label of a target that metrics have too; `ours` are the labels of all metrics."""
    return [
        f"[{shown_section(target_section(name, LABELS))}] {label}: is a label of metrics too, "
        f"so Prometheus renames theirs to exported_{label}; choose another name"
        for name, config in settings.targets.items()
        for label in config.labels
        if label in ours
    ]


def _place(endpoint: str) -> tuple[str, int | None]:
    """Return what is the same for each spelling of an address."""
    url = URL(endpoint)
    return (url.host or "").rstrip("."), url.port


def _about_target(name: str, target: TargetSettings, pbs: Mapping[str, RawValue]) -> list[str]:
    lines = []
    section = shown_section(target_section(name) if name else "pbs")
    pinned = [pbs[key].name for key in ("ca_file", "fingerprint") if key in pbs]
    if target.endpoint.startswith("http://"):
        effect = f", and {pinned[0]} has no effect" if pinned else ""
        lines.append(
            f"{pbs['endpoint'].name}: with http:// the token is sent unencrypted{effect}; "
            "use https:// unless the connection stays on this machine"
        )
    elif not target.verify_tls:
        lines.append(
            f"{f'target {name}: ' if name else ''}"
            "PBS's certificate is not verified, so an attacker between the exporter and PBS can steal the token; "
            f"set [{section}] fingerprint (PBS's dashboard shows it), ca_file, or verify_tls = true"
        )
    elif pinned and "verify_tls" in pbs and not boolean(pbs["verify_tls"]):
        lines.append(f"{pbs['verify_tls'].name}: has no effect, because {pinned[0]} turns verification on")
    if target.listing_interval_seconds > target.listing_max_age_seconds:
        lines.append(
            f"{pbs['listing_interval_seconds'].name}: is longer than listing_max_age_seconds, so "
            "metrics of snapshots are missing part of the time; set listing_max_age_seconds above it"
        )
    return lines


def _misspelled(environ: Mapping[str, str], table: Iterable[Setting]) -> list[str]:
    rows = list(table)
    known = {FILE_VARIABLE, *(name for row in rows for name in row.variables)}
    lines = []
    for name in sorted(environ):
        ours = name.upper().startswith(SHORT_PREFIX) and not name.startswith(PREFIX)
        if not ours or name in known or _SERVICE_LINK.search(name):
            continue
        if meant := similar_variable(name, rows):
            lines.append(f"{visible(name)}: is not a setting and has no effect; did you mean {meant}?")
    return lines


def _foreign(environ: Mapping[str, str]) -> list[str]:
    lines = []
    if environ.get("RUST_LOG"):
        lines.append(f"RUST_LOG: has no effect; set {PREFIX}EXPORTER__LOG_LEVEL, or log_level under [exporter]")
    lines += [
        f"{visible(name)}: has no effect; only --config and {FILE_VARIABLE} name a settings file"
        for name in sorted(environ)
        if name.endswith("_FOR_DYNACONF")
    ]
    return lines
