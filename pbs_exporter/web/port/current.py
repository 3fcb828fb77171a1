"""The web configuration that counts now: read again when a file has changed, and the last good one if that is wrong."""

import os
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from pbs_exporter.config import files
from pbs_exporter.config.values import InvalidValue, visible
from pbs_exporter.errors import ConfigError
from pbs_exporter.web.port.tls import Context, TlsSettings, make_context
from pbs_exporter.web.port.web_config import WebConfig, WrongWebConfig, read_web_config

SETTLED_SECONDS = 2.0
"""A file may change twice within one step of the file system's clock. So a new state is read until it is older."""

_log = structlog.get_logger(__name__)

Stamp = tuple[int, ...] | None


class CurrentWebConfig:
    """The last good state of the file and of those that it names."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read it. Raises `ConfigError` with a line for each problem."""
        self._path = path
        self._monotonic = monotonic
        self._files: set[Path] = {path}
        self._stamps: dict[Path, Stamp] = {}
        self._changed_at = monotonic()
        self._settled = False
        self._told: list[str] = []
        self._notes: set[str] = set()
        self.successful = True
        """Whether the last reading was good."""
        self._stamps = self._look()
        try:
            self.config, notes = self._read()
            self.context = self._first_context()
        except WrongWebConfig as error:
            raise ConfigError(
                [f"web_config_file {visible(str(path))}: {problem}" for problem in error.problems]
            ) from None
        self._stamps = self._look()
        self._first_notes = notes

    def announce(self) -> None:
        """Log what was read at start."""
        self._tell_loaded(self._first_notes)

    def take_over(self, other: "CurrentWebConfig") -> None:
        """Use the TLS of this configuration for the connections of another one. Both have TLS, or neither."""
        if self.context is not None and other.context is not None:
            other.context.current, other.context.renew = self.context.current, self.refresh
            self.context = other.context

    def refresh(self) -> None:
        """Read the files if they may have changed."""
        stamps = self._look()
        now = self._monotonic()
        if stamps != self._stamps:
            self._stamps, self._changed_at, self._settled = stamps, now, False
        elif self._settled:
            return
        else:
            self._settled = now - self._changed_at >= SETTLED_SECONDS
        try:
            self._apply(*self._read())
        except WrongWebConfig as error:
            self._tell_wrong(error.problems)

    def _apply(self, config: WebConfig, notes: list[str]) -> None:
        if lost := _lost(self.config, config):
            raise WrongWebConfig(lost)
        if self.context is not None and config.tls is not None and config.tls != self.config.tls:
            self.context.current = _made(config.tls)
        changed = config != self.config or not self.successful
        self.config, self.successful, self._told = config, True, []
        if changed:
            self._tell_loaded(notes)

    def _first_context(self) -> Context | None:
        if self.config.tls is None:
            return None
        context = Context()
        context.current = _made(self.config.tls)
        context.renew = self.refresh
        return context

    def _read(self) -> tuple[WebConfig, list[str]]:
        named = {self._path}

        def read(path: Path) -> bytes:
            named.add(path)
            return files.read(path)

        try:
            return read_web_config(self._path, read)
        finally:
            # If the file is wrong, those that it named before are still of interest: one of them may be the reason.
            self._files = named if len(named) > 1 else self._files | named
            for path in self._files - self._stamps.keys():
                self._stamps[path] = _stamp(path)

    def _look(self) -> dict[Path, Stamp]:
        return {path: _stamp(path) for path in self._files}

    def _tell_loaded(self, notes: Iterable[str]) -> None:
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                _log.warning(f"web_config_file: {note}")
        tls, users = self.config.tls is not None, len(self.config.users)
        _log.info("web_config_file loaded", file=visible(str(self._path)), tls=tls, users=users)

    def _tell_wrong(self, problems: list[str]) -> None:
        self.successful = False
        if problems != self._told:
            self._told = problems
            _log.error(
                "web_config_file can't be used, the last good one stays in force",
                file=visible(str(self._path)),
                problem="; ".join(problems),
            )


def _made(tls: TlsSettings) -> ssl.SSLContext:
    try:
        return make_context(tls)
    except InvalidValue as error:
        raise WrongWebConfig([f"tls_server_config.{error}"]) from None


def _lost(old: WebConfig, new: WebConfig) -> list[str]:
    """Return what a running exporter doesn't give up because of a changed file."""
    lost = []
    if old.users and not new.users:
        lost.append("basic_auth_users: there are none any more; restart the exporter if it is to have no login")
    if old.tls and not new.tls:
        lost.append("tls_server_config: there is none any more; restart the exporter if it is to have no TLS")
    if new.tls and not old.tls:
        lost.append("tls_server_config: restart the exporter to turn TLS on")
    return lost


def _stamp(path: Path) -> Stamp:
    """Return what differs if the file is another one, or has been written."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time, and this is done at each request
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
