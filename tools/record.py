"""Record a PBS: `python -m tools.record [--config FILE] RECORDING.jsonl`. The exit code is 1 if that fails.

The settings are the exporter's own. The tool sends a GET to each endpoint that the exporter's client knows, for every
datastore and namespace, and replaces what is private (see `scrubbing.py`). The simulated PBS replays the file.
"""

import argparse
import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import aiohttp
from yarl import URL

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Settings, TargetSettings, load
from pbs_exporter.errors import ConfigError, LoginRefused, OutputError, PbsError, PbsExporterError, StatusError
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.pbs.http.decoding import Rows
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import Transport
from pbs_exporter.pbs.task_window import LONGEST_SECONDS
from pbs_exporter.simulator.recording import OF_A_HANDLER, RecordedAnswer, Recording
from tools.scrubbing import Scrubber

T = TypeVar("T")

TOKEN = "exporter"  # noqa: S105 - names a login


class RecordingSession:
    """A client session that keeps what is answered, as far as `Transport` uses one."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: str) -> None:
        self.answers: list[RecordedAnswer] = []
        self._session = session
        self._base = URL(endpoint).raw_path.rstrip("/") + "/api2/json"

    @asynccontextmanager
    async def get(self, url: URL, **options: Any) -> AsyncIterator[SimpleNamespace]:  # noqa: ANN401 - aiohttp's
        """Ask, and read the whole answer before the caller does."""
        async with self._session.get(url, **options) as response:
            content = await response.read()
            headers = {name: response.headers[name] for name in OF_A_HANDLER if name in response.headers}
            answer = RecordedAnswer.make(
                content,
                path=url.raw_path.removeprefix(self._base),
                query=url.raw_query_string,
                token=TOKEN,
                status=response.status,
                headers=None if headers == OF_A_HANDLER else headers,
            )
            self.answers.append(answer)
            yield SimpleNamespace(
                status=response.status, headers=response.headers, url=response.url, content=_Content(content)
            )


class _Content:
    """A body that has been read, in the form of one that is still to come."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    async def readany(self) -> bytes:
        """Return what is left of it."""
        rest, self._rest = self._rest, b""
        return rest

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield it."""
        while chunk := await self.readany():
            yield chunk


class Unanswered(NamedTuple):
    """A request that isn't in the recording."""

    request: str
    error: PbsError


async def record(settings: TargetSettings, scrubber: Scrubber, clock: Clock) -> tuple[Recording, list[Unanswered]]:
    """Return the scrubbed recording, and the requests that had no answer.

    Raise a `PbsError` if there is no PBS at the endpoint, or if it refuses the token.
    """
    async with make_session() as session:
        recorder = RecordingSession(session, settings.endpoint)
        login = TokenAuth(settings, clock, lambda: None)
        transport = Transport(cast("aiohttp.ClientSession", recorder), settings, login, lambda *_: None)
        client = PbsClient(transport, settings, login)
        # First and alone: PBS logs each request with a token that it refuses.
        await client.version()
        now = int(clock.now())
        unanswered = [
            failed async for failed in _ask(client, since=now - int(settings.task_window_seconds) - LONGEST_SECONDS)
        ]
    recording = Recording(now, [scrubbed(scrubber, answer) for answer in recorder.answers])
    if settings.token_secret.reveal().encode() in recording.encode():
        raise OutputError("the token's secret is in an answer: nothing was written")
    return recording, unanswered


async def _ask(client: PbsClient, *, since: int) -> AsyncIterator[Unanswered]:
    """Call all other methods of the client, each for all datastores and namespaces if these are its parameters."""
    stores = [row.store for row in await _rows(client.datastores())]
    # Where PBS doesn't list the namespaces, the exporter asks no further either.
    namespaces = [(store, row.ns) for store in stores for row in await _rows(client.namespaces(store))]
    values: dict[tuple[str, ...], Sequence[tuple[str | int, ...]]] = {
        (): [()],
        ("start",): [(since,)],
        ("store",): [(store,) for store in stores],
        ("store", "namespace"): namespaces,
    }
    for name, method in inspect.getmembers(client, inspect.iscoroutinefunction):
        if name.startswith("_") or name in {"version", "datastores", "namespaces"}:
            continue
        for arguments in values[_parameters(method)]:
            try:
                await method(*arguments)
            except LoginRefused:
                raise
            except StatusError:
                # An answer like any other.
                continue
            except PbsError as error:
                yield Unanswered(f"{name}({', '.join(map(str, arguments))})", error)


async def _rows(request: Awaitable[Rows[T]]) -> list[T]:
    try:
        return (await request).rows
    except StatusError:
        return []


def _parameters(method: Callable[..., object]) -> tuple[str, ...]:
    parameters = inspect.signature(method).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)


def scrubbed(scrubber: Scrubber, answer: RecordedAnswer) -> RecordedAnswer:
    """Return an answer without anything private."""
    return RecordedAnswer.make(
        scrubber.content(answer.path, answer.content),
        path=scrubber.path(answer.path),
        query=scrubber.query(answer.query),
        token=answer.token,
        status=answer.status,
        headers=answer.headers,
    )


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write the recording. A user's mistake is a line on stderr for each problem."""
    parser = argparse.ArgumentParser(prog="python -m tools.record", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="the exporter's settings file (TOML)")
    parser.add_argument("recording", metavar="RECORDING.jsonl", type=Path, help="a file that doesn't exist yet")
    options = parser.parse_args(arguments)
    try:
        settings, warnings = load(options.config, environ, DEFAULTS)
        for warning in warnings:
            _say(f"warning: {warning}")
        _write(options.recording, settings)
    except ConfigError as error:
        for problem in error.problems:
            _say(problem)
        return 1
    except PbsExporterError as error:
        _say(str(error))
        return 1
    return 0


def _write(file: Path, settings: Settings) -> None:
    if file.exists():
        raise OutputError(f"{file} exists: choose another name")
    log.configure("error", "logfmt", [settings.pbs.token_secret.reveal()])
    recording, unanswered = asyncio.run(record(settings.pbs, Scrubber(settings.pbs.token_id), Clock()))
    for failed in unanswered:
        _say(f"warning: not recorded: {failed.request}: {failed.error}")
    try:
        with file.open("xb") as opened:
            opened.write(recording.encode())
    except OSError as error:
        raise OutputError(f"can't write {file}: {(error.strerror or str(error)).lower()}") from error
    _say(f"{len(recording.answers)} answers are in {file}: read it before you publish it")


def _say(line: str) -> None:
    sys.stderr.write(f"record: {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
