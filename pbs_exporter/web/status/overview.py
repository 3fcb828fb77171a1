"""The overview of all targets: a row for each PBS."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec

from pbs_exporter.scrape.target import Target
from pbs_exporter.web.status.fact_reader import reason_text, version_number
from pbs_exporter.web.status.facts import State
from pbs_exporter.web.status.formatting import NOTHING, age, count, escaped, span
from pbs_exporter.web.status.page import framed, version_text
from pbs_exporter.web.status.summary import OLD_SECONDS, names
from pbs_exporter.web.status.tables import table

_CAPTION = "Each PBS at its last scrape, failures first"
_HEADS = ("Target", "Result", "Version", "Last scrape")


class TargetRow(msgspec.Struct, frozen=True):
    """A PBS at its last scrape: why it is down, or which collectors failed. `at` is the scrape's time (Unix seconds).

    The name is empty for the PBS of `/metrics`.
    """

    name: str
    version: str | None
    at: float | None
    down: str | None
    failed: tuple[str, ...]

    def state(self, now: float) -> State:
        """Return its state. One that nobody scrapes any more is unknown."""
        if self.at is None or now - self.at > OLD_SECONDS:
            return State.WAITING
        return State.FAILED if self.down or self.failed else State.OK


def read_overview(targets: Mapping[str, Target]) -> list[TargetRow]:
    """Return a row for each target. It may run in a thread, as `read_facts`."""
    return [_row(name, target) for name, target in targets.items()]


def _row(name: str, target: Target) -> TargetRow:
    last = target.last_scrape
    failed = () if last is None else tuple(outcome.name for outcome in last.outcomes if not outcome.success)
    return TargetRow(
        name=name,
        version=version_number(target.version),
        at=None if last is None else last.at,
        down=None if last is None else reason_text(last.error),
        failed=failed,
    )


def render_overview(rows: Iterable[TargetRow], *, now: float, up_seconds: float) -> str:
    """Return the page as of `now` (Unix seconds). `up_seconds` is the uptime of the exporter."""
    ordered = sorted(rows, key=lambda row: row.state(now).rank)
    states = [row.state(now) for row in ordered]
    bad, waiting = states.count(State.FAILED), states.count(State.WAITING)
    headline = f"{bad} of {count(len(states), 'PBS server')} with failures" if bad else "No failures"
    told = [f"{count(waiting, 'PBS server')} not scraped lately"] if waiting else []
    state = State.FAILED if bad else State.WAITING if waiting else State.OK
    lines = "".join(f"<li>{line}</li>" for line in [*told, f"Exporter {version_text()}, up for {span(up_seconds)}"])
    content = (
        f'<section class="sum {state.name.lower()}" aria-labelledby="summary">\n'
        f'<h2 id="summary">{headline}</h2>\n<ul>{lines}</ul>\n</section>\n'
        f"{table('targets', _CAPTION, _HEADS, (_cells(row, now) for row in ordered))}"
    )
    links = {"metrics": "Metrics", "sd": "Service discovery", "health": "Health"}
    return framed(headline, content, links, now)


def _cells(row: TargetRow, now: float) -> str:
    state = row.state(now)
    shown = f'<b class="{state.name.lower()}">{state}</b>'
    if state is State.FAILED:
        shown += f": {escaped(row.down)}" if row.down else f": {names(row.failed)}"
    link = f'<a href="?{urlencode({"target": row.name})}">{escaped(row.name) or "[pbs]"}</a>'
    version = NOTHING if row.version is None else escaped(row.version)
    marked = ' class="failed"' if state is State.FAILED else ""
    return f'<tr{marked}><th scope="row">{link}</th><td>{shown}</td><td>{version}</td><td>{age(row.at, now)}</td></tr>'
