"""Print the section of CHANGELOG.md for a release: `python -m tools.release_notes VERSION`.

The version must be the program's. With the repository's address in the variable `SOURCE`, links lead to the files of
the release's tag: a page of releases has none beside it.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def notes(changelog: str, version: str) -> str:
    """Return the text below a version's heading. Raise `ValueError` if there is none."""
    found = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## |^\[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md says nothing of {version}")
    return found[1].strip()


def main(version: str) -> None:
    """Print the notes, or exit with an error message."""
    source = (ROOT / "pbs_exporter" / "__init__.py").read_text(encoding="utf-8")
    if f'__version__ = "{version}"' not in source:
        sys.exit(f"release_notes: the program's version isn't {version}")
    try:
        text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    except ValueError as error:
        sys.exit(f"release_notes: {error}")
    if address := os.environ.get("SOURCE"):
        text = re.sub(r"(?<=\]\()(?=\w[^):]*\))", f"{address}/blob/v{version}/", text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
