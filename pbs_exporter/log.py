"""Logging on stderr, for structlog and the standard library alike: one line per event."""

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from logging.handlers import MemoryHandler
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pbs_exporter.plain_text import without_secrets
from pbs_exporter.standard_streams import LineWriter

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_FIRST_KEYS = ["ts", "level", "logger", "msg", "target"]
_FLUSH_SECONDS = 1.0
# Line ends, and what changes the order of the characters after it on a screen.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_secrets: list[str] = []


def configure(log_level: str, log_format: str, secrets: Sequence[str] = ()) -> None:
    """Configure all logging of the process.

    `log_level` is `debug`, `info`, `warn` or `error`, `log_format` is `logfmt`, `json` or `console`. Each of `secrets`
    is replaced with `***`, also in the lines of libraries.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.EventRenamer("msg"),
        _short_level,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Tests call this function repeatedly.
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(log_format),
        ],
        foreign_pre_chain=shared,
    )
    handler = _Handler(LineWriter(sys.stderr))
    _secrets[:] = dict.fromkeys(secrets)
    handler.setFormatter(_Redacting(formatter))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[log_level])
    warnings.showwarning = _log_warning
    _log_held_warnings(handler)


def hide(secret: str) -> None:
    """Mask this secret too, in all lines from now on."""
    if secret not in _secrets:
        _secrets.append(secret)


def _log_held_warnings(handler: logging.Handler) -> None:
    """Log the warnings that libraries raised before the log was configured."""
    logger = logging.getLogger("py.warnings")
    for held in logger.handlers:
        if isinstance(held, MemoryHandler):
            held.setTarget(handler)
            held.close()
    logger.handlers.clear()


def _log_warning(  # noqa: PLR0917 - Python calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - Python may pass it by name
    line: str | None = None,  # noqa: ARG001 - as above
) -> None:
    """Log a warning that a library raises. Python would write it to stderr in two lines of its own."""
    logger = structlog.get_logger("py.warnings")
    logger.warning(str(message), category=category.__name__, raised_by=f"{filename}:{lineno}")


class _Handler(logging.Handler):
    """Writes to standard error, and never waits for it."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        if lost := self._writer.take_lost():
            told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "log lines lost: %d", (lost,), None)
            self._writer.write(f"{self.format(told)}\n")
        self._writer.write(f"{self.format(record)}\n")

    def flush(self) -> None:
        """Wait for what is still to be written, but not for ever. Python calls this at exit."""
        self._writer.flush(_FLUSH_SECONDS)


class _Redacting(logging.Formatter):
    """Masks secrets in the finished line, whether they are in the message, a field or a traceback."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(self._formatter.format(record), _secrets)


def _short_level(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    if event.get("level") == "warning":
        event["level"] = "warn"
    return event


def _renderers(log_format: str) -> list[Processor]:
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), event_key="msg", timestamp_key="ts")
        return [_escape_values, renderer]
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.processors.format_exc_info, _logfmt]


_render_logfmt = structlog.processors.LogfmtRenderer(key_order=_FIRST_KEYS, drop_missing=True, bool_as_flag=False)


def _logfmt(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Return the line. structlog escapes only line feeds, but other control characters also break lines."""
    return _escaped(_render_logfmt(logger, name, event))


def _escape_values(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Escape each text. The renderer's own colors are control characters too, and its tracebacks have several lines."""
    return {key: _escaped(value) if isinstance(value, str) else value for key, value in event.items()}


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
