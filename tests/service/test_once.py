"""`once`: one page, to standard output or into a file."""

import os
import stat
from pathlib import Path

import pytest

from pbs_exporter.simulator import SimulatedPbs
from tests.support.metrics_page import Scraped
from tests.support.program import closed_port, run_program, settings


def inside(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_once_writes_a_page(pbs: SimulatedPbs) -> None:
    """`once` writes one page to standard output, without the metrics of its own process."""
    ended = await run_program("once", env=settings(pbs))
    assert ended.code == 0
    page = Scraped(ended.stdout)
    assert page.value("pbs_up") == 1
    assert page.series("pbs_snapshot_info")
    assert not page.series("process_start_time_seconds")


async def test_once_writes_a_page_of_a_dead_pbs() -> None:
    """If PBS is down, `once` writes a page that says so, and exits with 0."""
    variables = {
        "PBS_EXPORTER__PBS__ENDPOINT": f"https://127.0.0.1:{closed_port()}",
        "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!metrics",
        "PBS_EXPORTER__PBS__TOKEN_SECRET": "secret",
    }
    ended = await run_program("once", env=variables)
    assert ended.code == 0
    assert Scraped(ended.stdout).value("pbs_up") == 0


async def test_once_replaces_the_output_file(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """`once --output` replaces the file by a complete one that everybody can read, and leaves no other file."""
    file = tmp_path / "pbs.prom"
    file.write_text("old")
    with file.open() as reader:
        ended = await run_program("once", "--output", str(file), env=settings(pbs))
        # A reader that has the old file open still reads the old text: the file was replaced, not overwritten.
        assert reader.read() == "old"
    assert (ended.code, ended.stdout) == (0, "")
    assert Scraped(file.read_text()).value("pbs_up") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert inside(tmp_path) == ["pbs.prom"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [("missing/pbs.prom", "no such file or directory"), ("file/pbs.prom", "not a directory"), ("", "is a directory")],
    ids=["no folder", "folder is a file", "is a folder"],
)
async def test_once_with_a_folder_that_cannot_be_written(
    pbs: SimulatedPbs, tmp_path: Path, output: str, reason: str
) -> None:
    """If the file can't be written, `once` writes the reason to stderr, exits with 1, and leaves no file."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").touch()
    path = folder / output
    ended = await run_program(
        "once", "--output", str(path), env=settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error")
    )
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.lines == [f"pbs-exporter: can't write {path}: {reason}"]
    assert inside(tmp_path) == ["out", "out/file"]


async def test_once_writes_through_a_link(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """If the output file is a symbolic link, its target is written, and the link stays."""
    file, link = tmp_path / "pbs.prom", tmp_path / "link.prom"
    link.symlink_to(file)
    ended = await run_program("once", "--output", str(link), env=settings(pbs))
    assert ended.code == 0
    assert link.readlink() == file
    assert Scraped(file.read_text()).value("pbs_up") == 1


async def test_once_replaces_no_device(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """If the output isn't a regular file, such as a pipe or a device, it stays, and `once` writes a line to stderr."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = await run_program(
        "once", "--output", str(pipe), env=settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error")
    )
    assert (ended.code, ended.lines) == (1, [f"pbs-exporter: can't write {pipe}: it is not a regular file"])
    assert pipe.is_fifo()


TARGET = {"PBS_EXPORTER__TARGETS__SITE1__LABELS__SITE": "zurich"}


def target(pbs: SimulatedPbs) -> dict[str, str]:
    """Return the variables for this PBS as the target `site1`, without a PBS of `[pbs]`."""
    keys = ("ENDPOINT", "TOKEN_ID", "TOKEN_SECRET")
    return {f"PBS_EXPORTER__TARGETS__SITE1__{key}": settings(pbs)[f"PBS_EXPORTER__PBS__{key}"] for key in keys}


async def test_once_with_a_target(pbs: SimulatedPbs) -> None:
    """`once --target` writes the page of that target, and `--label` gives each of its series a label."""
    ended = await run_program(
        "once", "--target", "site1", "--label", "site=zürich", "--label", 'x=a"b=c', env=target(pbs) | TARGET
    )
    assert ended.code == 0
    page = Scraped(ended.stdout)
    assert page.value("pbs_up", site="zürich", x='a"b=c') == 1
    assert all(("site", "zürich") in key and ("x", 'a"b=c') in key for _, key in page.facts())
    assert page.series("pbs_snapshot_info")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "pbs-exporter: [pbs] has no endpoint, so name a target; the targets are site1"),
        (["--target", "site2"], "pbs-exporter: there is no target 'site2'; the targets are site1"),
        (
            ["--target", "site1", "--label", "datastore=x"],
            "pbs-exporter: --label datastore: is a label of metrics already; choose another name",
        ),
    ],
)
async def test_once_with_a_target_or_label_that_cannot_be(pbs: SimulatedPbs, arguments: list[str], line: str) -> None:
    """A target that isn't there, or a label that metrics have, is one line and exit code 1."""
    ended = await run_program("once", *arguments, env=target(pbs))
    assert (ended.code, ended.stdout, ended.lines) == (1, "", [line])
    assert pbs.requests == []


@pytest.mark.parametrize("label", ["x", "=x", "1a=x", "__a=x", "a-b=x", "a=\udcff"])
async def test_once_with_what_is_no_label(pbs: SimulatedPbs, label: str) -> None:
    """What is no label is a wrong option."""
    ended = await run_program("once", "--label", label, env=settings(pbs))
    assert ended.code == 2
    assert "is no label; write NAME=VALUE" in ended.lines[-1]


async def test_once_with_links_in_a_circle(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """If the output is a link that leads to itself, `once` writes a line to stderr, and the link stays."""
    link = tmp_path / "pbs.prom"
    link.symlink_to(link.name)
    ended = await run_program(
        "once", "--output", str(link), env=settings(pbs, PBS_EXPORTER__EXPORTER__LOG_LEVEL="error")
    )
    assert (ended.code, ended.lines) == (1, [f"pbs-exporter: can't write {link}: too many levels of symbolic links"])
    assert link.is_symlink()


async def test_once_with_the_longest_name(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """A name as long as the file system permits is written too."""
    file = tmp_path / ("x" * 255)
    ended = await run_program("once", "--output", str(file), env=settings(pbs))
    assert ended.code == 0
    assert inside(tmp_path) == [file.name]
