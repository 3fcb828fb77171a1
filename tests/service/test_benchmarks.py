import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.program import PROGRAM

DOCUMENT = ROOT / "docs" / "performance.md"
PEERS = f"""
[self]
command = "{PROGRAM} serve"
expect = '^pbs_up 1'
[self.environment]
PBS_EXPORTER__PBS__ENDPOINT = "{{endpoint}}"
PBS_EXPORTER__PBS__TOKEN_ID = "{{user}}!{{token_name}}"
PBS_EXPORTER__PBS__TOKEN_SECRET = "{{secret}}"
PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS = "127.0.0.1:{{port}}"
PBS_EXPORTER__COLLECTORS__DISKS = "true"
[broken]
command = "{sys.executable} -c 'raise SystemExit(3)'"
"""


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the benchmarks until it exits."""
    command = [sys.executable, "-m", module, *arguments]
    # COV*: coverage would slow down the measured program.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(  # noqa: S603 - nothing from outside
        command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", timeout=240, check=False
    )


def cells(text: str) -> dict[str, list[str]]:
    """Return the cells of the first table line of each row, by the row's name."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {line[0].strip("`"): line for line in reversed(lines)}


@pytest.mark.timeout(300)
def test_every_kind_of_row_can_be_measured() -> None:
    """A quick run measures a row of each kind, and prints the numbers with their units."""
    units = {
        "far-20x3": "ms",
        "10k-limit-1": "ms",
        "100k-gzip": "ms",
        "changes-limit-1": "ms",
        "https-deflate": "ms",
        "health": "ms",
        "memory": "MiB",
        "history": "MiB",
        "idle-300": "requests",
        "at-once-2": "MiB",
        "login": "ms",
        "own-tls": "ms",
        "encoder": "µs",
        "decoder-structs": "ms",
        "decoder-limit-1": "ms",
    }
    done = run("benchmarks", "--quick", *(f"--only={name}" for name in units))
    assert done.returncode == 0, done.stderr
    shown = cells(done.stdout)
    assert {name: shown[name][1] for name in units} == units
    assert all(float(shown[name][2]) <= float(shown[name][3]) <= float(shown[name][4]) for name in units)


@pytest.mark.timeout(300)
def test_another_exporter_does_the_same_work(tmp_path: Path) -> None:
    """Any command can be measured like this exporter, with the environment variables that its table names.

    A command that doesn't serve causes exit code 1. The results of the others are still printed.
    """
    file = tmp_path / "peers.toml"
    file.write_text(PEERS, encoding="utf-8")
    done = run("benchmarks.peers", "--quick", "--only=small", f"--file={file}")
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| `")]
    assert [line[1] for line in lines] == ["pbs-exporter", "self", "broken"], done.stderr
    assert lines[0][-1] == lines[1][-1]
    assert "doesn't listen" in lines[2][-1]
    assert done.returncode == 1


def test_a_row_of_this_exporter_alone_needs_no_peer(tmp_path: Path) -> None:
    """`make bench ARGS='--only ROW'` has no second table for a row that is about this exporter alone."""
    file = tmp_path / "peers.toml"
    file.write_text(PEERS, encoding="utf-8")
    done = run("benchmarks.peers", "--quick", "--only=decoder-structs", f"--file={file}")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_document_has_a_place_for_every_table(tmp_path: Path) -> None:
    """A document without a place for each table is refused before the measurements; docs/performance.md has all."""
    script = "import sys; from pathlib import Path; from benchmarks import report; report.check(Path(sys.argv[1]))"
    command = [sys.executable, "-c", script]
    lacking = tmp_path / "performance.md"
    lacking.write_text(DOCUMENT.read_text(encoding="utf-8").replace("make bench: growth", ""), encoding="utf-8")
    for document, code in ((DOCUMENT, 0), (lacking, 1)):
        done = subprocess.run([*command, str(document)], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)  # noqa: S603 - nothing from outside
        assert done.returncode == code
        assert ("no places for: growth" in done.stderr) == bool(code)


def test_tables_replace_those_of_the_last_run(tmp_path: Path) -> None:
    """A table that is written into a document twice is there once, and the text around it is unchanged."""
    document = tmp_path / "performance.md"
    document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from benchmarks import report\n"
        "for table in ('| old |\\n', '| \\\\1 new |\\n'): report.write(Path(sys.argv[1]), {'parts': table})"
    )
    command = [sys.executable, "-c", script, str(document)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - nothing from outside
    text = document.read_text(encoding="utf-8")
    assert "| old |" not in text
    assert text.count("<!-- make bench: parts -->\n\n| \\1 new |\n\n<!-- end -->") == 1
    assert text.count("## ") == DOCUMENT.read_text(encoding="utf-8").count("## ")


def test_a_wrong_peer_is_one_line(tmp_path: Path) -> None:
    """A table of a peer without a command, or with an unknown key, is refused with the file's name."""
    file = tmp_path / "peers.toml"
    for text, cause in (("[one]\n", "command"), ("[one]\ncommand = 'x'\ncolour = 'red'\n", "colour")):
        file.write_text(text, encoding="utf-8")
        done = run("benchmarks.peers", f"--file={file}")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error: {file}: " in done.stderr
        assert cause in done.stderr


def document(**changed: str) -> str:
    """Return tables of results, with other cells where they are named `ROW.COLUMN`."""
    names = ("row", "unit", "min", "median", "max", "ratio", "peak MiB", "after MiB")
    head = f"| {' | '.join(names)} |\n| {' | '.join('---' for _ in names)} |"
    cells = {
        "loads": "700",
        "far.median": "385",
        "listing.median": "280",
        "listing.ratio": "0.385",
        "listing.peak": "69.2",
        "health.median": "20",
    } | changed
    return f"""
| `json.loads` of 100,000 snapshots | {cells["loads"]} ms |

{head}
| `far` | ms | 384 | {cells["far.median"]} | 387 |  | 59 | 59 |
| `listing` | ms | 278 | {cells["listing.median"]} | 285 | {cells["listing.ratio"]} | {cells["listing.peak"]} | 65.5 |

{head}
| `health` | ms | 19 | {cells["health.median"]} | 2,100 |  |  |  |
"""


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        pytest.param({}, [], id="the same"),
        pytest.param({"listing.ratio": "0.3"}, [], id="better"),
        pytest.param({"listing.ratio": "0.42"}, [], id="within the tolerance"),
        pytest.param({"listing.ratio": "0.45"}, ["listing ratio"], id="a ratio"),
        pytest.param({"listing.median": "500"}, [], id="a time that has a ratio"),
        pytest.param({"listing.peak": "80"}, ["listing peak MiB"], id="memory"),
        pytest.param({"health.median": "40"}, ["health median"], id="a time without a ratio"),
        pytest.param({"health.median": "40", "loads": "1,400"}, [], id="a machine half as fast"),
        pytest.param({"loads": "350"}, [], id="a machine twice as fast, times that only wait"),
        pytest.param({"far.median": "600", "loads": "350"}, ["far median"], id="times that wait longer"),
    ],
)
def test_regressions(tmp_path: Path, now: dict[str, str], worse: list[str]) -> None:
    """A row that got worse than chance explains is named, with exit code 1; machines may differ."""
    old, new = tmp_path / "old.md", tmp_path / "new.md"
    old.write_text(document(), encoding="utf-8")
    new.write_text(document(**now), encoding="utf-8")
    done = run("benchmarks.regression", f"--old={old}", str(new))
    assert done.returncode == bool(worse), done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "worse" in line]
    assert [f"{line[0].strip('`')} {line[1]}" for line in lines] == worse
