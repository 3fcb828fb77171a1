"""All datastores together: used space, what comes and goes per day, and when each is full; by site."""

from monitoring.dashboards.source.board import Board
from monitoring.dashboards.source.colors import DAYS_UNTIL_FULL, FILL, PLAIN
from monitoring.dashboards.source.panels import graph, last, number, of_series, steady
from monitoring.dashboards.source.tables import Column, table
from monitoring.dashboards.source.variables import PBS, by, by_site, everywhere, instance, on

_DAY = 86400
_EACH = by("datastore")
_NAME = "{{instance}} {{datastore}}"
_BYTES = f"pbs_datastore_used_bytes{{{PBS}}}"


def _of_each(expr: str) -> str:
    """Return the series of each datastore. The sizes of an S3 datastore are those of its cache, so it has none."""
    caches = f'last_over_time(pbs_datastore_info{{backend="s3", {PBS}}}[$__range] @ end())'
    return f"max {_EACH} ({expr} unless {on('datastore')} {caches})"


_USED = _of_each(_BYTES)
_TOTAL = _of_each(f"pbs_datastore_total_bytes{{{PBS}}}")
_TREND = _of_each(f"deriv({_BYTES}[7d]) * {_DAY}")
_FULL = f"max {_EACH} (datastore:pbs_datastore_full:seconds{{{PBS}}})"


def _changed(days: int, sign: int) -> str:
    """Return the bytes per day by which the used bytes rose (sign 1) or fell (-1), over days, hour by hour."""
    # Samples that `pbs-exporter history` wrote are up to six hours apart.
    after, before = (f"last_over_time({_BYTES}[6h]{offset})" for offset in ("", " offset 1h"))
    hourly = f"clamp_min({after} - {before}, 0)" if sign > 0 else f"clamp_min({before} - {after}, 0)"
    return _of_each(f"sum_over_time({hourly}[{days}d:1h]) / {days}")


def _ahead(days: int) -> str:
    share = f"predict_linear({_BYTES}[7d], {days} * {_DAY}) / pbs_datastore_total_bytes{{{PBS}}}"
    return _of_each(f"clamp_min({share}, 0)")


def build() -> object:
    """Return the dashboard."""
    board = Board(
        "pbs-fleet-growth",
        "All datastores: used space, what is added and removed per day, when each is full; by site.",
        [*everywhere(), instance()],
        since="now-30d",
        refresh="5m",
    )
    _numbers(board)
    board.row("Sites")
    board.line(8, (24, _sites()))
    _graphs_of_sites(board)
    board.row("Datastores")
    board.line(14, (24, _datastores()))
    _graphs_of_datastores(board)
    return board.build()


def _numbers(board: Board) -> None:
    texts = (
        ("Used", "Used bytes of all datastores. S3 datastores don't count, here and below.", "bytes", f"sum({_USED})"),
        ("Used share", "Used bytes as a share of all bytes.", "percentunit", f"sum({_USED}) / sum({_TOTAL})"),
        ("Added in 24 hours", "What the used bytes rose, hour by hour.", "bytes", f"sum({_changed(1, 1)})"),
        ("Removed in 24 hours", "What the used bytes fell, hour by hour.", "bytes", f"sum({_changed(1, -1)})"),
        ("Growth per day", "By the straight line through the last seven days.", "bytes", f"sum({_TREND})"),
    )
    panels = [
        number(title, text, unit, expr, empty="no datastore is known", steps=FILL if unit == "percentunit" else PLAIN)
        for title, text, unit, expr in texts
    ]
    first = number(
        "First full in",
        "When the first datastore is full, by the alert's forecast. Empty where no datastore grows.",
        "s",
        f"min({_FULL})",
        empty="no datastore grows, or rules not loaded",
        steps=DAYS_UNTIL_FULL,
    )
    board.line(4, *((4, panel) for panel in (*panels, first)))


