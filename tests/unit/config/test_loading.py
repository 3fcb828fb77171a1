"""Values of settings: each input with its exact error lines or its exact result."""

import socket
from pathlib import Path

import pytest

from pbs_exporter.config import ExporterSettings, ListenAddress, Settings, load_exporter, load_own_port
from pbs_exporter.errors import ConfigError
from tests.support.exporter import main_of
from tests.support.settings import load

COLLECTORS = {"host": True, "tape": False}
SECRET = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
HEX = "0123456789abcdef" * 4
GOOD = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://pbs.example.com:8007",
    "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!prometheus",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": SECRET,
}

ENDPOINT = "PBS_EXPORTER__PBS__ENDPOINT"
TOKEN_ID = "PBS_EXPORTER__PBS__TOKEN_ID"
TOKEN_SECRET = "PBS_EXPORTER__PBS__TOKEN_SECRET"
SECRET_FILE = "PBS_EXPORTER__PBS__TOKEN_SECRET_FILE"
VERIFY = "PBS_EXPORTER__PBS__VERIFY_TLS"
CA_FILE = "PBS_EXPORTER__PBS__CA_FILE"
FINGERPRINT = "PBS_EXPORTER__PBS__FINGERPRINT"
TIMEOUT = "PBS_EXPORTER__PBS__TIMEOUT_SECONDS"
HISTORY = "PBS_EXPORTER__PBS__SNAPSHOT_HISTORY_LIMIT"
REQUESTS = "PBS_EXPORTER__PBS__MAX_CONCURRENT_REQUESTS"
INTERVAL = "PBS_EXPORTER__PBS__LISTING_INTERVAL_SECONDS"
REFRESH = "PBS_EXPORTER__PBS__LISTING_REFRESH_SECONDS"
MODE = "PBS_EXPORTER__PBS__LISTING_MODE"
LISTEN = "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS"
LEVEL = "PBS_EXPORTER__EXPORTER__LOG_LEVEL"
FORMAT = "PBS_EXPORTER__EXPORTER__LOG_FORMAT"

WRITE_ENDPOINT = "write https://HOST:8007"
WRITE_TOKEN_ID = "write USER@REALM!NAME, as in exporter@pbs!prometheus"
WRITE_SECRET = "write only the secret, as PBS showed it when the token was created"
WRITE_SECONDS = "write a number of seconds above 0, such as 5 or 2.5"
WRITE_LISTEN = "write HOST:PORT, :PORT for all addresses, or [IPV6]:PORT, as in 127.0.0.1:9101"
NO_SECRET_CHARACTER = "contains a space, a line break or another character that no secret has"
NO_HEX = "is not a SHA-256 fingerprint; write its 64 hex digits, with or without colons, as PBS's dashboard shows them"


@pytest.fixture(autouse=True)
def _names_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **kwargs: object) -> object:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def loaded(file: str | None = None, **environ: str) -> Settings:
    return load(file, GOOD | environ, COLLECTORS)[0]


def problems(file: str | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, GOOD | environ, COLLECTORS)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


