"""From the file and the environment to `Settings`, or to a list of all problems."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pbs_exporter.config.credentials import SecretFile
from pbs_exporter.config.filters import Filters
from pbs_exporter.config.layers import Layer, Sources, gather
from pbs_exporter.config.model import ExporterSettings, ListenAddress, Settings, TargetConfig, TargetSettings
from pbs_exporter.config.table import LABELS, SETTINGS, Setting, settings_table, target_section
from pbs_exporter.config.targets import inherited
from pbs_exporter.config.values import InvalidValue, RawValue
from pbs_exporter.config.warnings import about_environment, about_labels, about_other_exporters, about_targets
from pbs_exporter.errors import ConfigError

EXCLUSIVE = (("token_secret", "token_secret_file"), ("ca_file", "fingerprint"))
"""Pairs of keys of a PBS that exclude each other, across all layers."""


def load(
    file: str | None, environ: Mapping[str, str], collectors: Mapping[str, bool], labels: Collection[str] = ()
) -> tuple[Settings, list[str]]:
    """Return all settings, and the warnings to log at start.

    `file` is the argument of `--config`. Without it, the variable `PBS_EXPORTER_CONFIG` may name a file. `collectors`
    maps the name of each collector to its default, `labels` are those of all metrics. Raises `ConfigError` with a line
    for each problem.
    """
    table = settings_table(collectors)
    sources = gather(file, environ, table)
    layer = sources.layer
    has_main = not sources.means_targets or "endpoint" in layer.get("pbs", {})
    rows: dict[str, Sequence[Setting]] = {}
    if has_main:
        rows["pbs"] = [row for row in table if row.section == "pbs"]
    rows |= {target_section(name): own for name, own in sources.targets.items()}
    values, problems = _parse([*table, *(row for own in sources.targets.values() for row in own)], layer)
    missing = [] if sources.file_problem else [line for s, own in rows.items() for line in _missing(s, own, layer)]
    conflicts = [line for section in {"pbs": None} | rows for line in _conflicts(layer.get(section, {}))]
    hints = about_other_exporters(environ) if missing else []
    _refuse([*_source_problems(sources), *missing, *hints, *conflicts, *problems])
    settings = Settings(
        exporter=ExporterSettings(**values.get("exporter", {})),
        main=_config("", values, collectors) if has_main else None,
        targets={name: _config(name, values, collectors) for name in sources.targets},
    )
    warnings = [*about_targets(settings, layer), *about_labels(settings, labels), *about_environment(environ, table)]
    return settings, warnings


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
    return msgspec.structs.replace(defaults, **values.get("exporter", {}))


def load_own_port(file: str | None, environ: Mapping[str, str]) -> tuple[ListenAddress, bool]:
    """Return `[exporter] listen_address` and whether `web_config_file` is set, to find the exporter beside it.

    No other setting is checked. Raises `ConfigError` if the address is invalid or the file can't be read.
    """
    sources = gather(file, environ, SETTINGS)
    values, problems = _parse((row for row in SETTINGS if row.key == "listen_address"), sources.layer)
    _refuse([sources.file_problem, *problems] if sources.file_problem else problems)
    own = sources.layer.get("exporter", {})
    return ExporterSettings(**values.get("exporter", {})).listen_address, "web_config_file" in own


def _source_problems(sources: Sources) -> list[str]:
    return [sources.file_problem, *sources.problems] if sources.file_problem else sources.problems


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)


def _parse(rows: Iterable[Setting], layer: Layer) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the parsed values by section and key, and a line for each invalid value."""
    values: dict[str, dict[str, Any]] = {}
    problems = []
    for row in rows:
        raw = layer.get(row.section, {}).get(row.key)
        if raw is None:
            continue
        try:
            values.setdefault(row.section, {})[row.key] = row.parse(raw)
        except InvalidValue as error:
            problems.append(f"{raw.name}: {error}")
    return values, problems


def _missing(section: str, rows: Iterable[Setting], layer: Layer) -> list[str]:
    """Return a line for each required key that a PBS neither has in this section nor inherits."""
    pbs = inherited(layer.get("pbs", {}) if section != "pbs" else {}, layer.get(section, {}))
    return [
        f"{row.names}: is missing; write {_as_words(row.help)}"
        for row in rows
        if row.required and row.key not in pbs and not (row.key == "token_secret" and "token_secret_file" in pbs)
    ]


def _as_words(help_line: str) -> str:
    return (help_line[0].lower() + help_line[1:]).replace("`", "")


def _conflicts(pbs: Mapping[str, RawValue]) -> list[str]:
    return [
        f"{pbs[one].name} and {pbs[other].name}: only one of them may be set; remove the other"
        for one, other in EXCLUSIVE
        if one in pbs and other in pbs
    ]


def _config(name: str, values: Mapping[str, Mapping[str, Any]], collectors: Mapping[str, bool]) -> TargetConfig:
    """Return the PBS of `[pbs]`, or with a name that target, with all that it inherits."""

    def own(section: str) -> Mapping[str, Any]:
        return values.get(target_section(name, section), {}) if name else {}

    defaults = values.get("pbs", {})
    return TargetConfig(
        pbs=_target(inherited(defaults, own("pbs")) if name else defaults),
        collectors={**collectors, **values.get("collectors", {}), **own("collectors")},
        filters=Filters(**{**values.get("filters", {}), **own("filters")}),
        labels={**own(LABELS)},
    )


def _target(values: Mapping[str, Any]) -> TargetSettings:
    settled = dict(values)
    secret_file = settled.get("token_secret_file")
    if isinstance(secret_file, SecretFile):
        settled |= {"token_secret": secret_file.secret, "token_secret_file": secret_file.path}
    if "ca_file" in settled or "fingerprint" in settled:
        settled["verify_tls"] = True
    return TargetSettings(**settled)
