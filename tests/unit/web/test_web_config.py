"""The web configuration: what a file means, what is refused, and what is done otherwise and told."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from pbs_exporter.config.values import InvalidValue
from pbs_exporter.errors import ConfigError
from pbs_exporter.web.port import tls
from pbs_exporter.web.port.guard import Guard
from pbs_exporter.web.port.rate_limit import RateLimit, TokenBucket, seconds
from pbs_exporter.web.port.web_config import WebConfig, WrongWebConfig, read_web_config

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
CERTIFICATE = trustme.CA().issue_cert("localhost")

EXAMPLE = """\
# TLS and basic authentication configuration example.
tls_server_config:
  cert_file: server.crt
  key_file: server.key

# Passwords are hashed with bcrypt.
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m
"""

EXCLUDED = (
    "basic_auth_excluded_paths: has no effect; /health, /-/healthy and /-/ready answer without a login, "
    "and nothing else"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a certificate, its key and a CA."""
    (tmp_path / "server.crt").write_bytes(b"".join(part.bytes() for part in CERTIFICATE.cert_chain_pems))
    (tmp_path / "server.key").write_bytes(CERTIFICATE.private_key_pem.bytes())
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


def read(folder: Path, text: str | bytes) -> tuple[WebConfig, list[str]]:
    file = folder / "web.yml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_web_config(file)


def problems(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(WrongWebConfig) as caught:
        read(folder, text)
    return caught.value.problems


def with_tls(*lines: str) -> str:
    return "\n  ".join(["tls_server_config:", "cert_file: server.crt", "key_file: server.key", *lines])


def test_example_of_the_format(folder: Path) -> None:
    """The example file of the format's documentation works as it is, and needs no remark."""
    config, notes = read(folder, EXAMPLE)
    assert config.tls is not None
    tls.make_context(config.tls)
    assert (list(config.users), notes) == (["alice", "bob"], [])
    more = "basic_auth_excluded_paths:\n- /-/healthy\n- /-/ready\n"
    assert read(folder, EXAMPLE + more) == (
        config,
        [EXCLUDED],
    )


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "tls_server_config:\nbasic_auth_users: {}\n", "rate_limit: {interval: 0}"]
)
def test_nothing(folder: Path, text: str) -> None:
    """An empty file, and one with empty sections, sets nothing."""
    assert read(folder, text) == (WebConfig(), [])


def test_everything(folder: Path) -> None:
    """Each key of the format is read."""
    config, notes = read(
        folder,
        with_tls(
            "client_auth_type: RequireAndVerifyClientCert",
            "client_ca_file: ca.crt",
            "client_allowed_sans: [prometheus.example.com, 10.0.0.1]",
            "min_version: TLS12",
            "max_version: TLS13",
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",
            "prefer_server_cipher_suites: false",
            "curve_preferences: [CurveP384]",
        )
        + "\nhttp_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection:\n"
        + f"basic_auth_users:\n  yes: {HASH}\n  123: {HASH}\n  null: {HASH}\n"
        + "rate_limit:\n  interval: 1.5s\n  burst: 3\n",
    )
    assert config.tls is not None
    assert config.tls.client_auth == ssl.CERT_REQUIRED
    assert config.tls.client_ca == (folder / "ca.crt").read_bytes()
    assert config.tls.client_allowed_sans == frozenset({"prometheus.example.com", "10.0.0.1"})
    assert config.tls.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert (config.tls.prefer_own_order, config.tls.curve) == (False, "secp384r1")
    assert config.headers == {"X-Frame-Options": "deny"}
    assert list(config.users) == ["yes", "123", "null"]
    assert config.rate_limit == RateLimit(1.5, 3)
    assert notes == []
    tls.make_context(config.tls)


def test_inline(folder: Path) -> None:
    """Certificate, key and CA can be in the file itself, and mean the same as in files of their own."""

    def block(name: str, file: str) -> str:
        indented = (folder / file).read_text().replace("\n", "\n    ").rstrip(" ")
        return f"  {name}: |\n    {indented}"

    auth = "client_auth_type: VerifyClientCertIfGiven"
    blocks = block("cert", "server.crt") + block("key", "server.key") + block("client_ca", "ca.crt")
    inline = f"tls_server_config:\n{blocks}"
    config = read(folder, f"{inline}  {auth}\n")[0]
    assert config == read(folder, with_tls("client_ca_file: ca.crt", auth))[0]
    assert config.tls is not None
    tls.make_context(config.tls)
    assert "PRIVATE" not in repr(config)


