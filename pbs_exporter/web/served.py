"""What is served: the PBS of `/metrics` and each target, while the settings have it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import structlog
from msgspec.structs import replace

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.base import AnyCollector, switched_on
from pbs_exporter.config import MAIN, Settings, TargetConfig
from pbs_exporter.errors import ConfigError
from pbs_exporter.exposition.self_metrics import ApiMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.worker import Worker


class Served:
    """One PBS, and all that belongs to it alone: no other can use it up."""

    def __init__(
        self,
        name: str,
        config: TargetConfig,
        collectors: Sequence[AnyCollector],
        *,
        clock: Clock,
    ) -> None:
        self.name = name
        self.config = config
        self.api_metrics = ApiMetrics()
        self.scrapes = 0
        """The number of scrapes under way, with those whose response is being sent."""
        self._ca = _ca(config)
        # Its own, so that its connections end with it.
        self._session = make_session(clock.monotonic)
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker, self._slow_worker = Worker(), Worker()
        try:
            self.target = Target(
                config.pbs,
                switched_on(collectors, config.collectors),
                session=self._session,
                clock=clock,
                observe=self.api_metrics.observe,
                filters=config.filters,
                compute=self._worker.compute,
                compute_slow=self._slow_worker.compute,
            )
        except OSError:
            # The CA file has gone. Nothing has used the session.
            self._session.detach()
            raise

    def is_as(self, config: TargetConfig) -> bool:
        """Whether these settings are those of this PBS. Labels don't count: only `/sd` shows them."""
        return replace(config, labels={}) == replace(self.config, labels={}) and _ca(config) == self._ca

    @contextmanager
    def scraping(self) -> Iterator[None]:
        """Count a scrape until the block ends. What is logged meanwhile names the target."""
        self.scrapes += 1
        self._idle.clear()
        try:
            with structlog.contextvars.bound_contextvars(**({"target": self.name} if self.name else {})):
                yield
        finally:
            self.scrapes -= 1
            if not self.scrapes:
                self._idle.set()

    async def quiet(self) -> None:
        """Wait until no scrape is under way."""
        await self._idle.wait()

    async def end(self) -> None:
        """End what is under way, once the scrapes under way have ended."""
        await self.quiet()
        await self.close()

    async def close(self) -> None:
        """End what is under way."""
        await self.target.close()
        await self._session.close()
        self._worker.close()
        self._slow_worker.close()


class ServedTargets:
    """The PBS of `/metrics` and the targets, as the newest settings have them. `start` makes one."""

    def __init__(self, start: Callable[[str, TargetConfig], Served]) -> None:
        self.main: Served | None = None
        self.by_name: Mapping[str, Served] = {}
        self._start = start
        self._ending: dict[asyncio.Task[None], Served] = {}

    def apply(self, settings: Settings) -> None:
        """Serve what these settings have. What hasn't changed goes on, and what is gone ends after its scrapes."""
        self.take(settings, self.prepare(settings))

    def prepare(self, settings: Settings) -> dict[str, Served]:
        """Return what these settings have: what hasn't changed, and what is new. Nothing else changes by that.

        Raise `ConfigError` if a file has gone since they were read.
        """
        before = self.all()
        prepared: dict[str, Served] = {}
        for name, config in settings.configs.items():
            known = before.get(name)
            try:
                prepared[name] = known if known is not None and known.is_as(config) else self._start(name, config)
            except OSError as error:
                self.drop(prepared)
                reason = f"can't be read any more ({error.strerror})"
                raise ConfigError([f"{f'target {name}' if name else '[pbs]'}: ca_file {reason}"]) from None
        return prepared

    def take(self, settings: Settings, prepared: Mapping[str, Served]) -> None:
        """Serve what was prepared from these settings."""
        for name, config in settings.configs.items():
            prepared[name].config = config
        before = self.all()
        self.main = prepared.get(MAIN)
        self.by_name = {name: served for name, served in prepared.items() if name != MAIN}
        self._end(served for served in before.values() if served is not prepared.get(served.name))

    def drop(self, prepared: Mapping[str, Served]) -> None:
        """Don't serve what was prepared."""
        before = self.all()
        self._end(served for served in prepared.values() if served is not before.get(served.name))

    def _end(self, gone: Iterable[Served]) -> None:
        for served in gone:
            ending = asyncio.create_task(served.end(), name=f"end of target {served.name}")
            self._ending[ending] = served
            ending.add_done_callback(self._ending.pop)

    async def quiet(self, seconds: float) -> None:
        """Wait until no scrape is under way, of what is gone neither, for at most that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for served in [*self._ending.values(), *self.all().values()]:
                    await served.quiet()

    async def close(self) -> None:
        """End all that is under way."""
        # What was gone and waited for its scrapes has listings, slow collectors and connections too.
        left = [*self._ending.values(), *self.all().values()]
        for ending in self._ending:
            ending.cancel()
        await asyncio.gather(*self._ending, *(served.close() for served in left), return_exceptions=True)

    def all(self) -> dict[str, Served]:
        """Return each PBS by its name, that of `/metrics` first."""
        return {**({MAIN: self.main} if self.main else {}), **self.by_name}


def _ca(config: TargetConfig) -> bytes | None:
    """Return the content of `ca_file`: other bytes behind the same path are another setting."""
    try:
        return None if config.pbs.ca_file is None else config.pbs.ca_file.read_bytes()
    except OSError:
        return None
