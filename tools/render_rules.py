"""Render the rules into the Kubernetes overlay and the Helm chart; with `--check`, only compare.

`monitoring/rules` is the only source. The tool copies text: each rule file is `groups:` and a list.
"""

import sys
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[1]
SOURCES = ("pbs.rules.yml", "pbs.alerts.yml")

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
    groups = "\n".join(_groups((ROOT / "monitoring" / "rules" / name).read_text(encoding="utf-8")) for name in SOURCES)
    return {
        ROOT / "deploy/kubernetes/overlays/prometheus-operator/prometheusrule.yaml": _OPERATOR + indent(groups, "  "),
        ROOT / "deploy/helm/pbs-exporter/files/rules.yaml": _CHART + groups,
    }


def _groups(text: str) -> str:
    return text.partition("\ngroups:\n")[2]


def main(arguments: list[str]) -> int:
    """Write the files. With `--check`, return 1 if a file differs."""
    stale = 0
    for path, text in rendered().items():
        if arguments == ["--check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(f"{path.relative_to(ROOT)} isn't what the rules give: run `make rules`\n")
                stale = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
