"""`pbs-exporter init` in a terminal, in front of a simulated PBS."""

import stat
import tomllib
from pathlib import Path

import pytest

from pbs_exporter.simulator import SimulatedPbs
from tests.support.documented import blocks_of
from tests.support.paths import ROOT
from tests.support.program import closed_port, run_program
from tests.support.running import simulated
from tests.support.terminal import Terminal, in_a_terminal

ADDRESS = "Address of PBS, such as pbs.example.com:"
SAME = "Is it the same? [y/N]"
TOKEN_ID = "Token ID:"
SECRET = "Secret of the token (it isn't shown):"
REPLACE = "Replace all that it contains? [y/N]"


def mode(file: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(file.stat().st_mode)


def files(folder: Path) -> list[Path]:
    """Return all that is in a folder."""
    return list(folder.iterdir())


async def answer_all(terminal: Terminal, pbs: SimulatedPbs) -> None:
    """Type the right answers."""
    await terminal.answer(ADDRESS, pbs.endpoint)
    await terminal.answer(SAME, "y")
    await terminal.answer(TOKEN_ID, pbs.token_id)
    await terminal.answer(SECRET, pbs.secret)


async def test_from_nothing_to_a_checked_file(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """It asks for address, fingerprint, token and secret, writes a private file, and checks it."""
    async with in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.answer(ADDRESS, pbs.endpoint.removeprefix("https://"))
        await terminal.answer(SAME, "yes")
        # Nothing was asked of PBS yet, so no secret can have been sent.
        assert pbs.requests == []
        await terminal.answer(TOKEN_ID, pbs.token_id)
        await terminal.answer(SECRET, pbs.secret)
        assert await terminal.ended() == 0
    assert f"with this fingerprint:\n\n  {pbs.fingerprint.lower()}\n" in terminal.text
    assert f"login       ok, as {pbs.token_id}\n" in terminal.text
    assert pbs.secret not in terminal.text
    file = tmp_path / "settings.toml"
    assert mode(file) == 0o600
    assert tomllib.loads(file.read_text())["pbs"] == {
        "endpoint": pbs.endpoint,
        "token_id": pbs.token_id,
        "token_secret": pbs.secret,
        "fingerprint": pbs.fingerprint.lower(),
    }
    assert files(tmp_path) == [file]


async def test_the_lines_for_pbs_are_those_of_the_readme(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """The lines for user, token and privileges are the README's; Enter takes the ID that they have there."""
    async with in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.answer(ADDRESS, pbs.endpoint)
        await terminal.answer(SAME, "y")
        await terminal.answer(TOKEN_ID, "")
        await terminal.answer(SECRET, pbs.secret)
        # That isn't the simulated PBS's token.
        assert await terminal.ended() == 1
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [block for block in blocks_of("README.md", readme) if "generate-token" in block.text]
    lines = {line.strip() for line in terminal.text.splitlines() if line.startswith("  proxmox-backup-manager")}
    assert lines == {line for line in block.text.splitlines() if line}
    assert "login       FAILED as exporter@pbs!prometheus: 401" in terminal.text


async def test_wrong_answers_are_asked_again(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """A wrong answer gets a line that says what to write and never has the answer, and the question again."""
    header = f"PBSAPIToken={pbs.token_id}:{pbs.secret}"
    async with in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.answer(ADDRESS, "")
        await terminal.answer(ADDRESS, "https://pbs:8007/api2")
        await terminal.answer(ADDRESS, b"\xff\xfe")
        await terminal.answer(ADDRESS, f"127.0.0.1:{closed_port()}")
        await terminal.answer(ADDRESS, pbs.endpoint)
        await terminal.answer(SAME, "y")
        await terminal.answer(TOKEN_ID, "exporter@pbs")
        await terminal.answer(TOKEN_ID, pbs.token_id)
        await terminal.answer(SECRET, "")
        await terminal.answer(SECRET, header)
        await terminal.answer(SECRET, pbs.secret)
        assert await terminal.ended() == 0
    assert "has a path after the address; write https://HOST:8007" in terminal.text
    assert "Connect call failed" in terminal.text
    assert "This has no ! before the token's name; write USER@REALM!NAME" in terminal.text
    assert "This is a whole header; write only the secret, which follows the last colon." in terminal.text
    assert pbs.secret not in terminal.text


async def test_another_certificate_ends_it(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """Whoever doesn't confirm the fingerprint is asked for no secret, and nothing is written or sent."""
    async with in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.answer(ADDRESS, pbs.endpoint)
        await terminal.answer(SAME, "")
        assert await terminal.ended() == 1
    said = terminal.shown.splitlines()[-1]
    assert said == "pbs-exporter: that isn't your PBS, or somebody is between; nothing was written"
    assert files(tmp_path) == []
    assert pbs.requests == []


@pytest.mark.parametrize("answer", ["", "n", "maybe"])
async def test_a_file_is_never_replaced_unasked(tmp_path: Path, answer: str) -> None:
    """A file that exists stays as it is unless its replacement is confirmed, before any other question."""
    file = tmp_path / "mine.toml"
    file.write_text("# mine\n")
    async with in_a_terminal("init", "--config", "mine.toml", cwd=tmp_path) as terminal:
        await terminal.answer(REPLACE, answer)
        assert await terminal.ended() == 1
    assert terminal.shown.splitlines()[-1] == "pbs-exporter: nothing was written"
    assert file.read_text() == "# mine\n"


async def test_a_replaced_file_keeps_who_may_read_it(pbs: SimulatedPbs, tmp_path: Path) -> None:
    """A replaced file stays readable for the group that could read it, and no longer for everybody."""
    file = tmp_path / "settings.toml"
    file.write_text("# mine\n")
    file.chmod(0o644)
    async with in_a_terminal("init", cwd=tmp_path, env={"PBS_EXPORTER_CONFIG": str(file)}) as terminal:
        await terminal.answer(REPLACE, "y")
        await answer_all(terminal, pbs)
        assert await terminal.ended() == 0
    assert mode(file) == 0o640
    assert pbs.secret in file.read_text()


async def test_without_tls_there_is_no_fingerprint(tmp_path: Path) -> None:
    """With http, it says that the token is sent unencrypted, and the file has no fingerprint."""
    async with simulated(tls=False) as pbs, in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.answer(ADDRESS, pbs.endpoint)
        await terminal.answer(TOKEN_ID, pbs.token_id)
        assert "the token is sent unencrypted" in terminal.text
        await terminal.answer(SECRET, pbs.secret)
        assert await terminal.ended() == 0
    assert "fingerprint" not in (tmp_path / "settings.toml").read_text()


@pytest.mark.parametrize(("key", "code"), [(b"\x04", 1), (b"\x03", 130)], ids=["Ctrl-D", "Ctrl-C"])
async def test_it_can_be_left(tmp_path: Path, key: bytes, code: int) -> None:
    """Ctrl-D and Ctrl-C end it without a traceback, and nothing is written."""
    async with in_a_terminal("init", cwd=tmp_path) as terminal:
        await terminal.press(key)
        assert await terminal.ended() == code
    assert "Traceback" not in terminal.text
    assert files(tmp_path) == []


async def test_without_a_terminal() -> None:
    """Without a terminal it says so in one line, and asks nothing."""
    ended = await run_program("init")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.lines == [
        (
            "pbs-exporter: init asks questions, so it needs a terminal; "
            "write the settings file yourself, as docs/settings.md says"
        )
    ]


async def test_a_folder_that_isnt_there(tmp_path: Path) -> None:
    """A file that can't be written is told before the questions."""
    async with in_a_terminal("init", "--config", "no/such/settings.toml", cwd=tmp_path) as terminal:
        assert await terminal.ended() == 1
    assert "its folder isn't there, or you aren't permitted to write there" in terminal.text


def test_its_page_is_up_to_date() -> None:
    """docs/cli.md has the questions as they are asked."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(question in page for question in (ADDRESS, SAME, TOKEN_ID, SECRET))
