"""The token's secret: its sources, and its protection from being shown."""

import copy
import os
import pickle
import queue
import string
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pbs_exporter.config import SETTINGS, Secret, Setting, TargetSettings, reread_secret
from pbs_exporter.errors import ConfigError
from tests.support.exporter import main_of
from tests.support.settings import load

SECRET = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
ENDPOINT = "PBS_EXPORTER__PBS__ENDPOINT"
TOKEN_ID = "PBS_EXPORTER__PBS__TOKEN_ID"
TOKEN_SECRET = "PBS_EXPORTER__PBS__TOKEN_SECRET"
SECRET_FILE = "PBS_EXPORTER__PBS__TOKEN_SECRET_FILE"
BASE = {ENDPOINT: "https://pbs:8007", TOKEN_ID: "exporter@pbs!prometheus"}
FORM = (
    "contains a space, a line break or another character that no secret has; "
    "write only the secret, as PBS showed it when the token was created"
)


def target(**environ: str) -> TargetSettings:
    return main_of(load(None, BASE | environ, {})[0]).pbs


def problems(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(None, BASE | environ, {})
    return caught.value.problems


def test_a_secret_shows_itself_to_nobody() -> None:
    """No conversion to text of a secret, or of a Struct with one, contains its value."""
    settings = load(None, BASE | {TOKEN_SECRET: SECRET}, {})[0]
    secret = main_of(settings).pbs.token_secret
    shown = (repr(secret), str(secret), f"{secret}", f"{secret:>5}", f"{secret!r}", f"{settings}", f"{[settings]}")
    assert not [text for text in shown if SECRET in text]
    assert f"{secret:>5}" == "  ***"
    for dump in (pickle.dumps, msgspec.json.encode, vars):
        with pytest.raises(TypeError) as caught:
            dump(main_of(settings).pbs.token_secret)
        assert SECRET not in str(caught.value)
    assert secret.reveal() == SECRET


def test_secrets_compare_by_value() -> None:
    """A secret that was read again equals the earlier one, and so do copies."""
    one = Secret(SECRET)
    assert one == Secret(SECRET)
    assert hash(one) == hash(Secret(SECRET))
    assert one != Secret("other")
    assert one != SECRET
    assert copy.copy(one) is one
    assert copy.deepcopy([one])[0] is one


@pytest.mark.parametrize("value", ["0x1F", "true", "1_000", "{a=1}", "@read_file", "@jinja{{1}}", "'x'", "@del"])
def test_a_secret_is_taken_as_it_is(value: str) -> None:
    """A secret that looks like a number, a table or a dynaconf command stays that text."""
    assert target(**{TOKEN_SECRET: value}).token_secret == Secret(value)


GENERATED = '{"tokenid": "exporter@pbs!prometheus", "value": "' + SECRET + '"}'
NO_SECRETS = {
    f'"{SECRET}"': "is in quotes; write the secret without them",
    f"exporter@pbs!prometheus:{SECRET}": "begins with the token's ID; write only the secret, which follows the colon",
    "id!name:secret": "begins with the token's ID; write only the secret, which follows the colon",
    f"PBSAPIToken=exporter@pbs!prometheus:{SECRET}": (
        "is a whole header; write only the secret, which follows the last colon"
    ),
    "${PBS_TOKEN}": "is a variable that nothing has replaced; write the secret itself",
    **dict.fromkeys(
        (GENERATED, GENERATED.replace(" ", ""), f"Result: {GENERATED}", GENERATED.replace(",", ",\n")),
        'is the whole JSON that generate-token printed; write only what its "value" has in quotes',
    ),
}


@pytest.mark.parametrize("value", NO_SECRETS)
def test_what_is_no_secret(tmp_path: Path, value: str) -> None:
    """A secret with its quotes, its token ID, its header, its JSON, or as a variable's name is one line at start."""
    assert problems(**{TOKEN_SECRET: value}) == [f"{TOKEN_SECRET}: {NO_SECRETS[value]}"]
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    assert problems(**{SECRET_FILE: str(file)}) == [f"{SECRET_FILE}: the file's content {NO_SECRETS[value]}"]


@pytest.mark.parametrize(
    "value",
    [
        "your-secret-token",
        "x",
        '"',
        '"x',
        'x"',
        "a:b",
        "!a:b",
        "a!b",
        "$PBS_TOKEN",
        "${x",
        "{}",
        '{"a":1}',
        "[1]",
        "a=b",
    ],
)
def test_any_other_text_is_a_secret(value: str) -> None:
    """Only those forms are refused: any other printable text is a secret, also one that isn't a UUID."""
    assert target(**{TOKEN_SECRET: value}).token_secret == Secret(value)


@pytest.mark.parametrize("quotes", ['"', "'"])
def test_quotes_around_the_endpoint_and_the_token_id(quotes: str) -> None:
    """Quotes that an .env file passed on are named as what is wrong."""
    environ = {name: f"{quotes}{value}{quotes}" for name, value in BASE.items()}
    assert problems(**environ, **{TOKEN_SECRET: SECRET}) == [
        f"{ENDPOINT}: is in quotes; write https://HOST:8007, without them",
        f"{TOKEN_ID}: is in quotes; write USER@REALM!NAME, as in exporter@pbs!prometheus, without them",
    ]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_secret_file(tmp_path: Path, ending: str) -> None:
    """The secret is the file's content without one trailing line break."""
    file = tmp_path / "secret"
    file.write_bytes((SECRET + ending).encode())
    settings = target(**{SECRET_FILE: str(file)})
    assert settings.token_secret == Secret(SECRET)
    assert settings.token_secret_file == file


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "the file is empty; it must contain only the token's secret"),
        (b"\n", "the file is empty; it must contain only the token's secret"),
        (f"{SECRET}\n\n".encode(), f"the file's content {FORM}"),
        (f"TOKEN={SECRET} \n".encode(), f"the file's content {FORM}"),
        (f"{SECRET}\0".encode(), f"the file's content {FORM}"),
        (f"\ufeff{SECRET}".encode(), f"the file's content {FORM}"),
        (b"x" * (1 << 20) + b"x", "the file is larger than 1 MiB, so it can't be the right one"),
    ],
)
def test_wrong_secret_file(tmp_path: Path, content: bytes, line: str) -> None:
    """A file that doesn't hold exactly one secret gives one line, without its content and its path."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert problems(**{SECRET_FILE: str(file)}) == [f"{SECRET_FILE}: {line}"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied"), "the user that runs the exporter is not permitted to read the file"),
        (OSError(5, "Input/output error"), "the file can't be read (Input/output error)"),
    ],
)
def test_unreadable_secret_file(monkeypatch: pytest.MonkeyPatch, error: OSError, line: str) -> None:
    """A file that can't be read gives one line with the reason."""

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    assert problems(**{SECRET_FILE: "/run/secrets/pbs"}) == [f"{SECRET_FILE}: {line}"]


