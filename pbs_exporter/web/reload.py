"""Reading the settings again while the program runs."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

import structlog
from prometheus_client.metrics_core import Metric as Family

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.config import ExporterSettings, Settings
from pbs_exporter.daemon_thread import in_daemon_thread
from pbs_exporter.errors import ConfigError
from pbs_exporter.exposition.metric import Sample
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP
from pbs_exporter.waiting import shared_result

Load = Callable[[], tuple[Settings, list[str]]]
"""Reads the settings, and returns them with warnings. Raises `ConfigError`."""

_AT_START = ("listen_address", "max_connections")
"""Keys of `[exporter]` that are read only at start."""

_log = structlog.get_logger("pbs_exporter.config")


class Reloader:
    """Reads the settings again, one time after the other.

    `apply` makes the program use new ones, and returns warnings. It raises `ConfigError` before anything has changed.
    """

    def __init__(self, settings: Settings, load: Load, apply: Callable[[Settings], list[str]], clock: Clock) -> None:
        self._first = settings.exporter
        self._load = load
        self._apply = apply
        self._clock = clock
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[list[str]]] = set()
        self._successful = True
        self._success_at = clock.now()

    def start(self) -> asyncio.Task[list[str]]:
        """Start to read and apply the settings, whoever waits for it. Its result is as that of `reload`."""
        reloading = asyncio.create_task(self._reload(), name="reload")
        self._under_way.add(reloading)
        reloading.add_done_callback(self._under_way.discard)
        return reloading

    async def reload(self) -> list[str]:
        """Read and apply the settings. Return what is wrong with them, in which case nothing changes."""
        return await shared_result(self.start())

    async def close(self) -> None:
        """Cancel what is under way."""
        under_way = list(self._under_way)
        for reloading in under_way:
            reloading.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _reload(self) -> list[str]:
        async with self._lock:
            try:
                settings, warnings = await in_daemon_thread(self._load)
                warnings += self._apply(settings)
            except ConfigError as error:
                self._successful = False
                for problem in error.problems:
                    _log.error("settings not reloaded", problem=problem)
                return error.problems
            for line in [*warnings, *_ignored(self._first, settings.exporter)]:
                _log.warning(line)
            exporter = settings.exporter
            log.configure(exporter.log_level, exporter.log_format, settings.secrets)
            self._successful, self._success_at = True, self._clock.now()
            _log.info("settings reloaded", targets=len(settings.targets))
            return []

    def collect(self) -> Iterable[Family]:
        """Return the families about it."""
        page = Page()
        page.add(self._samples())
        return page.collect()

    def _samples(self) -> Iterator[Sample]:
        yield from RELOAD_SUCCESSFUL(float(self._successful))
        yield from RELOAD_TIMESTAMP(self._success_at)


def _ignored(first: ExporterSettings, now: ExporterSettings) -> list[str]:
    return [
        f"[exporter] {key}: is only read at start; restart the exporter to change it"
        for key in _AT_START
        if getattr(first, key) != getattr(now, key)
    ]
