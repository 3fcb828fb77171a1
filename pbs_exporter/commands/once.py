"""`pbs-exporter once`: one scrape, to standard output or a file."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import switched_on
from pbs_exporter.commands.output import check_labels, replacing
from pbs_exporter.config import Settings, TargetConfig
from pbs_exporter.exposition import formats
from pbs_exporter.exposition.labelled import Labelled
from pbs_exporter.exposition.page import Page
from pbs_exporter.exposition.self_metrics import ApiMetrics
from pbs_exporter.pbs.http.connector import make_session
from pbs_exporter.scrape.scrape_metrics import ScrapeDuration, whole
from pbs_exporter.scrape.target import Target

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
    check_labels(labels or {})
    exporter = settings.exporter
    log.configure(exporter.log_level, exporter.log_format, settings.secrets)
    for warning in warnings:
        _log.warning(warning)
    page = asyncio.run(_page(config, labels or {}))
    if output is None:
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
    else:
        with replacing(Path(output)) as file:
            file.write(page)
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