WRONG = {
    "unknown section": ("web_config: {}\n", "web_config in line 1: is not a key of this file; known are"),
    "unknown key": (
        with_tls("min_versoin: TLS12"),
        "tls_server_config.min_versoin in line 4: is not a key of this file; did you mean min_version?",
    ),
    "wrong case": ("Basic_auth_users: {}", "did you mean basic_auth_users?"),
    "key twice": (
        with_tls("min_version: TLS12", "min_version: TLS13"),
        "tls_server_config.min_version in lines 4 and 5: is there twice",
    ),
    "section twice": ("rate_limit: {}\nrate_limit: {}", "rate_limit in lines 1 and 2: is there twice"),
    "user twice": (
        f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}",
        "basic_auth_users.a in lines 2 and 3: is there twice",
    ),
    "merge": ("a: &a {interval: 1s}\nrate_limit:\n  <<: *a", "a key in line 3: is not text"),
    "key is a list": ("rate_limit:\n  [a]: 1", "a key in line 2: is not text"),
    "no mapping": ("- a", "the file in line 1: has no keys"),
    "section is text": ("rate_limit: 1s", "rate_limit in line 1: has no keys"),
    "not YAML": ("rate_limit: {\n", "the file is not YAML in line 2"),
    "tab": ("rate_limit:\n\tburst: 1", "the file is not YAML in line 2"),
    "control character": (b"rate_limit: \x01", "the file is not YAML"),
    "not UTF-8": (b"# \n# \xff", "the file is not UTF-8 in line 2"),
    "two documents": ("rate_limit: {}\n---\nrate_limit: {}\n", "the file is not YAML in line 2"),
    "deep": ("[" * 5000, "the file is not YAML"),
    "tag": (
        "rate_limit:\n  interval: !!python/object/apply:os.system [id]",
        "rate_limit.interval in line 2: is not text",
    ),
    "alias of itself": ("rate_limit: &a\n  interval: *a", "rate_limit.interval in line 1: is not text"),
    "no key": ("tls_server_config:\n  cert_file: server.crt", "tls_server_config.key: is missing"),
    "only a CA": ("tls_server_config:\n  client_ca_file: ca.crt", "tls_server_config.cert: is missing"),
    "both": (with_tls("cert: abc"), "tls_server_config.cert in line 4: is there as well as cert_file"),
    "no such file": (
        with_tls().replace("server.crt", "gone"),
        'tls_server_config.cert_file in line 2: "gone": there is no such file',
    ),
    "auth type": (with_tls("client_auth_type: Never"), '"Never" is not one of the choices; write one of NoClientCert,'),
    "CA without auth": (with_tls("client_ca_file: ca.crt"), "client_auth_type: is missing, but there is a client_ca"),
    "CA that isn't used": (
        with_tls("client_ca_file: ca.crt", "client_auth_type: NoClientCert"),
        "is missing, but there is a client_ca",
    ),
    "any certificate": (
        with_tls("client_auth_type: RequireAnyClientCert"),
        "RequireAnyClientCert without client_ca can't be done",
    ),
    "names without certificates": (
        with_tls("client_allowed_sans: [a]"),
        "client_allowed_sans in line 4: needs client_auth_type",
    ),
    "version": (
        with_tls("min_version: TLS1.2"),
        '"TLS1.2" is not one of the choices; write one of TLS13, TLS12, TLS11, TLS10',
    ),
    "versions": (with_tls("min_version: TLS13", "max_version: TLS12"), "max_version in line 5: leaves no version"),
    "old versions": (with_tls("min_version: TLS10", "max_version: TLS11"), "max_version in line 5: leaves no version"),
    "suite": (
        with_tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"),
        '"TLS_RSA_WITH_RC4_128_SHA" is none of Go\'s secure suites',
    ),
    "suites of 1.3": (
        with_tls("max_version: TLS12", "cipher_suites: [TLS_AES_128_GCM_SHA256]"),
        "has no suite for max_version",
    ),
    "no list": (with_tls("cipher_suites: TLS_AES_128_GCM_SHA256"), "cipher_suites in line 4: is not a list"),
    "curve": (with_tls("curve_preferences: [P256]"), '"P256" is not one of the choices; write one of CurveP256,'),
    "bool": (
        with_tls("prefer_server_cipher_suites: 1"),
        "prefer_server_cipher_suites in line 4: is neither true nor false",
    ),
    "quoted bool": (
        'http_server_config:\n  http2: "true"',
        "http_server_config.http2 in line 2: is neither true nor false",
    ),
    "header": (
        "http_server_config:\n  headers:\n    Server: a",
        "http_server_config.headers.Server in line 3: is not a key of this file",
    ),
    "header's value": (
        "http_server_config:\n  headers:\n    X-Frame-Options: allow",
        "X-Frame-Options in line 3: has a value that no browser knows; write deny or sameorigin",
    ),
    "header with a line": (
        'http_server_config:\n  headers:\n    X-XSS-Protection: "a\\r\\nSet-Cookie: b"',
        "has a character that no header may have",
    ),
    "plain password": ("basic_auth_users:\n  a: hunter2hunter2", "basic_auth_users.a in line 2: is no bcrypt hash"),
    "no password": ("basic_auth_users:\n  a:", "basic_auth_users.a in line 2: is no bcrypt hash"),
    "cost": (f"basic_auth_users:\n  a: {HASH.replace('$10$', '$03$')}", "is no bcrypt hash"),
    "salt": (f"basic_auth_users:\n  a: {HASH[:28]}a{HASH[29:]}", "is no bcrypt hash"),
    "high cost": (f"basic_auth_users:\n  a: {HASH.replace('$10$', '$19$')}", "has a cost above 18"),
    "interval": (
        "rate_limit:\n  interval: 1 s",
        "rate_limit.interval in line 2: is not a duration; write a number and its unit",
    ),
    "negative interval": ("rate_limit:\n  interval: -1s", "is not a duration"),
    "burst": (
        "rate_limit:\n  interval: 1s\n  burst: -1",
        "rate_limit.burst in line 3: is not a whole number of at least 0",
    ),
}


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_wrong_files(folder: Path, text: str | bytes, problem: str) -> None:
    """A mistake is a line with its key and its place, and without any value that may be a secret."""
    found = problems(folder, text)
    assert any(problem in line for line in found), found
    assert not any(secret in line for line in found for secret in (HASH, "hunter2", "PRIVATE"))
    assert all(len(line.splitlines()) == 1 for line in found)


