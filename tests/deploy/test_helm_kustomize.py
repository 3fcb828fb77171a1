"""The Helm chart makes the same objects as the kustomization."""

from typing import Any

import pytest

from pbs_exporter import __version__
from tests.deploy.chart_values import VALUES
from tests.deploy.manifests import ABSENT, KUBERNETES, Object, Objects, differences, kustomize, render

OPERATOR: Object = VALUES | {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
ANNOTATIONS: Object = VALUES | {
    "podAnnotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9101", "prometheus.io/path": "/metrics"}
}


HELM_LABELS = {
    "app.kubernetes.io/version": __version__,
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": f"pbs-exporter-{__version__}",
}
INSTANCE = {"app.kubernetes.io/instance": "pbs-exporter"}


def only_in_chart(path: str, labels: Object) -> dict[str, tuple[Any, Any]]:
    return {f"{path}/{key}": (ABSENT, value) for key, value in labels.items()}


def allowed(kind: str, kustomized: Objects, charted: Objects) -> dict[str, tuple[Any, Any]]:
    """Return every expected difference between the two objects of a kind."""
    labels = HELM_LABELS
    # `make rules` writes the kustomization's rules, which are in one exporter of a namespace only.
    if kind == "PrometheusRule":
        labels = HELM_LABELS | INSTANCE
    found = {"/metadata/namespace": (ABSENT, "monitoring")} | only_in_chart("/metadata/labels", labels)
    if kind == "Deployment":
        template = "/spec/template/metadata"
        checksum = charted[kind]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        assert len(checksum) == 64
        found |= only_in_chart(f"{template}/labels", HELM_LABELS)
        annotations = kustomized[kind]["spec"]["template"]["metadata"].get("annotations")
        found |= (
            {f"{template}/annotations": (ABSENT, {"checksum/config": checksum})}
            if annotations is None
            else {f"{template}/annotations/checksum/config": (ABSENT, checksum)}
        )
        names = tuple(objects["ConfigMap"]["metadata"]["name"] for objects in (kustomized, charted))
        found["/spec/template/spec/volumes/0/configMap/name"] = (names[0], names[1])
    elif kind == "ConfigMap":
        # The name ends with kustomize's hash. Another test compares the settings in the texts.
        for path in ("/metadata/name", "/data/settings.toml"):
            found |= {path: (at(kustomized[kind], path), at(charted[kind], path))}
    return found


def at(item: Object, path: str) -> object:
    value: Any = item
    for key in path.split("/")[1:]:
        value = value[key]
    return value


@pytest.mark.parametrize(
    ("folder", "values"),
    [("base", VALUES), ("overlays/annotations", ANNOTATIONS), ("overlays/prometheus-operator", OPERATOR)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_says_what_the_kustomization_says(folder: str, values: Object) -> None:
    """Both render the same objects, except for Helm's labels, the namespace and the ConfigMap's name."""
    kustomized, charted = kustomize(KUBERNETES / folder), render(values)
    assert kustomized.keys() == charted.keys()
    for kind in kustomized:
        assert differences(kustomized[kind], charted[kind]) == allowed(kind, kustomized, charted), kind


def test_a_difference_is_found() -> None:
    """A field that only one object has, or that differs only in type, is a difference."""
    one = {"a": [{"b": 1}], "c": {}}
    assert differences(one, {"a": [{"b": 1}], "c": {}}) == {}
    assert differences(one, {"a": [{"b": True}], "c": {"d": 2}}) == {"/a/0/b": (1, True), "/c/d": (ABSENT, 2)}
    assert differences(one, {"a": []}) == {"/a": ([{"b": 1}], []), "/c": ({}, ABSENT)}
