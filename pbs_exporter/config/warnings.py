"""Warnings at start, about settings with which the program can run."""

import re
from collections.abc import Iterable, Mapping, Sequence

from pbs_exporter.config.layers import Layer
from pbs_exporter.config.model import TargetSettings
from pbs_exporter.config.suggestions import similar_variable
from pbs_exporter.config.table import FILE_VARIABLE, PREFIX, SHORT_PREFIX, Setting
from pbs_exporter.config.values import boolean, visible

_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")
"""Variables that Kubernetes sets in every container for a Service named `pbs-exporter`."""


def about_environment(environ: Mapping[str, str], table: Sequence[Setting]) -> list[str]:
    """Return a line for each variable that seems to be meant for this program and has no effect."""
    return [*_misspelled(environ, table), *_foreign(environ)]


def about_target(target: TargetSettings, layer: Layer) -> list[str]:
    """Return a line for each setting of a PBS that puts its token at risk or has no effect."""
    pbs = layer["pbs"]
    lines = []
    pinned = [pbs[key].name for key in ("ca_file", "fingerprint") if key in pbs]
    if target.endpoint.startswith("http://"):
        effect = f", and {pinned[0]} has no effect" if pinned else ""
        lines.append(
            f"{pbs['endpoint'].name}: with http:// the token is sent unencrypted{effect}; "
            "use https:// unless the connection stays on this machine"
        )
    elif not target.verify_tls:
        lines.append(
            "PBS's certificate is not verified, so an attacker between the exporter and PBS can steal the token; "
            "set [pbs] fingerprint (PBS's dashboard shows it), ca_file, or verify_tls = true"
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
