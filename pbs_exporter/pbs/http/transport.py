"""The transport: one GET to PBS, from its request slot to the last byte of the body."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from pbs_exporter.clock import Clock
from pbs_exporter.config import TargetSettings
from pbs_exporter.errors import PbsError, PbsTimeout, WrongShape, bare
from pbs_exporter.pbs.http import body
from pbs_exporter.pbs.http.body import MIB
from pbs_exporter.pbs.http.connector import certificate, new_only, reused
from pbs_exporter.pbs.http.decoding import Decoder
from pbs_exporter.pbs.http.error_translation import closed_unanswered, connection_error, status_error
from pbs_exporter.pbs.http.request_limiter import Lane, RequestLimiter
from pbs_exporter.pbs.http.tls import trust
from pbs_exporter.pbs.http.token_auth import TokenAuth

BODY_LIMIT = 512 * MIB
"""Size limit of the largest answers, the listings, in inflated bytes."""

CANCELLED = "cancelled"
"""The code of a request whose answer nobody waits for any more: the client of the scrape has left."""

Observer = Callable[[str, str, float], None]
"""Called after each request that was sent, with its path template, its code and its duration in seconds."""

T = TypeVar("T")


class Timed(msgspec.Struct, Generic[T], frozen=True):
    """A decoded answer, and the seconds from its request slot to the last byte of its body.

    `sent_at` is PBS's clock in the answer's `Date` (Unix seconds), `None` where there is none.
    """

    value: T
    seconds: float
    sent_at: float | None = None


class _Dated(msgspec.Struct, Generic[T], frozen=True):
    """A decoded answer, and its `Date`."""

    value: T
    sent_at: float | None


class Transport:
    """Sends GET requests to one PBS. The session belongs to the caller."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: TargetSettings,
        auth: TokenAuth,
        observe: Observer,
        clock: Clock = Clock(),  # noqa: B008 - immutable
    ) -> None:
        self.certificate: bytes | None = None
        """The certificate (DER) that PBS presented at the newest TLS handshake."""
        self._session = session
        self._clock = clock
        # Seconds by which PBS's clock is ahead of ours, by the `Date` of its newest answer.
        self._pbs_ahead = 0.0
        self._base = f"{settings.endpoint}/api2/json"
        self._auth = auth
        self._observe = observe
        self._limiter = RequestLimiter(settings.max_concurrent_requests)
        self._trust = trust(settings)
        # PBS supports only deflate. It saves more decryption time than it costs; over plain HTTP it would only cost.
        self._encoding = "deflate" if settings.endpoint.startswith("https:") else "identity"

    def pbs_now(self) -> float:
        """Return PBS's own time (Unix seconds), at most a second late."""
        return self._clock.now() + self._pbs_ahead

    async def get(
        self,
        template: str,
        decode: Decoder[T],
        *,
        timeout_seconds: float,
        limit: int = BODY_LIMIT,
        path: dict[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        lane: Lane = Lane.PROMPT,
    ) -> Timed[T]:
        """Return the decoded body of a 200. Raises a `PbsError` for everything else.

        `template` is the path with `{names}`, which `path` fills. The values of `path` and `query` are percent-encoded
        here. The timeout begins when the request gets its slot. At most `limit` bytes are read, counted inflated.
        """
        url = _url(self._base, template, tuple((path or {}).items()), tuple((query or {}).items()))
        async with self._limiter.take(lane), self._auth.attempt(template):
            started = time.perf_counter()
            code = CANCELLED
            try:
                answer = await self._answer(url, decode, limit, timeout_seconds)
                code = answer.code if isinstance(answer, PbsError) else "200"
            except asyncio.CancelledError as error:
                if PbsTimeout.SCRAPE_OVER in error.args:
                    code = PbsTimeout.code
                raise
            finally:
                seconds = time.perf_counter() - started
                self._observe(template, code, seconds)
            if isinstance(answer, PbsError):
                # Raised here, its traceback and causes have no frame that has seen the answer. The error is kept.
                raise answer
            return Timed(answer.value, seconds, answer.sent_at)

    async def _answer(self, url: URL, decode: Decoder[T], limit: int, timeout_seconds: float) -> _Dated[T] | PbsError:
        """Return the decoded answer or the error, which holds nothing of the answer."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._get_with_retry(url, decode, limit)
        except TimeoutError:
            return PbsTimeout(f"no answer within {timeout_seconds:g} s")
        except PbsError as error:
            # The text may quote an echo of the request, from an answer that isn't JSON or isn't HTTP.
            error.args = (self._auth.hide(str(error)),)
            return bare(error)

    async def _get_with_retry(self, url: URL, decode: Decoder[T], limit: int) -> _Dated[T]:
        """GET, with one retry on a new connection if a reused one was closed before the answer: PBS was restarted."""
        reused.set(False)
        new_only.set(False)
        try:
            return await self._get_once(url, decode, limit)
        except (aiohttp.ClientError, OSError) as error:
            if not (reused.get() and closed_unanswered(error)):
                raise connection_error(error) from error
        new_only.set(True)
        try:
            return await self._get_once(url, decode, limit)
        except (aiohttp.ClientError, OSError) as error:
            raise connection_error(error) from error

    async def _get_once(self, url: URL, decode: Decoder[T], limit: int) -> _Dated[T]:
        certificate.set(None)
        async with self._session.get(
            url,
            headers={"Authorization": self._auth.header, "Accept-Encoding": self._encoding},
            ssl=self._trust,
            allow_redirects=False,
        ) as response:
            self.certificate = certificate.get() or self.certificate
            sent = _unix_time(response.headers.get("Date"))
            if sent is not None:
                self._pbs_ahead = sent - self._clock.now()
            if response.status == HTTPStatus.OK:
                async with aclosing(body.pieces(response, min(limit, BODY_LIMIT))) as pieces:
                    return _Dated(await self._decoded(decode, pieces), sent)
            raise await status_error(response, self._auth.hide)

    async def _decoded(self, decode: Decoder[T], pieces: AsyncIterator[bytes]) -> T:
        """Decode the body. Whatever goes wrong is a failure of this request alone."""
        try:
            return await decode(pieces)
        except (PbsError, aiohttp.ClientError, OSError):
            raise
        except Exception as error:
            raise WrongShape(f"can't be decoded: {type(error).__name__}") from error


@lru_cache(maxsize=1024)
def _url(base: str, template: str, path: tuple[tuple[str, str], ...], query: tuple[tuple[str, str], ...]) -> URL:
    # A lone surrogate can't be encoded. It becomes `?`, and PBS refuses the name.
    names = {name: quote(value, safe="", errors="replace") for name, value in path}
    encoded = f"?{urlencode(query, errors='replace', quote_via=quote)}" if query else ""
    return URL(f"{base}{template.format(**names)}{encoded}", encoded=True)


# The answers to a scrape have one or two of them.
@lru_cache(maxsize=64)
def _unix_time(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
