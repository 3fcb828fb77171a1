"""The Helm chart as it is published, and all values that are documented."""

import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from pbs_exporter import __version__
from tests.deploy.chart_values import CERTIFICATE, MANY, VALUES, default_values
from tests.deploy.manifests import CHART, Object, invalid, render, templated, versions
from tests.support.commands import environment, run
from tests.support.documented import MARKDOWN, blocks
from tests.support.paths import ROOT

SOURCE = "https://git.example.com/backup/pbs-exporter"
IMAGE = "registry.example.com/backup/pbs-exporter"
SET: Object = {
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "image.digest": f"sha256:{'0' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "networkPolicy.egressPorts": [8007, 443],
    "networkPolicy.from": [{"podSelector": {}}],
    "prometheusRule.groups": [{"name": "own", "rules": []}],
    "prometheusRule.runbookUrl": "https://wiki.example.com/pbs/alerts",
    "replicaCount": 0,
    "service.type": "NodePort",
    "serviceMonitor.interval": "2m",
    "serviceMonitor.scrapeTimeout": "20s",
    "serviceMonitor.relabelings": [{"targetLabel": "team", "replacement": "backup"}],
    "settings.exporter.external_url": "https://exporter.example.com",
    "settings.exporter.log_format": "json",
    "settings.exporter.log_level": "debug",
    "settings.pbs.endpoint": "https://other.example.com:8007",
    "settings.pbs.fingerprint": ":".join(["ab"] * 32),
    "settings.pbs.listing_mode": "changes",
    "settings.pbs.token_id": "other@pbs!prometheus",
    "targets": MANY["targets"],
    "tolerations": [{"operator": "Exists"}],
    "caCertificate": CERTIFICATE,
}
"""A value for those whose default doesn't tell which others are valid."""

BESIDE: Object = {
    "prometheusRule.": {"prometheusRule": {"enabled": True}},
    "reloader.resources.": {"reloader": {"enabled": True}},
    "serviceMonitor.": {"serviceMonitor": {"enabled": True}},
    "tokenSecret": {"existingSecret": "", "tokenSecret": "one"},
    "webConfig.tls": {"webConfig": {"existingSecret": "web"}},
}
"""What must be set besides for a value to have an effect, by the value's name or the beginning of it."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the chart of the commit with addresses, as the release does, and return its folder."""
    folder = tmp_path_factory.mktemp("chart")
    addresses = {"SOURCE": SOURCE, "IMAGE": IMAGE}
    run(sys.executable, "-m", "tools.chart", folder, cwd=ROOT, env=environment(**addresses))
    return folder / CHART.name


def test_published_chart_needs_no_checkout(published: Path, tmp_path: Path) -> None:
    """The package that the release pushes is a valid chart, whose objects use the published image."""
    archive = helm_python.package(published, destination=tmp_path)
    assert Path(archive).name == f"pbs-exporter-{__version__}.tgz"
    assert helm_python.lint(archive, VALUES, strict=True)["errors"] == []
    with helm_python.Chart.load(archive) as chart:
        chart.validate_schema(VALUES)
        found = dict(chart.render(VALUES, name="pbs-exporter", namespace="monitoring"))
    ours = templated(VALUES | {"image": {"repository": IMAGE}})
    assert found == ours
    assert f"image: {IMAGE}:{__version__}" in found["pbs-exporter/templates/deployment.yaml"].replace('"', "")


def test_chart_of_a_commit_is_always_the_same(published: Path, tmp_path: Path) -> None:
    """Two packages of the chart of one commit are the same bytes: each file in them has the commit's time."""
    again = tmp_path / "again"
    run(sys.executable, "-m", "tools.chart", again, cwd=ROOT, env=environment(SOURCE=SOURCE, IMAGE=IMAGE))
    charts = {"one": published, "other": again / CHART.name}
    archives = [Path(helm_python.package(chart, destination=tmp_path / name)) for name, chart in charts.items()]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as archive:
        times = {int(member.mtime) for member in archive.getmembers()}
    assert times == {int(run("git", "log", "-1", "--format=%ct", cwd=ROOT))}


