"""The section `[targets]`: names, inheritance, labels, and a line for each mistake."""

import re
from pathlib import Path

import pytest

from pbs_exporter.config import Filters, Settings, TargetConfig
from pbs_exporter.config.warnings import about_labels
from pbs_exporter.errors import ConfigError
from tests.support.settings import load

COLLECTORS = {"host": True, "tape": True}
HEX = "0123456789abcdef" * 4
MAIN = """
[pbs]
endpoint = "https://main:8007"
token_id = "exporter@pbs!main"
token_secret = "main-secret"
"""
ONE = """
[targets.one]
endpoint = "https://one:8007"
token_id = "exporter@pbs!one"
token_secret = "one-secret"
"""
BOTH = {
    "PBS_EXPORTER__TARGETS__TWO__ENDPOINT": "https://two:8007",
    "PBS_EXPORTER__TARGETS__TWO__TOKEN_ID": "exporter@pbs!two",
    "PBS_EXPORTER__TARGETS__TWO__TOKEN_SECRET": "two-secret",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.toml"


def loaded(file: Path, content: str, **environ: str) -> Settings:
    file.write_text(content)
    return load(str(file), environ, COLLECTORS)[0]


def one(file: Path, content: str, **environ: str) -> TargetConfig:
    return loaded(file, content, **environ).targets["one"]


def problems(file: Path, content: str, **environ: str) -> list[str]:
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ, COLLECTORS)
    return [problem.replace(str(file), "FILE") for problem in caught.value.problems]


def test_without_targets(file: Path) -> None:
    """Without the section there is the PBS of `[pbs]` alone."""
    settings = loaded(file, MAIN)
    assert settings.main is not None
    assert (settings.targets, settings.configs) == ({}, {"": settings.main})


def test_targets_without_an_endpoint_of_pbs(file: Path) -> None:
    """With a target, `[pbs]` needs no endpoint: its other keys are defaults."""
    settings = loaded(file, f"[pbs]\ntimeout_seconds = 7\n{ONE}")
    assert settings.main is None
    assert list(settings.targets) == ["one"]
    assert settings.targets["one"].pbs.timeout_seconds == 7


def test_a_target_of_the_environment(file: Path) -> None:
    """Variables make a target, complete one of the file, and win over the file."""
    more = {
        "PBS_EXPORTER__TARGETS__ONE__TIMEOUT_SECONDS": "9",
        "PBS_EXPORTER__TARGETS__ONE__COLLECTORS__TAPE": "false",
        "PBS_EXPORTER__TARGETS__ONE__FILTERS__DATASTORES": "main,!scratch",
        "PBS_EXPORTER__TARGETS__ONE__LABELS__SITE": "zurich",
    }
    settings = loaded(file, f"{ONE}timeout_seconds = 8\n", **BOTH, **more)
    assert list(settings.targets) == ["one", "two"]
    found = settings.targets["one"]
    assert (found.pbs.timeout_seconds, dict(found.collectors)) == (9, {"host": True, "tape": False})
    assert (found.filters, dict(found.labels)) == (Filters(datastores=("main", "!scratch")), {"site": "zurich"})
    assert settings.targets["two"].pbs.token_secret.reveal() == "two-secret"


@pytest.mark.parametrize("name", ["a", "1", "zrh1", "pbs-1.example.com", "a.collectors", "a__b", "a" * 63])
def test_names(file: Path, name: str) -> None:
    """Any name of the file is possible that has up to 63 lower-case letters, digits, dots, `_` and `-`."""
    settings = loaded(
        file, ONE.replace("targets.one", f'targets."{name}"') + f'[targets."{name}".filters]\ngroups = ["vm/1"]'
    )
    assert list(settings.targets) == [name]
    assert settings.targets[name].filters.groups == ("vm/1",)


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "_a", "a/b", "a b", "ä", "a\\n", "a" * 64])
def test_what_is_no_name(file: Path, name: str) -> None:
    """Another name is refused, with the form that names have."""
    (line,) = problems(file, MAIN + ONE.replace("targets.one", f'targets."{name}"'))
    assert re.fullmatch(r"\[targets\..*\] in FILE: is no name for a target; write lower-case letters, .*", line)