def test_a_directory_for_a_secret_file(tmp_path: Path) -> None:
    """A directory in the place of the secret file, as Docker creates for a missing one, gives one line."""
    assert problems(**{SECRET_FILE: str(tmp_path)}) == [f"{SECRET_FILE}: this is a directory, not a file"]


def test_a_secret_pasted_as_the_file(tmp_path: Path) -> None:
    """A secret that was set where its file's path belongs isn't shown."""
    assert SECRET not in problems(**{SECRET_FILE: SECRET})[0]
    assert SECRET not in problems(**{SECRET_FILE: str(tmp_path / SECRET)})[0]


def test_reread(tmp_path: Path) -> None:
    """Rereading returns the secret that the file holds now, and None without a file or a secret in it."""
    file = tmp_path / "secret"
    file.write_text("old")
    settings = target(**{SECRET_FILE: str(file)})
    file.write_text("new\n")
    assert reread_secret(settings) == Secret("new")
    file.write_text("")
    assert reread_secret(settings) is None
    file.unlink()
    assert reread_secret(settings) is None
    assert reread_secret(target(**{TOKEN_SECRET: SECRET})) is None


def test_reread_waits_for_nobody(tmp_path: Path) -> None:
    """A pipe in the place of the file isn't read again: nobody may ever write to it, and the program would stop."""
    file = tmp_path / "secret"
    file.write_text("old")
    settings = target(**{SECRET_FILE: str(file)})
    file.unlink()
    os.mkfifo(file)
    found: queue.SimpleQueue[Secret | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(reread_secret(settings)), daemon=True).start()
    assert found.get(timeout=30) is None


# The other three read names and files of the machine.
QUIET = [row for row in SETTINGS if row.key not in ("listen_address", "ca_file", "token_secret_file")]
TEXT = st.text(max_size=30) | st.text(string.printable, max_size=30)
AROUND_SECRET = st.builds(lambda before, after: before + SECRET + after, TEXT, TEXT)
HIDING = ("endpoint", "token_id", "token_secret")


@given(
    st.dictionaries(st.sampled_from([row for row in QUIET if row.key not in HIDING]), TEXT, max_size=5),
    st.fixed_dictionaries({row: AROUND_SECRET for row in QUIET if row.key in HIDING}),
)
def test_any_text_is_taken_or_refused_in_lines(others: dict[Setting, str], hiding: dict[Setting, str]) -> None:
    """For any environment, loading returns settings or clean lines, and none contains the secret."""
    environ = {row.variables[0]: text for row, text in (others | hiding).items()}
    try:
        settings, lines = load(None, environ, {})
    except ConfigError as error:
        lines = error.problems
    else:
        assert SECRET in main_of(settings).pbs.token_secret.reveal()
    assert not [line for line in lines if SECRET in line or not line.isprintable()]


@given(st.binary(max_size=60))
@example(b'[pbs]\ntoken_secret = "x\n')
def test_any_bytes_in_the_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """For any file, loading ends with settings or one clean line for each problem."""
    file = tmp_path_factory.getbasetemp() / "random.toml"
    file.write_bytes(f'[pbs]\ntoken_secret = "{SECRET}"\n'.encode() + content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), {ENDPOINT: "x"}, {})
    assert not [line for line in caught.value.problems if SECRET in line or "\n" in line]
