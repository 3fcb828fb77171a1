"""The Helm chart: whether Kubernetes would take it, whether it says what the kustomization says, what it refuses."""

import base64
import importlib.util
import json
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import helm_python
import pytest
import yaml

from pbs_exporter import __version__
from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Settings, load, settings_table
from tests.deploy.machine import ROOT
from tests.deploy.manifests import (
    ABSENT,
    CHART,
    KUBERNETES,
    Object,
    Objects,
    differences,
    invalid,
    kustomize,
    render,
    rules,
    templated,
    versions,
)
from tests.documented import block

VALUES: Object = {
    "existingSecret": "pbs-exporter",
    "settings": {"pbs": {"endpoint": "https://pbs.example.com:8007", "token_id": "exporter@pbs!prometheus"}},
}
"""The least that must be set; it says what the kustomization's example says."""

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

EVERYTHING: Object = {
    "replicaCount": 0,
    "image": {"repository": "registry.example.com:5000/pbs-exporter", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "tokenSecret": "00000000-0000-0000-0000-000000000000",
    "caCertificate": CERTIFICATE,
    "settings": VALUES["settings"],
    "extraEnv": [{"name": "TZ", "value": "Europe/Vienna"}],
    "serviceAccount": {"name": "exporter", "annotations": {"a": "1"}},
    "service": {"type": "NodePort", "port": 80, "annotations": {"a": "1"}},
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}], "egressPorts": [8007, 443]},
    "podAnnotations": {"prometheus.io/scrape": "true"},
    "podLabels": {"team": "backup"},
    "priorityClassName": "high",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "groups": [{"name": "pbs", "rules": []}]},
}
"""Values that use every part of the templates but the one that `existingSecret` stands for."""

OPERATOR: Object = VALUES | {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
ANNOTATIONS: Object = VALUES | {
    "podAnnotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9101", "prometheus.io/path": "/metrics"}
}


