"""The status page's style, and the content security policy that permits only it."""

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fff; --text: #1f2328; --quiet: #57606a; --line: #d0d7de; --link: #0550ae;
  --good: #116329; --bad: #a40e26; --bad-page: #fff1f0; --wait: #7d4e00; --code: #f3f5f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --text: #e6edf3; --quiet: #9da7b3; --line: #3d444d; --link: #79c0ff;
    --good: #56d364; --bad: #ff9a94; --bad-page: #2b1517; --wait: #e3b341; --code: #1a2028;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 2rem;
  background: var(--page); color: var(--text); font: 0.9375rem/1.45 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: baseline; justify-content: space-between; }
h1 { font-size: 1.375rem; margin: 0.25rem 0; }
h2 { font-size: 1.125rem; margin: 1.75rem 0 0.5rem; }
p { margin: 0.5rem 0; }
small { font-size: 0.8125rem; color: var(--quiet); }
a { color: var(--link); text-underline-offset: 0.15em; }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; border-radius: 2px; }
nav ul { display: flex; gap: 1.25rem; list-style: none; margin: 0; padding: 0; }
nav a { display: inline-block; padding: 0.25rem 0; }
.sum { margin: 0.75rem 0 1rem; padding: 0.5rem 1rem; border: 1px solid var(--line); border-left: 0.375rem solid; }
.sum h2 { margin: 0.125rem 0; }
.sum ul { margin: 0.25rem 0; padding-left: 1.125rem; }
.sum .notes { padding: 0; list-style: none; color: var(--quiet); }
.sum, td, dd { overflow-wrap: anywhere; }
.sum.ok { border-left-color: var(--good); }
.sum.waiting { border-left-color: var(--wait); }
.sum.failed { border-left-color: var(--bad); background: var(--bad-page); }
b.ok { color: var(--good); font-weight: 600; }
b.waiting, b.unasked, b.unreadable { color: var(--wait); }
b.failed { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.25rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; }
pre { margin: 0.5rem 0; padding: 0.75rem 1rem; background: var(--code); }
pre, code { font-family: ui-monospace, monospace; font-size: 0.875rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.375rem; }
th, td { text-align: left; vertical-align: top; padding: 0.1875rem 1rem 0.1875rem 0; }
thead th { font-weight: 600; white-space: nowrap; border-bottom: 2px solid var(--line); }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 8rem; max-width: 18rem; padding-left: 0.5rem; }
thead th:first-child { padding-left: 0.5rem; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr.failed { background: var(--bad-page); box-shadow: inset 0.25rem 0 var(--bad); }
td { font-variant-numeric: tabular-nums; }
td:nth-child(2) { min-width: 9rem; }
td time, td small { white-space: nowrap; }
@media (min-width: 72rem) {
  td:nth-child(n + 3):not(:nth-child(7)) { white-space: nowrap; }
  .rights td { white-space: normal; }
}
td div { margin-top: 0.125rem; }
@media (max-width: 60rem) {
  body { padding: 0.75rem 0.75rem 2rem; }
  dl { display: block; }
  dd { margin-bottom: 0.375rem; }
  table, caption, tbody, tr, tbody th, td { display: block; max-width: none; min-width: 0; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { padding: 0.375rem 0 0.375rem 0.75rem; }
  th, td, tbody th { padding: 0; }
  tbody th, .collectors td:nth-child(2), .datastores td:nth-child(2), .targets td:nth-child(2) { display: inline; }
  tbody th { margin-right: 0.75rem; }
  td:nth-child(2)::after { content: ""; display: block; }
  td:nth-child(n + 3) { display: inline-block; margin-right: 1rem; }
  td.none { display: none; }
  td::before { color: var(--quiet); font-size: 0.8125rem; }
  .targets td:nth-child(3)::before { content: "version "; }
  .targets td:nth-child(4)::before { content: "scraped "; }
  .collectors td:nth-child(3)::before { content: "asked "; }
  .collectors td:nth-child(4)::before { content: "took "; }
  .datastores td:nth-child(3)::before { content: "result "; }
  .datastores td:nth-child(4)::before { content: "listed "; }
  .datastores td:nth-child(5)::before { content: "in full "; }
  .datastores td:nth-child(6)::before { content: "which took "; }
  .datastores td:nth-child(7)::before { content: "next in full "; }
  .rights td::before { content: "on "; }
  .rights td:nth-child(3)::before { content: "for "; }
}
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The page's `Content-Security-Policy`: only its own style is permitted."""
