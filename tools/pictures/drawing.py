"""Draw panels with matplotlib, each at its place in the dashboard's grid."""

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, DayLocator, HourLocator
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MultipleLocator

from tests.monitoring.servers import Series
from tools.pictures.frames import Row, rows_of
from tools.pictures.units import nice_step, shown

Panel = Mapping[str, Any]

COLORS = {"green": "#37872d", "orange": "#d9730d", "red": "#c4162a", "blue": "#1f60c4", "gray": "#8e8e8e"}
TEXT, FAINT, LINES, CARD = "#24292e", "#6b7280", "#e3e6ea", "#ffffff"
LINE_COLORS = (
    "#37872d",
    "#1f60c4",
    "#d9730d",
    "#8f3bb8",
    "#c4162a",
    "#0f8a8a",
    "#b8860b",
    "#d0488b",
    "#5b6770",
    "#6b8e23",
    "#4b0082",
    "#a0522d",
)

_TITLE = 20.0
_ROW = 19.0
_MOST_LEGENDS = 8
_LETTER = 5.3


class Place:
    """A panel's rectangle on the picture, in pixels from its own upper left corner."""

    def __init__(self, axes: Axes, width: float, height: float, now: float) -> None:
        self.axes = axes
        self.width = width
        self.height = height
        self.now = now
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        """Write a text, centred on `y`."""
        self.axes.text(x, y, text, **{"va": "center", "color": TEXT, "fontsize": 7.5, "parse_math": False, **how})

    def box(self, x: float, y: float, width: float, height: float, color: str, **how: Any) -> None:
        """Fill a rectangle."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor="none", **how))


def frame(place: Place, title: str) -> None:
    """Draw a panel's frame and title."""
    card = FancyBboxPatch(
        (0.5, 0.5),
        place.width - 1,
        place.height - 1,
        boxstyle="round,pad=0,rounding_size=3",
        facecolor=CARD,
        edgecolor=LINES,
        linewidth=0.8,
    )
    place.axes.add_patch(card)
    place.text(9, 13, title, fontsize=8.5, fontweight="bold")


def heading(place: Place, title: str) -> None:
    """Draw a row's title."""
    place.text(4, place.height / 2, title, fontsize=10.5, fontweight="bold")


def nothing(place: Place, panel: Panel) -> None:
    """Draw the text of a panel without data."""
    text = panel["fieldConfig"]["defaults"]["noValue"]
    place.text(place.width / 2, (place.height + _TITLE) / 2, text, ha="center", color=FAINT, fontsize=9)


def number(place: Place, panel: Panel, answers: Sequence[Series]) -> None:
    """Draw a stat panel: its first series' value, or its name."""
    defaults = panel["fieldConfig"]["defaults"]
    (series,) = answers
    value = float(series[0]["value"][1])
    text, color = _value(defaults, value, place.now)
    if panel["options"].get("textMode") == "name":
        text, color = _legend(panel["targets"][0], series[0]["metric"]), COLORS["green"]
    size = min(22.0, 1.25 * (place.width - 16) / max(len(text), 1))
    place.text(place.width / 2, (place.height + _TITLE) / 2, text, ha="center", color=color, fontsize=size)


def bars(place: Place, panel: Panel, answers: Sequence[Series]) -> None:
    """Draw a bar gauge."""
    defaults = panel["fieldConfig"]["defaults"]
    (series,) = answers
    left, right = 0.36 * place.width, place.width - 62
    space = (place.height - _TITLE - 12) / max(len(series), 5)
    most = defaults.get("max") or max(float(one["value"][1]) for one in series)
    for index, one in enumerate(series):
        value = float(one["value"][1])
        text, color = _value(defaults, value, place.now)
        y = _TITLE + 8 + index * space
        place.box(left, y + space * 0.15, right - left, space * 0.7, "#f1f3f5")
        place.box(left, y + space * 0.15, (right - left) * min(value / most, 1), space * 0.7, color)
        place.text(left - 6, y + space / 2, _cut(_legend(panel["targets"][0], one["metric"]), left - 12), ha="right")
        place.text(right + 6, y + space / 2, text, color=color, fontweight="bold")