def values_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("values_table", ROOT / "deploy" / "helm" / "values_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def default_values() -> Object:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def changed(path: str, value: object) -> Object:
    """Give the least values with one more set."""
    values: Object = json.loads(json.dumps(VALUES))
    place = values
    *way, last = path.split(".")
    for key in way:
        place = place.setdefault(key, {})
    place[last] = value
    return values


def test_lint_finds_nothing() -> None:
    """Helm's linter, strict, has no error and no warning; that there is no icon is all it says."""
    report = helm_python.lint(CHART, VALUES, strict=True)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("values", [VALUES, EVERYTHING], ids=["least", "everything"])
def test_every_version_takes_it(values: Object, version: str) -> None:
    """What Helm makes passes the strict schemas of each Kubernetes from 1.29 to the newest."""
    assert invalid(render(values).values(), version) == []


def test_chart_has_the_programs_version() -> None:
    """The chart's version, its appVersion and the image's tag are the program's version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    (container,) = render(VALUES)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"pbs-exporter:{__version__}"


# the same as the kustomization


HELM_LABELS = {
    "app.kubernetes.io/instance": "pbs-exporter",
    "app.kubernetes.io/version": __version__,
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": f"pbs-exporter-{__version__}",
}
INSTANCE = {"app.kubernetes.io/instance": "pbs-exporter"}


def only_in_chart(path: str, labels: Object) -> dict[str, tuple[Any, Any]]:
    return {f"{path}/{key}": (ABSENT, value) for key, value in labels.items()}


def allowed(kind: str, kustomized: Objects, charted: Objects) -> dict[str, tuple[Any, Any]]:
    """Give every difference that there must be between the two objects of that kind; there may be no other."""
    found = {"/metadata/namespace": (ABSENT, "monitoring")} | only_in_chart("/metadata/labels", HELM_LABELS)
    if kind == "Deployment":
        template = "/spec/template/metadata"
        checksum = charted[kind]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        assert len(checksum) == 64
        found |= only_in_chart("/spec/selector/matchLabels", INSTANCE)
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
        # The name ends with kustomize's hash; what the texts mean is compared below.
        for path in ("/metadata/name", "/data/settings.toml"):
            found |= {path: (at(kustomized[kind], path), at(charted[kind], path))}
    elif kind == "Service":
        found |= only_in_chart("/spec/selector", INSTANCE)
    elif kind == "NetworkPolicy":
        found |= only_in_chart("/spec/podSelector/matchLabels", INSTANCE)
    elif kind == "ServiceMonitor":
        found |= only_in_chart("/spec/selector/matchLabels", INSTANCE)
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
    """Field by field, both make the same objects, but for Helm's labels, the namespace, and the ConfigMap's name."""
    kustomized, charted = kustomize(KUBERNETES / folder), render(values)
    assert kustomized.keys() == charted.keys()
    for kind in kustomized:
        assert differences(kustomized[kind], charted[kind]) == allowed(kind, kustomized, charted), kind


def test_a_difference_is_found() -> None:
    """A field that only one of the two has, or that differs in type alone, is a difference."""
    one = {"a": [{"b": 1}], "c": {}}
    assert differences(one, {"a": [{"b": 1}], "c": {}}) == {}
    assert differences(one, {"a": [{"b": True}], "c": {"d": 2}}) == {"/a/0/b": (1, True), "/c/d": (ABSENT, 2)}
    assert differences(one, {"a": []}) == {"/a": ([{"b": 1}], []), "/c": ({}, ABSENT)}


def loaded(objects: Objects, folder: Path) -> tuple[Settings, list[str]]:
    """Load the settings that a ConfigMap holds, as the exporter does."""
    text = objects["ConfigMap"]["data"]["settings.toml"]
    secret, certificate, file = folder / "secret", folder / "ca.crt", folder / "settings.toml"
    secret.write_text("00000000-0000-0000-0000-000000000000")
    text = text.replace(tomllib.loads(text)["pbs"]["token_secret_file"], str(secret))
    file.write_text(text.replace("/etc/pbs-exporter/ca.crt", str(certificate)))
    return load(str(file), {}, DEFAULTS)


def test_settings_are_the_same(tmp_path: Path) -> None:
    """The exporter reads the same settings from both ConfigMaps: the example, and else the program's defaults."""
    assert loaded(render(VALUES), tmp_path) == loaded(kustomize(KUBERNETES / "base"), tmp_path)


@pytest.mark.parametrize("path", ["settings.pbs.fingerprint", "settings.pbs.verify_tls"])
def test_verified_settings_are_worth_no_warning(path: str, tmp_path: Path) -> None:
    """With a fingerprint, or verification on, the exporter has nothing to warn of in the chart's settings."""
    value = {"settings.pbs.fingerprint": ":".join(["ab"] * 32), "settings.pbs.verify_tls": True}[path]
    settings, warnings = loaded(render(changed(path, value)), tmp_path)
    assert settings.pbs.verify_tls
    assert warnings == []


def test_chart_knows_every_setting() -> None:
    """values.yaml and the schema have each setting that isn't the chart's own business, with the program's default."""
    chart_sets = {
        ("pbs", "token_secret"),
        ("pbs", "token_secret_file"),
        ("pbs", "ca_file"),
        ("exporter", "listen_address"),
    }
    table = {
        (row.section, row.key): json.loads(row.default)
        for row in settings_table(DEFAULTS)
        if (row.section, row.key) not in chart_sets
    }
    values = {
        (section, key): value for section, keys in default_values()["settings"].items() for key, value in keys.items()
    }
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]["settings"][
        "properties"
    ]
    assert values == table
    assert {(section, key) for section, keys in schema.items() for key in keys["properties"]} == table.keys()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("settings.pbs.fingerprint", ":".join(["ab"] * 32)),
        ("settings.pbs.verify_tls", True),
        ("settings.pbs.timeout_seconds", 2.5),
        ("settings.pbs.task_window_seconds", 3000000),
        ("settings.pbs.snapshot_history_limit", 1000000),
        ("settings.pbs.listing_mode", "changes"),
        ("settings.exporter.log_level", "debug"),
        ("settings.exporter.process_metrics", False),
        ("settings.collectors.tape", False),
        ("settings.filters.groups", ["vm/*", "!vm/9*"]),
        ("settings.pbs.token_id", 'a"\\<ü>@pbs!b'),
    ],
)
def test_settings_arrive(path: str, value: object) -> None:
    """A setting of the values is in the ConfigMap's TOML, with its value and its type, whatever characters it has."""
    _, section, key = path.split(".")
    settings = tomllib.loads(render(changed(path, value))["ConfigMap"]["data"]["settings.toml"])
    assert (settings[section][key], type(settings[section][key])) == (value, type(value))


