"""Every HTTP matter: one GET to PBS, from its slot to the last byte of its body."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from pbs_exporter.config import TargetSettings
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
    TooLarge,
    Unavailable,
    Unreachable,
)
from pbs_exporter.pbs.http.connector import certificate, reused
from pbs_exporter.pbs.http.decoding import Decoder
from pbs_exporter.pbs.http.request_limiter import Lane, RequestLimiter
from pbs_exporter.pbs.http.tls import trust
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.plain_text import first_line

BODY_LIMIT = 512 * 1024 * 1024
"""At most so many bytes of one answer are read (after inflating)."""

ERROR_BODY_LIMIT = 64 * 1024

Observer = Callable[[str, str, float], None]
"""Is told of each request that was sent: its path template, its code, and how many seconds it took."""

T = TypeVar("T")

_REDIRECTION = 3
_LARGE = 64 * 1024
_STATUS_ERRORS: dict[int, type[StatusError]] = {403: Forbidden, 404: NotFound}

_NO_SUCH_PARAMETER = "schema does not allow additional properties"

_UNAVAILABLE = (
    "is unavailable: ",
    "maintenance mode",
    "is not mounted",
    "is being deleted",
    "is being unmounted",
)


class Timed(msgspec.Struct, Generic[T], frozen=True):
    """What an answer said, and how many seconds PBS took for it: from the request's slot to the last byte."""

    value: T
    seconds: float


class Transport:
    """GETs to one PBS, over a session that isn't its own."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: TargetSettings, login: TokenAuth, observe: Observer
    ) -> None:
        self.certificate: bytes | None = None
        """What PBS showed at the newest TLS handshake (DER)."""
        self._session = session
        self._base = f"{settings.endpoint}/api2/json"
        self._login = login
        self._observe = observe
        self._slots = RequestLimiter(settings.max_concurrent_requests)
        self._trust = trust(settings)
        # PBS knows deflate alone. It spares more deciphering than it costs, but plain HTTP has nothing to decipher.
        self._encoding = "deflate" if settings.endpoint.startswith("https:") else "identity"

    async def get(
        self,
        template: str,
        decode: Decoder[T],
        *,
        timeout_seconds: float,
        path: dict[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        lane: Lane = Lane.PROMPT,
    ) -> Timed[T]:
        """Give what `decode` makes of the body of a 200. Raises a `PbsError` for everything else.

        `template` is the path with `{names}` that `path` fills; both it and `query` are percent-encoded here.
        The time counts from the request's slot to the last byte of the body.
        """
        # A lone surrogate in a name can't be sent: PBS then refuses the name, and nothing breaks here.
        names = {name: quote(value, safe="", errors="replace") for name, value in (path or {}).items()}
        url = f"{self._base}{template.format(**names)}"
        if query:
            url += f"?{urlencode(query, errors='replace', quote_via=quote)}"
        async with self._slots.take(lane):
            self._login.check()
            started = time.perf_counter()
            # What a request is counted as that the scrape's deadline cuts off.
            code = PbsTimeout.code
            try:
                async with asyncio.timeout(timeout_seconds):
                    value = await self._once_or_twice(URL(url, encoded=True), decode)
                code = "200"
            except TimeoutError as error:
                raise PbsTimeout(f"no answer within {timeout_seconds:g} s") from error
            except PbsError as error:
                code = error.code
                # Also what is no JSON or no HTTP is shown, and can be an echo of the request.
                error.args = (self._login.hide(str(error)),)
                if isinstance(error, LoginRefused):
                    self._login.refused()
                # Errors are kept until the next scrape, and the frames below hold the answer.
                error.__context__ = None
                raise error.with_traceback(None) from None
            finally:
                seconds = time.perf_counter() - started
                self._observe(template, code, seconds)
            return Timed(value, seconds)

    async def _once_or_twice(self, url: URL, decode: Decoder[T]) -> T:
        """GET, and once more where PBS closed a kept connection before it answered: its restart, no failure."""
        reused.set(False)
        try:
            return await self._once(url, decode)
        except (aiohttp.ClientError, OSError) as error:
            if not (reused.get() and _closed_unanswered(error)):
                raise translated(error) from error
        try:
            return await self._once(url, decode)
        except (aiohttp.ClientError, OSError) as error:
            raise translated(error) from error

    async def _once(self, url: URL, decode: Decoder[T]) -> T:
        certificate.set(None)
        async with self._session.get(
            url,
            headers={"Authorization": self._login.header, "Accept-Encoding": self._encoding},
            ssl=self._trust,
            allow_redirects=False,
        ) as response:
            self.certificate = certificate.get() or self.certificate
            if response.status == HTTPStatus.OK:
                return await decode(_chunks(response, BODY_LIMIT))
            raise await _status_error(response, self._login.hide)


async def _chunks(response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    """Give the body, inflated, as it arrives."""
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the answer has more than {limit // 1024**2} MiB")
        yield chunk
        if len(chunk) >= _LARGE:
            # More may be inflated already: the event loop would get no turn before its end.
            await asyncio.sleep(0)


async def _status_error(response: aiohttp.ClientResponse, hide: Callable[[str], str]) -> StatusError:
    """Make the error of a status. PBS labels its plain text as JSON: the content type says nothing.

    A proxy may send back what it got, so `hide` takes the secret out before the text is cut.
    """
    status = response.status
    if status // 100 == _REDIRECTION:
        where = first_line(hide(response.headers.get("Location", "")))
        return StatusError(status, f"a redirect to {where}, not followed: is the endpoint right?")
    raw = b""
    while len(raw) < ERROR_BODY_LIMIT and (chunk := await response.content.readany()):
        raw += chunk
    text = hide(raw.decode(errors="replace"))
    # PBS 4.1.2 and 4.1.3 say 400 where the others say 401.
    if status == HTTPStatus.UNAUTHORIZED or (
        status == HTTPStatus.BAD_REQUEST and text.startswith("authentication failed")
    ):
        return LoginRefused(status, text)
    if status == HTTPStatus.BAD_REQUEST and any(words in text for words in _UNAVAILABLE):
        return Unavailable(status, text)
    if status == HTTPStatus.BAD_REQUEST and _NO_SUCH_PARAMETER in text:
        return NoSuchParameter(status, text)
    if status == HTTPStatus.NOT_FOUND and text.strip() == f"Path '{response.url.path}' not found.":
        return NotOffered(status, text)
    return _STATUS_ERRORS.get(status, StatusError)(status, text)


def _closed_unanswered(error: Exception) -> bool:
    """Tell whether the connection ended before any byte of an answer."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # aiohttp puts here what it has of the answer's head.
        return isinstance(error.message, str)
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)


