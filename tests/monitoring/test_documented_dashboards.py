"""docs/dashboards.md's commands that change dashboards."""

import shutil
import sys
from pathlib import Path

from tests.support.commands import run
from tests.support.paths import ROOT

PAGE = "docs/dashboards.md"
HEADING = "Change them"


def test_dashboards_are_made_as_the_page_says(tmp_path: Path) -> None:
    """The page's `make dashboards` restores the deleted files."""
    section = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## {HEADING}\n")[2]
    make, lint = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert (make, lint) == ("make dashboards", "make lint")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in ("monitoring", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    made = tmp_path / "monitoring" / "dashboards"
    files = {file.name: file.read_bytes() for file in made.glob("*.json")}
    assert len(files) > 3
    for name in files:
        (made / name).unlink()
    # Use this environment, instead of making one.
    ready = f"make MONITORING={sys.prefix} --old-file={sys.prefix}/ready"
    run("bash", "-euo", "pipefail", "-c", make.replace("make", ready, 1), cwd=tmp_path)
    assert {file.name: file.read_bytes() for file in made.glob("*.json")} == files
