"""`pbs-exporter once`: one scrape, to standard output or a file."""

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import Settings
from pbs_exporter.errors import OutputError
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import SelfMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.scrape_metrics import ScrapeDuration, whole
from pbs_exporter.scrape.target import Target

_PREFIX_LENGTH = 50

_log = structlog.get_logger(__name__)


def run(settings: Settings, warnings: Sequence[str], output: str | None) -> int:
    """Write the metrics of one scrape in the text format 0.0.4, even if PBS is down, and return 0.

    `output` is replaced atomically, as node_exporter's textfile collector requires. Raises `OutputError` if it can't
    be written.
    """
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, [settings.pbs.token_secret.reveal()])
    for warning in warnings:
        _log.warning(warning)
    page = asyncio.run(_page(settings))
    if output is None:
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
    else:
        _write(Path(output), page)
    return 0


async def _page(settings: Settings) -> bytes:
    # The process has ended when the metrics are read, and node_exporter has its own `process_*`.
    own, duration = SelfMetrics(process=False), ScrapeDuration()
    enabled = [collector for collector in COLLECTORS if settings.collectors[collector.name]]
    async with make_session() as session:
        target = Target(
            settings.pbs,
            enabled,
            session=session,
            clock=Clock(),
            observe=own.observe,
            filters=settings.filters,
        )
        try:
            return await target.scrape(settings.pbs.scrape_timeout_seconds, partial(_text, own, duration))
        finally:
            await target.close()


def _text(own: SelfMetrics, duration: ScrapeDuration, page: Page) -> bytes:
    return b"".join(formats.render(whole(page, own, duration), formats.choose("")))


def _write(path: Path, page: bytes) -> None:
    """Write a temporary file in the same directory and rename it: readers never see a partial file."""
    try:
        # `Path.resolve` raises a RuntimeError for links in a circle, before Python 3.13.
        path = Path(os.path.realpath(path))
        if _is_special(path):
            raise OutputError(f"can't write {path}: it is not a regular file")
        # A name has at most 255 bytes, and only one of the two may be too long.
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:_PREFIX_LENGTH]}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(page)
            # mkstemp's files are private, and node_exporter runs as another user.
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"can't write {path}: {(error.strerror or str(error)).lower()}") from error


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a device or a socket. Raise `OSError` if that can't be found out."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
