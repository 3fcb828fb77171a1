"""The overview of all targets: a row for each PBS."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec

from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.scrape.target import Target
from pbs_exporter.web.status.fact_reader import down_of, read_collectors, version_number
from pbs_exporter.web.status.facts import Down, State
from pbs_exporter.web.status.formatting import NOTHING, age, count, escaped, name, span
from pbs_exporter.web.status.page import framed, version_text
from pbs_exporter.web.status.summary import BACKUPS, OLD_SECONDS, Summary, names, shown
from pbs_exporter.web.status.tables import row as table_row
from pbs_exporter.web.status.tables import table

_CAPTION = "Each PBS at its last scrape, failures first"
_HEADS = ("Target", "Result", "Version", "Last scrape")


class TargetRow(msgspec.Struct, frozen=True):
    """A PBS at its last scrape: why it was down, or which collectors failed and which wait for their first answers.

    `at` is the scrape's time (Unix seconds). The name is empty for the PBS of `/metrics`.
    """

    name: str
    version: str | None
    at: float | None
    down: Down | None
    failed: tuple[str, ...]
    waiting: tuple[str, ...]

    def is_known(self, now: float) -> bool:
        """Whether the last scrape still shows its state. Nobody may scrape it any more."""
        return self.at is not None and now - self.at <= OLD_SECONDS

    def state(self, now: float) -> State:
        """Return its state."""
        if self.is_known(now) and (self.down or self.failed):
            return State.FAILED
        return State.OK if self.is_known(now) and not self.waiting else State.WAITING

    def why(self, now: float) -> str:
        """Return the reason for its state (HTML), which is empty if nothing failed."""
        if self.at is None:
            return "not scraped yet"
        if not self.is_known(now):
            return f"not scraped for {span(now - self.at)}"
        if self.down:
            return name(self.down.reason)
        return names(self.failed or self.waiting)


def read_overview(targets: Mapping[str, tuple[Target, dict[str, ListingStatus]]]) -> list[TargetRow]:
    """Return a row for each target with its listings. It may run in a thread, as `read_facts`."""
    return [_row(name_of, target, listings) for name_of, (target, listings) in targets.items()]


def _row(name_of: str, target: Target, listings: dict[str, ListingStatus]) -> TargetRow:
    last = target.last_scrape
    collectors = read_collectors(target, last, listings)
    return TargetRow(
        name=name_of,
        version=version_number(target.version),
        at=None if last is None else last.at,
        down=down_of(last),
        failed=tuple(row.name for row in collectors if row.state is State.FAILED),
        waiting=tuple(row.name for row in collectors if row.state is State.WAITING),
    )


def render_overview(rows: Iterable[TargetRow], *, now: float, up_seconds: float) -> str:
    """Return the page as of `now` (Unix seconds). `up_seconds` is the uptime of the exporter."""
    ordered = sorted(rows, key=lambda row: row.state(now).rank)
    summary = _summary(ordered, now, up_seconds)
    content = f"{shown(summary)}\n{table('targets', _CAPTION, _HEADS, (_cells(row, now) for row in ordered))}"
    links = {"metrics": "Metrics", "sd": "Service discovery", "health": "Health"}
    return framed(summary.headline, content, links, now)


def _summary(rows: list[TargetRow], now: float, up_seconds: float) -> Summary:
    states = [row.state(now) for row in rows]
    bad, unknown = states.count(State.FAILED), sum(not row.is_known(now) for row in rows)
    worst = min(states, key=lambda state: state.rank, default=State.OK)
    about = f"Exporter {version_text()}, up for {span(up_seconds)}"
    if bad:
        headline = f"{bad} of {count(len(rows), 'PBS server')} with failures"
    else:
        headline = "All collectors ok" if worst is State.OK else "No failures so far"
    lately = [f"{count(unknown, 'PBS server')} not scraped lately"] if unknown else []
    return Summary(worst, headline, (), (*lately, BACKUPS, about))


def _cells(row: TargetRow, now: float) -> str:
    state, why = row.state(now), row.why(now)
    result = f'<b class="{state.name.lower()}">{state}</b>' + (f": {why}" if why else "")
    link = f'<a href="?target={quote(row.name, safe="")}">{escaped(row.name) or "[pbs]"}</a>'
    version = NOTHING if row.version is None else escaped(row.version)
    return table_row(state.name.lower(), link, result, version, age(row.at, now))