def test_published_chart_describes_itself(published: Path) -> None:
    """Artifact Hub shows the license, the image, and links to documentation and changes of the same commit."""
    chart = yaml.safe_load((published / "Chart.yaml").read_text())
    commit = run("git", "rev-parse", "HEAD", cwd=ROOT).strip()
    assert (chart["home"], chart["sources"]) == (SOURCE, [SOURCE])
    annotations = {key.removeprefix("artifacthub.io/"): value for key, value in chart["annotations"].items()}
    assert annotations["license"] == "MIT OR Apache-2.0"
    assert annotations["category"] == "monitoring-logging"
    assert (annotations["operator"], annotations["prerelease"]) == ("false", "false")
    (image,) = yaml.safe_load(annotations["images"])
    assert image["image"] == f"{IMAGE}:{__version__}"
    links = {link["name"]: link["url"] for link in yaml.safe_load(annotations["links"])}
    assert links["Changelog"] == f"{SOURCE}/blob/{commit}/CHANGELOG.md"
    assert links["Documentation"] == f"{SOURCE}/tree/{commit}/docs"


def test_published_readme_leads_everywhere(published: Path) -> None:
    """The README of the published chart installs it from the registry, and its links lead to the repository."""
    readme = (published / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert links
    assert [link for link in links if not link.startswith(f"{SOURCE}/blob/")] == []
    address = "oci://registry.example.com/backup/charts/pbs-exporter"
    assert f"helm install pbs-exporter {address} --version {__version__} --values values.yaml\n" in readme
    assert f"| `image.repository` | `{IMAGE}` |" in readme


def test_chart_of_a_checkout_is_unchanged(tmp_path: Path) -> None:
    """Without addresses, the chart has the files of the commit as they are."""
    run(sys.executable, "-m", "tools.chart", tmp_path, cwd=ROOT)
    names = run("git", "ls-files", "-z", CHART, cwd=ROOT).split("\0")
    found = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert found == {
        str((ROOT / name).relative_to(CHART.parent)): run("git", "show", f"HEAD:{name}", cwd=ROOT)
        for name in names
        if name
    }


def leaves(node: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and default of each value."""
    if not isinstance(node, dict) or not node:
        yield path, node
        return
    for key, value in node.items():
        yield from leaves(value, f"{path}.{key}".lstrip("."))


LEAVES = dict(leaves(default_values()))


def merged(one: Object, other: Object) -> Object:
    """Return values with others on top, as Helm merges files."""
    return one | {
        key: merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
        for key, value in other.items()
    }


def another(name: str) -> Any:
    """Return a valid value other than the default one."""
    default = LEAVES[name]
    if name in SET:
        return SET[name]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, dict):
        return {"a": "b"}
    if isinstance(default, list):
        return ["a"]
    return "7" if re.match(r"\d", default) else "other"


@pytest.mark.parametrize("name", LEAVES)
def test_every_value_has_an_effect(name: str) -> None:
    """Each value in the chart's table can be set to another one than the default, which changes what Helm renders."""
    value = another(name)
    for key in reversed(name.split(".")):
        value = {key: value}
    base = VALUES
    for beginning, besides in BESIDE.items():
        if name.startswith(beginning) and merged(base, besides) != merged(merged(base, besides), value):
            base = merged(base, besides)
    before, after = templated(base), templated(merged(base, value))
    assert [file for file in before if file.endswith(".yaml") and before[file] != after[file]] != []


def documented() -> dict[str, Object]:
    """Return each example of the chart's values in the documentation, by its name."""
    found = {}
    for page in MARKDOWN:
        for block in blocks(str(page.relative_to(ROOT))):
            values = yaml.safe_load(block.text) if block.language == "yaml" else None
            if isinstance(values, dict) and values and values.keys() <= default_values().keys():
                found[str(block)] = values
    return found


DOCUMENTED = documented()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_values_work(name: str) -> None:
    """Each example of values in the documentation makes objects that the newest Kubernetes takes."""
    assert invalid(render(DOCUMENTED[name]).values(), versions()[-1]) == []


def test_all_examples_are_found() -> None:
    """The examples of values include those of the chart's README and of the page on many servers."""
    pages = {name.partition(":")[0] for name in DOCUMENTED}
    assert {"deploy/helm/pbs-exporter/README.md", "docs/many-servers.md"} <= pages


def test_documented_names_are_values() -> None:
    """Each value that the page on Helm names is one of the chart."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.partition("\n## Helm\n")[2].partition("\n## ")[0]
    roots = "|".join(default_values())
    named = set(re.findall(rf"`((?:{roots})(?:\.[\w.]+)?)(?:: \w+)?`", section))
    assert {"serviceMonitor.enabled", "reloader.enabled", "tokenSecret"} <= named
    known = {name[: len(one)] for one in named for name in LEAVES if f"{name}.".startswith(f"{one}.")}
    assert {name for name in named if "SECTION" not in name} - known == set()
