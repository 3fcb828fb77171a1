"""`python -m benchmarks`: runs the benchmarks, prints the tables, and writes them into a document."""

import argparse
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.programs import ours
from benchmarks.table import SECTIONS


def main(arguments: list[str]) -> int:
    """Return 0 if all benchmarks ran, whether or not thresholds are exceeded."""
    rows = {row.name: row for section in SECTIONS.values() for row in section}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=rows, metavar="ROW", help=f"one of {', '.join(rows)}; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to test the benchmarks themselves")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to their places in this document")
    options = parser.parse_args(arguments)
    if options.write:
        if options.only:
            parser.error("--write needs all rows")
        report.check(options.write)
    results = {}
    failures = []
    for name in options.only or rows:
        row = rows[name].quick() if options.quick else rows[name]
        print(f"{name}: {row.input} …", file=sys.stderr, flush=True)
        try:
            results[name] = row.measure(row, ours(row.settings))
        except (OSError, RuntimeError, ValueError) as error:
            failures.append(f"{name} failed: {error}")
            print(failures[-1], file=sys.stderr)
    tables = report.tables(results)
    print("\n".join(tables.values()))
    if options.write and not failures:
        report.write(options.write, tables)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
