"""The status page as HTML."""

from collections.abc import Mapping

from pbs_exporter import __revision__, __version__
from pbs_exporter.web.status import tables
from pbs_exporter.web.status.facts import DOWN, Facts, State
from pbs_exporter.web.status.formatting import count, date, escaped, span
from pbs_exporter.web.status.style import STYLE
from pbs_exporter.web.status.summary import shown, summarize

DATASTORES_SHOWN = 200
"""Rows of the table of datastores. The summary counts all."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{headline} · pbs-exporter</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>pbs-exporter</h1>
<nav aria-label="Pages">
<ul>
{links}
</ul>
</nav>
</header>
<main>
{content}
</main>
<footer>
<p><small>Generated at {made} from earlier scrapes, without requests to PBS. All times are UTC.</small></p>
</footer>
</body>
</html>
"""


def render_page(facts: Facts, *, now: float, up_seconds: float, metrics: str = "metrics") -> str:
    """Return the page as of `now` (Unix seconds).

    `up_seconds` is the uptime of the exporter, `metrics` the relative link to the metrics.
    """
    summary = summarize(facts, now)
    about = "\n".join(f"<dt>{term}</dt><dd>{told}</dd>" for term, told in _about(facts, now, up_seconds).items())
    parts = "" if facts.scrape is None else _parts(facts, now)
    content = f"{shown(summary)}\n<dl>\n{about}\n</dl>\n{parts}"
    return framed(summary.headline, content, {metrics: "Metrics", "health": "Health"}, now)


def framed(headline: str, content: str, links: Mapping[str, str], now: float) -> str:
    """Return a page with this content (HTML), and links by their address."""
    return _PAGE.format(
        style=STYLE,
        headline=escaped(headline),
        links="\n".join(f'<li><a href="{escaped(address)}">{text}</a></li>' for address, text in links.items()),
        content=content,
        made=date(now),
    )


def version_text() -> str:
    """Return the version of the exporter, as HTML."""
    return escaped(f"{__version__} (revision {__revision__})" if __revision__ else __version__)


def _about(facts: Facts, now: float, up_seconds: float) -> dict[str, str]:
    pbs, scrape = facts.pbs, facts.scrape
    if scrape is None:
        state, last = "unknown", "none yet"
    else:
        state = f'<b class="{State.FAILED}">down</b>' if pbs.down else f'<b class="{State.OK}">up</b>'
        last = f"{date(scrape.at)}, {span(int(now) - int(scrape.at))} ago, took {span(scrape.took_seconds)}"
    return {
        "PBS": escaped(pbs.endpoint) + ("" if pbs.version is None else f", version {escaped(pbs.version)}"),
        "State": state,
        "Last scrape": last,
        "Exporter": f"version {version_text()}, up for {span(up_seconds)}",
    }


def _parts(facts: Facts, now: float) -> str:
    parts = {
        "rights": ("Privileges of the token", tables.privileges(facts.privileges, now)),
        "collectors": ("Collectors", tables.collectors(facts, now)),
        "datastores": ("Datastores", _datastores(facts, now)),
    }
    return "\n".join(f'<h2 id="{part}">{title}</h2>\n{content}' for part, (title, content) in parts.items())


def _datastores(facts: Facts, now: float) -> str:
    rows = facts.datastores
    if not rows:
        return f"<p>Not asked: {DOWN}.</p>" if facts.pbs.down else "<p>No datastores are known.</p>"
    more = len(rows) - DATASTORES_SHOWN
    told = f"<p>And {count(more, 'more datastore')}, none in a worse state.</p>" if more > 0 else ""
    return tables.datastores(rows[:DATASTORES_SHOWN], now) + told
