import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("pbs-exporter")
NOBODY = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://127.0.0.1:1",
    "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": "00000000-0000-0000-0000-000000000000",
}
"""Settings of a PBS that isn't there, which is all that output needs."""


@pytest.mark.parametrize("command", ["once", "check"])
def test_a_reader_that_has_left(command: str) -> None:
    """Where nobody reads the output any more, as behind `| head`, a command ends with code 1 and no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(  # noqa: S603 - our own script
            [SCRIPT, command],
            env={**os.environ, **NOBODY},
            stdout=writer,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize("command", ["once", "check"])
def test_a_full_disk(command: str) -> None:
    """Output that can't be written is one line on stderr beside the log, exit code 1, and no traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - our own script
            [SCRIPT, command],
            env={**os.environ, **NOBODY, "PBS_EXPORTER__EXPORTER__LOG_LEVEL": "error"},
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["pbs-exporter: can't continue: no space left on device"]
