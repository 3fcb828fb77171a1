"""The summary at the top of the status page."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pbs_exporter.web.status.facts import NOT_QUERIED, Facts, State
from pbs_exporter.web.status.formatting import count, escaped, name, span

NAMED = 8
"""Names per line; the tables have all."""

OLD_SECONDS = 600
"""Age above which a scrape no longer shows the current state."""


class Summary(msgspec.Struct, frozen=True):
    """The overall state, a headline, and lines (HTML) about problems and other facts."""

    state: State
    headline: str
    lines: tuple[str, ...]


def summarize(facts: Facts, now: float) -> Summary:
    """Return the summary as of `now` (Unix seconds)."""
    if facts.scrape is None:
        line = "The state of PBS is known after the first scrape of <code>metrics</code>."
        return Summary(State.WAITING, "Not scraped yet", (line,))
    problems, notes = tuple(_problems(facts)), tuple(_notes(facts))
    if problems:
        return Summary(State.FAILED, count(len(problems), "problem"), problems + notes)
    age = int(now) - int(facts.scrape.at)
    when = f"At the last scrape, {span(age)} ago, PBS answered and nothing failed."
    if age > OLD_SECONDS:
        return Summary(State.WAITING, f"Not scraped for {span(age)}", (when, *notes))
    states = [collector.state for collector in facts.collectors] + [store.state for store in facts.datastores]
    waits = State.WAITING in states
    return Summary(State.WAITING if waits else State.OK, "No problems so far" if waits else "All well", (when, *notes))


def _problems(facts: Facts) -> Iterator[str]:
    if facts.pbs.down is not None:
        yield f"PBS is down for this token: {name(facts.pbs.down)}"
    for rows, noun in ((facts.collectors, "collector"), (facts.datastores, "datastore")):
        failed = [row.name for row in rows if row.state is State.FAILED]
        if failed:
            yield (f'<a href="#{noun}s">{len(failed)} of {count(len(rows), noun)} failed</a>: {names(failed)}')
    if facts.privileges.missing:
        lacking = [f"{missing.privilege} on {missing.path}" for missing in facts.privileges.missing]
        yield f'<a href="#rights">The token lacks {count(len(lacking), "privilege")}</a>: {names(lacking)}'


def _notes(facts: Facts) -> Iterator[str]:
    collectors = [row.name for row in facts.collectors if row.state is State.WAITING]
    stores = [row.name for row in facts.datastores if row.state is State.WAITING]
    unreadable = [
        f"{row.name} ({', '.join(row.reasons)})"
        for row in facts.datastores
        if row.state is State.UNREADABLE and NOT_QUERIED not in row.reasons
    ]
    if collectors:
        yield f"Waiting for the first answers: {names(collectors)}"
    if stores:
        yield f"Not listed yet: {names(stores)}"
    if unreadable:
        yield f"Can't be read: {names(unreadable)}"
    if facts.privileges.unknown is not None:
        yield f"The token's privileges are unknown: {escaped(facts.privileges.unknown)}"


def names(all_names: Sequence[str]) -> str:
    """Return up to `NAMED` names as a list in a sentence."""
    shown: Iterable[str] = map(name, all_names[:NAMED])
    more = len(all_names) - NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
