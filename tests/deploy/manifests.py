"""Kubernetes objects: rendered by kustomize and by Helm, validated, and compared."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions, major_minor

from tests.support.cache import cached
from tests.support.commands import run
from tests.support.paths import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "pbs-exporter"
OPERATOR = frozenset({"ServiceMonitor", "PrometheusRule"})
"""The kinds of the Prometheus Operator, which Kubernetes has no schema for."""
ABSENT = "(absent)"

_KUBECTL = ("mmdebstrap", "--quiet", "--variant=extract", "--include=kubernetes-client", "trixie")

Object = dict[str, Any]
Objects = dict[str, Object]
"""Objects by kind. There is at most one of a kind."""


def kubectl() -> Path:
    """Return the path of Debian 13's kubectl, unpacked in the cache.

    The kustomize in Debian 12's kubectl is from 2019, and can't read today's kustomizations.
    """
    return cached("kubectl", _KUBECTL, lambda folder: _unpack(folder / "root")) / "root" / "usr" / "bin" / "kubectl"


def _unpack(root: Path) -> None:
    run(*_KUBECTL, root)


def rules() -> list[Object]:
    """Return the rule groups of monitoring/rules, in order."""
    files = (ROOT / "monitoring" / "rules" / f"pbs.{kind}.yml" for kind in ("rules", "alerts"))
    return [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]


def kustomize(folder: Path) -> Objects:
    """Return the objects that `kubectl kustomize` renders."""
    return by_kind(yaml.safe_load_all(run(kubectl(), "kustomize", folder)))


def own(folder: Path, **content: object) -> Path:
    """Write a kustomization that builds on the base, and return its folder."""
    # kustomize wants relative paths.
    base = Path(*[".."] * (len(folder.parts) - 1), *(KUBERNETES / "base").parts[1:])
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [str(base)], **content}))
    return folder


def render(values: Mapping[str, Any], *, release: str = "pbs-exporter") -> Objects:
    """Return the objects that Helm renders from the chart. Raise `helm_python.HelmError` if it refuses the values."""
    templates = templated(values, release=release)
    objects = (part for name, text in templates.items() if name.endswith(".yaml") for part in yaml.safe_load_all(text))
    return by_kind(part for part in objects if part)


def templated(values: Mapping[str, Any], *, release: str = "pbs-exporter") -> dict[str, str]:
    """Return Helm's output by template, after validating the values as `helm install` does."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        return dict(chart.render(dict(values), name=release, namespace="monitoring"))


def by_kind(objects: Iterable[Object]) -> Objects:
    """Index objects by their kind."""
    found: Objects = {}
    for item in objects:
        assert item["kind"] not in found, f"two objects of the kind {item['kind']}"
        found[item["kind"]] = item
    return found


def versions() -> list[str]:
    """Return every version of Kubernetes from 1.29 for which there are schemas."""
    found = dict.fromkeys(major_minor(version) for version in all_versions())
    return [version for version in found if tuple(map(int, version.split("."))) >= (1, 29)]


def invalid(objects: Iterable[Object], version: str) -> list[str]:
    """Return a line for each object that the strict schemas of a version refuse."""
    lines = []
    for item in objects:
        if item["kind"] in OPERATOR:
            continue
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            lines.append(f"{item['kind']}: {'.'.join(map(str, error.path))}: {error.message}")
    return lines


def differences(one: object, other: object, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Compare two objects field by field, and return both values of each difference by its path."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in one.keys() | other.keys():
            found |= differences(one.get(key, ABSENT), other.get(key, ABSENT), f"{path}/{key}")
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = {}
        for number, pair in enumerate(zip(one, other, strict=True)):
            found |= differences(*pair, f"{path}/{number}")
        return found
    # In Python 1 equals True; in Kubernetes it doesn't.
    return {} if json.dumps(one) == json.dumps(other) else {path: (one, other)}
