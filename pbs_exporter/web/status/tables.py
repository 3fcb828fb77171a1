"""The tables of the status page: missing privileges, collectors and datastores."""

from collections.abc import Iterable, Iterator

from pbs_exporter.pbs.snapshots.listing import ListingStatus
from pbs_exporter.web.status.facts import DOWN, CollectorRow, DatastoreRow, Facts, State, TokenPrivileges
from pbs_exporter.web.status.formatting import NOTHING, age, count, escaped, moment, span, time_of_day
from pbs_exporter.web.status.summary import names


def privileges(known: TokenPrivileges, now: float) -> str:
    """Return the missing privileges and the commands that grant them, as HTML."""
    if known.unknown is not None:
        hint = "" if known.unknown == DOWN else " The command <code>pbs-exporter check</code> shows them."
        return f"<p>Unknown: {escaped(known.unknown)}.{hint}</p>"
    if not known.missing:
        return f"<p>The token has all privileges that the collectors need. Checked {age(known.at, now)}.</p>"
    rows = (
        _row("failed", lacking.privilege, escaped(lacking.path), names(lacking.collectors)) for lacking in known.missing
    )
    commands = "\n".join(map(escaped, known.commands))
    return (
        table("rights", "Privileges that collectors need and the token lacks", ("Privilege", "Path", "Needed by"), rows)
        + "<p>A token has only privileges that its user has too. "
        + f"Run this as root on PBS to grant the missing ones. Checked {age(known.at, now)}:</p>\n"
        + f"<pre><code>{commands}</code></pre>"
    )


def collectors(facts: Facts, now: float) -> str:
    """Return the table of the enabled collectors, as HTML."""
    shown = table(
        "collectors",
        "The last result of each enabled collector, failures first",
        ("Collector", "Result", "Age", "Took"),
        (_collector(row, now) for row in facts.collectors),
    )
    off = f"<p>Disabled: {names(facts.disabled)}.</p>" if facts.disabled else ""
    return shown + off


def datastores(rows: Iterable[DatastoreRow], now: float) -> str:
    """Return the table of the datastores, as HTML."""
    heads = ("Datastore", "Result", "Age", "Last listing", "Last full listing", "Took", "Next full listing")
    return table(
        "datastores",
        "The last result of each datastore and of the listing of its snapshots, failures first",
        heads,
        (_row(_class(row.state), row.name, _result(row.state, row.reasons), *_listing(row, now)) for row in rows),
    )


def _collector(row: CollectorRow, now: float) -> str:
    reasons = list(map(escaped, row.reasons))
    if row.datastores:
        reasons.append(f"{count(len(row.datastores), 'datastore')}: {names(row.datastores)}")
    if row.state is not State.OK and row.samples_of is not None:
        reasons.append(f"samples from {moment(row.samples_of, now)}")
    every = "" if row.every_seconds is None else f" <small>every {span(row.every_seconds)}</small>"
    took = NOTHING if row.took_seconds is None else span(row.took_seconds)
    return _row(_class(row.state), row.name, _joined(row.state, reasons), age(row.at, now) + every, took)


def _listing(row: DatastoreRow, now: float) -> Iterator[str]:
    yield age(row.at, now)
    listing = row.listing
    if listing is None:
        yield from [NOTHING] * 4
        return
    yield moment(listing.listed_at, now)
    yield moment(listing.fully_listed_at, now)
    yield NOTHING if listing.took_seconds is None else span(listing.took_seconds)
    yield _next(listing, now)


def _next(listing: ListingStatus, now: float) -> str:
    if listing.under_way_seconds is not None:
        return f"running since {time_of_day(now - listing.under_way_seconds, now)}"
    if not listing.due_in_seconds:
        return "at the next scrape"
    return f"after {time_of_day(now + listing.due_in_seconds, now)}"


def _result(state: State, reasons: Iterable[str]) -> str:
    return _joined(state, list(map(escaped, reasons)))


def _joined(state: State, reasons: list[str]) -> str:
    shown = f'<b class="{_class(state)}">{state}</b>'
    if not reasons:
        return shown
    return f"{shown}: {reasons[0]}" + "".join(f"<div>{reason}</div>" for reason in reasons[1:])


def _class(state: State) -> str:
    return state.name.lower()


def table(kind: str, caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table of these rows (HTML). Its class is `kind`."""
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "\n".join(rows)
    return (
        f'<table class="{kind}">\n<caption>{caption}</caption>\n<thead><tr>{columns}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n"
    )


def _row(kind: str, head: str, *cells: str) -> str:
    return row(kind, escaped(head), *cells)


def row(kind: str, head: str, *cells: str) -> str:
    """Return a row of a table with these cells (HTML). `kind` is the class of its state."""
    shown = "".join(f'<td class="none">{cell}</td>' if cell == NOTHING else f"<td>{cell}</td>" for cell in cells)
    failed = ' class="failed"' if kind == "failed" else ""
    return f'<tr{failed}><th scope="row">{head}</th>{shown}</tr>'
