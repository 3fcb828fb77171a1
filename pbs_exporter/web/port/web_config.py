"""The file of `[exporter] web_config_file`: Prometheus's web configuration, from bytes to one frozen Struct."""

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import yaml

from pbs_exporter.config import Secret, files
from pbs_exporter.config.values import InvalidValue, quote
from pbs_exporter.web.port import tls, yaml_tree
from pbs_exporter.web.port.rate_limit import RateLimit, seconds
from pbs_exporter.web.port.tls import TlsSettings
from pbs_exporter.web.port.yaml_tree import Section

Read = Callable[[Path], bytes]

LEAST_COST = 4
"""The lowest cost that bcrypt has."""

MOST_COST = 18
"""The highest cost of a password: that takes up to a minute, and each further one twice that."""

_HASH = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""The salt's last character has two bits of the salt."""

HEADERS: Mapping[str, frozenset[str]] = {
    "Content-Security-Policy": frozenset(),
    "Strict-Transport-Security": frozenset(),
    "X-Content-Type-Options": frozenset({"nosniff"}),
    "X-Frame-Options": frozenset({"deny", "sameorigin"}),
    "X-XSS-Protection": frozenset(),
}
"""The headers that may be set, and the permitted values; none for any."""

_OPEN_PATHS_ARE_FIXED = (
    "{key}: has no effect; /health, /-/healthy and /-/ready answer without a login, and nothing else"
)


class WebConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    tls: TlsSettings | None = None
    headers: Mapping[str, str] = {}
    users: Mapping[str, Secret] = {}
    """The bcrypt hash of each user's password."""
    rate_limit: RateLimit | None = None


class _Reading:
    """One reading of the file: what it needs of others, and what is to be told."""

    def __init__(self, folder: Path, read: Read) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._folder = folder
        self._read = read

    def content(self, node: yaml.Node) -> bytes:
        """Return the content of the file that this value names."""
        name = yaml_tree.text(node)
        try:
            return self._read(self._folder / name)
        except InvalidValue as error:
            raise InvalidValue(f"{quote(name)}: {error}") from None


def read_web_config(path: Path, read: Read = files.read) -> tuple[WebConfig, list[str]]:
    """Return what the file says, and what is done otherwise than it says.

    `read` reads a file: this one, and those that it names, whose paths are relative to it. Raises `WrongWebConfig`.
    """
    try:
        root = yaml_tree.parse(read(path))
    except InvalidValue as error:
        raise WrongWebConfig([str(error)]) from None
    reading = _Reading(path.parent, read)
    top = Section(root, "", reading.problems)
    top.know("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", *_EXCLUDED)
    config = WebConfig(
        tls=_tls(top.section("tls_server_config"), reading),
        headers=_headers(top.section("http_server_config"), reading),
        users=top.section("basic_auth_users").all(_password_hash),
        rate_limit=_rate_limit(top.section("rate_limit"), reading),
    )
    no_texts: list[str] = []
    for key in _EXCLUDED:
        if top.get(key, yaml_tree.texts, no_texts):
            reading.notes.append(_OPEN_PATHS_ARE_FIXED.format(key=key))
    if reading.problems:
        raise WrongWebConfig(list(dict.fromkeys(reading.problems)))
    return config, reading.notes