def test_changed_settings_start_a_new_pod() -> None:
    """A changed setting changes the pod's annotation, and so does a changed secret of the chart's own."""

    def annotations(values: Object) -> Object:
        return dict(render(values)["Deployment"]["spec"]["template"]["metadata"]["annotations"])

    assert annotations(VALUES) == annotations(VALUES)
    assert annotations(VALUES) != annotations(changed("settings.exporter.log_level", "debug"))
    other = annotations(EVERYTHING | {"tokenSecret": "other"})
    assert annotations(EVERYTHING)["checksum/secret"] != other["checksum/secret"]


# values


def test_values_have_their_effect() -> None:
    """Each value of `EVERYTHING` is where it belongs."""
    objects = render(EVERYTHING)
    deployment = objects["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["replicas"] == 0
    assert container["image"] == f"registry.example.com:5000/pbs-exporter@sha256:{'0' * 64}"
    assert container["env"][1:] == EVERYTHING["extraEnv"]
    assert pod["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"] == "exporter"
    for key in ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert pod[key] == EVERYTHING[key]
    metadata = deployment["template"]["metadata"]
    assert EVERYTHING["podLabels"].items() <= metadata["labels"].items()
    assert EVERYTHING["podAnnotations"].items() <= metadata["annotations"].items()
    assert objects["Service"]["spec"]["type"] == "NodePort"
    assert objects["Service"]["spec"]["ports"][0]["port"] == 80
    policy = objects["NetworkPolicy"]["spec"]
    assert policy["ingress"][0]["from"] == EVERYTHING["networkPolicy"]["from"]
    assert [port["port"] for port in policy["egress"][1]["ports"]] == [8007, 443]
    assert objects["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
    assert objects["PrometheusRule"]["spec"]["groups"] == [*rules(), *EVERYTHING["prometheusRule"]["groups"]]
    secret = objects["Secret"]
    assert base64.b64decode(secret["data"]["token_secret"]).decode() == EVERYTHING["tokenSecret"]
    assert pod["volumes"][1]["secret"]["secretName"] == secret["metadata"]["name"]
    assert objects["ConfigMap"]["data"]["ca.crt"] == CERTIFICATE
    assert tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])["pbs"]["ca_file"] == "/etc/pbs-exporter/ca.crt"


def test_existing_secret() -> None:
    """A Secret of one's own is mounted, the settings name the file of its key, and the chart makes none."""
    objects = render(VALUES | {"existingSecret": "own", "existingSecretKey": "key"})
    assert "Secret" not in objects
    assert objects["Deployment"]["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"] == "own"
    settings = tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])
    assert settings["pbs"]["token_secret_file"] == "/run/secrets/pbs-exporter/key"


