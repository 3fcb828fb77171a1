"""Loads settings as the program does, and has the schema of settings files judge each file as well."""

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

from jsonschema import Draft7Validator

from pbs_exporter import config
from pbs_exporter.config import Settings
from pbs_exporter.errors import ConfigError
from tools.settings_schema import schema

UNSEEN = re.compile(
    # What JSON doesn't know: it has no nan, and 8.0 is a whole number.
    r"nan is not a usable number|8\.0 is not a whole number"
    # What the file names.
    r"|there is no such file|the file|this is not a valid file name|a directory, not a file"
    # What is between two sources, or between the section and what it has.
    r"|^PBS_EXPORTER_|and PBS_EXPORTER_"
    # What a pattern would be too long for.
    r"|has no valid host|has no valid port|doesn't resolve|has no IPv6 address|from 0 to 65535"
    r"|is in quotes|is a whole header|begins with the token's ID|is a variable that nothing has replaced|whole JSON"
    r"|has a \[ without its \]|so it matches nothing"
)
"""Problems of a file that the program sees, and that no schema can tell an editor."""


def load(
    file: str | None, environ: Mapping[str, str], collectors: Mapping[str, bool], labels: Collection[str] = ()
) -> tuple[Settings, list[str]]:
    """Load settings. The schema must find a fault in the file if the program does, and none in a right one."""
    try:
        loaded = config.load(file, environ, collectors, labels)
    except ConfigError as error:
        _judge(file, collectors, [line for line in error.problems if f" in {file}: " in line])
        raise
    _judge(file, collectors, [])
    return loaded


def _judge(file: str | None, collectors: Mapping[str, bool], problems: list[str]) -> None:
    try:
        tree = tomllib.loads(Path(file).read_text(encoding="utf-8-sig")) if file else {}
    except (OSError, ValueError, RecursionError):
        # What can't be read has nothing to judge.
        return
    faults = _faults(tree, collectors)
    if not problems:
        assert faults == []
    elif not all(UNSEEN.search(line) for line in problems):
        assert faults != [], problems


def _faults(tree: Mapping[str, object], collectors: Mapping[str, bool]) -> list[str]:
    try:
        return [error.json_path for error in Draft7Validator(schema(collectors)).iter_errors(tree)]
    except ValueError:
        # Python can't write a number of thousands of digits into the message of a fault.
        return ["$"]
