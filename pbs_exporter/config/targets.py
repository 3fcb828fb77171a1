"""The section `[targets]`: its names, its rows of the table of settings, and what a target inherits."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pbs_exporter.config.table import (
    LABELS,
    PREFIX,
    SEPARATOR,
    TARGETS,
    Setting,
    label_row,
    target_rows,
    target_section,
)
from pbs_exporter.config.values import visible

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME_HINT = "write lower-case letters, digits, dots, _ and -, at most 63 in all, a letter or a digit first"

_OWN = frozenset({"endpoint", "token_secret", "token_secret_file", "fingerprint"})
"""What a target never inherits: a secret goes to the server it was given for, and to no other."""

_TRUST = frozenset({"verify_tls", "ca_file", "fingerprint"})
"""How the certificate is verified: a target that has one of them inherits none."""

NESTED = ("collectors", "filters", LABELS)
_VARIABLE = f"{PREFIX}{TARGETS}__".upper()


def flattened(tree: Mapping[str, Any], file: str) -> tuple[dict[str, Any], list[str]]:
    """Return the content of a file by section, with sections of targets beside the others, and what is wrong."""
    sections = {key: content for key, content in tree.items() if key != TARGETS and SEPARATOR not in key}
    problems = [
        f'["{visible(key)}"] in {file}: there is no such section; write [{TARGETS}.NAME] for each PBS'
        for key in tree
        if SEPARATOR in key
    ]
    targets = tree.get(TARGETS)
    if targets is None:
        return sections, problems
    if not isinstance(targets, dict):
        return sections, [
            *problems,
            f"{TARGETS} in {file}: a value instead of a section; write [{TARGETS}.NAME] for each PBS",
        ]
    if not targets:
        return sections, [*problems, f"[{TARGETS}] in {file}: has no target; write [{TARGETS}.NAME] for each PBS"]
    for name, content in targets.items():
        if not NAME.fullmatch(name):
            problems.append(f"[{TARGETS}.{visible(name)}] in {file}: is no name for a target; {_NAME_HINT}")
        elif not isinstance(content, dict):
            problems.append(f"[{TARGETS}] {name} in {file}: a value instead of a section; write [{TARGETS}.{name}]")
        else:
            section = target_section(name)
            sections[section] = {key: value for key, value in content.items() if key not in NESTED}
            sections |= {f"{section}{SEPARATOR}{key}": content[key] for key in NESTED if key in content}
    return sections, problems


def rows(sections: Mapping[str, Any], environ: Mapping[str, str], table: Iterable[Setting]) -> dict[str, list[Setting]]:
    """Return the settings of each target that a file or a variable names."""
    rows = list(table)
    labels: dict[str, dict[str, None]] = {}
    for section, content in sections.items():
        if section.startswith(TARGETS + SEPARATOR):
            name, _, nested = section.removeprefix(TARGETS + SEPARATOR).partition(SEPARATOR)
            is_labels = nested == LABELS and isinstance(content, dict)
            labels.setdefault(name, {}).update(dict.fromkeys(content if is_labels else ()))
    for variable, value in environ.items():
        if not (variable.startswith(PREFIX) and variable.upper().startswith(_VARIABLE) and value.strip()):
            continue
        name, _, key = variable[len(_VARIABLE) :].lower().partition("__")
        if key and NAME.fullmatch(name):
            nested, _, label = key.partition("__")
            labels.setdefault(name, {}).update(dict.fromkeys([label] if nested == LABELS and label else ()))
    return {
        name: [*target_rows(name, rows), *(label_row(name, label) for label in found)] for name, found in labels.items()
    }


def inherited(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of `[pbs]` that a target with these keys of its own has in all."""
    kept = {key: value for key, value in defaults.items() if key not in _OWN}
    if _TRUST & own.keys():
        kept = {key: value for key, value in kept.items() if key not in _TRUST}
    return {**kept, **own}
