"""The summary at the top of the status page."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from pbs_exporter.web.status.facts import DOWN, NOT_QUERIED, Facts, State
from pbs_exporter.web.status.formatting import count, escaped, name, span

NAMED = 8
"""Names per line; the tables have all."""

OLD_SECONDS = 600
"""Age above which a scrape no longer shows the current state."""

BACKUPS = "This is about the exporter. Whether backups are recent and verified is for the alerts to judge."


class Summary(msgspec.Struct, frozen=True):
    """The overall state, a headline, and lines (HTML): problems, and other facts."""

    state: State
    headline: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def summarize(facts: Facts, now: float) -> Summary:
    """Return the summary as of `now` (Unix seconds)."""
    if facts.scrape is None:
        line = "The state of PBS is known after the first scrape of <code>metrics</code>."
        return Summary(State.WAITING, "Not scraped yet", (), (line,))
    notes = tuple(_notes(facts))
    headline = _failures(facts)
    if headline:
        return Summary(State.FAILED, headline, tuple(_problems(facts)), notes)
    age = int(now) - int(facts.scrape.at)
    when = f"At the last scrape, {span(age)} ago, PBS answered and nothing failed."
    if age > OLD_SECONDS:
        return Summary(State.WAITING, f"Not scraped for {span(age)}", (), (when, *notes))
    states = [collector.state for collector in facts.collectors] + [store.state for store in facts.datastores]
    if State.WAITING in states:
        return Summary(State.WAITING, "No failures so far", (), (when, *notes))
    return Summary(State.OK, "All collectors ok", (), (when, BACKUPS, *notes))


def _failed(facts: Facts) -> Iterator[tuple[str, list[str], int]]:
    """Yield what failed: a noun, the names, and the number of all.

    A collector that failed only for some datastores is counted with those.
    """
    collectors = [row.name for row in facts.collectors if row.state is State.FAILED and row.reasons]
    stores = [row.name for row in facts.datastores if row.state is State.FAILED]
    yield "collector", collectors, len(facts.collectors)
    yield "datastore", stores, len(facts.datastores)


def _failures(facts: Facts) -> str:
    """Return a headline of all that failed; an empty one if nothing did."""
    counts = [count(len(failed), noun) for noun, failed, _ in _failed(facts) if failed]
    parts = [facts.pbs.down.kind] if facts.pbs.down else []
    parts += [f"{' and '.join(counts)} failed"] if counts else []
    lacking = len(facts.privileges.missing)
    parts += [f"{count(lacking, 'privilege')} missing"] if lacking else []
    return ", ".join(parts)


def _problems(facts: Facts) -> Iterator[str]:
    if facts.pbs.down is not None:
        yield name(facts.pbs.down.reason)
    for noun, failed, total in _failed(facts):
        if failed:
            yield f'<a href="#{noun}s">{len(failed)} of {count(total, noun)} failed</a>: {names(failed)}'
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
    if facts.privileges.unknown is not None and facts.privileges.unknown != DOWN:
        yield f"The token's privileges are unknown: {escaped(facts.privileges.unknown)}"


def shown(summary: Summary) -> str:
    """Return the summary as HTML."""
    lists = "\n".join(
        f'<ul class="{kind}">\n' + "\n".join(f"<li>{line}</li>" for line in lines) + "\n</ul>"
        for kind, lines in (("problems", summary.problems), ("notes", summary.notes))
        if lines
    )
    return (
        f'<section class="sum {summary.state.name.lower()}" aria-labelledby="summary">\n'
        f'<h2 id="summary">{escaped(summary.headline)}</h2>\n{lists}\n</section>'
    )


def names(all_names: Sequence[str]) -> str:
    """Return up to `NAMED` names as a list in a sentence."""
    shown: Iterable[str] = map(name, all_names[:NAMED])
    more = len(all_names) - NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