def test_all_mistakes_at_once(folder: Path) -> None:
    """All mistakes of a file are told, each once."""
    found = problems(folder, "a: 1\ntls_server_config:\n  cert_file: [a]\n  b: 1\nrate_limit:\n  burst: x\n")
    assert sorted(line.split(":")[0] for line in found) == [
        "a in line 1",
        "rate_limit.burst in line 6",
        "tls_server_config.b in line 4",
        "tls_server_config.cert_file in line 3",
        "tls_server_config.key",
    ]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("http_server_config:\n  http2: true", "http2: has no effect"),
        (with_tls("curve_preferences: [X25519, CurveP256]"), "only X25519 is offered"),
        (with_tls("curve_preferences: [X25519MLKEM768, CurveP256]"), "is offered, Python can set one"),
        (with_tls("min_version: TLS10"), "min_version: is TLS 1.2"),
        (
            with_tls("cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"),
            "cipher_suites: without TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        (with_tls("client_auth_type: RequestClientCert"), "asks for none"),
        (with_tls("client_auth_type: RequireAnyClientCert", "client_ca_file: ca.crt"), "also verifies"),
        ("rate_limit: {interval: 5, burst: 1}", "5 is in nanoseconds; write a unit, such as 5s"),
        ("rate_limit: {interval: 5s}", "every request is refused"),
    ],
)
def test_what_is_done_otherwise_is_told(folder: Path, text: str, note: str) -> None:
    """What is equal or stricter than written works, with one remark."""
    config, notes = read(folder, text)
    assert len(notes) == 1
    assert note in notes[0]
    if config.tls is not None:
        tls.make_context(config.tls)


def test_only_suites_of_tls_1_3(folder: Path) -> None:
    """As in Go, a list with suites of TLS 1.3 alone leaves no other version."""
    config = read(folder, with_tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"))[0]
    assert config.tls is not None
    assert config.tls.minimum == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("server.key", b"no key", "cert and key: are not a certificate chain and its private key"),
        ("server.crt", b"", "cert and key: are not"),
        ("server.key", trustme.CA().issue_cert("a").private_key_pem.bytes(), "key: doesn't belong to the certificate"),
        ("ca.crt", b"no CA", "client_ca: is not a certificate"),
    ],
)
def test_unusable_certificates(folder: Path, file: str, content: bytes, problem: str) -> None:
    """A certificate, key or CA that can't be used is one line."""
    (folder / file).write_bytes(content)
    config = read(folder, with_tls("client_auth_type: VerifyClientCertIfGiven", "client_ca_file: ca.crt"))[0]
    assert config.tls is not None
    with pytest.raises(InvalidValue, match=problem):
        tls.make_context(config.tls)