def _sites() -> object:
    used, total = by_site("sum", _USED), by_site("sum", _TOTAL)
    return table(
        "Sites",
        "A row for each value of the site label. Added and removed are the average of seven days, hour by hour: "
        "what came and went within an hour cancels out.",
        {"site": "Site"},
        [
            Column("PBS", by_site("count", f"max {by()} (pbs_up{{{PBS}}})")),
            Column("Datastores", by_site("count", _USED)),
            Column("Groups", by_site("sum", f"count {by()} (pbs_snapshot_count{{{PBS}}})")),
            Column("Used", f"{used} / {total}", "percentunit", steps=FILL, gauge=True),
            Column("Used bytes", used, "bytes"),
            Column("Total bytes", total, "bytes"),
            Column("Added per day", by_site("sum", _changed(7, 1)), "bytes"),
            Column("Removed per day", by_site("sum", _changed(7, -1)), "bytes"),
            Column("Growth per day", by_site("sum", _TREND), "bytes"),
            Column("First full in", by_site("min", _FULL), "s", steps=DAYS_UNTIL_FULL),
        ],
        empty="no datastore is known",
        sort="Used bytes",
    )


def _graphs_of_sites(board: Board) -> None:
    past = _of_each(f"last_over_time({_BYTES}[$__rate_interval])")
    board.line(
        9,
        (
            12,
            graph(
                "Used space of each site",
                "Used bytes of the datastores' file systems.",
                "bytes",
                [(by_site("sum", past), "{{site}}")],
                empty="no datastore is known",
                stacked=True,
            ),
        ),
        (
            12,
            graph(
                "Added and removed in 24 hours",
                "What the used bytes of each site rose and, below 0, fell within 24 hours, hour by hour.",
                "bytes",
                [
                    (by_site("sum", _changed(1, 1)), "{{site}} added"),
                    (f"-{by_site('sum', _changed(1, -1))}", "{{site}} removed"),
                ],
                empty="no datastore is known",
                least=None,
            ),
        ),
    )


def _datastores() -> object:
    return table(
        "Forecast",
        "A row for each datastore, those that are full first at the top. Added and removed are the average of seven "
        "days; growth and what is used in 30 and 90 days follow the straight line through these days. "
        "A cell is blank where a datastore doesn't grow, or is younger than two weeks.",
        {"instance": "PBS", "datastore": "Datastore"},
        [
            Column("Used", f"{_USED} / {_TOTAL}", "percentunit", steps=FILL, gauge=True),
            Column("Used bytes", _USED, "bytes"),
            Column("Total bytes", _TOTAL, "bytes"),
            Column("Added per day", _changed(7, 1), "bytes"),
            Column("Removed per day", _changed(7, -1), "bytes"),
            Column("Growth per day", _TREND, "bytes"),
            Column("In 30 days", _ahead(30), "percentunit", steps=FILL),
            Column("In 90 days", _ahead(90), "percentunit", steps=FILL),
            Column("Full in", _FULL, "s", steps=DAYS_UNTIL_FULL),
        ],
        empty="no datastore is known",
        sort="In 90 days",
        links={"Datastore": ("pbs-datastore", {"instance": "PBS", "datastore": "Datastore"})},
    )


def _graphs_of_datastores(board: Board) -> None:
    links = [of_series("pbs-datastore", "instance", "datastore")]
    largest = _of_each(last(_BYTES))
    full = f"datastore:pbs_datastore_full:seconds{{{PBS}}}"
    series = (
        ("Added in 24 hours", "What the used bytes rose, hour by hour: the ten largest datastores.", _changed(1, 1)),
        ("Removed in 24 hours", "What the used bytes fell, hour by hour: the ten largest datastores.", _changed(1, -1)),
    )
    panels = [
        graph(title, text, "bytes", [(steady(10, expr, largest), _NAME)], empty="no datastore is known", links=links)
        for title, text, expr in series
    ]
    until = graph(
        "Time until full",
        "By the alert's forecast: the ten that are full first. Empty where no datastore grows.",
        "s",
        [(steady(10, full, f"-{last(full)}"), _NAME)],
        empty="no datastore grows, or rules not loaded",
        links=links,
    )
    board.line(9, *((8, panel) for panel in (*panels, until)))
