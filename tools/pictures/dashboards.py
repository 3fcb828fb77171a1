"""Draw the dashboards: `python -m tools.pictures.dashboards FOLDER`.

The pictures need no Grafana. They use the queries, units, thresholds and places in the dashboards' files, and a real
Prometheus with a week of two simulated PBS.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image  # type: ignore[import-not-found] # comes with matplotlib

from tests.monitoring.demo_pbs import OFFICE, SECOND
from tests.monitoring.demo_prometheus import demo_prometheus, write_past
from tests.monitoring.grafana import ALL, asked, dashboards, put_in, seconds, step_of, values_of, variables
from tests.monitoring.servers import Prometheus, Series
from tools.pictures import drawing
from tools.pictures.drawing import Panel, Place
from tools.pictures.rule_backfill import Times, write_past_rules

STEP = 900
"""Seconds between the scrapes of the past."""

_DAY = 86400
_DPI = 100
_WIDTH, _UNIT, _GAP, _MARGIN = 1200, 30, 6, 10
_CAPTION = 22
_COLORS = 200
_MOST_BYTES = 200_000
_LOOKBACK = "2m"
"""The queries come a minute after a scrape. A series that has ended since the scrape before isn't shown."""


class Picture:
    """A dashboard's picture."""

    def __init__(self, board: Mapping[str, Any], running: Prometheus, now: float) -> None:
        self._board = board
        self._running = running
        self._now = now
        self._span = seconds(board["time"]["from"])
        self._chosen: dict[str, Any] = {}
        for variable in variables(board):
            query = self._put_in(variable.query)
            results = [result["metric"] for result in running.instant(asked(query), now)]
            options = values_of(query, variable.regex, results)
            self._chosen[variable.name] = (variable, [ALL] if variable.multi else options[:1], options)
        lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        self._height = lines * _UNIT + 2 * _MARGIN + 2 * _CAPTION
        self._figure = Figure(figsize=(_WIDTH / _DPI, self._height / _DPI), dpi=_DPI, facecolor="#f4f5f7")

    def draw(self, file: Path) -> None:
        """Draw the dashboard into a file with few colors."""
        self._captions()
        for panel in self._board["panels"]:
            self._panel(panel)
        self._figure.savefig(file)
        with Image.open(file) as drawn:
            few = drawn.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
        few.save(file, optimize=True)
        if file.stat().st_size >= _MOST_BYTES:
            raise ValueError(f"{file}: {file.stat().st_size} bytes")

    def cut_top(self, picture: Path, file: Path) -> None:
        """Write the part of the picture above the dashboard's first heading, which is visible without scrolling."""
        first = min(panel["gridPos"]["y"] for panel in self._board["panels"] if panel["type"] == "row")
        with Image.open(picture) as drawn:
            top = drawn.crop((0, 0, drawn.width, _MARGIN + _CAPTION + first * _UNIT))
        top.save(file, optimize=True)

    def _captions(self) -> None:
        text = self._figure.text
        y = 1 - (_MARGIN + _CAPTION / 2) / self._height
        text(_MARGIN / _WIDTH, y, self._board["title"], fontsize=13, fontweight="bold", va="center", color=drawing.TEXT)
        chosen = "   ".join(
            f"{variable.name}: {'All' if values == [ALL] else values[0]}"
            for variable, values, _ in self._chosen.values()
        )
        right = 1 - _MARGIN / _WIDTH
        text(right, y, chosen, fontsize=8, va="center", ha="right", color=drawing.FAINT)
        caption = (
            "Drawn by matplotlib from the dashboard's own queries, not by Grafana. "
            "The data are a month of two simulated PBS, in a real Prometheus."
        )
        y = (_MARGIN + _CAPTION / 3) / self._height
        text(_MARGIN / _WIDTH, y, caption, fontsize=7.5, va="center", color=drawing.FAINT)

    def _panel(self, panel: Panel) -> None:
        place = self._place(panel["gridPos"])
        if panel["type"] == "row":
            drawing.heading(place, panel["title"])
            return
        drawing.frame(place, panel["title"])
        # Each point is the time of a scrape.
        step = -(-step_of(self._board, panel) // STEP) * STEP
        answers = [self._ask(target, step) for target in panel["targets"]]
        if not any(answers):
            drawing.nothing(place, panel)
            return
        start = self._now - self._span
        match panel["type"]:
            case "stat":
                drawing.number(place, panel, answers)
            case "bargauge":
                drawing.bars(place, panel, answers)
            case "table":
                drawing.table(place, panel, answers)
            case "timeseries":
                drawing.graph(place, panel, answers, start=start)
            case "state-timeline":
                drawing.timeline(place, panel, answers, start=start)
            case other:
                raise ValueError(f"can't draw a {other}")

    def _place(self, grid: Mapping[str, int]) -> Place:
        column = (_WIDTH - 2 * _MARGIN + _GAP) / 24
        width, height = grid["w"] * column - _GAP, grid["h"] * _UNIT - _GAP
        left, top = _MARGIN + grid["x"] * column, _MARGIN + _CAPTION + grid["y"] * _UNIT + _GAP
        axes = self._figure.add_axes(
            (left / _WIDTH, 1 - (top + height) / self._height, width / _WIDTH, height / self._height),
        )
        return Place(axes, width, height, self._now)

    def _ask(self, target: Mapping[str, Any], step: int) -> Series:
        expr = self._put_in(target["expr"], step)
        if target.get("instant"):
            return self._running.instant(expr, self._now)
        # Grafana queries at multiples of the step. Here the last point is now.
        return self._running.range(expr, start=self._now - self._span, end=self._now, step=step)

    def _put_in(self, text: str, step: int = STEP) -> str:
        return put_in(text, self._chosen, span=self._span, step=step, scrape_interval=STEP)


def main(target: Path) -> None:
    """Generate a past, and draw all dashboards at its end."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    target.mkdir(parents=True, exist_ok=True)
    end = int(time.time()) // STEP * STEP
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # A week to show, the week before it, for expressions that look back, and a month for the growth.
        begin = end - 7 * _DAY
        write_past(folder, (OFFICE, SECOND), start=end - 31 * _DAY, end=begin - 7.5 * _DAY - 1, step=6 * 3600)
        write_past(folder, (OFFICE, SECOND), start=begin - 7.5 * _DAY, end=begin - 1, step=3600)
        write_past(folder, (OFFICE, SECOND), start=begin, end=end, step=STEP)
        write_past_rules(folder, Times(begin, end, STEP), lookback=_LOOKBACK)
        draw_all(folder, target, end + 60)


def draw_all(folder: Path, target: Path, end: int) -> None:
    """Draw all dashboards at a time, from Prometheus's data."""
    with demo_prometheus(folder, lookback=_LOOKBACK) as running:
        for uid, board in dashboards().items():
            picture, file = Picture(board, running, end), target / f"dashboard-{uid.removeprefix('pbs-')}.png"
            picture.draw(file)
            if uid == "pbs-overview":
                picture.cut_top(file, file.with_stem(f"{file.stem}-top"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
