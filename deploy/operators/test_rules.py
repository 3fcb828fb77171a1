import re

import pytest
from machine import run
from prometheus import newest, oldest

VERSIONS = {"2.42": oldest, "3.5": newest}


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_those(version: str) -> None:
    """The rules are tried with the oldest and the newest Prometheus that they are for."""
    assert re.search(rf"version {re.escape(version)}\.", run(VERSIONS[version]("promtool"), "--version"))
