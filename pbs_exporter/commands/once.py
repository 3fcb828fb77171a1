"""`pbs-exporter once`: one scrape, to standard output or a file."""

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import switched_on
from pbs_exporter.config import Settings, TargetConfig
from pbs_exporter.errors import ConfigError, OutputError
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.labelled import Labelled
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import ApiMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.scrape_metrics import LABELS, ScrapeDuration, whole
from pbs_exporter.scrape.target import Target

_PREFIX_LENGTH = 50

_log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    warnings: Sequence[str],
    output: str | None,
    target: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> int:
    """Write the metrics of one scrape in the text format 0.0.4, even if PBS is down, and return 0.

    `output` is replaced atomically, as node_exporter's textfile collector requires. `target` is the name of a target;
    without it, the PBS of `[pbs]` is scraped. Each series gets the labels. Raise `OutputError` if the output can't be
    written, and `ConfigError` for a target or a label that can't be.
    """
    config = settings.config_of(target)
    if taken := (labels or {}).keys() & LABELS:
        raise ConfigError([f"--label {name}: is a label of metrics already; choose another name" for name in taken])
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, settings.secrets)
    for warning in warnings:
        _log.warning(warning)
    page = asyncio.run(_page(config, labels or {}))
    if output is None:
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
    else:
        _write(Path(output), page)
    return 0


async def _page(config: TargetConfig, labels: Mapping[str, str]) -> bytes:
    # The process has ended when the metrics are read, and node_exporter has its own `process_*`.
    own, duration = ApiMetrics(), ScrapeDuration()
    async with make_session() as session:
        target = Target(
            config.pbs,
            switched_on(COLLECTORS, config.collectors),
            session=session,
            clock=Clock(),
            observe=own.observe,
            filters=config.filters,
        )
        try:
            return await target.scrape(config.pbs.scrape_timeout_seconds, partial(_text, own, duration, labels))
        finally:
            await target.close()


def _text(own: ApiMetrics, duration: ScrapeDuration, labels: Mapping[str, str], page: Page) -> bytes:
    return b"".join(formats.render(Labelled(whole(page, [own, duration]), labels), formats.choose("")))


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
