"""The clients of a soak: they read pages in each format, leave early, and look at the other paths."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from pbs_exporter.web.budget import TIMEOUT_HEADER
from tests.support.metrics_page import Scraped

HANG_SECONDS = 30.0
"""Time after which a response is said to hang. No scrape may take a tenth of it."""

RECOGNIZED = 12
"""Characters of a secret by which it is recognised, if it was cut."""

_TIMEOUTS = ("1", "1", "1", "2", "0.3", "nan", None)
_OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Client:
    """One client, which does one thing after the other. `secrets` must not be in any response."""

    def __init__(self, url: str, session: aiohttp.ClientSession, random: Random, secrets: list[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._url = url
        self._session = session
        self._random = random
        self._secrets = secrets

    async def act(self) -> bool:
        """Do something. Return whether it was a scrape, read to its end and found right."""
        kind = self._random.choices([*ACTIONS], [weight for weight, _ in ACTIONS.values()])[0]
        try:
            async with asyncio.timeout(HANG_SECONDS):
                await ACTIONS[kind][1](self)
        except TimeoutError:
            raise AssertionError(f"{kind}: no response in {HANG_SECONDS:g} s") from None
        self.counts[kind] += 1
        return kind in SCRAPES

    async def scrape(self) -> Scraped:
        """Return a page, for which the exporter may take its own time limit."""
        async with asyncio.timeout(HANG_SECONDS):
            return Scraped(await self._get("/metrics", {"Accept-Encoding": "identity"}))

    async def _page(self) -> None:
        Scraped(await self._get("/metrics", {"Accept-Encoding": "identity", **self._timeout()}))

    async def _gzip(self) -> None:
        headers = {"Accept-Encoding": "gzip", "Accept": "text/plain;version=1.0.0", **self._timeout()}
        Scraped(await self._get("/metrics", headers))

    async def _openmetrics(self) -> None:
        text = await self._get("/metrics", {"Accept": _OPENMETRICS, **self._timeout()})
        assert list(parse_openmetrics(text))  # type: ignore[no-untyped-call]

    async def _half_closed(self) -> None:
        """Close our direction after the request, as `nc -N` does."""
        address = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            head = "".join(f"{name}: {value}\r\n" for name, value in self._timeout().items())
            writer.write(f"GET /metrics HTTP/1.0\r\nHost: {address.netloc}\r\n{head}\r\n".encode())
            writer.write_eof()
            answer = (await reader.read(-1)).decode()
        finally:
            writer.close()
        assert answer.startswith("HTTP/1.0 200 "), answer[:100]
        self._check(answer)
        Scraped(answer.partition("\r\n\r\n")[2])

    async def _leaves(self) -> None:
        try:
            async with asyncio.timeout(self._random.uniform(0, 0.2)):
                await self._get("/metrics", self._timeout())
        except TimeoutError:
            pass

    async def _leaves_in_the_body(self) -> None:
        async with self._session.get(f"{self._url}/metrics", headers=self._timeout()) as response:
            await response.content.read(1)
            response.close()

    async def _head(self) -> None:
        async with self._session.head(f"{self._url}/metrics") as response:
            assert (response.status, await response.read()) == (200, b"")

    async def _health(self) -> None:
        await self._get("/health", {})

    async def _status_page(self) -> None:
        assert "<html" in await self._get("/", {})

    async def _get(self, path: str, headers: Mapping[str, str]) -> str:
        async with self._session.get(f"{self._url}{path}", headers=headers) as response:
            text = await response.text()
            assert response.status == 200, f"{path}: {response.status} {text[:500]}"
        self._check(text)
        return text

    def _check(self, text: str) -> None:
        assert not any(secret[:RECOGNIZED] in text for secret in self._secrets), "a secret is in a response"

    def _timeout(self) -> dict[str, str]:
        timeout = self._random.choice(_TIMEOUTS)
        return {} if timeout is None else {TIMEOUT_HEADER: timeout}


ACTIONS: Mapping[str, tuple[int, Callable[[Client], Awaitable[None]]]] = {
    "page": (50, Client._page),
    "page in gzip": (20, Client._gzip),
    "page in OpenMetrics": (2, Client._openmetrics),
    "page, half-closed": (4, Client._half_closed),
    "leaves": (8, Client._leaves),
    "leaves in the body": (4, Client._leaves_in_the_body),
    "HEAD": (4, Client._head),
    "health": (4, Client._health),
    "status page": (4, Client._status_page),
}
"""What a client does, with its weight."""

SCRAPES = frozenset(kind for kind in ACTIONS if kind.startswith("page"))
"""Which of these are scrapes that are read to their end."""
