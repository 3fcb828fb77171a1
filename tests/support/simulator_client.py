"""A client of the simulated PBS, and requests for single paths of a world."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from pbs_exporter.simulator import Call, SimulatedPbs, Source, World

JSON = "application/json;charset=UTF-8"
OF_A_HANDLER = {"Content-Type": JSON, "Content-Encoding": "deflate", "Transfer-Encoding": "chunked"}
NOW = 1795373400
SMALL: Mapping[str, Any] = {"datastores": 1, "namespaces": 1, "groups": 4, "snapshots": 3, "now": lambda: NOW}


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def data(self) -> Any:
        """The `data` of a good answer."""
        return json.loads(self.body)["data"]


class SimulatorClient:
    """A client of one simulated PBS."""

    def __init__(self, pbs: SimulatedPbs, session: aiohttp.ClientSession) -> None:
        self.pbs = pbs
        self.session = session

    async def get(
        self,
        path: str,
        *,
        login: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Reply:
        """Request a path and query exactly as written, with the right login if none is given."""
        login = f"PBSAPIToken={self.pbs.token_id}:{self.pbs.secret}" if login is None else login
        sent = {**({"Authorization": login} if login else {}), **(headers or {})}
        url = URL(f"{self.pbs.endpoint}/api2/json{path}", encoded=True)
        async with self.session.request(method, url, headers=sent, allow_redirects=False) as response:
            return Reply(response.status, await response.read(), response.headers)


@asynccontextmanager
async def served(source: Source | None = None, *, limit: int = 10, **options: Any) -> AsyncIterator[SimulatorClient]:
    options = {"login_delay": 0.0, "forbidden_delay": 0.0, **options}
    async with (
        SimulatedPbs(source or World(**SMALL), **options) as pbs,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=limit),
            timeout=aiohttp.ClientTimeout(total=5),
            auto_decompress=True,
        ) as session,
    ):
        # aiohttp's client repeats a GET whose connection broke, even a new one. Here each request is sent once.
        session._retry_connection = False
        yield SimulatorClient(pbs, session)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(1):
        while not happened():  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.001)


def one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def ask(world: World, path: str, *query: tuple[str, str]) -> Any:
    return world.answer(Call(path, query)).decoded()["data"]


def tasks(world: World, **query: object) -> dict[str, Any]:
    pairs = [(name, str(value)) for name, value in query.items() if not isinstance(value, list)]
    pairs += [(name, item) for name, values in query.items() if isinstance(values, list) for item in values]
    return world.answer(Call("/nodes/localhost/tasks", pairs)).decoded()
