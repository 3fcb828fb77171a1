"""Suggestions for misspelled names of settings."""

import difflib
from collections.abc import Iterable, Mapping

from pbs_exporter.config.table import FILE_VARIABLE, PREFIX, SEPARATOR, SHORT_PREFIX, Setting, shown_section

_CLOSE = 0.6
_VERY_CLOSE = 0.8
"""For names that may belong to another program."""


def unknown_key(section: str, key: str, table: Iterable[Setting]) -> str:
    """Return the problem with an unknown key in a file, with a suggestion."""
    rows = list(table)
    own = {row.key: str(row) for row in rows if row.section == section}
    meant = _nearest(key, own) or _nearest(key, {row.key: str(row) for row in rows if row.section != section})
    if meant is None:
        return f"there is no such setting; [{shown_section(section)}] has {', '.join(own)}"
    return f"there is no such setting; did you mean {meant}?"


def unknown_section(name: str, table: Iterable[Setting]) -> str:
    """Return the problem with an unknown section in a file, with a suggestion."""
    rows = list(table)
    sections = {row.section: f"[{shown_section(row.section)}]" for row in rows if SEPARATOR not in row.section}
    keys = {row.key: str(row) for row in rows}
    meant = _nearest(name, sections) or _nearest(name, keys)
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sections.values())}"
    return f"there is no such section; {hint}"


def unknown_variable(name: str, table: Iterable[Setting]) -> str:
    """Return the problem with an unknown variable with the prefix `PBS_EXPORTER__`, with a suggestion."""
    near = (row for row in table if _is_near(name, row))
    meant = _nearest(_bare(name), {**_variables(near), "CONFIG": FILE_VARIABLE})
    hint = f"did you mean {meant}?" if meant else f"the form is {PREFIX}SECTION__KEY, as in {PREFIX}PBS__ENDPOINT"
    return f"there is no such setting; {hint}"


def similar_variable(name: str, table: Iterable[Setting]) -> str | None:
    """Return the variable that a similar name stands for; `None` if no name is close enough."""
    rows = list(table)
    # The name of a collector alone (PBS_EXPORTER_VERSION) may belong to another program.
    without_section = {row.key.upper(): row.variables[0] for row in rows if row.section != "collectors"}
    known = {**without_section, **_variables(rows), "CONFIG": FILE_VARIABLE, "CONFIG_FILE": FILE_VARIABLE}
    return _nearest(_bare(name), known, _VERY_CLOSE)


def _is_near(name: str, row: Setting) -> bool:
    """Whether a variable may mean this setting: one of a target has the target's name. There may be many targets."""
    section, separator, rest = row.section.partition(SEPARATOR)
    target = f"{PREFIX}{section}__{rest.partition(SEPARATOR)[0]}__".upper()
    return not separator or name.upper().startswith(target)


def _variables(table: Iterable[Setting]) -> dict[str, str]:
    return {_bare(row.variables[0]): row.variables[0] for row in table if row.variables}


def _bare(variable: str) -> str:
    """Return the name without the common prefix, which would make all names similar, and with single underscores."""
    return variable.upper().removeprefix(SHORT_PREFIX).lstrip("_").replace("__", "_")


def _nearest(name: str, known: Mapping[str, str], closeness: float = _CLOSE) -> str | None:
    # Differences in case are ignored, though keys in a file are case-sensitive.
    folded = {key.casefold(): shown for key, shown in known.items()}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=closeness)
    return folded[found[0]] if found else None
