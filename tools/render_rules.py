"""Render the rules into the Kubernetes overlay and the Helm chart; with `--check`, only compare.

`monitoring/rules` is the only source. The tool copies text: each rule file is `groups:` and a list.

With `--runbook-url URL`, where your Prometheus's readers open docs/alerts.md, the rule files and the PrometheusRule are
written to build/rules, and each alert has a `runbook_url`. The project has no address, so what it ships has none.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[1]
RULES = ROOT / "monitoring" / "rules"
SOURCES = ("pbs.rules.yml", "pbs.alerts.yml")
WITH_RUNBOOK = ROOT / "build" / "rules"

_OPERATOR = """\
# Written by `make rules` from monitoring/rules: change those, not this file.
# A Prometheus chooses its PrometheusRules by their labels: add those that yours asks for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pbs-exporter
  labels:
    app.kubernetes.io/name: pbs-exporter
spec:
  groups:
"""

_CHART = """\
# Written by `make rules` from monitoring/rules: change those, not this file.
groups:
"""


def rendered() -> dict[Path, str]:
    """Return the text of each file that is rendered from the rules."""
    groups = _groups(_sources().values())
    return {
        ROOT / "deploy/kubernetes/overlays/prometheus-operator/prometheusrule.yaml": _OPERATOR + indent(groups, "  "),
        ROOT / "deploy/helm/pbs-exporter/files/rules.yaml": _CHART + groups,
    }


def with_runbook(url: str) -> dict[Path, str]:
    """Return the text of the rule files and the PrometheusRule, with links from alerts to that page."""
    sources = {name: linked(text, url) for name, text in _sources().items()}
    operator = _OPERATOR + indent(_groups(sources.values()), "  ")
    return {WITH_RUNBOOK / name: text for name, text in (sources | {"prometheusrule.yaml": operator}).items()}


def linked(text: str, url: str) -> str:
    """Return a rule file's text with a `runbook_url` in each alert, the anchor of the alert's section."""
    name, lines = "", []
    for line in text.splitlines(keepends=True):
        lines.append(line)
        if found := re.match(r" *- alert: (\w+)", line):
            name = found[1].lower()
        elif found := re.match(r"( *)annotations:(?: &\w+)?$", line):
            lines.append(f"{found[1]}  runbook_url: {url}#{name}\n")
    return "".join(lines)


def _sources() -> dict[str, str]:
    return {name: (RULES / name).read_text(encoding="utf-8") for name in SOURCES}


def _groups(texts: Iterable[str]) -> str:
    return "\n".join(text.partition("\ngroups:\n")[2] for text in texts)


def main(arguments: list[str]) -> int:
    """Write the files. With `--check`, return 1 if a file differs."""
    stale = 0
    url = arguments[1] if arguments[:1] == ["--runbook-url"] else ""
    if url and not re.fullmatch(r"https?://[^\s#\"'{}]+", url):
        sys.stderr.write(f"{url} isn't an address that begins with http:// or https:// and has no #\n")
        return 1
    for path, text in (with_runbook(url) if url else rendered()).items():
        if arguments == ["--check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(f"{path.relative_to(ROOT)} isn't what the rules give: run `make rules`\n")
                stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
