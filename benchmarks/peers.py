"""`python -m benchmarks.peers`: compares with other exporters, one after another on this machine."""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.programs import Program, ours
from benchmarks.table import SCRAPES, SECTIONS

FILE: Final = Path("benchmarks/peers.toml")

_ROWS = {row.name: row for row in SCRAPES}
_ALL_ROWS = tuple(row.name for section in SECTIONS.values() for row in section)


def main(arguments: list[str]) -> int:
    """Return 0 if all exporters completed all benchmarks, otherwise 1. The table has the reasons."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--file",
        type=Path,
        default=FILE,
        help=f"TOML with a table [NAME] for each exporter, as benchmarks/peers.example.toml; default: {FILE}",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=_ALL_ROWS,
        metavar="ROW",
        help=f"one of {', '.join(_ROWS)}; the other rows of `make bench` are about this exporter alone, and left out",
    )
    parser.add_argument("--tls", action="store_true", help="use TLS, for peers that don't support plain HTTP")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to test the benchmarks themselves")
    options = parser.parse_args(arguments)
    try:
        programs = _programs(options.file)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results: report.Peers = {}
    for name in _ROWS if options.only is None else filter(_ROWS.__contains__, options.only):
        row = _ROWS[name].quick() if options.quick else _ROWS[name]
        row = msgspec.structs.replace(row, input=msgspec.structs.replace(row.input, tls=options.tls), compared=False)
        results[name] = {}
        for peer, program in {"pbs-exporter": ours(row.settings), **programs}.items():
            print(f"{name}, {peer}: {row.input} …", file=sys.stderr, flush=True)
            try:
                results[name][peer] = row.measure(row, program)
            except (OSError, RuntimeError, ValueError) as error:
                results[name][peer] = str(error)
                print(f"{name}, {peer} failed: {error}", file=sys.stderr)
    if not results:
        return 0
    print(*(f"{what}: {value}" for what, value in machine().items()), "", report.peers_table(results), sep="\n")
    return 1 if any(isinstance(result, str) for row in results.values() for result in row.values()) else 0


def _programs(file: Path) -> dict[str, Program]:
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, Program])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