def test_what_a_target_inherits(file: Path) -> None:
    """A target inherits what it doesn't set, from `[pbs]`, `[collectors]` and `[filters]`; its lists replace."""
    top = """
snapshot_history_limit = 3
timeout_seconds = 7
[collectors]
tape = false
[filters]
datastores = ["a", "b"]
groups = ["vm/*"]
"""
    own = 'timeout_seconds = 8\n[targets.one.filters]\ndatastores = ["c"]\n'
    found = one(file, MAIN + top + ONE + own)
    assert (found.pbs.snapshot_history_limit, found.pbs.timeout_seconds) == (3, 8)
    assert dict(found.collectors) == {"host": True, "tape": False}
    assert found.filters == Filters(datastores=("c",), groups=("vm/*",))


def test_the_token_id_is_inherited(file: Path) -> None:
    """The token's ID can be the same everywhere; it is no secret."""
    found = one(file, MAIN + ONE.replace('token_id = "exporter@pbs!one"\n', ""))
    assert (found.pbs.token_id, found.pbs.token_secret.reveal()) == ("exporter@pbs!main", "one-secret")


@pytest.mark.parametrize("key", ["endpoint", "token_secret"])
def test_what_a_target_never_inherits(file: Path, key: str) -> None:
    """A target without an endpoint or a secret of its own doesn't get that of `[pbs]`: a secret has one server."""
    content = re.sub(rf"(?m)^{key} = .*\n", "", ONE)
    (line,) = problems(file, MAIN + content)
    assert line.startswith(f"PBS_EXPORTER__TARGETS__ONE__{key.upper()} ([targets.one] {key} in a file): is missing; ")


def test_a_secret_file_is_never_inherited(file: Path) -> None:
    """Neither is the file with the secret."""
    secret = file.with_name("secret")
    secret.write_text("file-secret")
    main = MAIN.replace('token_secret = "main-secret"', f'token_secret_file = "{secret}"')
    (line,) = problems(file, main + ONE.replace('token_secret = "one-secret"', ""))
    assert line.startswith("PBS_EXPORTER__TARGETS__ONE__TOKEN_SECRET ")


@pytest.mark.parametrize(
    ("of_pbs", "own", "verified", "pinned"),
    [
        ("verify_tls = true", "", True, False),
        (f'fingerprint = "{HEX}"', "", False, False),
        (f'fingerprint = "{HEX}"', "verify_tls = true", True, False),
        ("verify_tls = true", "verify_tls = false", False, False),
        ("verify_tls = true", f'fingerprint = "{HEX}"', True, True),
    ],
)
def test_trust_is_replaced_as_a_whole(file: Path, of_pbs: str, own: str, verified: bool, pinned: bool) -> None:  # noqa: FBT001 - a table
    """A target's own fingerprint, CA file or `verify_tls` replaces all three, and a fingerprint is never inherited."""
    found = one(file, f"{MAIN}{of_pbs}\n{ONE}{own}\n").pbs
    assert (found.verify_tls, found.fingerprint is not None) == (verified, pinned)


MISTAKES = [
    ("[targets]\n", ["[targets] in FILE: has no target; write [targets.NAME] for each PBS"]),
    ("targets = 1\n", ["targets in FILE: a value instead of a section; write [targets.NAME] for each PBS"]),
    ("[targets]\none = 1\n", ["[targets] one in FILE: a value instead of a section; write [targets.one]"]),
    (
        f"{ONE}endpont = 1\n",
        ["[targets.one] endpont in FILE: there is no such setting; did you mean [targets.one] endpoint?"],
    ),
    (
        f"{ONE}collectors = 1\n",
        [
            (
                "targets.one.collectors in FILE: a value instead of a section; "
                "write [targets.one.collectors] on a line of its own"
            )
        ],
    ),
    (
        f"{ONE}labels = 1\n",
        [("targets.one.labels in FILE: a value instead of a section; write [targets.one.labels] on a line of its own")],
    ),
    (
        f'["targets/two"]\n{ONE}',
        ['["targets/two"] in FILE: there is no such section; write [targets.NAME] for each PBS'],
    ),
    (
        f"{ONE}[targets.one.collectors]\ntap = true\n",
        ["[targets.one.collectors] tap in FILE: there is no such setting; did you mean [targets.one.collectors] tape?"],
    ),
    (
        f"{ONE}labels = {{ instance = 'a', 1a = 'b', __a = 'c', ok = 3 }}\n",
        [
            "[targets.one.labels] instance in FILE: is a label that Prometheus sets; choose another name",
            *(
                f"[targets.one.labels] {name} in FILE: is no name for a label; "
                "write letters, digits and _, not a digit or __ first"
                for name in ("1a", "__a")
            ),
            "[targets.one.labels] ok in FILE: is not text; put the value in quotes",
        ],
    ),
    (
        f"{ONE}timeout_seconds = 0\n{ONE.replace('one', 'two')}timeout_seconds = 'x'\n",
        [
            (
                "[targets.one] timeout_seconds in FILE: 0 is too small; "
                "write a number of seconds above 0, such as 5 or 2.5"
            ),
            (
                '[targets.two] timeout_seconds in FILE: "x" is text, not a number; '
                "write a number of seconds above 0, such as 5 or 2.5, without quotes"
            ),
        ],
    ),
    (
        f"{ONE}token_secret_file = 'x'\n",
        [
            (
                "[targets.one] token_secret in FILE and [targets.one] token_secret_file in FILE: "
                "only one of them may be set; remove the other"
            ),
            "[targets.one] token_secret_file in FILE: there is no such file",
        ],
    ),
]