def test_what_can_be_left_out() -> None:
    """Without a ServiceAccount the pod has the namespace's default one, and the NetworkPolicy can be left out."""
    objects = render(VALUES | {"serviceAccount": {"create": False}, "networkPolicy": {"enabled": False}})
    assert objects.keys() == {"ConfigMap", "Deployment", "Service"}
    assert objects["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "default"


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("backup", {}, "backup-pbs-exporter"),
        ("pbs-exporter-1", {}, "pbs-exporter-1"),
        ("backup", {"nameOverride": "pbs"}, "backup-pbs"),
        ("backup", {"fullnameOverride": "x"}, "x"),
        ("r" * 53, {}, f"{'r' * 53}-pbs-expor"),
    ],
)
def test_names(release: str, values: Object, name: str) -> None:
    """Objects are called after the release, or as the values say, in at most 63 characters; selectors fit labels."""
    objects = render(VALUES | values, release=release)
    assert {item["metadata"]["name"] for item in objects.values()} == {name}
    deployment = objects["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    for selector in (
        deployment["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels
        assert selector["app.kubernetes.io/instance"] == release


# what is refused


@pytest.mark.parametrize("replicas", [2, 3, 100])
def test_several_replicas_are_refused(replicas: int) -> None:
    """More than one replica is refused, with the reason why one is enough."""
    with pytest.raises(helm_python.HelmRenderError) as caught:
        render(changed("replicaCount", replicas))
    message = str(caught.value)
    assert f"replicaCount is {replicas}, and more than one is refused: one is enough." in message
    assert "every series would be there twice" in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": {"pbs": {"endpoint": ""}}}, "settings.pbs.endpoint is required"),
        ({"settings": {"pbs": {"endpoint": "https://pbs:8007"}}}, "settings.pbs.token_id is required"),
        ({"existingSecret": ""}, "existingSecret is required"),
        ({"tokenSecret": "x"}, "existingSecret and tokenSecret are both set"),
        (
            {
                "caCertificate": CERTIFICATE,
                "settings": {"pbs": VALUES["settings"]["pbs"] | {"fingerprint": ":".join(["ab"] * 32)}},
            },
            "caCertificate and settings.pbs.fingerprint are both set",
        ),
        (changed("settings.pbs.endpoint", "https://pbs.example.com"), "settings.pbs.endpoint has port 443"),
        (changed("settings.pbs.endpoint", "http://pbs/"), "settings.pbs.endpoint has port 80"),
        (changed("settings.pbs.endpoint", "https://[fd00::8007]:8008"), "settings.pbs.endpoint has port 8008"),
    ],
)
def test_what_does_not_fit_is_refused(values: Object, message: str) -> None:
    """What is missing, set twice, or shut out by the NetworkPolicy is refused with a message that names the value."""
    with pytest.raises(helm_python.HelmRenderError, match=message):
        render(VALUES | values)


@pytest.mark.parametrize("endpoint", ["https://[fd00::1]:8007/", "https://pbs:8007"])
def test_endpoints_that_fit(endpoint: str) -> None:
    """An endpoint on PBS's usual port is let out, however it is written."""
    assert "Deployment" in render(changed("settings.pbs.endpoint", endpoint))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replicas", 1),
        ("replicaCount", "1"),
        ("replicaCount", -1),
        ("replicaCount", 1.5),
        ("image.repository", ""),
        ("image.repository", "pbs-exporter:latest"),
        ("image.tag", "a b"),
        ("image.digest", "0000"),
        ("image.pullPolicy", "Sometimes"),
        ("imagePullSecrets", ["registry"]),
        ("existingSecret", "Not_A_Name"),
        ("existingSecretKey", ""),
        ("existingSecretKey", "../key"),
        ("caCertificate", "/etc/ssl/ca.pem"),
        ("settings.pbs.endpoint", "pbs.example.com:8007"),
        ("settings.pbs.token_id", "exporter@pbs"),
        ("settings.pbs.token_secret", "x"),
        ("settings.pbs.verify_tls", "yes"),
        ("settings.pbs.fingerprint", "b1:26"),
        ("settings.pbs.timeout_seconds", "5"),
        ("settings.pbs.timeout_seconds", 0),
        ("settings.pbs.snapshot_history_limit", 1.5),
        ("settings.pbs.max_concurrent_requests", 0),
        ("settings.pbs.listing_interval_seconds", -1),
        ("settings.pbs.listing_mode", "fast"),
        ("settings.exporter.log_level", "loud"),
        ("settings.exporter.log_format", "xml"),
        ("settings.exporter.listen_address", ":80"),
        ("settings.collectors.tapes", True),
        ("settings.collectors.tape", 1),
        ("settings.pbss", {}),
        ("extraEnv", [{"value": "x"}]),
        ("serviceAccount.automount", True),
        ("service.type", "ExternalName"),
        ("service.port", 65536),
        ("networkPolicy.egressPorts", []),
        ("networkPolicy.egressPorts", ["8007"]),
        ("resources.limit", {}),
        ("podAnnotations", {"prometheus.io/port": 9101}),
        ("serviceMonitor.interval", "1 minute"),
        ("serviceMonitor.scrapeTimeout", 30),
        ("prometheusRule.groups", {}),
    ],
)
def test_schema_refuses(path: str, value: object) -> None:
    """A wrong or unknown value is refused by the schema, with a message that names its place."""
    with pytest.raises(helm_python.HelmValuesError) as caught:
        render(changed(path, value))
    place, _, key = path.rpartition(".")
    assert key in str(caught.value)
    assert "/".join(place.split(".")) in str(caught.value)