WRONG_TEXT = [
    (ENDPOINT, "pbs.example.com", f"has no scheme; {WRITE_ENDPOINT}"),
    (ENDPOINT, "pbs.example.com:8007", f"has no scheme; {WRITE_ENDPOINT}"),
    (ENDPOINT, "ftp://pbs:8007", f"has a scheme that is neither https nor http; {WRITE_ENDPOINT}"),
    (
        ENDPOINT,
        f"https://root:{SECRET}@pbs:8007",
        f"contains user info before an @; {WRITE_ENDPOINT}, and the token into token_id and token_secret",
    ),
    (
        ENDPOINT,
        "https://pbs:8007/api2/json",
        f"has a path after the address; {WRITE_ENDPOINT} and nothing after it",
    ),
    (
        ENDPOINT,
        "https://pbs:8007?a=1",
        f"has a query or fragment after the address; {WRITE_ENDPOINT} and nothing after it",
    ),
    (
        ENDPOINT,
        "https://pbs:8007#x",
        f"has a query or fragment after the address; {WRITE_ENDPOINT} and nothing after it",
    ),
    (ENDPOINT, "https://", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://:8007", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://::1:8007", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://[::1", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://[pbs]:8007", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://10.1:8007", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://10.0.0.256", f"has no valid host; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://pbs..com", f"has no valid host; {WRITE_ENDPOINT}"),
    (
        ENDPOINT,
        "https://pbs:port",
        f"has no valid port, which is a number from 1 to 65535; {WRITE_ENDPOINT}",
    ),
    (ENDPOINT, "https://pbs:0", f"has no valid port, which is a number from 1 to 65535; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://pbs:", f"has no valid port, which is a number from 1 to 65535; {WRITE_ENDPOINT}"),
    (ENDPOINT, "https://pbs:65536", f"has no valid port, which is a number from 1 to 65535; {WRITE_ENDPOINT}"),
    (
        ENDPOINT,
        "https://pb\ts:8007",
        f"contains a space or another character that no address has; {WRITE_ENDPOINT}",
    ),
    (TOKEN_ID, "exporter!prometheus", f"has no @ before a realm; {WRITE_TOKEN_ID}"),
    (TOKEN_ID, "exporter@pbs", f"has no ! before the token's name; {WRITE_TOKEN_ID}"),
    (
        TOKEN_ID,
        f"exporter@pbs!prometheus:{SECRET}",
        f"contains a colon; {WRITE_TOKEN_ID}, and what follows the colon into token_secret",
    ),
    (TOKEN_ID, f"exporter@pbs!prometheus={SECRET}", f"is not a valid token ID; {WRITE_TOKEN_ID}"),
    (TOKEN_ID, "@pbs!prometheus", f"is not a valid token ID; {WRITE_TOKEN_ID}"),
    (
        TOKEN_ID,
        "exporter@pbs!prome theus",
        f"contains a space or another character that no token ID has; {WRITE_TOKEN_ID}",
    ),
    (
        TOKEN_ID,
        "expörter@pbs!prometheus",
        f"contains a space or another character that no token ID has; {WRITE_TOKEN_ID}",
    ),
    (TOKEN_SECRET, f"{SECRET} {SECRET}", f"{NO_SECRET_CHARACTER}; {WRITE_SECRET}"),
    (TOKEN_SECRET, f"{SECRET}\r\nX: y", f"{NO_SECRET_CHARACTER}; {WRITE_SECRET}"),
    (TOKEN_SECRET, f"{SECRET}é", f"{NO_SECRET_CHARACTER}; {WRITE_SECRET}"),
    (VERIFY, "maybe", '"maybe" is neither true nor false; write true or false'),
    (VERIFY, "2", '"2" is neither true nor false; write true or false'),
    (TIMEOUT, "five", f'"five" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "5s", f'"5s" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "nan", f'"nan" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "inf", f'"inf" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "1_0", f'"1_0" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "1e3", f'"1e3" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "\u0665", f'"\u0665" is not a number; {WRITE_SECONDS}'),
    (TIMEOUT, "0", f"0 is too small; {WRITE_SECONDS}"),
    (TIMEOUT, "-1", f"-1 is too small; {WRITE_SECONDS}"),
    (TIMEOUT, "31536001", f"31536001 is longer than a year; {WRITE_SECONDS}"),
    (TIMEOUT, "9" * 400, f"that number is longer than a year; {WRITE_SECONDS}"),
    (TIMEOUT, "9" * 400 + ".0", f"that number is longer than a year; {WRITE_SECONDS}"),
    (TIMEOUT, "x" * 99 + "\x00", f'"{"x" * 60}…" is not a number; {WRITE_SECONDS}'),
    (
        INTERVAL,
        "-0.5",
        "-0.5 is too small; write a number of seconds, at least 0, such as 5 or 2.5",
    ),
    (REFRESH, "0.5", "0.5 is too small; write a number of seconds, at least 1, such as 5 or 2.5"),
    (HISTORY, "-1", "-1 is too small; write a whole number of at least 0"),
    (
        HISTORY,
        "2.5",
        "2.5 is not a whole number; write a whole number of at least 0, without a decimal point",
    ),
    (
        HISTORY,
        "2000000000",
        "that number is too large; write a whole number of at least 0, at most 1000000000",
    ),
    (
        REQUESTS,
        "8.0",
        "8.0 is not a whole number; write a whole number of at least 2, without a decimal point",
    ),
    (REQUESTS, "0", "0 is too small; write a whole number of at least 2"),
    (MODE, "fast", '"fast" is not one of the choices; write auto, full or changes'),
    (LEVEL, "loud", '"loud" is not one of the choices; write debug, info, warn or error'),
    (FORMAT, "xml", '"xml" is not one of the choices; write logfmt, json or console'),
    (FINGERPRINT, HEX[:-1], f'"{HEX[:60]}…" {NO_HEX}'),
    (FINGERPRINT, "sha256:" + HEX[:8], f'"sha256:01234567" {NO_HEX}'),
    (FINGERPRINT, "zz" * 32, f'"{"zz" * 30}…" {NO_HEX}'),
    (
        CA_FILE,
        "/nowhere/ca.pem",
        '"/nowhere/ca.pem": there is no such file; write the path of a PEM file',
    ),
    (CA_FILE, "/", '"/": this is a directory, not a file; write the path of a PEM file'),
    (
        CA_FILE,
        __file__,
        f'"{__file__}": the file contains no valid certificate in PEM format; write the path of a PEM file',
    ),
    (SECRET_FILE, "/nowhere/secret", "there is no such file"),
    (LISTEN, "127.0.0.1", f'"127.0.0.1" has no port; {WRITE_LISTEN}'),
    (LISTEN, "9101", f'"9101" has no port; {WRITE_LISTEN}'),
    (LISTEN, "[::1]", f'"[::1]" has no port; {WRITE_LISTEN}'),
    (LISTEN, "127.0.0.1:", f'"127.0.0.1:" has no port from 0 to 65535; {WRITE_LISTEN}'),
    (LISTEN, "127.0.0.1:http", f'"127.0.0.1:http" has no port from 0 to 65535; {WRITE_LISTEN}'),
    (LISTEN, "127.0.0.1:65536", f'"127.0.0.1:65536" has no port from 0 to 65535; {WRITE_LISTEN}'),
    (LISTEN, "::1:9101", f'"::1:9101" has an IPv6 address without brackets; {WRITE_LISTEN}'),
    (LISTEN, "[]:9101", f'"[]:9101" has no IPv6 address in its brackets; {WRITE_LISTEN}'),
    (LISTEN, "[pbs]:9101", f'"[pbs]:9101" has no IPv6 address in its brackets; {WRITE_LISTEN}'),
    (
        LISTEN,
        "nowhere.invalid:9101",
        f'"nowhere.invalid:9101" has a host that doesn\'t resolve; {WRITE_LISTEN}',
    ),
    (LISTEN, "a..b:9101", f'"a..b:9101" has a host that doesn\'t resolve; {WRITE_LISTEN}'),
]


@pytest.mark.parametrize(("variable", "value", "line"), WRONG_TEXT)
def test_wrong_text_in_the_environment(variable: str, value: str, line: str) -> None:
    """A wrong value in the environment gives one line with the variable's name, and never shows a secret."""
    environ = {variable: value}
    if variable == SECRET_FILE:
        environ[TOKEN_SECRET] = ""
    assert problems(**environ) == [f"{variable}: {line}"]
    assert SECRET not in line


WRONG_TOML = [
    ("pbs", 'timeout_seconds = "five"', f'"five" is text, not a number; {WRITE_SECONDS}, without quotes'),
    ("pbs", 'timeout_seconds = "5"', f'"5" is text, not a number; {WRITE_SECONDS}, without quotes'),
    ("pbs", "timeout_seconds = true", f"true is not a number; {WRITE_SECONDS}"),
    ("pbs", "timeout_seconds = nan", f"nan is not a usable number; {WRITE_SECONDS}"),
    ("pbs", "timeout_seconds = -inf", f"-inf is not a usable number; {WRITE_SECONDS}"),
    ("pbs", "timeout_seconds = [5]", f"a list is not a number; {WRITE_SECONDS}"),
    ("pbs", "timeout_seconds = 2026-01-01", f"a date or time is not a number; {WRITE_SECONDS}"),
    ("pbs", f"timeout_seconds = 0x{'f' * 5000}", f"that number is longer than a year; {WRITE_SECONDS}"),
    (
        "pbs",
        "max_concurrent_requests = 8.0",
        "8.0 is not a whole number; write a whole number of at least 2, without a decimal point",
    ),
    (
        "pbs",
        'verify_tls = "true"',
        '"true" is neither true nor false; write true or false, without quotes',
    ),
    ("pbs", "verify_tls = 1", "1 is neither true nor false; write true or false"),
    ("pbs", "endpoint = 8007", "is not text; put the value in quotes"),
    ("pbs", "token_id = [1]", "is not text; put the value in quotes"),
    ("pbs", "token_secret = 12345678", "is not text; put the value in quotes"),
    ("pbs", f'token_secret = "  {SECRET}"', f"{NO_SECRET_CHARACTER}; {WRITE_SECRET}"),
    (
        "pbs",
        'ca_file = "a\\u0000b"',
        '"ab": this is not a valid file name; write the path of a PEM file',
    ),
    ("pbs", "endpoint.host = 1", "a table instead of a value; write endpoint = VALUE under [pbs]"),
    ("exporter", "log_level = 3", "is not text; put the value in quotes"),
    ("collectors", "host = 0", "0 is neither true nor false; write true or false"),
]


@pytest.mark.parametrize(("section", "entry", "line"), WRONG_TOML)
def test_wrong_types_in_the_file(tmp_path: Path, section: str, entry: str, line: str) -> None:
    """Types in the file are strict; the line has the section, the key and the file."""
    file = tmp_path / "x.toml"
    file.write_text(f"[{section}]\n{entry}\n")
    key = entry.partition(" ")[0].partition(".")[0]
    environ = {name: "" for name in GOOD if name.endswith("__" + key.upper())}
    lines = [line for line in problems(str(file), **environ) if "is missing" not in line]
    assert lines == [f"[{section}] {key} in {file}: {line}"]


def test_missing_settings() -> None:
    """Each missing setting is reported in both forms, with an example."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, COLLECTORS)
    assert caught.value.problems == [
        (
            f"{ENDPOINT} ([pbs] endpoint in a file): is missing; "
            "write the address of PBS, such as https://pbs.example.com:8007"
        ),
        f"{TOKEN_ID} ([pbs] token_id in a file): is missing; write the ID of the API token, USER@REALM!NAME",
        (
            f"{TOKEN_SECRET} ([pbs] token_secret in a file): is missing; "
            "write the secret of the API token, unless token_secret_file names a file that holds it"
        ),
    ]


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Unknown names, missing settings and wrong values of file and environment are reported together."""
    file = tmp_path / "x.toml"
    file.write_text('[pbs]\nendpiont = "https://pbs:8007"\ntimeout_seconds = 0\n')
    environ = {"PBS_EXPORTER__PBS__VERFY_TLS": "1", TOKEN_ID: "x", TOKEN_SECRET: SECRET, LISTEN: "x"}
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ, COLLECTORS)
    assert [line.partition(": ")[0] for line in caught.value.problems] == [
        f"[pbs] endpiont in {file}",
        "PBS_EXPORTER__PBS__VERFY_TLS",
        f"{ENDPOINT} ([pbs] endpoint in a file)",
        TOKEN_ID,
        f"[pbs] timeout_seconds in {file}",
        LISTEN,
    ]


