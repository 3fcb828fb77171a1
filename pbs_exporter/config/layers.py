"""The layers of settings (file and environment), each a tree of `RawValue`, and their merge.

Only this module imports dynaconf, and it uses only the merge. dynaconf's loaders would guess types (a secret `0x1F`
becomes 31), run `@tokens`, obey `*_FOR_DYNACONF` variables and import a `dynaconf_hooks.py` in the file's directory.
So the layers are read here, strictly, and dynaconf decides where several of them have the same key.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pbs_exporter.config import files, targets
from pbs_exporter.config.suggestions import unknown_key, unknown_section, unknown_variable
from pbs_exporter.config.table import FILE_VARIABLE, PREFIX, SEPARATOR, TARGETS, Setting, shown_section
from pbs_exporter.config.values import InvalidValue, RawValue, visible

_ROOT = "SETTINGS"

Layer = dict[str, dict[str, RawValue]]
"""Section → key → value. It has only known names, and no empty values."""


class Sources(msgspec.Struct, frozen=True):
    """All settings found, with values not parsed yet."""

    layer: Layer
    targets: Mapping[str, Sequence[Setting]]
    """The settings of each target that was found, by name."""
    means_targets: bool
    """Whether there are targets, or are meant to be."""
    problems: list[str]
    """Unknown names and similar problems, one line each."""
    file_problem: str | None
    """Why the file can't be read, if so. Settings missing in `layer` may be in that file."""


def gather(file: str | None, environ: Mapping[str, str], table: Sequence[Setting]) -> Sources:
    """Return the settings of the file, the short variables and the long variables, in ascending precedence."""
    sections: dict[str, Any] = {}
    shown, file_problem = "", None
    problems: list[str] = []
    try:
        shown, sections, problems = _file_sections(file, environ)
    except InvalidValue as error:
        file_problem = str(error)
    own = targets.rows(sections, environ, table)
    rows = [*table, *(row for those in own.values() for row in those)]
    from_file, file_problems = _known(sections, shown, rows)
    folder = Path(file or environ.get(FILE_VARIABLE, "").strip()).parent
    long, long_problems = _long_layer(environ, rows)
    merged = merge(_relative_to(folder, from_file), _short_layer(environ, rows), long)
    return Sources(merged, own, bool(own or problems), [*problems, *file_problems, *long_problems], file_problem)


def merge(*layers: Layer) -> Layer:
    """Return the merged layers. Later ones have precedence."""
    keys = [(section, key) for layer in layers for section, those in layer.items() for key in those]
    if len(set(keys)) < len(keys):
        return _merged(layers)
    sections: Layer = {section: {} for layer in layers for section in layer}
    for layer in layers:
        for section, those in layer.items():
            sections[section].update(those)
    return sections


def _merged(layers: Sequence[Layer]) -> Layer:
    # It takes a tenth of the memory and of the time of a start, and most set each key in one place only.
    from dynaconf import Dynaconf  # noqa: PLC0415

    # Below one key: of the first level, dynaconf changes the case, and takes `__` and dots for levels of their own.
    merged = Dynaconf(
        # Without its loaders, dynaconf reads no files, hooks or environment variables. `envvar` names the variable
        # with the path of a settings file; no variable can have this name.
        dynaconf_skip_loaders=True,
        envvar="=",
        load_dotenv=False,
    )
    for layer in layers:
        merged.update({_ROOT: {section: dict(keys) for section, keys in layer.items()}}, merge=True)
    tree: dict[str, Any] = merged.as_dict()[_ROOT]
    return {section: dict(tree.get(section, {})) for layer in layers for section in layer}


def _file_sections(file: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any], list[str]]:
    """Return the settings file's name as it is shown, its sections, and problems.

    Raise `InvalidValue` with the whole line if it can't be read.
    """
    path, named_by = (file, "--config") if file else (environ.get(FILE_VARIABLE, "").strip(), FILE_VARIABLE)
    if not path:
        return "", {}, []
    shown = visible(path)
    try:
        tree = _parse(files.read(Path(path)))
    except InvalidValue as error:
        raise InvalidValue(f"{named_by} {shown}: {error}") from None
    return shown, *targets.flattened(tree, shown)


def _relative_to(folder: Path, layer: Layer) -> Layer:
    return {
        section: {key: msgspec.structs.replace(raw, folder=folder) for key, raw in keys.items()}
        for section, keys in layer.items()
    }


def _parse(data: bytes) -> dict[str, Any]:
    try:
        # Editors on Windows add a byte order mark.
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidValue(f"the file is not UTF-8 in line {line}; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        # Only the position is taken from the parser's message: the rest may quote a line with a secret.
        place = re.search(r"\(at ((?:line \d+, column \d+)|end of document)\)", str(error))
        where = f" at {place[1]}" if place else ""
        raise InvalidValue(
            f'the file is not TOML{where}; write KEY = VALUE under a [SECTION], text in "quotes"'
        ) from None


def _known(tree: dict[str, Any], file: str, table: Sequence[Setting]) -> tuple[Layer, list[str]]:
    layer: Layer = {}
    problems: list[str] = []
    by_section: dict[str, dict[str, Setting]] = {}
    for row in table:
        by_section.setdefault(row.section, {})[row.key] = row
    for section, content in tree.items():
        name = visible(shown_section(section))
        rows = by_section.get(section, {})
        if not rows and not section.startswith(TARGETS + SEPARATOR):
            shown = f"[{name}]" if isinstance(content, dict) else name
            problems.append(f"{shown} in {file}: {unknown_section(section, table)}")
        elif not isinstance(content, dict):
            problems.append(f"{name} in {file}: a value instead of a section; write [{name}] on a line of its own")
        else:
            layer[section], found = _known_keys(section, content, file, rows, table)
            problems += found
    return layer, problems


def _known_keys(
    section: str, content: dict[str, Any], file: str, rows: Mapping[str, Setting], table: Sequence[Setting]
) -> tuple[dict[str, RawValue], list[str]]:
    keys: dict[str, RawValue] = {}
    problems: list[str] = []
    for key, value in content.items():
        name = f"[{shown_section(section)}] {visible(key)} in {file}"
        if key not in rows:
            problems.append(f"{name}: {unknown_key(section, key, table)}")
        elif isinstance(value, dict):
            problems.append(f"{name}: a table instead of a value; write {key} = VALUE under [{shown_section(section)}]")
        elif value != "":
            keys[key] = RawValue(name, value, typed=True)
    return keys, problems


def _short_layer(environ: Mapping[str, str], table: Sequence[Setting]) -> Layer:
    layer: Layer = {}
    for row in table:
        for name in row.variables[1:]:
            if value := environ.get(name, "").strip():
                layer.setdefault(row.section, {})[row.key] = RawValue(name, value, typed=False)
    return layer


def _long_layer(environ: Mapping[str, str], table: Sequence[Setting]) -> tuple[Layer, list[str]]:
    """Return the layer and problems of `PBS_EXPORTER__SECTION__KEY`. Only the prefix is case-sensitive."""
    rows = {row.variables[0]: row for row in table if row.variables}
    layer: Layer = {}
    problems: list[str] = []
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        row = rows.get(name.upper())
        value = environ[name].strip()
        if row is None:
            problems.append(f"{visible(name)}: {unknown_variable(name, table)}")
        elif value:
            section = layer.setdefault(row.section, {})
            if row.key in section:
                problems.append(f"{section[row.key].name} and {name}: both set the same setting; remove one of them")
            section[row.key] = RawValue(name, value, typed=False)
    return layer, problems