def translated(error: Exception) -> PbsError:  # noqa: C901, PLR0911 - a table
    """Make ours of aiohttp's errors. The most special kinds come first."""
    match error:
        case aiohttp.ServerFingerprintMismatch():
            shown = ":".join(f"{byte:02x}" for byte in error.got)
            return FingerprintMismatch(f"the certificate's fingerprint is {shown}, not the configured one")
        case aiohttp.ClientConnectorCertificateError():
            return TlsFailed(f"certificate not trusted: {first_line(str(error.certificate_error))}")
        case aiohttp.ClientConnectorSSLError():
            return TlsFailed(f"TLS handshake failed: {first_line(error.strerror or 'no reason given')}")
        case aiohttp.ClientConnectorDNSError():
            return HostNotFound(f"host {error.host} not found")
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return ConnectionRefused(f"nothing listens on {error.host}:{error.port} (connection refused)")
        case aiohttp.ClientConnectorError():
            return Unreachable(f"no connection to {error.host}:{error.port}: {first_line(str(error.os_error))}")
        case TimeoutError():
            return PbsTimeout("no answer in time")
        case aiohttp.ClientPayloadError():
            return ProtocolFailed("the connection broke in the middle of the answer")
        case aiohttp.ServerDisconnectedError():
            return ProtocolFailed("the connection was closed without an answer")
        case aiohttp.ClientOSError() | OSError():
            return ProtocolFailed(f"the connection broke: {first_line(error.strerror or str(error))}")
        case _:
            return ProtocolFailed(f"no proper HTTP: {first_line(str(error)) or type(error).__name__}")