UNKNOWN_VARIABLES = [
    ("PBS_EXPORTER__PBS__ENDPIONT", "did you mean PBS_EXPORTER__PBS__ENDPOINT?"),
    ("PBS_EXPORTER__PBS_ENDPOINT", "did you mean PBS_EXPORTER__PBS__ENDPOINT?"),
    ("PBS_EXPORTER__ENDPOINT", "did you mean PBS_EXPORTER__PBS__ENDPOINT?"),
    ("PBS_EXPORTER__CONFIG", "did you mean PBS_EXPORTER_CONFIG?"),
    ("PBS_EXPORTER__COLLECTORS__TAPES", "did you mean PBS_EXPORTER__COLLECTORS__TAPE?"),
    ("PBS_EXPORTER__PBS__TIMEOUT_SECONDS__X", "did you mean PBS_EXPORTER__PBS__TIMEOUT_SECONDS?"),
    ("PBS_EXPORTER__", "the form is PBS_EXPORTER__SECTION__KEY, as in PBS_EXPORTER__PBS__ENDPOINT"),
    ("PBS_EXPORTER__QQ", "the form is PBS_EXPORTER__SECTION__KEY, as in PBS_EXPORTER__PBS__ENDPOINT"),
]


@pytest.mark.parametrize(("variable", "right"), UNKNOWN_VARIABLES)
def test_unknown_variables(variable: str, right: str) -> None:
    """A name under `PBS_EXPORTER__` that no setting has is an error with the most similar valid name."""
    assert problems(**{variable: SECRET}) == [f"{variable}: there is no such setting; {right}"]


