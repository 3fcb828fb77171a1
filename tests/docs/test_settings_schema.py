"""settings.schema.json, with which editors complete and check a settings file."""

import json
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import settings_table
from pbs_exporter.errors import ConfigError
from tests.support.paths import ROOT
from tests.support.settings import load
from tests.unit.config.test_loading import GOOD, RIGHT, WRONG_TEXT
from tools import settings_schema

SAMPLE = (ROOT / "settings.toml").read_text(encoding="utf-8")
TEXTS = [(variable, str(text).strip()) for variable, text, *_ in [*RIGHT, *WRONG_TEXT]]


def test_it_is_up_to_date() -> None:
    """The file is what `make docs` makes of the table of settings."""
    assert settings_schema.FILE.read_text(encoding="utf-8") == settings_schema.text(), "run `make docs`"


def test_it_is_a_schema() -> None:
    """The file is a valid JSON schema, and has a description of each setting and its default."""
    schema = json.loads(settings_schema.FILE.read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    for row in settings_table(DEFAULTS):
        shown = schema["properties"][row.section]["properties"][row.key]
        assert shown["description"] == row.help
        assert row.default == '""' or shown["default"] == tomllib.loads(f"x = {row.default}")["x"]


def test_the_sample_names_it() -> None:
    """The first line of settings.toml leads editors to the schema, and the sample with all its examples is right."""
    name = SAMPLE.splitlines()[0].removeprefix("#:schema ")
    assert (ROOT / name).resolve() == settings_schema.FILE
    lines = [line.removeprefix("# ") if " = " in line else line for line in SAMPLE.splitlines() if "://" not in line]
    tree = tomllib.loads("\n".join(line for line in lines if not line.startswith("#")))
    assert tree["exporter"]["listen_address"]
    assert [error.json_path for error in Draft7Validator(settings_schema.schema(DEFAULTS)).iter_errors(tree)] == []


@pytest.mark.parametrize(("variable", "text"), TEXTS)
def test_texts_of_variables_in_a_file(tmp_path: Path, variable: str, text: str) -> None:
    """Of each right and wrong text that the tests of the settings have, the schema says in a file what `load` says."""
    section, _, key = variable.removeprefix("PBS_EXPORTER__").lower().partition("__")
    file = tmp_path / "x.toml"
    file.write_text(f"[{section}]\n{key} = {json.dumps(text)}\n")
    with suppress(ConfigError):
        load(str(file), {name: value for name, value in GOOD.items() if name != variable}, {})
