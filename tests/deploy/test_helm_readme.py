"""The README of the Helm chart, and the project's README on Helm."""

import shlex
import tomllib

import helm_python
import pytest
import yaml

from pbs_exporter import __version__
from tests.deploy.chart_values import VALUES, default_values
from tests.deploy.manifests import CHART, differences, render
from tests.support.documented import block
from tests.support.paths import ROOT
from tools import helm_values


def test_values_table_is_fresh() -> None:
    """The table in the chart's README is what `make docs` renders from values.yaml."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    assert readme == helm_values.with_table(readme, values), "stale: run `make docs`"


def test_values_table_is_whole() -> None:
    """The table has every value of values.yaml, as a YAML parser reads it."""

    def leaves(node: object, path: str = "") -> dict[str, object]:
        if not isinstance(node, dict) or not node:
            return {path: node}
        return {
            key: leaf
            for name, value in node.items()
            for key, leaf in leaves(value, f"{path}.{name}".lstrip(".")).items()
        }

    found = helm_values.entries((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert {name: yaml.safe_load(default) for name, default, _ in found} == leaves(default_values())


def test_values_table_wants_a_meaning() -> None:
    """A value without a comment is an error, and so is a README without a place for the table."""
    with pytest.raises(ValueError, match=r"a\.c has no comment"):
        list(helm_values.entries("a:\n  # B\n  b: 1\n  c: 2\n"))
    with pytest.raises(ValueError, match="README"):
        helm_values.with_table("# Chart\n", "")


def test_example_values_work() -> None:
    """The chart renders with the values in its README."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    values = yaml.safe_load(readme.partition("```yaml\n")[2].partition("```")[0])
    objects = render(values)
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/pbs-exporter:{__version__}"
    assert "fingerprint" in tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])["pbs"]


def test_values_for_many_servers_work() -> None:
    """The chart renders with the values in docs/many-servers.md, with three targets, two Secrets and all rules."""
    values = yaml.safe_load(block("docs/many-servers.md: Kubernetes 1", "yaml"))
    objects = render(values)
    settings = tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])
    assert settings["targets"].keys() == values["targets"].keys()
    assert len(objects["ServiceMonitor"]["spec"]["endpoints"]) == 1 + len(values["targets"])
    assert len(objects["Deployment"]["spec"]["template"]["spec"]["volumes"]) == 3
    assert "PrometheusRule" in objects


def test_readme_command_works() -> None:
    """The README's `helm install` sets all required values, and names the right chart and release."""
    command = shlex.split(block("README.md: Kubernetes 1").replace("\\\n", ""))
    assert command[:6] == ["helm", "install", "pbs-exporter", str(CHART.relative_to(ROOT)), "--namespace", "monitoring"]
    assert set(command[6::2]) == {"--set"}
    values = helm_python.parse_set_string(",".join(command[7::2]))
    objects = render(values, release=command[2])
    assert differences(objects["ConfigMap"], render(VALUES)["ConfigMap"]) == {}
