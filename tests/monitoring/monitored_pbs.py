"""A simulated PBS that a test changes while it runs, and a real exporter in front of it."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from pbs_exporter.simulator import Answer, Call, Certificate, SimulatedPbs, World, api
from pbs_exporter.simulator.answer import LoginFailure
from tests.monitoring.servers import HOST, Server
from tests.support.commands import process
from tests.support.program import closed_port
from tests.support.waiting import poll

Change = Callable[[Any], object]
"""Returns the changed `data` of an answer."""
Given = TypeVar("Given")

_SECONDS = 30.0


class BackgroundLoop:
    """A context manager: an event loop in a thread of its own, for the simulated PBS."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Given]) -> Given:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)


class EditableWorld:
    """A source of a simulated PBS: a generated world with answers that a test changes.

    Several changes of an answer apply in the order in which they were made.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock_ahead = 0.0
        """Seconds."""
        self._changes: tuple[tuple[str, Change, bool], ...] = ()

    def pbs_time(self) -> float:
        # The world's own time stands still.
        return time.time() + self.clock_ahead

    def unauthorized(self, failure: LoginFailure) -> Answer:
        return self.world.unauthorized(failure)

    def answer(self, call: Call) -> Answer:
        answer = self.world.answer(call)
        found = api.find(call.path)
        names = (call.path, found[0].template if found else "")
        one_group = any(name == "backup-id" for name, _ in call.query)
        changes = [
            change
            for pattern, change, whole in self._changes
            if any(fnmatchcase(name, pattern) for name in names) and not (whole and one_group)
        ]
        if not changes:
            return answer
        envelope = answer.decoded()
        for change in changes:
            envelope["data"] = change(envelope["data"])
        return replace(answer, body=msgspec.json.encode(envelope))

    def change(self, pattern: str, change: Change, *, whole: bool = False) -> Callable[[], None]:
        """Change the answers of paths or templates that match `pattern`. Return a function that ends the change.

        `whole` changes only full listings, not those of one group.
        """
        made = (pattern, change, whole)
        self._changes = (*self._changes, made)

        def end() -> None:
            self._changes = tuple(other for other in self._changes if other is not made)

        return end


class MonitoredPbs:
    """A simulated PBS and its exporter, whose `instance` label is `name`."""

    def __init__(
        self,
        name: str,
        source: EditableWorld,
        loop: BackgroundLoop,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        collectors: Mapping[str, bool],
    ) -> None:
        self.name = name
        self.source = source
        # A real PBS delays a refused login for longer, and so the scrape.
        self.pbs = SimulatedPbs(self.source, login_delay=0.2, forbidden_delay=0.05)
        self.exporter = Server(closed_port())
        self._loop = loop
        self._folder = folder
        self._settings = settings
        self._collectors = collectors
        self._running = ExitStack()

    @property
    def world(self) -> World:
        return self.source.world

    def __enter__(self) -> Self:
        self._loop.run(self.pbs.start())
        self._file.write_text(self._toml())
        self.start_exporter()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        self._loop.run(self.pbs.stop())

    @property
    def target_file(self) -> Path:
        """The file in which Prometheus finds this exporter."""
        return self._folder / "targets" / f"{self.name}.json"

    @property
    def _file(self) -> Path:
        return self._folder / f"{self.name}.toml"

    def _toml(self) -> str:
        sections: dict[str, Mapping[str, Any]] = {
            "pbs": {
                "endpoint": self.pbs.endpoint,
                "token_id": self.pbs.token_id,
                "token_secret": self.pbs.secret,
                **self._settings,
                **({"fingerprint": self.pbs.fingerprint} if self._settings.get("verify_tls") else {}),
            },
            "exporter": {"listen_address": self.exporter.address, "process_metrics": False},
            "collectors": self._collectors,
        }
        lines: list[str] = []
        for section, values in sections.items():
            # These texts, numbers and booleans look the same in JSON and in TOML.
            lines += (f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        return "\n".join((*lines, ""))

    def start_exporter(self) -> None:
        """Start the exporter. PBS may be down."""
        command = (sys.executable, "-m", "pbs_exporter", "--config", self._file)
        log = self._folder / f"{self.name}.log"
        self._running.enter_context(process(*command, log=log))

    def wait(self) -> None:
        """Wait until the exporter answers."""
        poll(lambda: self.exporter.ready("/health"), f"exporter: {self._folder / self.name}.log")

    def stop_exporter(self) -> None:
        self._running.close()

    def stop_pbs(self) -> None:
        self._loop.run(self.pbs.stop())

    def start_pbs(self, certificate: Certificate | None = None) -> None:
        """Start PBS again on its port, with another certificate if there is one."""
        self.pbs.certificate = certificate or self.pbs.certificate
        self._loop.run(self.pbs.start(urlsplit(self.pbs.endpoint).port or 0, HOST))

    def page(self) -> str:
        """Return the exporter's metrics."""
        status, text = self.exporter.get("/metrics")
        assert status == 200, text
        return text