class WrongWebConfig(Exception):
    """The file can't be used. `problems` has one line each, without any secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


_EXCLUDED = ("auth_excluded_paths", "basic_auth_excluded_paths")
"""Keys of development versions of the toolkit."""

_TLS_ON = ("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type")
"""As in Go, any of these turns TLS on."""

_TLS_KEYS = (
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)


def _tls(section: Section, reading: _Reading) -> TlsSettings | None:
    section.know(*_TLS_KEYS)
    if not any(key in section for key in _TLS_ON):
        return None
    certificate = _inline_or_file(section, "cert", reading)
    key = _inline_or_file(section, "key", reading)
    if certificate is None or key is None:
        return None
    minimum, maximum = _versions(section, reading)
    ciphers, minimum = _ciphers(section, reading, minimum, maximum)
    client_ca = _inline_or_file(section, "client_ca", reading, required=False)
    return TlsSettings(
        certificate=certificate,
        key=Secret(key.decode("latin-1")),
        client_ca=client_ca,
        client_auth=_client_auth(section, reading, with_ca=client_ca is not None),
        client_allowed_sans=_names(section),
        minimum=minimum,
        maximum=maximum,
        ciphers=ciphers,
        prefer_own_order=section.get("prefer_server_cipher_suites", yaml_tree.boolean, default=True),
        curve=_curve(section, reading),
    )


def _inline_or_file(section: Section, key: str, reading: _Reading, *, required: bool = True) -> bytes | None:
    known_problems = len(reading.problems)
    inline = section.get(key, yaml_tree.text, "")
    file = section.get(f"{key}_file", yaml_tree.text, "")
    if inline and file:
        section.refuse(key, f"is there as well as {key}_file; remove one of them")
    if file:
        return section.get(f"{key}_file", reading.content, None)
    if required and not inline and len(reading.problems) == known_problems:
        section.refuse(key, f"is missing; write {key}_file, or {key} with the PEM text itself")
    return inline.encode() or None


def _client_auth(section: Section, reading: _Reading, *, with_ca: bool) -> ssl.VerifyMode:
    kind = section.get("client_auth_type", yaml_tree.text, "") or "NoClientCert"
    mode = section.get("client_auth_type", lambda _: tls.one_of(tls.CLIENT_AUTH, kind), ssl.CERT_NONE)
    if kind in {"RequireAnyClientCert", "RequireClientCert"}:
        if not with_ca:
            section.refuse(
                "client_auth_type",
                f"{kind} without client_ca can't be done, as Python takes no certificate that it doesn't verify; "
                "write client_ca_file, or RequireAndVerifyClientCert",
            )
        reading.notes.append(f"tls_server_config.client_auth_type: {kind} also verifies, by client_ca")
    if kind == "RequestClientCert":
        reading.notes.append(f"tls_server_config.client_auth_type: {kind} asks for none, as it would accept any")
    if mode == ssl.CERT_NONE and with_ca and kind == "NoClientCert":
        section.refuse("client_auth_type", "is missing, but there is a client_ca; write RequireAndVerifyClientCert")
    if mode != ssl.CERT_REQUIRED and _names(section) is not None:
        section.refuse("client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
    return mode


def _names(section: Section) -> frozenset[str] | None:
    found = section.get("client_allowed_sans", yaml_tree.texts, None)
    return None if found is None else frozenset(found)


def _versions(section: Section, reading: _Reading) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    def version(node: yaml.Node) -> ssl.TLSVersion | None:
        return tls.one_of(tls.VERSIONS, yaml_tree.text(node))

    low: ssl.TLSVersion | None = ssl.TLSVersion.TLSv1_2
    low = section.get("min_version", version, low)
    high: ssl.TLSVersion | None = ssl.TLSVersion.TLSv1_3
    high = section.get("max_version", version, high)
    if low is None:
        reading.notes.append("tls_server_config.min_version: is TLS 1.2, the lowest that the exporter offers")
        low = ssl.TLSVersion.TLSv1_2
    if high is None or high < low:
        section.refuse("max_version", "leaves no version; the exporter offers TLS 1.2 and 1.3, from min_version on")
        high = ssl.TLSVersion.TLSv1_3
    return low, high


def _ciphers(
    section: Section, reading: _Reading, minimum: ssl.TLSVersion, maximum: ssl.TLSVersion
) -> tuple[tuple[str, ...], ssl.TLSVersion]:
    """Return OpenSSL's names of the suites up to TLS 1.2, and the lowest version that has any."""

    def suites(node: yaml.Node) -> list[str]:
        for name in (found := yaml_tree.texts(node)):
            if name not in tls.CIPHERS and name not in tls.TLS13_CIPHERS:
                raise InvalidValue(f"{quote(name)} is none of Go's secure suites")
        return found

    names = section.get("cipher_suites", suites, list[str]())
    dropped = [name for name in names if tls.CIPHERS.get(name, "") is None]
    if dropped:
        reading.notes.append(f"tls_server_config.cipher_suites: without {', '.join(dropped)}, which are not secure")
    ciphers = tuple(known for name in names if (known := tls.CIPHERS.get(name)))
    if names and not ciphers:
        # As in Go, no connection up to TLS 1.2 is possible then.
        if maximum < ssl.TLSVersion.TLSv1_3:
            section.refuse("cipher_suites", "has no suite for max_version")
        return (), maximum
    return ciphers, minimum


def _curve(section: Section, reading: _Reading) -> str | None:
    def curve(node: yaml.Node) -> str | None:
        names = yaml_tree.texts(node)
        for name in names:
            tls.one_of(tls.CURVES, name)
        if not names:
            return None
        first = tls.first_curve(names)
        if len(names) > 1:
            reading.notes.append(f"tls_server_config.curve_preferences: only {first} is offered, Python can set one")
        return first

    return section.get("curve_preferences", curve, None)


def _headers(section: Section, reading: _Reading) -> dict[str, str]:
    section.know("http2", "headers")
    if section.get("http2", yaml_tree.boolean, default=False):
        reading.notes.append("http_server_config.http2: has no effect; the exporter speaks HTTP/1.1")
    headers = section.section("headers")
    headers.know(*HEADERS)
    found = headers.all(_header)
    for name, value in found.items():
        if (allowed := HEADERS.get(name)) and value and value not in allowed:
            headers.refuse(name, f"has a value that no browser knows; write {' or '.join(sorted(allowed))}")
    return {name: value for name, value in found.items() if value}


def _header(node: yaml.Node) -> str:
    value = yaml_tree.text(node) if node.value else ""
    if not re.fullmatch(r"[\x20-\x7e]*", value):
        raise InvalidValue("has a character that no header may have; write one line of ASCII")
    return value.strip()


def _password_hash(node: yaml.Node) -> Secret:
    written = yaml_tree.text(node)
    found = _HASH.fullmatch(written)
    if found is None or int(found[1]) < LEAST_COST:
        raise InvalidValue('is no bcrypt hash; write what `htpasswd -nBC 10 ""` prints behind the colon')
    if int(found[1]) > MOST_COST:
        raise InvalidValue(f"has a cost above {MOST_COST}, so a login would take minutes; write a hash with less")
    return Secret(written)


def _rate_limit(section: Section, reading: _Reading) -> RateLimit | None:
    section.know("interval", "burst")

    def interval(node: yaml.Node) -> float:
        written = yaml_tree.text(node)
        if not yaml_tree.is_number(node):
            return seconds(written)
        found = yaml_tree.whole(node)
        if found:
            reading.notes.append(f"rate_limit.interval: {written} is in nanoseconds; write a unit, such as {written}s")
        return found / 1e9

    every = section.get("interval", interval, 0.0)
    burst = section.get("burst", yaml_tree.whole, 0)
    if not every:
        return None
    if not burst:
        reading.notes.append("rate_limit.burst: is 0, so that every request is refused")
    return RateLimit(every, burst)
