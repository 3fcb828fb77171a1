"""From the file and the environment to `Settings`, or to a list of all problems."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pbs_exporter.config.credentials import SecretFile
from pbs_exporter.config.filters import Filters
from pbs_exporter.config.layers import Layer, Sources, gather
from pbs_exporter.config.model import ExporterSettings, ListenAddress, Settings, TargetSettings
from pbs_exporter.config.table import SETTINGS, Setting, settings_table
from pbs_exporter.config.values import InvalidValue
from pbs_exporter.config.warnings import about_environment, about_target
from pbs_exporter.errors import ConfigError

_EXCLUSIVE = (("token_secret", "token_secret_file"), ("ca_file", "fingerprint"))
"""Pairs of keys in [pbs] that exclude each other, across all layers."""


def load(file: str | None, environ: Mapping[str, str], collectors: Mapping[str, bool]) -> tuple[Settings, list[str]]:
    """Return all settings, and the warnings to log at start.

    `file` is the argument of `--config`. Without it, the variable `PBS_EXPORTER_CONFIG` may name a file. `collectors`
    maps the name of each collector to its default. Raises `ConfigError` with a line for each problem.
    """
    table = settings_table(collectors)
    sources = gather(file, environ, table)
    values, problems = _parse(table, sources.layer)
    missing = [] if sources.file_problem else _missing(table, sources.layer)
    _refuse([*_source_problems(sources), *missing, *_conflicts(sources.layer), *problems])
    settings = Settings(
        pbs=_target(values["pbs"]),
        exporter=ExporterSettings(**values["exporter"]),
        collectors={**collectors, **values["collectors"]},
        filters=Filters(**values["filters"]),
    )
    return settings, [*about_target(settings.pbs, sources.layer), *about_environment(environ, table)]


def load_exporter(
    file: str | None,
    environ: Mapping[str, str],
    collectors: Mapping[str, bool],
    defaults: ExporterSettings = ExporterSettings(),  # noqa: B008 - frozen
) -> ExporterSettings:
    """Return the section `[exporter]`, for a run with a simulated PBS.

    The values in `[pbs]` may be missing or invalid; unknown names are still an error. `defaults` are the values of
    keys that aren't set. Other arguments and `ConfigError` as in `load`.
    """
    table = settings_table(collectors)
    sources = gather(file, environ, table)
    values, problems = _parse((row for row in table if row.section == "exporter"), sources.layer)
    _refuse([*_source_problems(sources), *problems])
    return msgspec.structs.replace(defaults, **values["exporter"])


def load_own_port(file: str | None, environ: Mapping[str, str]) -> tuple[ListenAddress, bool]:
    """Return `[exporter] listen_address` and whether `web_config_file` is set, to find the exporter beside it.

    No other setting is checked. Raises `ConfigError` if the address is invalid or the file can't be read.
    """
    sources = gather(file, environ, SETTINGS)
    values, problems = _parse((row for row in SETTINGS if row.key == "listen_address"), sources.layer)
    _refuse([sources.file_problem, *problems] if sources.file_problem else problems)
    own = sources.layer.get("exporter", {})
    return ExporterSettings(**values["exporter"]).listen_address, "web_config_file" in own


def _source_problems(sources: Sources) -> list[str]:
    return [sources.file_problem, *sources.problems] if sources.file_problem else sources.problems


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)


def _parse(rows: Iterable[Setting], layer: Layer) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the parsed values by section and key, and a line for each invalid value."""
    values: dict[str, dict[str, Any]] = {"pbs": {}, "exporter": {}, "collectors": {}, "filters": {}}
    problems = []
    for row in rows:
        raw = layer.get(row.section, {}).get(row.key)
        if raw is None:
            continue
        try:
            values[row.section][row.key] = row.parse(raw)
        except InvalidValue as error:
            problems.append(f"{raw.name}: {error}")
    return values, problems


def _missing(rows: Iterable[Setting], layer: Layer) -> list[str]:
    pbs = layer.get("pbs", {})
    return [
        f"{row.variables[0]} ({row} in a file): is missing; write {_as_words(row.help)}"
        for row in rows
        if row.required and row.key not in pbs and not (row.key == "token_secret" and "token_secret_file" in pbs)
    ]


def _as_words(help_line: str) -> str:
    return (help_line[0].lower() + help_line[1:]).replace("`", "")


def _conflicts(layer: Layer) -> list[str]:
    pbs = layer.get("pbs", {})
    return [
        f"{pbs[one].name} and {pbs[other].name}: only one of them may be set; remove the other"
        for one, other in _EXCLUSIVE
        if one in pbs and other in pbs
    ]


def _target(values: dict[str, Any]) -> TargetSettings:
    settled = dict(values)
    secret_file = settled.get("token_secret_file")
    if isinstance(secret_file, SecretFile):
        settled |= {"token_secret": secret_file.secret, "token_secret_file": secret_file.path}
    if "ca_file" in settled or "fingerprint" in settled:
        settled["verify_tls"] = True
    return TargetSettings(**settled)