def test_schema_takes_the_defaults() -> None:
    """values.yaml itself fits the schema, and the schema allows no key that values.yaml doesn't have."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(default_values())

    def keys(node: Object, path: str = "") -> set[str]:
        below = node.get("properties", {})
        closed = node.get("additionalProperties") is False
        assert not below or closed, f"{path} lets any key through"
        return {path}.union(*(keys(value, f"{path}.{key}") for key, value in below.items()))

    def values(node: object, path: str = "") -> set[str]:
        below = node if isinstance(node, dict) and not path.startswith(".resources.") else {}
        return {path}.union(*(values(value, f"{path}.{key}") for key, value in below.items()))

    # Helm adds `global` where the chart is part of another.
    assert keys(schema) - values(default_values()) == {".global"}
    assert values(default_values()) - keys(schema) == set()


# texts


def test_notes() -> None:
    """NOTES.txt says how to check and to reach it, and warns of what isn't safe, and of nothing else."""
    name = "pbs-exporter/templates/NOTES.txt"
    notes = templated(VALUES)[name]
    assert "exec deployment/pbs-exporter -- pbs-exporter check" in notes
    assert "port-forward service/pbs-exporter 9101:9101" in notes
    assert "certificate is not checked" in notes
    assert "Prometheus doesn't know it yet" in notes
    assert "Helm keeps the token's secret" in templated(EVERYTHING)[name]
    safe = changed("settings.pbs.verify_tls", value=True) | {"serviceMonitor": {"enabled": True}}
    assert "WARNING" not in templated(safe)[name]
    assert "Prometheus doesn't know" not in templated(safe)[name]


def test_values_table_is_fresh() -> None:
    """The table in the chart's README is what `make docs` makes of values.yaml."""
    module, readme = values_table(), (CHART / "README.md").read_text(encoding="utf-8")
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    assert readme == module.with_table(readme, values), "stale: run `make docs`"


def test_values_table_is_whole() -> None:
    """The table has each value that values.yaml has, as YAML's own parser reads it."""

    def leaves(node: object, path: str = "") -> dict[str, object]:
        if not isinstance(node, dict) or not node:
            return {path: node}
        return {
            key: leaf
            for name, value in node.items()
            for key, leaf in leaves(value, f"{path}.{name}".lstrip(".")).items()
        }

    found = values_table().entries((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert {name: yaml.safe_load(default) for name, default, _ in found} == leaves(default_values())


def test_values_table_wants_a_meaning() -> None:
    """A value without a comment, or a README without a place for the table, is an error."""
    module = values_table()
    with pytest.raises(ValueError, match=r"a\.c has no comment"):
        list(module.entries("a:\n  # B\n  b: 1\n  c: 2\n"))
    with pytest.raises(ValueError, match="README"):
        module.with_table("# Chart\n", "")


def test_example_values_work() -> None:
    """The values that the chart's README shows are enough."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    values = yaml.safe_load(readme.partition("```yaml\n")[2].partition("```")[0])
    objects = render(values)
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/pbs-exporter:{__version__}"
    assert "fingerprint" in tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])["pbs"]


def test_readme_command_works() -> None:
    """The README's `helm install` sets enough, and its chart and release are the right ones."""
    command = shlex.split(block("README.md: Helm 1").replace("\\\n", ""))
    assert command[:6] == ["helm", "install", "pbs-exporter", str(CHART.relative_to(ROOT)), "--namespace", "monitoring"]
    assert set(command[6::2]) == {"--set"}
    values = helm_python.parse_set_string(",".join(command[7::2]))
    objects = render(values, release=command[2])
    assert differences(objects["ConfigMap"], render(VALUES)["ConfigMap"]) == {}
