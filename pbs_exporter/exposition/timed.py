"""Samples of the past, as OpenMetrics text with timestamps."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import IO

from pbs_exporter.exposition.encoder import number
from pbs_exporter.exposition.formats import OPENMETRICS
from pbs_exporter.exposition.labelled import Labelled
from pbs_exporter.exposition.metric import Metric
from pbs_exporter.exposition.page import Page

_END = "# EOF\n"


class TimedFamilies:
    """Families of series, which come one subject after another, while each family is one piece of the text.

    So each family has a file of its own until all are known. `open_file` opens one, and `close` closes them.
    """

    def __init__(self, labels: Mapping[str, str], open_file: Callable[[], IO[bytes]]) -> None:
        self._labels = labels
        self._open_file = open_file
        self._files: dict[str, IO[bytes]] = {}
        self._opened = ExitStack()
        self.series = 0

    def add(self, metric: Metric, points: Iterable[tuple[int, float]], *labels: str) -> int:
        """Add a series with its values by time (Unix seconds, ascending). Return the number of values."""
        page = Page()
        page.add(metric(1.0, *labels))
        # What prometheus_client writes of it, so that it is the series of `/metrics`.
        text = OPENMETRICS.generate_latest(Labelled(page, self._labels)).decode().removesuffix(f"1.0\n{_END}")
        head, line = text.rsplit("\n", 1)
        lines = [f"{line}{number(value)} {time}\n" for time, value in points]
        if not lines:
            return 0
        file = self._files.get(metric.name)
        if file is None:
            file = self._files[metric.name] = self._opened.enter_context(self._open_file())
            file.write(f"{head}\n".encode())
        file.write("".join(lines).encode())
        self.series += 1
        return len(lines)

    def write_to(self, file: IO[bytes]) -> None:
        """Write the whole text."""
        for family in self._files.values():
            family.seek(0)
            shutil.copyfileobj(family, file)
        file.write(_END.encode())

    def close(self) -> None:
        """Close the files of the families."""
        self._opened.close()
