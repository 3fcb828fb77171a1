"""The JSON schema of settings.toml, with which editors complete and check it: `python -m tools.settings_schema`.

It is made of the table of all settings. `make docs` writes it, and a test keeps it up to date.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Setting, settings_table
from pbs_exporter.config.loading import EXCLUSIVE
from pbs_exporter.config.table import LABELS, TARGETS
from pbs_exporter.config.targets import NAME
from pbs_exporter.config.values import LABEL, TARGET_LABELS

FILE = Path(__file__).parents[1] / "settings.schema.json"

Schema = dict[str, Any]


def schema(collectors: Mapping[str, bool]) -> Schema:
    """Return the schema of a settings file. No key is required: the environment may have it."""
    table = settings_table(collectors)
    names = dict.fromkeys([*(row.section for row in table), "collectors"])
    sections = {name: _section(row for row in table if row.section == name) for name in names}
    sections["pbs"] |= _exclusive()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of pbs-exporter",
        **_object({**sections, TARGETS: _targets(sections)}),
    }


def _targets(sections: Mapping[str, Schema]) -> Schema:
    labels = {
        "description": "Labels that Prometheus gets from /sd",
        "type": "object",
        "propertyNames": {"pattern": rf"^(?!({'|'.join(TARGET_LABELS)})$){LABEL.pattern}$"},
        "additionalProperties": {"type": "string"},
    }
    of_pbs = {key: {"$ref": f"#/properties/pbs/properties/{key}"} for key in sections["pbs"]["properties"]}
    nested = {name: {"$ref": f"#/properties/{name}"} for name in ("collectors", "filters")}
    target = _object({**of_pbs, **nested, LABELS: labels}) | _exclusive()
    return {
        "type": "object",
        "minProperties": 1,
        # In Python, $ is also before a line break at the end.
        "propertyNames": {"pattern": rf"^{NAME.pattern}$(?!\n)"},
        "additionalProperties": target,
    }


def _section(rows: Iterable[Setting]) -> Schema:
    return _object({row.key: _value(row) for row in rows})


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _value(row: Setting) -> Schema:
    default = tomllib.loads(f"default = {row.default}")
    # An empty text is the same as not set.
    return {
        "description": row.help,
        **({} if default["default"] == "" else default),
        "anyOf": [dict(row.parse.schema), {"const": ""}],
    }


def _exclusive() -> Schema:
    """Return that of each pair of keys that exclude each other only one has a value."""
    has_value = {"not": {"const": ""}}
    return {
        "not": {"anyOf": [{"required": [*pair], "properties": dict.fromkeys(pair, has_value)} for pair in EXCLUSIVE]}
    }


def text() -> str:
    """Return the schema as the file has it."""
    return json.dumps(schema(DEFAULTS), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