def test_encrypted_key(folder: Path) -> None:
    """An encrypted key is one line: nobody is there to type its password."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    config = read(folder, with_tls())[0]
    assert config.tls is not None
    with pytest.raises(InvalidValue, match="key: is encrypted"):
        tls.make_context(config.tls)


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ([("DNS", "a.example.com")], True),
        ([("DNS", "b"), ("DNS", "a.example.com")], True),
        ([("DNS", "A.example.com")], False),
        ([("DNS", "*.example.com")], False),
        ([("IP Address", "10.0.0.1")], True),
        ([("IP Address", "2001:DB8:0:0:0:0:0:1")], True),
        ([("email", "a@example.com")], True),
        ([("URI", "spiffe://a/b")], True),
        ([("DirName", "a.example.com"), ("Registered ID", "10.0.0.1")], False),
        ([], False),
    ],
)
def test_allowed_names(names: Sequence[tuple[str, str]], allowed: bool) -> None:  # noqa: FBT001 - a column
    """A name of the certificate must be exactly one of the list, as Go writes addresses."""
    listed = frozenset({"a.example.com", "10.0.0.1", "2001:db8::1", "a@example.com", "spiffe://a/b"})
    assert tls.has_allowed_san({"subjectAltName": tuple(names)}, listed) == allowed
    assert not tls.has_allowed_san(None, listed)
    assert not tls.has_allowed_san({}, listed)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1s", 1),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("1m30s", 90),
        ("2h", 7200),
        ("3us", 3e-6),
        ("5ns", 5e-9),
    ],
)
def test_durations(text: str, value: float) -> None:
    """A duration is written as in Go."""
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1d", "-1s", "1e3s", "1.s.", "\u0661s"])
def test_no_durations(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidValue):
        seconds(text)


def test_token_bucket() -> None:
    """A burst is answered at once, then one request in each interval."""
    bucket = TokenBucket(RateLimit(2.0, 3), 100.0)
    assert [bucket.take(now) for now in (100, 100, 100, 100, 101, 102, 103, 104, 1000, 1000, 1000, 1000)] == [
        True, True, True, False, False, True, False, True, True, True, True, False,
    ]  # fmt: skip


WORDS = (
    "tls_server_config http_server_config basic_auth_users rate_limit headers http2 cert cert_file key_file client_ca "
    "min_version cipher_suites curve_preferences interval burst client_allowed_sans client_auth_type X-Frame-Options "
    f"server.crt server.key TLS12 {HASH} ~ null yes 1 -1 0x1f 1_0 1s 1e9h * &a *a << !!binary --- ... \ud7ff"
)
MARKS = (": ", ":\n  ", "\n", "\n  ", "\n- ", "? ", "| ", "> ", *"[]{},#%\"'\t\0")
PIECES = st.sampled_from([*WORDS.split(), *MARKS])


@given(st.one_of(st.lists(PIECES, max_size=30).map("".join).map(str.encode), st.binary(max_size=50)))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the file contains, it is a configuration, or refused with lines."""
    problems = ["nothing"]
    try:
        read(tmp_path_factory.getbasetemp(), content)
    except WrongWebConfig as error:
        problems = error.problems
    assert problems
    assert all(len(line.splitlines()) == 1 for line in problems)


# --- another file while the port is open


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_another_file(folder: Path) -> None:
    """When the settings name another file, it counts from then on; a wrong one changes nothing."""
    login, headers = f"basic_auth_users:\n  a: {HASH}\n", "http_server_config:\n  headers:\n    X-XSS-Protection: 0\n"
    guard = Guard(None)
    assert (guard.config, list(guard.collect())) == (None, [])
    assert guard.follow(write(folder, "login.yml", login))
    assert guard.config is not None
    assert list(guard.config.users) == ["a"]
    with pytest.raises(ConfigError):
        guard.follow(write(folder, "wrong.yml", "a: 1"))
    with pytest.raises(ConfigError):
        guard.follow(folder / "gone.yml")
    assert guard.config is not None
    assert list(guard.config.users) == ["a"]
    assert guard.follow(write(folder, "headers.yml", headers))
    assert (guard.config.users, guard.config.headers) == ({}, {"X-XSS-Protection": "0"})
    assert guard.follow(None)
    assert guard.config is None


def test_another_file_with_tls(folder: Path) -> None:
    """Another file's certificate is used for connections from then on, but TLS is neither turned on nor off."""
    guard = Guard(write(folder, "one.yml", with_tls()))
    context = guard.context
    assert isinstance(context, tls.Context)
    before = context.current
    assert guard.follow(write(folder, "two.yml", with_tls("min_version: TLS13")))
    assert guard.context is context
    assert context.current is not before
    assert context.current.minimum_version == ssl.TLSVersion.TLSv1_3
    write(folder, "two.yml", with_tls("max_version: TLS12"))
    context.renew()
    assert context.current.maximum_version == ssl.TLSVersion.TLSv1_2
    assert not guard.follow(None)
    assert not guard.follow(write(folder, "plain.yml", ""))
    assert guard.context is context
    assert not Guard(None).follow(folder / "one.yml")