@pytest.mark.parametrize(("content", "lines"), MISTAKES)
def test_mistakes(file: Path, content: str, lines: list[str]) -> None:
    """Each mistake is one line with target and setting, those of all targets at once, with a PBS of `[pbs]` or not."""
    assert problems(file, content) == lines
    top = content + MAIN if content.startswith("targets") else MAIN + content
    assert problems(file, top) == lines


def test_a_wrong_variable(file: Path) -> None:
    """A variable of a target that is none gets a line, with the variable that is meant."""
    (line,) = problems(file, MAIN + ONE, PBS_EXPORTER__TARGETS__ONE__TIMOUT_SECONDS="5")
    assert line.endswith("did you mean PBS_EXPORTER__TARGETS__ONE__TIMEOUT_SECONDS?")


@pytest.mark.parametrize("name", ["PBS_EXPORTER__TARGETS", "PBS_EXPORTER__TARGETS__TWO"])
def test_a_variable_without_a_key(file: Path, name: str) -> None:
    """A variable that names no setting of a target isn't taken for one of some other target."""
    (line,) = problems(file, MAIN + ONE, **{name: "x"})
    assert line.startswith(f"{name}: there is no such setting; the form is PBS_EXPORTER__SECTION__KEY")


def test_no_labels(file: Path) -> None:
    """A table of labels can be empty."""
    assert one(file, f"{ONE}labels = {{}}\n").labels == {}


@pytest.mark.parametrize(
    ("endpoint", "other"),
    [
        ("https://one:8007", "https://ONE:8007/"),
        ("https://one", "https://one:443"),
        ("https://one:8007", "https://one.:08007"),
        ("https://[::1]:8007", "https://[0:0::1]:8007"),
    ],
)
def test_one_pbs_twice(file: Path, endpoint: str, other: str) -> None:
    """Two spellings of an address are the same PBS."""
    first = ONE.replace("https://one:8007", endpoint)
    again = ONE.replace("https://one:8007", other).replace("targets.one", "targets.two")
    file.write_text(f"{first}verify_tls = true\n{again}verify_tls = true\n")
    (twice,) = load(str(file), {}, COLLECTORS)[1]
    assert twice.endswith("which is asked twice")


def test_a_label_that_is_not_utf8(file: Path) -> None:
    """A variable whose bytes aren't UTF-8 is no label's value: `/sd` couldn't show it."""
    (line,) = problems(file, ONE, PBS_EXPORTER__TARGETS__ONE__LABELS__SITE="z\udcfcrich")
    assert line == "PBS_EXPORTER__TARGETS__ONE__LABELS__SITE: is not UTF-8; write it in UTF-8"


def test_warnings_name_the_target(file: Path) -> None:
    """A PBS that is there twice, an unverified certificate and a label that metrics have are warnings."""
    again = ONE.replace("targets.one", "targets.two") + "verify_tls = true\nlabels = { datastore = 'x', site = 'y' }\n"
    file.write_text(ONE + again)
    settings, warnings = load(str(file), {}, COLLECTORS)
    unverified, twice = warnings
    assert unverified.startswith("target one: PBS's certificate is not verified, ")
    assert "set [targets.one] fingerprint" in unverified
    assert twice == (
        f"[targets.two] endpoint in {file}: is the same PBS as [targets.one] endpoint in {file}, which is asked twice"
    )
    (label,) = about_labels(settings, {"datastore", "namespace"})
    assert label.startswith("[targets.two.labels] datastore: is a label of metrics too")
