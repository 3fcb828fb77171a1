"""The information page."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from pbs_exporter import __version__
from pbs_exporter.errors import PbsExporterError
from pbs_exporter.run import Outcome

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
tbody tr { border-top: 1px solid #8886; }
.failed { font-weight: bold; }
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The page's `Content-Security-Policy`: nothing but its own style."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pbs-exporter</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>pbs-exporter</h1>
<p>Prometheus exporter for Proxmox Backup Server, version {version}.</p>
<ul>
<li><a href="metrics">Metrics</a></li>
<li><a href="health">Health</a></li>
</ul>
<h2>{endpoint}</h2>
{last}
</main>
</body>
</html>
"""


def page(endpoint: str, error: Exception | None, outcomes: Sequence[Outcome]) -> str:
    """Write the page: what the program is, which PBS it asks, and how the last scrape of it went."""
    return _PAGE.format(
        style=_STYLE,
        version=escape(__version__),
        endpoint=escape(endpoint),
        last=_last_scrape(error, outcomes),
    )


def _last_scrape(error: Exception | None, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "<p>Not scraped yet.</p>"
    up = (
        "PBS answered."
        if error is None
        else f'<span class="failed">PBS is down for this token:</span> {escape(str(error))}'
    )
    rows = "\n".join(_row(outcome) for outcome in outcomes)
    return (
        f"<p>In the last scrape {up}</p>\n<table>\n"
        '<thead><tr><th scope="col">Collector</th><th scope="col">Result</th>'
        '<th scope="col">Seconds</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>"
    )


def _row(outcome: Outcome) -> str:
    problems = list(_problems(outcome))
    result = '<span class="failed">failed</span>: ' + "; ".join(map(escape, problems)) if problems else "ok"
    return f'<tr><th scope="row">{escape(outcome.name)}</th><td>{result}</td><td>{outcome.seconds:.3f}</td></tr>'


def _problems(outcome: Outcome) -> Iterable[str]:
    if outcome.error is not None:
        yield _reason(outcome.error)
    for store, error in outcome.datastores.items():
        if error is not None:
            yield f"{store}: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """Give what may be shown: the text of our own errors is clean, another one's is for the log."""
    return str(error) if isinstance(error, PbsExporterError) else "an error of the exporter, see its log"
