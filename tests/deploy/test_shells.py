"""The man page and the completions in Debian's man, zsh and fish. Bash is tested with the documentation."""

from pathlib import Path

import pytest

from tests.support.commands import attempt, environment, run
from tools import shell_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files."""
    made = tmp_path_factory.mktemp("shells")
    shell_files.main(made)
    return made


def test_man_has_no_complaint(folder: Path) -> None:
    """Man shows the page without a warning, with the commands and the examples."""
    ended = attempt(
        "man",
        "--warnings",
        "--local-file",
        folder / shell_files.MAN_PAGE,
        env=environment(MANWIDTH="80", LC_ALL="C.UTF-8"),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "pbs-exporter - Prometheus exporter for Proxmox Backup Server" in ended.stdout
    assert "pbs-exporter check" in ended.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pbs-exporter ch", "check"),
        ("pbs-exporter once --o", "--output"),
        ("pbs-exporter --config settings.to", "settings.toml"),
    ],
)
def test_fish_completes(folder: Path, tmp_path: Path, line: str, offered: str) -> None:
    """Fish completes commands, options and the settings file."""
    (tmp_path / "settings.toml").touch()
    source = folder / "share/fish/vendor_completions.d/pbs-exporter.fish"
    script = f"source {source}; complete --do-complete '{line}'"
    said = run("fish", "--no-config", "--command", script, cwd=tmp_path, env=environment(HOME=str(tmp_path)))
    assert offered in [found.partition("\t")[0] for found in said.splitlines()]


def test_zsh_loads_it(folder: Path, tmp_path: Path) -> None:
    """Zsh finds the file as the completion of the command, and loads it without an error."""
    script = f"""
        fpath=({folder}/share/zsh/vendor-completions $fpath)
        autoload -Uz compinit && compinit -u -d {tmp_path}/dump
        print $_comps[pbs-exporter]
        autoload +X _pbs-exporter && functions _pbs-exporter | grep -c shtab
    """
    ended = attempt("zsh", "-f", "-c", script, env=environment(HOME=str(tmp_path)))
    assert ended.stderr == ""
    name, count = ended.stdout.split()
    assert (name, int(count) > 0) == ("_pbs-exporter", True)