def test_two_spellings_of_one_variable() -> None:
    """The same variable in two cases is refused, because the winner would be arbitrary."""
    other = "PBS_EXPORTER__pbs__endpoint"
    assert problems(**{other: "https://other:8007"}) == [
        f"{ENDPOINT} and {other}: both set the same setting; remove one of them"
    ]


def test_exclusive_settings(tmp_path: Path) -> None:
    """The error of two exclusive settings is one line with both names as written."""
    file = tmp_path / "x.toml"
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    file.write_text(f'[pbs]\ntoken_secret_file = "{secret_file}"\nfingerprint = "{HEX}"\n')
    assert problems(str(file), **{CA_FILE: "/nowhere"}) == [
        f"{TOKEN_SECRET} and [pbs] token_secret_file in {file}: only one of them may be set; remove the other",
        f"{CA_FILE} and [pbs] fingerprint in {file}: only one of them may be set; remove the other",
        f'{CA_FILE}: "/nowhere": there is no such file; write the path of a PEM file',
    ]


RIGHT = [
    (ENDPOINT, "HTTPS://pbs.example.com/", "pbs.endpoint", "https://pbs.example.com"),
    (ENDPOINT, "http://127.0.0.1:80", "pbs.endpoint", "http://127.0.0.1:80"),
    (ENDPOINT, "https://[fe80::1]:8007", "pbs.endpoint", "https://[fe80::1]:8007"),
    (ENDPOINT, "https://[fe80::1%eth0]:8007", "pbs.endpoint", "https://[fe80::1%eth0]:8007"),
    (ENDPOINT, "https://[fe80::1%25eth0]:8007", "pbs.endpoint", "https://[fe80::1%eth0]:8007"),
    (ENDPOINT, "https://[fe80::1%25]", "pbs.endpoint", "https://[fe80::1%25]"),
    (ENDPOINT, "https://pbs_1.example.com.:8007/", "pbs.endpoint", "https://pbs_1.example.com.:8007"),
    (TOKEN_ID, " me@example.com@ldap!a.b-c ", "pbs.token_id", "me@example.com@ldap!a.b-c"),
    (TIMEOUT, "2.5", "pbs.timeout_seconds", 2.5),
    (TIMEOUT, " 7\n", "pbs.timeout_seconds", 7.0),
    (TIMEOUT, "", "pbs.timeout_seconds", 5.0),
    (TIMEOUT, "31536000", "pbs.timeout_seconds", 31536000.0),
    (HISTORY, "0", "pbs.snapshot_history_limit", 0),
    (HISTORY, "007", "pbs.snapshot_history_limit", 7),
    (INTERVAL, "0", "pbs.listing_interval_seconds", 0.0),
    (REFRESH, "1", "pbs.listing_refresh_seconds", 1.0),
    (MODE, "Full", "pbs.listing_mode", "full"),
    *((VERIFY, text, "pbs.verify_tls", True) for text in ("true", "TRUE", "1", "yes", "On")),
    *((VERIFY, text, "pbs.verify_tls", False) for text in ("false", "False", "0", "no", "OFF", "")),
    (FINGERPRINT, HEX.upper(), "pbs.fingerprint", bytes.fromhex(HEX)),
    (FINGERPRINT, bytes.fromhex(HEX).hex(":"), "pbs.fingerprint", bytes.fromhex(HEX)),
    (FINGERPRINT, HEX, "pbs.verify_tls", True),
    (LEVEL, "WARNING", "exporter.log_level", "warn"),
    (LEVEL, "Debug", "exporter.log_level", "debug"),
    (FORMAT, "JSON", "exporter.log_format", "json"),
    (LISTEN, "127.0.0.1:0", "exporter.listen_address", ListenAddress("127.0.0.1", 0)),
    (LISTEN, ":9102", "exporter.listen_address", ListenAddress("", 9102)),
    (LISTEN, "[::1]:65535", "exporter.listen_address", ListenAddress("::1", 65535)),
    (LISTEN, "localhost:9101", "exporter.listen_address", ListenAddress("localhost", 9101)),
]


