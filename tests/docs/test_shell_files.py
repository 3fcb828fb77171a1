"""The man page and the completions of shells, made of the parser of the command line."""

import re
from pathlib import Path

import pytest

from pbs_exporter.__main__ import parsers
from tests.support.commands import run
from tools import shell_files

FILES = shell_files.files(1_795_000_000)
NAMES = [parser.prog.rpartition(" ")[2] for parser in parsers()[1:]]
BASH = "share/bash-completion/completions/pbs-exporter"


def test_where_they_belong() -> None:
    """There is a man page, and a file for each shell where its package looks; zsh's folder differs by system."""
    assert list(FILES) == [
        "share/man/man1/pbs-exporter.1",
        BASH,
        "share/zsh/vendor-completions/_pbs-exporter",
        "share/fish/vendor_completions.d/pbs-exporter.fish",
    ]
    assert "share/zsh/site-functions/_pbs-exporter" in shell_files.files(0, "site-functions")


def test_they_are_the_same_each_time() -> None:
    """The day of the man page is that of the commit, so that packages are reproducible."""
    assert shell_files.files(1_795_000_000) == FILES
    assert FILES[shell_files.MAN_PAGE].startswith('.TH PBS\\-EXPORTER "1" "2026\\-11\\-18" "pbs\\-exporter ')


@pytest.mark.parametrize("path", FILES)
def test_they_have_every_command_and_option(path: str) -> None:
    """Each file has each command and each option of the command line."""
    text = FILES[path].replace("\\-", "-")
    options = {option for parser in parsers() for option in parser._option_string_actions if option.startswith("--")}
    # fish writes the name alone, and of --help the man page tells nothing.
    wanted = {re.escape(option.lstrip("-")) for option in options - {"--help"}} | set(NAMES)
    assert {word for word in wanted if not re.search(rf"\b{word}\b", text)} == set()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pbs-exporter", "ch"], {"check"}),
        (["pbs-exporter", ""], {*NAMES}),
        (["pbs-exporter", "once", "--o"], {"--output"}),
        (["pbs-exporter", "demo", "--pbs"], {"--pbs-port"}),
        (["pbs-exporter", "--config", "settings.to"], {"settings.toml"}),
        (["pbs-exporter", "serve", "--config", "settings.to"], {"settings.toml"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], offered: set[str]) -> None:
    """Bash completes commands, options and the settings file."""
    (tmp_path / "settings.toml").touch()
    (tmp_path / "completion").write_text(FILES[BASH])
    script = """
        source ./completion
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        function=$(complete -p pbs-exporter | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function pbs-exporter "${COMP_WORDS[COMP_CWORD]}" 2>/dev/null
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "--norc", "-c", script, "bash", *words]
    assert offered <= {line.strip() for line in run(*command, cwd=tmp_path).splitlines()}