def table(place: Place, panel: Panel, answers: Sequence[Series]) -> None:
    """Draw a table, with the rows that fit."""
    headings, rows = rows_of(panel, answers)
    looks = {name: _look(panel, name) for name in headings}
    fits = int((place.height - _TITLE - _ROW - 10) // _ROW)
    few = rows[: fits if len(rows) <= fits else fits - 1]
    cells = [[_cell(looks[name], row, name, place.now) for name in headings] for row in few]
    widths = _widths(headings, [[text for text, _ in row] for row in cells], looks, place.width - 14)
    x = 7.0
    for column, name in enumerate(headings):
        width = widths[column]
        place.text(x + 3, _TITLE + 13, _cut(name, width - 4), color=COLORS["blue"], fontweight="bold", fontsize=7)
        for line, row in enumerate(few):
            y = _TITLE + 5 + _ROW * (line + 1)
            _draw_cell(place, looks[name], (x, y, width), cells[line][column], row.get(name))
        x += width
    for line in range(len(few) + 1):
        place.box(7, _TITLE + 5 + _ROW * (line + 1), place.width - 14, 0.6, LINES)
    if len(few) < len(rows):
        y = _TITLE + 5 + _ROW * (len(few) + 1.5)
        place.text(10, y, f"… and {len(rows) - len(few)} more, to scroll to", color=FAINT)


def _draw_cell(
    place: Place,
    look: Mapping[str, Any],
    at: tuple[float, float, float],
    cell: tuple[str, str],
    value: str | float | None,
) -> None:
    (x, y, width), (text, color) = at, cell
    kind = look.get("custom.cellOptions", {}).get("type")
    if not text:
        return
    if kind == "color-background":
        place.box(x + 1, y + 1.5, width - 2, _ROW - 2.5, color)
        place.text(x + 5, y + _ROW / 2, _cut(text, width - 6), color="#ffffff")
    elif kind == "gauge" and isinstance(value, float):
        wide = width - 42
        place.box(x + 3, y + 5, wide, _ROW - 10, "#f1f3f5")
        place.box(x + 3, y + 5, wide * min(max(value, 0), 1), _ROW - 10, color)
        place.text(x + 8 + wide, y + _ROW / 2, text, color=color)
    else:
        place.text(x + 3, y + _ROW / 2, _cut(text, width - 4), color=color if kind == "color-text" else TEXT)


def graph(place: Place, panel: Panel, answers: Sequence[Series], *, start: float) -> None:
    """Draw lines over time with a legend, the largest last value first."""
    defaults = panel["fieldConfig"]["defaults"]
    targets = panel["targets"]
    named = [
        (_legend(target, one["metric"]), [(at, float(value)) for at, value in one["values"]])
        for target, answer in zip(targets, answers, strict=True)
        for one in answer
    ]
    named.sort(key=lambda one: -one[1][-1][1])
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    columns = 2 if place.width > 450 else 1
    legend = min(len(named), columns * _MOST_LEGENDS // 2)
    lines = math.ceil(legend / columns)
    axes = _plot(place, below=lines * 13 + 24)
    _time_axis(axes, start, place.now, place.width)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"], place.now)))
    _draw_lines(axes, named, stacked=stacked, step=(place.now - start) / 50)
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"])
    if "max" in defaults:
        axes.set_ylim(top=defaults["max"])
    elif not stacked:
        low, high = axes.get_ylim()
        axes.set_ylim(top=high + (high - low) * 0.05)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MultipleLocator(nice_step(high - low, defaults["unit"])))
    if defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") == "dashed":
        _draw_thresholds(axes, defaults)
    for index, (name, points) in enumerate(named[:legend]):
        x = 12 + (index % columns) * (place.width - 20) / columns
        y = place.height - lines * 13 + (index // columns) * 13
        place.box(x, y - 1.5, 10, 3, LINE_COLORS[index % len(LINE_COLORS)])
        last = shown(points[-1][1], defaults["unit"], place.now)
        wide = (place.width - 20) / columns - 20
        place.text(x + 14, y, f"{_cut(name, wide - _LETTER * len(last) - 6)}  {last}", fontsize=7)


def _draw_lines(
    axes: Axes,
    named: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    stacked: bool,
    step: float,
) -> None:
    if stacked:
        times = sorted({at for _, points in named for at, _ in points})
        values = [[dict(points).get(at, 0.0) for at in times] for _, points in named]
        colors = [LINE_COLORS[index % len(LINE_COLORS)] for index in range(len(named))]
        axes.stackplot([_when(at) for at in times], values, colors=colors, alpha=0.75, linewidth=0)
        return
    for index, (_, points) in enumerate(named):
        for part in _unbroken(points, step):
            color = LINE_COLORS[index % len(LINE_COLORS)]
            axes.plot([_when(at) for at, _ in part], [value for _, value in part], color=color, linewidth=1.1)


def _unbroken(points: Sequence[tuple[float, float]], step: float) -> list[list[tuple[float, float]]]:
    parts: list[list[tuple[float, float]]] = []
    for at, value in points:
        if not parts or at - parts[-1][-1][0] > step:
            parts.append([])
        parts[-1].append((at, value))
    return parts


def _draw_thresholds(axes: Axes, defaults: Mapping[str, Any]) -> None:
    low, high = axes.get_ylim()
    for step in defaults["thresholds"]["steps"]:
        if step.get("value") is not None and low <= step["value"] <= high:
            axes.axhline(step["value"], color=COLORS[step["color"]], linewidth=0.9, linestyle=(0, (5, 4)))


def timeline(place: Place, panel: Panel, answers: Sequence[Series], *, start: float) -> None:
    """Draw a band for each series."""
    (series,) = answers
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    states = mapping["options"]
    named = sorted((_legend(panel["targets"][0], one["metric"]), one["values"]) for one in series)
    longest = max(len(name) for name, _ in named)
    axes = _plot(place, below=36, left=min(5.4 * longest + 16, place.width * 0.45))
    _time_axis(axes, start, place.now, place.width)
    step = min(b[0] - a[0] for _, values in named for a, b in itertools.pairwise(values))
    for index, (_, values) in enumerate(named):
        for at, value in values:
            color = COLORS[states[value]["color"]] if value in states else COLORS["gray"]
            span = (_when(at + step) - _when(at)) * 1.02
            axes.barh(index, span, left=_when(at), height=0.78, color=color, linewidth=0)
    axes.set_ylim(len(named) - 0.5, -0.5)
    axes.set_yticks(range(len(named)), [name for name, _ in named], parse_math=False)
    axes.grid(visible=False)
    x = 12.0
    for state in sorted(states.values(), key=lambda state: state["index"]):
        place.box(x, place.height - 13, 10, 6, COLORS[state["color"]])
        place.text(x + 14, place.height - 10, state["text"], fontsize=7)
        x += 24 + 5.2 * len(state["text"])


def _plot(place: Place, *, below: float, left: float = 52) -> Axes:
    top = _TITLE + 8
    width, height = place.width - left - 12, place.height - below - top
    axes = place.axes.inset_axes(
        (left / place.width, below / place.height, width / place.width, height / place.height),
    )
    axes.grid(color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, colors=FAINT, length=0)
    axes.set_facecolor(CARD)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _time_axis(axes: Axes, start: float, end: float, width: float) -> None:
    axes.xaxis_date(UTC)
    axes.set_xlim(_when(start), _when(end))
    days = end - start > 2 * 86400
    axes.xaxis.set_major_formatter(DateFormatter("%d %b" if days else "%H:%M", tz=UTC))
    hours = range(0, 24, 4 if width > 450 else 6)
    labels = 8 if width > 450 else 4
    interval = math.ceil((end - start) / 86400 / labels)
    axes.xaxis.set_major_locator(DayLocator(interval=interval) if days else HourLocator(hours))


def _when(at: float) -> float:
    # Matplotlib counts days.
    return datetime.fromtimestamp(at, UTC).timestamp() / 86400


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    text = target["legendFormat"]
    for part in text.split("{{")[1:]:
        name = part.split("}}")[0]
        text = text.replace(f"{{{{{name}}}}}", labels.get(name, ""))
    return " ".join(text.split())


def _value(config: Mapping[str, Any], value: float, now: float) -> tuple[str, str]:
    for mapping in config.get("mappings") or ():
        state = mapping["options"].get(f"{value:g}")
        if state:
            return state["text"], COLORS[state["color"]]
    color = "green"
    for step in config.get("thresholds", {}).get("steps", ()):
        if step.get("value") is None or value >= step["value"]:
            color = step["color"]
    return shown(value, config.get("unit", "none"), now), COLORS[color]


def _look(panel: Panel, heading: str) -> dict[str, Any]:
    look: dict[str, Any] = {}
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"] == {"id": "byName", "options": heading}:
            look |= {property_["id"]: property_["value"] for property_ in override["properties"]}
    return look


def _cell(look: Mapping[str, Any], row: Row, heading: str, now: float) -> tuple[str, str]:
    value = row.get(heading)
    if value is None:
        return "", TEXT
    if isinstance(value, float):
        return _value(look, value, now)
    for mapping in look.get("mappings", ()):
        if value in mapping["options"]:
            state = mapping["options"][value]
            return state["text"], COLORS[state["color"]]
    # Without a glyph in the font, matplotlib draws a box.
    return "".join(character if ord(character) < 0x2100 else "\N{WHITE SQUARE}" for character in value), TEXT


def _widths(
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    looks: Mapping[str, Mapping[str, Any]],
    space: float,
) -> list[float]:
    wanted = []
    for column, name in enumerate(headings):
        longest = max([len(name) * 1.05, *(len(row[column]) for row in cells)])
        gauge = looks[name].get("custom.cellOptions", {}).get("type") == "gauge"
        wanted.append(min(longest, 26) * 5.8 + 10 + (50 if gauge else 0))
    return [width * space / sum(wanted) for width in wanted]


def _cut(text: str, width: float) -> str:
    most = max(int(width / _LETTER), 3)
    return text if len(text) <= most else f"{text[: most - 1]}…"