@pytest.mark.parametrize(("variable", "text", "attribute", "value"), RIGHT)
def test_right_text_in_the_environment(variable: str, text: str, attribute: str, value: object) -> None:
    """Text in the environment is converted to the setting's type; spaces around it and empty texts are ignored."""
    section, _, key = attribute.partition(".")
    settings = loaded(**{variable: text})
    found = getattr(main_of(settings).pbs if section == "pbs" else settings.exporter, key)
    assert (found, type(found)) == (value, type(value))


def test_collector_switches(tmp_path: Path) -> None:
    """Each known collector has a switch, and switches that aren't set have their default."""
    file = tmp_path / "x.toml"
    file.write_text("[collectors]\nhost = false\n")
    assert main_of(loaded()).collectors == COLLECTORS
    assert main_of(loaded(str(file), PBS_EXPORTER__COLLECTORS__TAPE="on")).collectors == {"host": False, "tape": True}


def test_listen_address_text() -> None:
    """A listen address is printed in the form of the setting."""
    for text in ("127.0.0.1:9101", ":9101", "[::1]:9101"):
        assert str(loaded(**{LISTEN: text}).exporter.listen_address) == text


def test_exporter_alone() -> None:
    """A run with a PBS of its own needs no settings of [pbs], but wrong ones of [exporter] are refused."""
    assert load_exporter(None, {LEVEL: "debug", TIMEOUT: "x"}, COLLECTORS).log_level == "debug"
    with pytest.raises(ConfigError) as caught:
        load_exporter(None, {LEVEL: "loud", TIMEOUT: "x", "PBS_EXPORTER__X": "1"}, COLLECTORS)
    assert [line.partition(":")[0] for line in caught.value.problems] == ["PBS_EXPORTER__X", LEVEL]


def test_listen_address_alone(tmp_path: Path) -> None:
    """The health check finds its address even if other settings are wrong."""
    file = tmp_path / "x.toml"
    file.write_text(
        '[pbs]\nendpoint = 5\nx = 1\n[exporter]\nlisten_address = ":1"\nlog_level = 1\n[collectors]\ny = 1\n'
    )
    assert load_own_port(None, {}) == (ExporterSettings().listen_address, False)
    assert load_own_port(str(file), {"PBS_EXPORTER__X": "1"}) == (ListenAddress("", 1), False)
    assert load_own_port(str(file), {LISTEN: ":2"}) == (ListenAddress("", 2), False)
    for broken, environ in (("/nowhere.toml", {}), (None, {LISTEN: "x"})):
        with pytest.raises(ConfigError) as caught:
            load_own_port(broken, environ)
        assert len(caught.value.problems) == 1
