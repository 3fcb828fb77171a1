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
from typing import Any, TypeVar, cast

import aiohttp
from yarl import URL

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Settings, TargetSettings, load
from pbs_exporter.errors import (
    ConfigError,
    DecodeFailed,
    LoginRefused,
    OutputError,
    PbsError,
    PbsExporterError,
    StatusError,
)
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.body import pieces
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.pbs.http.decoding import Rows, buffered, many
from pbs_exporter.pbs.http.token_auth import TokenAuth
from pbs_exporter.pbs.http.transport import BODY_LIMIT, Transport
from pbs_exporter.pbs.models import Snapshot
from pbs_exporter.pbs.task_window import LONGEST_SECONDS
from pbs_exporter.simulator.recording import OF_A_HANDLER, RecordedAnswer, Recording
from tools.scrubbing import Scrubber

R = TypeVar("R")
T = TypeVar("T")

TOKEN = "exporter"  # noqa: S105 - names a login


class RecordingSession:
    """A replacement for the client session of a `Transport` that keeps each answer."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: str) -> None:
        self.answers: list[RecordedAnswer] = []
        self._session = session
        self._base = URL(endpoint).raw_path.rstrip("/") + "/api2/json"

    @asynccontextmanager
    async def get(self, url: URL, **options: Any) -> AsyncIterator[SimpleNamespace]:  # noqa: ANN401 - aiohttp's
        """Send a GET, and keep the whole answer before the caller reads it."""
        async with self._session.get(url, **options) as response:
            content = b"".join([piece async for piece in pieces(response, BODY_LIMIT)])
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
            # The body is inflated already.
            read_headers = {name: value for name, value in response.headers.items() if name != "Content-Encoding"}
            yield SimpleNamespace(
                status=response.status, headers=read_headers, url=response.url, content=_Content(content)
            )


class _Content:
    """A body that has been read already, as the stream that `Transport` expects."""

    def __init__(self, content: bytes) -> None:
        self._body = content

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        if self._body:
            yield self._body


async def record(settings: TargetSettings, scrubber: Scrubber, clock: Clock) -> tuple[Recording, list[str]]:
    """Return the scrubbed recording, and a line for each request without an answer.

    Raise a `PbsError` if there is no PBS at the endpoint, or if it refuses the token.
    """
    async with make_session() as session:
        kept = RecordingSession(session, settings.endpoint)
        auth = TokenAuth(settings, clock, lambda: None)
        transport = Transport(cast("aiohttp.ClientSession", kept), settings, auth, lambda *_: None)
        client = PbsClient(transport, settings, auth)
        # This request is the first and alone, because PBS logs each request with a refused token.
        await client.version()
        now = int(clock.now())
        survey = Survey(client, since=now - int(settings.task_window_seconds) - LONGEST_SECONDS)
        await survey.run()
    recording = Recording(now, [scrubbed(scrubber, answer) for answer in kept.answers])
    if settings.token_secret.reveal().encode() in recording.encode():
        raise OutputError("the token's secret is in an answer: nothing was written")
    return recording, survey.unanswered


_PAST = ("datastore_past", "host_past")
"""Methods whose answers are large, and not on the page of metrics."""


class Survey:
    """Calls all methods of a client but those about the past, for every datastore and namespace."""

    def __init__(self, client: PbsClient, *, since: int) -> None:
        self.unanswered: list[str] = []
        self._client = client
        self._since = since

    async def run(self) -> None:
        """Call one method after the other. Raise `LoginRefused` if PBS no longer accepts the token."""
        client = self._client
        stores = [row.store for row in await self._rows(client.datastores)]
        # As in the exporter, no more requests follow if PBS doesn't list the namespaces.
        namespaces = [(store, row.ns) for store in stores for row in await self._rows(client.namespaces, store)]
        arguments: dict[tuple[str, ...], Sequence[tuple[object, ...]]] = {
            (): [()],
            ("start",): [(self._since,)],
            ("store",): [(store,) for store in stores],
            ("store", "namespace"): namespaces,
            ("store", "namespace", "decode"): [(*names, buffered(many(Snapshot))) for names in namespaces],
        }
        for name, method in inspect.getmembers(client, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in {"version", "datastores", "namespaces", *_PAST}:
                for values in arguments[_parameters(method)]:
                    await self._call(method, *values)

    async def _rows(self, method: Callable[..., Awaitable[Rows[T]]], *arguments: str) -> list[T]:
        answer = await self._call(method, *arguments)
        return [] if answer is None else answer.rows

    async def _call(self, method: Callable[..., Awaitable[R]], *arguments: object) -> R | None:
        try:
            return await method(*arguments)
        except LoginRefused:
            raise
        except (StatusError, DecodeFailed):
            # Recorded like any other answer.
            return None
        except PbsError as error:
            names = [argument for argument in arguments if isinstance(argument, str | int)]
            self.unanswered.append(f"{method.__name__}({', '.join(map(str, names))}): {error}")
            return None


def _parameters(method: Callable[..., object]) -> tuple[str, ...]:
    parameters = inspect.signature(method).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)


def scrubbed(scrubber: Scrubber, answer: RecordedAnswer) -> RecordedAnswer:
    """Return an answer with everything private replaced."""
    return RecordedAnswer.make(
        scrubber.content(answer.path, answer.content),
        path=scrubber.path(answer.path),
        query=scrubber.query(answer.query),
        token=answer.token,
        status=answer.status,
        headers=answer.headers,
    )


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write the recording and return the exit code. Each problem is a line on stderr."""
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
    if settings.main is None:
        raise OutputError("[pbs] endpoint is missing: that PBS is recorded")
    pbs = settings.main.pbs
    log.configure("error", "logfmt", [pbs.token_secret.reveal()])
    recording, unanswered = asyncio.run(record(pbs, Scrubber(pbs.token_id), Clock()))
    for line in unanswered:
        _say(f"warning: not recorded: {line}")
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
