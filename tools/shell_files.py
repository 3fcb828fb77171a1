"""Make the man page and the completions of bash, zsh and fish, of the parser of the command line.

`python -m tools.shell_files FOLDER` writes them into a folder, under the names that packages give them.
"""

import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import shtab
from argparse_manpage.manpage import Manpage

from pbs_exporter import __version__
from pbs_exporter.__main__ import parsers

MAN_PAGE = "share/man/man1/pbs-exporter.1"

_COMPLETIONS = {
    "bash": "share/bash-completion/completions/pbs-exporter",
    "zsh": "share/zsh/{zsh}/_pbs-exporter",
    "fish": "share/fish/vendor_completions.d/pbs-exporter.fish",
}


def files(seconds: float, zsh: str = "vendor-completions") -> dict[str, str]:
    """Return the text of each file by its path below `/usr`.

    `seconds` is the time in the man page (Unix seconds), `zsh` the folder in which the system's zsh looks.
    """
    # argparse wraps at the terminal's width, and colors its output where it can.
    with patch.dict(os.environ, {"COLUMNS": "80", "PYTHON_COLORS": "0"}):
        parser, *commands = parsers()
        _complete_paths([parser, *commands])
        completions = {path.format(zsh=zsh): shtab.complete(parser, shell) for shell, path in _COMPLETIONS.items()}
        return {MAN_PAGE: _man_page(parser, seconds), **completions}


def _complete_paths(all_parsers: list[ArgumentParser]) -> None:
    for parser in all_parsers:
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way, and shtab reads them as well
            if action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's way


def _man_page(parser: ArgumentParser, seconds: float) -> str:
    page = Manpage(parser, format="single-commands-section")
    page.date = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
    page.source = f"pbs-exporter {__version__}"
    page.manual = "User Commands"
    page.description = "Prometheus exporter for Proxmox Backup Server"
    return f"{str(page).rstrip()}\n"


def main(folder: Path) -> None:
    """Write the files."""
    for path, text in files(datetime.now(UTC).timestamp()).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
