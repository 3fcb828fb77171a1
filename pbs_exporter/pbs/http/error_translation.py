"""From an HTTP status or an error of aiohttp to a `PbsError`."""

import errno
from collections.abc import Callable
from http import HTTPStatus

import aiohttp

from pbs_exporter.errors import (
    ConnectionRefused,
    FingerprintMismatch,
    Forbidden,
    HostNotFound,
    LoginRefused,
    NoSuchParameter,
    NotFound,
    NotOffered,
    PbsError,
    PbsTimeout,
    ProtocolFailed,
    StatusError,
    TlsFailed,
    Unavailable,
    Unreachable,
)
from pbs_exporter.pbs.http.body import start_of_body
from pbs_exporter.plain_text import ERROR_LIMIT, first_line, shortened

ERROR_BODY_LIMIT = 64 * 1024

_EXHAUSTED = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Why a name couldn't be looked up, although it may exist."""

_REDIRECTION = 3
_STATUS_ERRORS: dict[int, type[StatusError]] = {403: Forbidden, 404: NotFound}

_NO_SUCH_PARAMETER = "schema does not allow additional properties"

_REFUSALS = ("authentication failed", "permission check failed")
_IN_BETWEEN = "(not PBS's words: something in between, such as a proxy, refused the request)"

_UNAVAILABLE = (
    "is unavailable: ",
    "maintenance mode",
    "is not mounted",
    "is being deleted",
    "is being unmounted",
)


async def status_error(response: aiohttp.ClientResponse, hide: Callable[[str], str]) -> StatusError:
    """Return the error for a status other than 200. The content type is ignored: PBS labels its plain text as JSON.

    A proxy may echo the request, so `hide` masks the secret before the text is shortened.
    """
    status = response.status
    location = response.headers.get("Location")
    if status // 100 == _REDIRECTION and location is not None:
        where = first_line(hide(location))
        return StatusError(status, f"a redirect to {where}, not followed: is the endpoint right?")
    text = hide((await start_of_body(response, ERROR_BODY_LIMIT)).decode(errors="replace"))
    # PBS 4.1.2 and 4.1.3 answer 400 instead of 401.
    if status == HTTPStatus.UNAUTHORIZED or (
        status == HTTPStatus.BAD_REQUEST and text.startswith("authentication failed")
    ):
        return LoginRefused(status, text if _is_pbs_refusal(text) else _from_in_between(text))
    if status == HTTPStatus.BAD_REQUEST and any(words in text for words in _UNAVAILABLE):
        return Unavailable(status, text)
    if status == HTTPStatus.BAD_REQUEST and _NO_SUCH_PARAMETER in text:
        return NoSuchParameter(status, text)
    if status == HTTPStatus.NOT_FOUND and text.strip() == f"Path '{response.url.path}' not found.":
        return NotOffered(status, text)
    return _STATUS_ERRORS.get(status, StatusError)(status, text)


def _from_in_between(text: str) -> str:
    return f"{shortened(first_line(text), ERROR_LIMIT - len(_IN_BETWEEN) - 1)} {_IN_BETWEEN}"


def _is_pbs_refusal(text: str) -> bool:
    return not text.strip() or text.startswith(_REFUSALS)


def closed_unanswered(error: Exception) -> bool:
    """Whether the connection ended before the first byte of an answer."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # aiohttp's `message` is a string until part of the head has arrived.
        return isinstance(error.message, str)
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)


def connection_error(error: Exception) -> PbsError:  # noqa: C901, PLR0911 - a table
    """Return our error for one of aiohttp's. Subclasses come before their bases."""
    match error:
        case aiohttp.ServerFingerprintMismatch():
            shown = ":".join(f"{byte:02x}" for byte in error.got)
            return FingerprintMismatch(f"the certificate's fingerprint is {shown}, not the configured one")
        case aiohttp.ClientConnectorCertificateError():
            return TlsFailed(f"certificate not trusted: {first_line(str(error.certificate_error))}")
        case aiohttp.ClientConnectorSSLError():
            return TlsFailed(f"TLS handshake failed: {first_line(error.strerror or 'no reason given')}")
        case aiohttp.ClientConnectorDNSError() if error.os_error.errno not in _EXHAUSTED:
            return HostNotFound(f"host {error.host} not found")
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return ConnectionRefused(f"nothing listens on {error.host}:{error.port} (connection refused)")
        case aiohttp.ClientConnectorError():
            return Unreachable(f"no connection to {error.host}:{error.port}: {_reason(error.os_error)}")
        case TimeoutError() if error.errno is None:
            # One with a number is from the system: the connection is dead.
            return PbsTimeout("no answer in time")
        case aiohttp.ClientPayloadError():
            return ProtocolFailed("the connection broke in the middle of the answer")
        case aiohttp.ServerDisconnectedError():
            return ProtocolFailed("the connection was closed without an answer")
        case aiohttp.ClientOSError() | OSError():
            return ProtocolFailed(f"the connection broke: {first_line(error.strerror or '') or _reason(error)}")
        case _:
            return ProtocolFailed(f"invalid HTTP: {first_line(str(error)) or type(error).__name__}")


def _reason(error: OSError) -> str:
    """Return the error's text. asyncio raises some without one, such as for a reset during the TLS handshake."""
    return first_line(str(error)) or ("reset" if isinstance(error, ConnectionResetError) else type(error).__name__)
