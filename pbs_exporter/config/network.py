"""The address and the certificate of PBS, and the listen address and the web configuration of the exporter."""

import ipaddress
import re
import socket
import ssl
from pathlib import Path

from pbs_exporter.config import files
from pbs_exporter.config.model import ExternalUrl, ListenAddress
from pbs_exporter.config.values import InvalidValue, RawValue, in_any_case, quote, quoted, string, takes

PORT_LIMIT = 65535

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?")
_HOST_NAME = re.compile(r"(?!.{255})[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}")
_EXTERNAL_URL = re.compile(r"(?i:(?P<scheme>https?))://(?P<address>[^/?#@]+)(?P<prefix>(?:/[A-Za-z0-9._~-]+)*)/?")
_ENDPOINT_HINT = "write https://HOST:8007"
_HTTP = f"{in_any_case('http')}[sS]?://"
_LISTEN_HINT = "write HOST:PORT, :PORT for all addresses, or [IPV6]:PORT, as in 127.0.0.1:9101"


@takes(type="string", pattern=rf"^{_HTTP}[^/?#@\s]+/?$")
def endpoint(raw: RawValue) -> str:
    """Parse `https://HOST[:PORT]` or `http://HOST[:PORT]`. Errors never show it: it may contain a password."""
    value = string(raw)
    if quoted(value):
        raise InvalidValue(f"is in quotes; {_ENDPOINT_HINT}, without them")
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise InvalidValue(f"contains a space or another character that no address has; {_ENDPOINT_HINT}")
    scheme, separator, rest = value.partition("://")
    if not separator:
        raise InvalidValue(f"has no scheme; {_ENDPOINT_HINT}")
    if scheme.lower() not in ("https", "http"):
        raise InvalidValue(f"has a scheme that is neither https nor http; {_ENDPOINT_HINT}")
    address = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in address:
        raise InvalidValue(
            f"contains user info before an @; {_ENDPOINT_HINT}, and the token into token_id and token_secret"
        )
    behind = rest.removeprefix(address)
    if behind not in ("", "/"):
        what = "path" if behind.startswith("/") else "query or fragment"
        raise InvalidValue(f"has a {what} after the address; {_ENDPOINT_HINT} and nothing after it")
    # A zone after %25, as in RFC 6874, and after % are the same. Of the two, the client takes %.
    address = re.sub(r"\A(\[[^\]%]*)%25(?=[^\]])", r"\1%", address)
    _check_address(address)
    return f"{scheme.lower()}://{address}"


@takes(type="string", pattern=rf"^{_HTTP}[^/?#@\s]+(/[A-Za-z0-9._~-]+)*/?$")
def external_url(raw: RawValue) -> ExternalUrl:
    """Parse `http://HOST[:PORT][/PATH]` or `https://HOST[:PORT][/PATH]`."""
    value = string(raw)
    match = _EXTERNAL_URL.fullmatch(value)
    if match is None or not is_address(match["address"]):
        raise InvalidValue(f"{quote(value)} is no address of an exporter; write https://HOST:PORT/PATH")
    return ExternalUrl(match["scheme"].lower(), match["address"], match["prefix"])


def is_address(text: str) -> bool:
    """Whether this is `HOST` or `HOST:PORT`: the host is a name or an IP address, IPv6 in brackets.

    A zone (`fe80::1%eth0`) isn't accepted: only its own machine knows it, and Python takes any text for one.
    """
    if "%" in text:
        return False
    try:
        _check_address(text)
    except InvalidValue:
        return False
    return True


def _check_address(address: str) -> None:
    match = _ADDRESS.fullmatch(address)
    if match is None or not (_is_ipv6(match["ipv6"]) if match["ipv6"] else _is_host(match["host"] or "")):
        raise InvalidValue(f"has no valid host; {_ENDPOINT_HINT}")
    if match["port"] is not None and not _is_port(match["port"], minimum=1):
        raise InvalidValue(f"has no valid port, which is a number from 1 to {PORT_LIMIT}; {_ENDPOINT_HINT}")


def _is_host(host: str) -> bool:
    """Whether it is a name or an IPv4 address. The client refuses short forms of addresses, such as `127.1`."""
    if re.fullmatch(r"[0-9.]+", host):
        return _is_ip(host, ipaddress.IPv4Address)
    return _HOST_NAME.fullmatch(host) is not None


def _is_ipv6(host: str) -> bool:
    return _is_ip(host, ipaddress.IPv6Address)


def _is_ip(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True


def _is_port(port: str, *, minimum: int) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", port) is not None and minimum <= int(port) <= PORT_LIMIT


@takes(type="string", pattern=f"^{_FINGERPRINT.pattern}$")
def fingerprint(raw: RawValue) -> bytes:
    """Parse a certificate's SHA-256 as shown by PBS's dashboard: 64 hex digits, with or without colons."""
    value = string(raw)
    if not _FINGERPRINT.fullmatch(value):
        raise InvalidValue(
            f"{quote(value)} is not a SHA-256 fingerprint; "
            "write its 64 hex digits, with or without colons, as PBS's dashboard shows them"
        )
    return bytes.fromhex(value.replace(":", ""))


@takes(type="string")
def ca_file(raw: RawValue) -> Path:
    """Parse the path of a PEM file with at least one certificate."""
    value = string(raw)
    path = Path(value)
    try:
        files.read(path)
    except InvalidValue as error:
        raise InvalidValue(f"{quote(value)}: {error}; write the path of a PEM file") from None
    if not _holds_certificate(path):
        raise InvalidValue(
            f"{quote(value)}: the file contains no valid certificate in PEM format; write the path of a PEM file"
        )
    return path


def _holds_certificate(path: Path) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except OSError:
        return False
    # A revocation list is also PEM, but has no certificates to trust.
    return context.cert_store_stats()["x509"] > 0


@takes(type="string", pattern=r"^(\[[^\[\]]*\]|[^:\[\]]*):[0-9]{1,5}$")
def listen_address(raw: RawValue) -> ListenAddress:
    """Parse `HOST:PORT`, `:PORT` or `[IPV6]:PORT`. The host must resolve. Port 0 is any free port."""
    value = string(raw)
    match = _ADDRESS.fullmatch(value)
    if match is None or match["port"] is None:
        what = "has an IPv6 address without brackets" if _is_ipv6(value.rpartition(":")[0]) else "has no port"
        raise InvalidValue(f"{quote(value)} {what}; {_LISTEN_HINT}")
    if not _is_port(match["port"], minimum=0):
        raise InvalidValue(f"{quote(value)} has no port from 0 to {PORT_LIMIT}; {_LISTEN_HINT}")
    if match["ipv6"] is not None and not _is_ipv6(match["ipv6"]):
        raise InvalidValue(f"{quote(value)} has no IPv6 address in its brackets; {_LISTEN_HINT}")
    host = match["ipv6"] or match["host"] or ""
    if host and not _resolves(host):
        raise InvalidValue(f"{quote(value)} has a host that doesn't resolve; {_LISTEN_HINT}")
    return ListenAddress(host, int(match["port"]))


@takes(type="string")
def web_config_file(raw: RawValue) -> Path:
    """Parse the path of a web configuration, relative to the settings file that names it. The file must be readable."""
    value = string(raw)
    path = raw.folder / value
    try:
        files.read(path)
    except InvalidValue as error:
        raise InvalidValue(f"{quote(value)}: {error}; write the path of a YAML file") from None
    return path


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, ValueError):
        # ValueError: IDNA can't encode the name.
        return False
