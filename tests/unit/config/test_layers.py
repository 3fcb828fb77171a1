"""Layers of settings: precedence, the format of the file, and warnings."""

import os
import re
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
import trustme

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import (
    SETTINGS,
    ExporterSettings,
    Filters,
    Settings,
    TargetConfig,
    TargetSettings,
    settings_table,
)
from pbs_exporter.config.layers import merge
from pbs_exporter.config.values import RawValue
from pbs_exporter.errors import ConfigError
from tests.support.exporter import main_of
from tests.support.paths import ROOT
from tests.support.settings import load

SECRET = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GOOD = {
    "PBS_EXPORTER__PBS__ENDPOINT": "https://pbs:8007",
    "PBS_EXPORTER__PBS__TOKEN_ID": "exporter@pbs!prometheus",
    "PBS_EXPORTER__PBS__TOKEN_SECRET": SECRET,
}
VERIFIED = GOOD | {"PBS_EXPORTER__PBS__VERIFY_TLS": "true"}
TIMEOUT = "PBS_EXPORTER__PBS__TIMEOUT_SECONDS"
SHORT_TIMEOUT = "PBS_EXPORTER_PBS_TIMEOUT_SECONDS"
TABLE = settings_table({collector.name: collector.default for collector in COLLECTORS})
SETTINGS_TOML = ROOT / "settings.toml"
NOT_TOML = 'write KEY = VALUE under a [SECTION], text in "quotes"'
UNVERIFIED = (
    "PBS's certificate is not verified, so an attacker between the exporter and PBS can steal the token; "
    "set [pbs] fingerprint (PBS's dashboard shows it), ca_file, or verify_tls = true"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.toml"


def problems(file: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(str(file), GOOD if environ is None else environ, {"tape": True})
    return caught.value.problems


def test_precedence(file: Path) -> None:
    """The double form wins over the single form, the single form over the file, and the file over the default."""
    environ = dict(VERIFIED)
    assert main_of(load(None, environ, {})[0]).pbs.timeout_seconds == 5
    file.write_text("[pbs]\ntimeout_seconds = 6\nmax_concurrent_requests = 3\n")
    for name, value in ((None, 6), (SHORT_TIMEOUT, 7), (TIMEOUT, 8)):
        environ |= {name: str(value)} if name else {}
        target = main_of(load(str(file), environ, {})[0]).pbs
        assert (target.timeout_seconds, target.max_concurrent_requests) == (value, 3)
    environ[TIMEOUT] = " "
    assert main_of(load(str(file), environ, {})[0]).pbs.timeout_seconds == 7


def test_single_underscores() -> None:
    """The eight old settings have a name with single underscores, and no other setting has."""
    short = [row.variables[1] for row in SETTINGS if len(row.variables) > 1]
    assert short == [
        "PBS_EXPORTER_PBS_ENDPOINT",
        "PBS_EXPORTER_PBS_TOKEN_ID",
        "PBS_EXPORTER_PBS_TOKEN_SECRET",
        "PBS_EXPORTER_PBS_VERIFY_TLS",
        "PBS_EXPORTER_PBS_TIMEOUT_SECONDS",
        "PBS_EXPORTER_PBS_SNAPSHOT_HISTORY_LIMIT",
        "PBS_EXPORTER_EXPORTER_LISTEN_ADDRESS",
        "PBS_EXPORTER_EXPORTER_LOG_LEVEL",
    ]
    examples = ("https://pbs:8007", "a@pbs!b", SECRET, "true", "6", "7", ":1", "warn")
    settings, warnings = load(None, dict(zip(short, examples, strict=True)), {})
    target, exporter = main_of(settings).pbs, settings.exporter
    assert (target.endpoint, target.token_id, target.token_secret.reveal()) == examples[:3]
    assert (target.verify_tls, target.timeout_seconds, target.snapshot_history_limit) == (True, 6, 7)
    assert (str(exporter.listen_address), exporter.log_level) == (":1", "warn")
    assert warnings == []


def test_parts_of_a_name_in_any_case() -> None:
    """Section and key may be written in any case after the prefix."""
    assert main_of(load(None, VERIFIED | {"PBS_EXPORTER__Pbs__timeout_seconds": "9"}, {})[0]).pbs.timeout_seconds == 9


def test_the_single_form_is_checked_too() -> None:
    """The error of a wrong value in the single form has its name, unless the double form overrides it."""
    with pytest.raises(ConfigError, match=f"^{SHORT_TIMEOUT}: "):
        load(None, GOOD | {SHORT_TIMEOUT: "x"}, {})
    assert main_of(load(None, GOOD | {SHORT_TIMEOUT: "x", TIMEOUT: "1"}, {})[0]).pbs.timeout_seconds == 1


def test_the_variable_that_names_the_file(file: Path) -> None:
    """`PBS_EXPORTER_CONFIG` names the file if `--config` isn't given."""
    file.write_text("[pbs]\ntimeout_seconds = 6\n")
    other = file.with_name("y.toml")
    other.write_text("[pbs]\ntimeout_seconds = 7\n")
    environ = VERIFIED | {"PBS_EXPORTER_CONFIG": str(file)}
    assert main_of(load(None, environ, {})[0]).pbs.timeout_seconds == 6
    assert main_of(load(str(other), environ, {})[0]).pbs.timeout_seconds == 7
    with pytest.raises(ConfigError) as caught:
        load(None, GOOD | {"PBS_EXPORTER_CONFIG": "/nowhere.toml"}, {})
    assert caught.value.problems == ["PBS_EXPORTER_CONFIG /nowhere.toml: there is no such file"]


def test_a_relative_file_is_looked_for_here_only(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name is relative to the working directory, and parent directories aren't searched."""
    file.write_text("[pbs]\ntimeout_seconds = 6\n")
    below = file.parent / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert problems(Path("x.toml")) == ["--config x.toml: there is no such file"]
    monkeypatch.chdir(file.parent)
    assert main_of(load("x.toml", VERIFIED, {})[0]).pbs.timeout_seconds == 6


BROKEN = [
    (b"[pbs]\nendpoint = \xff\n", "the file is not UTF-8 in line 2; save it as UTF-8"),
    (b"\xff\xfe[\0p\0b\0s\0]\0", "the file is not UTF-8 in line 1; save it as UTF-8"),
    (f"[pbs]\ntoken_secret = {SECRET}\n".encode(), f"the file is not TOML at line 2, column 16; {NOT_TOML}"),
    (f"[pbs]\n{SECRET}\n".encode(), f"the file is not TOML at line 2, column 37; {NOT_TOML}"),
    (f"'{SECRET}' = 1\n'{SECRET}' = 2\n".encode(), f"the file is not TOML at line 2, column 43; {NOT_TOML}"),
    (b"[pbs", f"the file is not TOML at end of document; {NOT_TOML}"),
    (b"x = " + b"[" * 100_000, f"the file is not TOML; {NOT_TOML}"),
    (b"x = " + b"9" * 5000, f"the file is not TOML; {NOT_TOML}"),
    (b"#" * (1 << 20) + b"\n", "the file is larger than 1 MiB, so it can't be the right one"),
]


@pytest.mark.parametrize(("content", "line"), BROKEN)
def test_broken_files(file: Path, content: bytes, line: str) -> None:
    """A file that can't be parsed gives one line with the position, and none of its text."""
    file.write_bytes(content)
    assert problems(file, {}) == [f"--config {file}: {line}"]


def test_a_broken_file_and_a_wrong_variable(tmp_path: Path) -> None:
    """If the file can't be read, wrong variables are reported, but missing settings aren't."""
    assert problems(tmp_path, {TIMEOUT: "x", "PBS_EXPORTER__X": ""}) == [
        f"--config {tmp_path}: this is a directory, not a file",
        (
            "PBS_EXPORTER__X: there is no such setting; "
            "the form is PBS_EXPORTER__SECTION__KEY, as in PBS_EXPORTER__PBS__ENDPOINT"
        ),
        f'{TIMEOUT}: "x" is not a number; write a number of seconds above 0, such as 5 or 2.5',
    ]


SHAPES = [
    ("[pbss]", "[pbss] in FILE: there is no such section; did you mean [pbs]?"),
    ("[PBS]", "[PBS] in FILE: there is no such section; did you mean [pbs]?"),
    (
        "[sorting]",
        "[sorting] in FILE: there is no such section; there are [pbs], [exporter], [filters], [collectors]",
    ),
    ('token_id = "x"', "token_id in FILE: there is no such section; did you mean [pbs] token_id?"),
    (
        "[pbs]\nTimeout_Seconds = 5",
        "[pbs] Timeout_Seconds in FILE: there is no such setting; did you mean [pbs] timeout_seconds?",
    ),
    ('[pbs]\nlog_level = "x"', "[pbs] log_level in FILE: there is no such setting; did you mean [exporter] log_level?"),
    (
        "[collectors]\ntpae = true",
        "[collectors] tpae in FILE: there is no such setting; did you mean [collectors] tape?",
    ),
    ("[collectors]\nqq = true", "[collectors] qq in FILE: there is no such setting; [collectors] has tape"),
    ('pbs = "x"', "pbs in FILE: a value instead of a section; write [pbs] on a line of its own"),
    ("[[pbs]]", "pbs in FILE: a value instead of a section; write [pbs] on a line of its own"),
    (
        "[pbs.timeout_seconds]",
        "[pbs] timeout_seconds in FILE: a table instead of a value; write timeout_seconds = VALUE under [pbs]",
    ),
    (
        '[pbs]\n"verify\\u001b\\u202e_tls" = true',
        "[pbs] verify_tls in FILE: there is no such setting; did you mean [pbs] verify_tls?",
    ),
]


@pytest.mark.parametrize(("content", "line"), SHAPES)
def test_names_and_shapes_in_the_file(file: Path, content: str, line: str) -> None:
    """An unknown name, or a table in the place of a value or the reverse, gives one line."""
    file.write_text(content + "\n")
    assert problems(file) == [line.replace("FILE", str(file))]


def test_what_editors_leave(file: Path) -> None:
    """A byte order mark, Windows line ends, and empty texts are accepted."""
    file.write_bytes(b'\xef\xbb\xbf[pbs]\r\ntimeout_seconds = ""\r\nca_file = ""\r\n')
    assert main_of(load(str(file), VERIFIED, {})[0]).pbs == main_of(load(None, VERIFIED, {})[0]).pbs


@pytest.mark.parametrize("number", ["5", "5.0"])
def test_whole_seconds(file: Path, number: str) -> None:
    """A duration may have a fraction."""
    file.write_text(f"[pbs]\ntimeout_seconds = {number}\n")
    assert main_of(load(str(file), VERIFIED, {})[0]).pbs.timeout_seconds == 5


def test_the_rust_exporters_file(file: Path) -> None:
    """The `config/default.toml` of the Rust exporter is accepted unchanged."""
    file.write_text(
        """
[pbs]
endpoint = "https://localhost:8007"
token_id = "exporter@pbs!metrics"
token_secret = "00000000-0000-0000-0000-000000000000"
verify_tls = false
timeout_seconds = 5
snapshot_history_limit = 0

[exporter]
listen_address = "0.0.0.0:9101"
log_level = "info"
"""
    )
    settings, warnings = load(str(file), {}, {})
    assert main_of(settings).pbs.endpoint == "https://localhost:8007"
    assert settings.exporter == ExporterSettings()
    assert warnings == [UNVERIFIED]


def test_dynaconf_runs_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks, includes, `.local` files, `@tokens` and dynaconf's own variables change nothing and run nothing."""
    file.write_text('[pbs]\ntimeout_seconds = 6\ntoken_secret = "@read_file/etc/hostname"\n')
    (file.parent / "dynaconf_hooks.py").write_text("import sys\nsys.dynaconf_hook_ran = True\n")
    (file.parent / "x.local.toml").write_text("[pbs]\ntimeout_seconds = 7\n")
    (file.parent / "y.toml").write_text("[pbs]\ntimeout_seconds = 8\n")
    (file.parent / "z.py").write_text("import sys\nsys.dynaconf_hook_ran = True\nPBS = {'timeout_seconds': 9}\n")
    (file.parent / ".env").write_text(f"{TIMEOUT}=10\n")
    monkeypatch.chdir(file.parent)
    for name, value in {
        "SETTINGS_FILE_FOR_DYNACONF": str(file.parent / "y.toml"),
        "INCLUDES_FOR_DYNACONF": str(file.parent / "z.py"),
        "PRELOAD_FOR_DYNACONF": str(file.parent / "z.py"),
        "LOAD_DOTENV_FOR_DYNACONF": "true",
        "MERGE_ENABLED_FOR_DYNACONF": "false",
        "DYNACONF_PBS__TIMEOUT_SECONDS": "11",
    }.items():
        monkeypatch.setenv(name, value)
    environ = {name: value for name, value in VERIFIED.items() if "SECRET" not in name}
    target = main_of(load(str(file), environ, {})[0]).pbs
    assert (target.timeout_seconds, target.token_secret.reveal()) == (6, "@read_file/etc/hostname")
    assert not hasattr(sys, "dynaconf_hook_ran")
    assert TIMEOUT not in os.environ


def test_merge_keeps_what_it_is_given() -> None:
    """The later layer wins key by key, whatever the spelling of a key, and the layers aren't changed."""
    one, two, three = (RawValue(name, "@del", typed=True) for name in "abc")
    low, high = (
        {"pbs": {"items": one, "copy": one}, "exporter": {}},
        {"pbs": {"items": two}, "collectors": {"get": three}},
    )
    assert merge(low, high) == {"pbs": {"items": two, "copy": one}, "exporter": {}, "collectors": {"get": three}}
    assert low["pbs"] == {"items": one, "copy": one}
    assert repr(one) == "RawValue('a')"


STRAYS = [
    ("PBS_EXPORTER_PBS_ENDPIONT", "PBS_EXPORTER__PBS__ENDPOINT"),
    ("PBS_EXPORTER_ENDPOINT", "PBS_EXPORTER__PBS__ENDPOINT"),
    ("PBS_EXPORTER_PBS__ENDPOINT", "PBS_EXPORTER__PBS__ENDPOINT"),
    ("PBS_EXPORTER_PBS_CA_FILE", "PBS_EXPORTER__PBS__CA_FILE"),
    ("PBS_EXPORTER_LISTEN_ADDRESS", "PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS"),
    ("PBS_EXPORTER_COLLECTORS_TAPE", "PBS_EXPORTER__COLLECTORS__TAPE"),
    ("pbs_exporter__pbs__token_id", "PBS_EXPORTER__PBS__TOKEN_ID"),
    ("PBS_EXPORTER_CONFIG_FILE", "PBS_EXPORTER_CONFIG"),
]


@pytest.mark.parametrize(("variable", "meant"), STRAYS)
def test_strays_get_a_warning(variable: str, meant: str) -> None:
    """A variable that resembles a setting gives a warning with the right name."""
    _, warnings = load(None, VERIFIED | {variable: SECRET}, {"tape": True})
    assert warnings == [f"{variable}: is not a setting and has no effect; did you mean {meant}?"]


@pytest.mark.parametrize(
    "variable",
    [
        "PBS_EXPORTER_PORT",
        "PBS_EXPORTER_PORT_9101_TCP",
        "PBS_EXPORTER_PORT_9101_TCP_ADDR",
        "PBS_EXPORTER_SERVICE_HOST",
        "PBS_EXPORTER_SERVICE_PORT_METRICS",
        "PBS_EXPORTER_VERSION",
        "PBS_EXPORTER_TAPE",
        "HOME",
    ],
)
def test_other_peoples_variables(variable: str) -> None:
    """Variables that Kubernetes injects for a Service of the same name, and foreign names, give no warning."""
    assert load(None, VERIFIED | {variable: "tcp://10.0.0.1:9101"}, {"tape": True})[1] == []


def test_foreign_variables() -> None:
    """Variables of the Rust exporter and of dynaconf give one hint each; an empty one gives none."""
    assert load(None, VERIFIED | {"RUST_LOG": ""}, {})[1] == []
    _, warnings = load(None, VERIFIED | {"RUST_LOG": "debug", "SETTINGS_FILE_FOR_DYNACONF": "x"}, {})
    assert warnings == [
        "RUST_LOG: has no effect; set PBS_EXPORTER__EXPORTER__LOG_LEVEL, or log_level under [exporter]",
        "SETTINGS_FILE_FOR_DYNACONF: has no effect; only --config and PBS_EXPORTER_CONFIG name a settings file",
    ]


NATRONTECH = {
    "PBS_ENDPOINT": "https://pbs-of-theirs:8007",
    "PBS_USERNAME": "user-of-theirs@pbs",
    "PBS_API_TOKEN_NAME": "name-of-theirs",
    "PBS_API_TOKEN": "secret-of-theirs",
    "PBS_INSECURE": "value-of-theirs",
}
TOKEN_ID = "(here PBS_EXPORTER__PBS__TOKEN_ID, as USERNAME!TOKEN_NAME)"
ABOUT_NATRONTECH = (
    "another exporter's variables have no effect: PBS_API_TOKEN (here PBS_EXPORTER__PBS__TOKEN_SECRET), "
    f"PBS_API_TOKEN_NAME {TOKEN_ID}, PBS_ENDPOINT (here PBS_EXPORTER__PBS__ENDPOINT), "
    f"PBS_INSECURE (here PBS_EXPORTER__PBS__VERIFY_TLS, the opposite), PBS_USERNAME {TOKEN_ID}"
)


def test_variables_of_another_exporter_give_one_warning() -> None:
    """One line names the variables of natrontech's exporter and what they are called here, without their values."""
    assert load(None, VERIFIED | NATRONTECH, {})[1] == [ABOUT_NATRONTECH]
    assert load(None, VERIFIED | dict.fromkeys(NATRONTECH, ""), {})[1] == []


def test_variables_of_another_exporter_are_told_where_ours_are_missing() -> None:
    """If required settings are missing, the same line is among the problems, and no value is."""
    with pytest.raises(ConfigError) as refused:
        load(None, NATRONTECH, {})
    problems = refused.value.problems
    assert [line.split(":")[0].split(" ")[0] for line in problems[:-1]] == [
        "PBS_EXPORTER__PBS__ENDPOINT",
        "PBS_EXPORTER__PBS__TOKEN_ID",
        "PBS_EXPORTER__PBS__TOKEN_SECRET",
    ]
    assert problems[-1] == ABOUT_NATRONTECH
    assert "theirs" not in "".join(problems)


@pytest.mark.parametrize("name", ["PBS_REPOSITORY", "PBS_PASSWORD", "PBS_FINGERPRINT", "PBS_JOBID", "PBS_NODEFILE"])
def test_variables_of_other_programs_are_ignored(name: str) -> None:
    """Variables of proxmox-backup-client, and of the batch system that is called PBS too, give no warning."""
    assert load(None, VERIFIED | {name: "x"}, {})[1] == []


def test_warnings_about_the_way_to_pbs(file: Path) -> None:
    """A token without TLS, an unverified certificate, and settings without effect give one warning each."""
    pin = {"PBS_EXPORTER__PBS__FINGERPRINT": "ab" * 32}
    off = {"PBS_EXPORTER__PBS__VERIFY_TLS": "off"}
    clear = {"PBS_EXPORTER__PBS__ENDPOINT": "http://pbs"}
    right = "use https:// unless the connection stays on this machine"
    in_clear = "PBS_EXPORTER__PBS__ENDPOINT: with http:// the token is sent unencrypted"
    pinned = "PBS_EXPORTER__PBS__FINGERPRINT"
    assert load(None, GOOD, {})[1] == [UNVERIFIED]
    assert load(None, VERIFIED, {})[1] == []
    assert load(None, VERIFIED | pin, {})[1] == []
    assert load(None, GOOD | clear, {})[1] == [f"{in_clear}; {right}"]
    assert load(None, GOOD | clear | pin, {})[1] == [f"{in_clear}, and {pinned} has no effect; {right}"]
    no_effect = f"has no effect, because {pinned} turns verification on"
    assert load(None, GOOD | off | pin, {})[1] == [f"PBS_EXPORTER__PBS__VERIFY_TLS: {no_effect}"]
    file.write_text("[pbs]\nverify_tls = false\n")
    assert load(str(file), GOOD | pin, {})[1] == [f"[pbs] verify_tls in {file}: {no_effect}"]


def test_a_listing_interval_above_the_maximum_age() -> None:
    """An interval longer than the maximum age of listings leaves gaps, and gives a warning."""
    variable = "PBS_EXPORTER__PBS__LISTING_INTERVAL_SECONDS"
    assert load(None, VERIFIED | {variable: "3600"}, {})[1] == []
    assert load(None, VERIFIED | {variable: "3601"}, {})[1] == [
        (
            f"{variable}: is longer than listing_max_age_seconds, so metrics of snapshots are missing "
            "part of the time; set listing_max_age_seconds above it"
        )
    ]


def test_a_ca_file_turns_verification_on(tmp_path: Path) -> None:
    """A PEM file with a certificate is accepted, and turns verification on."""
    pem = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(pem))
    target = main_of(load(None, GOOD | {"PBS_EXPORTER__PBS__CA_FILE": str(pem)}, {})[0]).pbs
    assert (target.ca_file, target.verify_tls) == (pem, True)


def test_a_key_is_no_ca_file(tmp_path: Path) -> None:
    """A PEM file of another kind holds no certificate to trust."""
    pem = tmp_path / "key.pem"
    trustme.CA().private_key_pem.write_to_path(str(pem))
    with pytest.raises(ConfigError, match="contains no valid certificate in PEM format"):
        load(None, GOOD | {"PBS_EXPORTER__PBS__CA_FILE": str(pem)}, {})


def test_the_table_has_every_field() -> None:
    """Every field of the Structs is a setting with that field's default, in the order of the Structs."""
    fields = [("pbs", name) for name in TargetSettings.__struct_fields__]
    fields += [("exporter", name) for name in ExporterSettings.__struct_fields__]
    fields += [("filters", name) for name in Filters.__struct_fields__]
    assert [(row.section, row.key) for row in SETTINGS] == fields
    assert [row.key for row in SETTINGS if row.required] == ["endpoint", "token_id", "token_secret"]
    for row in TABLE:
        assert row.variables[0] == f"PBS_EXPORTER__{row.section}__{row.key}".upper()
        assert row.help
        assert "\n" not in row.help


def test_settings_toml_shows_every_default(file: Path) -> None:
    """In settings.toml every setting is commented out, in the table's order and with the table's default."""
    text = SETTINGS_TOML.read_text()
    assert tomllib.loads(text) == {"pbs": {}, "exporter": {}, "filters": {}, "collectors": {}}
    uncommented = re.sub(r"^# (?=[a-z0-9_]+ = )", "", text, flags=re.MULTILINE)
    tree = tomllib.loads(uncommented)
    assert [(section, key) for section in tree for key in tree[section]] == [(r.section, r.key) for r in TABLE]
    for row in TABLE:
        if not row.required:
            assert {"v": tree[row.section][row.key]} == tomllib.loads(f"v = {row.default}"), row
    file.write_text(uncommented)
    settings, warnings = load(str(file), {}, {c.name: not c.default for c in COLLECTORS})
    assert warnings == [UNVERIFIED]
    required = {key: getattr(main_of(settings).pbs, key) for key in ("endpoint", "token_id", "token_secret")}
    collectors = {c.name: c.default for c in COLLECTORS}
    main = TargetConfig(pbs=TargetSettings(**required), collectors=collectors)
    assert settings == Settings(exporter=ExporterSettings(), main=main)


def test_settings_are_frozen() -> None:
    """Settings can't be changed after loading."""
    settings = load(None, VERIFIED, {})[0]
    for struct, name in ((settings, "main"), (main_of(settings).pbs, "endpoint"), (settings.exporter, "log_level")):
        with pytest.raises(AttributeError):
            setattr(struct, name, None)
    assert not isinstance(settings, dict)
    assert msgspec.structs.asdict(settings).keys() == {"exporter", "main", "targets"}
