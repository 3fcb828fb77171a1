"""Write the Helm chart of the checked-out commit into a folder, for `helm package`: `python -m tools.chart FOLDER`.

With the repository's address in the variable `SOURCE` and the image's in `IMAGE`, the chart has both: in its metadata,
which Artifact Hub shows, in its default values, and in its README.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import yaml

from tools import helm_values
from tools.dist import checked_out, export, warn_of_changes

CHART = Path("deploy", "helm", "pbs-exporter")


def main(folder: Path) -> None:
    """Write the chart, and print its path."""
    os.umask(0o022)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        exported = Path(temporary, "exported")
        export(exported)
        commit, seconds = checked_out()
        chart = exported / CHART
        source, image = os.environ.get("SOURCE"), os.environ.get("IMAGE")
        if source and image:
            _add_addresses(chart, commit, source, image)
        # Helm's archives have the times of the files.
        for path in chart.rglob("*"):
            os.utime(path, (int(seconds), int(seconds)))
        print(chart.rename(folder / CHART.name))
    warn_of_changes()


def _add_addresses(chart: Path, commit: str, source: str, image: str) -> None:
    """Write the addresses of the repository, the image and the chart into the chart's files."""
    values, metadata, readme = (chart / name for name in ("values.yaml", "Chart.yaml", "README.md"))
    values.write_text(_replaced(values.read_text(), "repository: pbs-exporter\n", f"repository: {image}\n"))
    described = yaml.safe_load(metadata.read_text())
    pages = {"Documentation": f"/tree/{commit}/docs", "Changelog": f"/blob/{commit}/CHANGELOG.md", "Support": "/issues"}
    used = {"name": "pbs-exporter", "image": f"{image}:{described['appVersion']}"}
    described |= {"home": source, "sources": [source]}
    described["annotations"] |= {
        "artifacthub.io/links": yaml.safe_dump([{"name": name, "url": source + page} for name, page in pages.items()]),
        "artifacthub.io/images": yaml.safe_dump([used | {"platforms": ["linux/amd64", "linux/arm64"]}]),
    }
    metadata.write_text(yaml.safe_dump(described, sort_keys=False))
    text = helm_values.with_table(readme.read_text(), values.read_text())
    text = re.sub(r"(?<=\]\()(\.\./)+", f"{source}/blob/{commit}/", text)
    registry = f"oci://{image.rpartition('/')[0]}/charts/{CHART.name} --version {described['version']}"
    readme.write_text(_replaced(text, f"helm install pbs-exporter {CHART} ", f"helm install pbs-exporter {registry} "))


def _replaced(text: str, old: str, new: str) -> str:
    """Replace what a text has once. Raise `ValueError` if it hasn't."""
    if text.count(old) != 1:
        raise ValueError(f"not there once: {old!r}")
    return text.replace(old, new)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
