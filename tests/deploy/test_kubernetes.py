"""The objects of the kustomization."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from pbs_exporter import __version__
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.config import load
from pbs_exporter.exposition import self_metrics
from pbs_exporter.scrape import scrape_metrics
from tests.deploy.manifests import (
    KUBERNETES,
    Object,
    Objects,
    by_kind,
    differences,
    invalid,
    kubectl,
    kustomize,
    own,
    rules,
    versions,
)
from tests.support.commands import run
from tests.support.documented import block
from tests.support.exporter import main_of
from tests.support.paths import ROOT

FOLDERS = ("base", "overlays/annotations", "overlays/prometheus-operator")
BASE_KINDS = {"ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"}
REGISTRY_IMAGE = f"registry.example.com/pbs-exporter:{__version__}"
LABELS = {"app.kubernetes.io/name": "pbs-exporter", "app.kubernetes.io/instance": "pbs-exporter"}


@pytest.fixture(scope="module")
def base() -> Objects:
    return kustomize(KUBERNETES / "base")


def container(objects: Objects) -> Object:
    (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_version_takes_it(folder: str, version: str) -> None:
    """The kustomization's objects are valid in the strict schemas of each Kubernetes from 1.29 to the newest."""
    assert invalid(kustomize(KUBERNETES / folder).values(), version) == []


def test_versions_are_the_right_ones() -> None:
    """There are schemas for each version from 1.29 to the newest."""
    minors = [int(version.removeprefix("1.")) for version in versions()]
    assert minors == list(range(29, minors[-1] + 1))
    assert len(minors) >= 9


def test_strict_schemas_find_a_typo(base: Objects) -> None:
    """The strict schemas refuse an unknown field and a wrong value."""
    service = base["Service"] | {"sepc": {}}
    policy = base["NetworkPolicy"] | {"spec": {"podSelector": {}, "policyTypes": "Egress"}}
    assert [line.partition(":")[0] for line in invalid([service, policy], versions()[0])] == [
        "Service",
        "NetworkPolicy",
    ]


def test_base_has_what_it_should(base: Objects) -> None:
    """The base has no Secret, no namespace and no PodDisruptionBudget, and all its objects have one label."""
    assert base.keys() == BASE_KINDS
    assert [item["kind"] for item in base.values() if "namespace" in item["metadata"]] == []
    assert [item["kind"] for item in base.values() if item["metadata"]["labels"] != LABELS] == []
    deployment = base["Deployment"]["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"] == LABELS
    assert base["Service"]["spec"]["selector"] == LABELS
    assert base["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS


def test_pod_security_is_restricted(base: Objects) -> None:
    """The pod follows the security level "restricted", and can't write anywhere."""
    pod = base["Deployment"]["spec"]["template"]["spec"]
    assert {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & pod.keys() == set()
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(base)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [sorted(volume.keys() - {"name"}) for volume in pod["volumes"]] == [["configMap"], ["secret"]]
    assert [mount["readOnly"] for mount in container(base)["volumeMounts"]] == [True, True]
    assert ["hostPort" in port for port in container(base)["ports"]] == [False]


def test_pod_gets_nothing_from_kubernetes(base: Objects) -> None:
    """The pod gets neither a Kubernetes token nor the environment variables of Services."""
    pod = base["Deployment"]["spec"]["template"]["spec"]
    assert base["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == base["ServiceAccount"]["metadata"]["name"]
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_ask_for_health(base: Objects, probe: str) -> None:
    """Each probe requests /health, which doesn't depend on PBS, on the container's named port."""
    assert container(base)[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert container(base)[probe]["timeoutSeconds"] <= container(base)[probe]["periodSeconds"] + 1


def test_resources_are_bounded(base: Objects) -> None:
    """CPU and memory have requests and limits, and the grace period is short."""
    resources = container(base)["resources"]
    assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}
    assert 5 < base["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] <= 30
    assert base["Deployment"]["spec"]["replicas"] == 1


def test_network_policy_lets_through_what_is_needed(base: Objects) -> None:
    """The NetworkPolicy allows scrapes in, and DNS and PBS out, and nothing else."""
    spec = base["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    ports = [(port["port"], port["protocol"]) for rule in spec["egress"] for port in rule["ports"]]
    assert ports == [(53, "UDP"), (53, "TCP"), (8007, "TCP")]


def test_ports_lead_to_the_exporter(base: Objects) -> None:
    """The Service leads to the container's port, which is the port in the settings."""
    (port,) = base["Service"]["spec"]["ports"]
    (inside,) = container(base)["ports"]
    assert (port["port"], port["targetPort"]) == (9101, inside["name"])
    settings = tomllib.loads(base["ConfigMap"]["data"]["settings.toml"])
    assert settings["exporter"]["listen_address"] == f":{inside['containerPort']}"


def test_settings_are_the_exporters(base: Objects, tmp_path: Path) -> None:
    """The ConfigMap's settings are valid, and name the secret's file in the mounted Secret."""
    text = base["ConfigMap"]["data"]["settings.toml"]
    example = yaml.safe_load((KUBERNETES / "base" / "secret.example.yaml").read_text())
    (key,) = example["stringData"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(base)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in base["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    assert tomllib.loads(text)["pbs"]["token_secret_file"] == f"{mounts['secret']}/{key}"
    assert volumes["secret"]["secret"]["secretName"] == example["metadata"]["name"]
    assert volumes["settings"]["configMap"]["name"] == base["ConfigMap"]["metadata"]["name"]
    assert container(base)["env"] == [{"name": "PBS_EXPORTER_CONFIG", "value": f"{mounts['settings']}/settings.toml"}]

    secret, file = tmp_path / "secret", tmp_path / "settings.toml"
    secret.write_text(example["stringData"][key])
    file.write_text(text.replace(f"{mounts['secret']}/{key}", str(secret)))
    settings, _ = load(str(file), {}, DEFAULTS)
    assert main_of(settings).pbs.token_secret.reveal() == example["stringData"][key]


@pytest.mark.parametrize("version", versions())
def test_example_of_a_secret_is_one(version: str) -> None:
    """The example Secret is valid, and no kustomization includes it."""
    example = yaml.safe_load((KUBERNETES / "base" / "secret.example.yaml").read_text())
    assert example["kind"] == "Secret"
    assert invalid([example], version) == []


def test_image_has_the_programs_version(base: Objects) -> None:
    """The image has no registry in its name, and its tag is the program's version."""
    assert container(base)["image"] == f"pbs-exporter:{__version__}"


def test_annotations_overlay(base: Objects) -> None:
    """The overlay `annotations` adds the three usual annotations to the pod, and changes nothing else."""
    assert differences(base, kustomize(KUBERNETES / "overlays" / "annotations")) == {
        "/Deployment/spec/template/metadata/annotations": (
            "(absent)",
            {"prometheus.io/scrape": "true", "prometheus.io/port": "9101", "prometheus.io/path": "/metrics"},
        )
    }


def test_operator_overlay(base: Objects) -> None:
    """The overlay `prometheus-operator` adds a ServiceMonitor that finds the Service, and all rules."""
    objects = kustomize(KUBERNETES / "overlays" / "prometheus-operator")
    assert {key: objects[key] for key in base} == base
    assert objects.keys() - base.keys() == {"ServiceMonitor", "PrometheusRule"}
    monitor = objects["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= base["Service"]["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint == {
        "port": "http",
        "path": "/metrics",
        "interval": "1m",
        "scrapeTimeout": "30s",
        "honorLabels": True,
        "relabelings": [
            {
                "sourceLabels": ["__meta_kubernetes_service_label_app_kubernetes_io_instance"],
                "targetLabel": "instance",
            },
            {"action": "labeldrop", "regex": "pod"},
        ],
    }
    assert endpoint["port"] in [port["name"] for port in base["Service"]["spec"]["ports"]]
    assert objects["PrometheusRule"]["spec"]["groups"] == rules()


def test_operator_leaves_our_labels_alone() -> None:
    """The ServiceMonitor honours the exporter's labels, some of which the operator also gives its targets.

    None of them is a label that identifies a target, which would be lost.
    """
    given = {"namespace", "service", "endpoint", "pod", "container"}
    ours = {label for collector in COLLECTORS for metric in collector.metrics for label in metric.labels}
    ours |= {label for metric in (*self_metrics.METRICS, *scrape_metrics.METRICS) for label in metric.labels}
    assert given & ours == {"namespace", "service", "endpoint"}
    assert {"job", "instance"} & ours == set()
    (endpoint,) = kustomize(KUBERNETES / "overlays" / "prometheus-operator")["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True


def test_changed_settings_start_a_new_pod(base: Objects, tmp_path: Path) -> None:
    """A kustomization on top of the base can replace the settings, and the pod uses another ConfigMap afterwards."""
    (tmp_path / "settings.toml").write_text("[pbs]\n")
    changed = kustomize(own(tmp_path, configMapGenerator=[settings_generator("settings.toml")]))
    names = []
    for objects in (base, changed):
        (settings, _) = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
        names.append(settings["configMap"]["name"])
        assert names[-1] == objects["ConfigMap"]["metadata"]["name"]
    assert changed["ConfigMap"]["data"] == {"settings.toml": "[pbs]\n"}
    assert len(set(names)) == 2


def settings_generator(*files: str) -> Object:
    return {"name": "pbs-exporter", "behavior": "merge", "files": list(files)}


def test_documented_kustomization_works(tmp_path: Path) -> None:
    """The kustomization and the settings in docs/deployment.md are complete, and have their effect."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.partition("\n## Kubernetes\n")[2].partition("\n## ")[0]
    kustomization = yaml.safe_load(section.partition("```yaml\n")[2].partition("```")[0])
    (tmp_path / "settings.toml").write_text(section.partition("```toml\n")[2].partition("```")[0])
    assert kustomization.pop("resources") == ["pbs-exporter/deploy/kubernetes/base"]
    objects = kustomize(own(tmp_path, **kustomization))
    assert {item["metadata"]["namespace"] for item in objects.values()} == {kustomization["namespace"]}
    assert container(objects)["image"] == REGISTRY_IMAGE
    settings = tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])
    assert settings["pbs"].keys() == {"endpoint", "token_id", "token_secret_file", "fingerprint"}
    assert invalid(objects.values(), versions()[-1]) == []


def test_base_can_be_taken_by_tag(tmp_path: Path) -> None:
    """The kustomization by tag in docs/deployment.md gets the same objects from git as one that uses a checkout."""
    repository = tmp_path / "pbs-exporter.git"
    run("git", "clone", "--quiet", "--bare", ROOT, repository)
    run("git", "tag", "--force", f"v{__version__}", "HEAD", cwd=repository)
    run("git", "clone", "--quiet", repository, tmp_path / "checkout")
    text = block("docs/deployment.md: By tag 1", "yaml")
    address = f"https://git.example.com/pbs-exporter.git//deploy/kubernetes/base?ref=v{__version__}"
    assert address in text
    made = []
    for name, resource in {
        "tag": f"file://{repository}//deploy/kubernetes/base?ref=v{__version__}",
        "path": "../checkout/deploy/kubernetes/base",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.toml").write_text("[pbs]\n")
        (tmp_path / name / "kustomization.yaml").write_text(text.replace(address, resource))
        made.append(kustomize(tmp_path / name))
    assert made[0] == made[1]
    assert container(made[0])["image"] == REGISTRY_IMAGE


def test_two_in_a_namespace(tmp_path: Path) -> None:
    """The documented second exporter shares no name with the first, and neither selects the other's pod or Service."""
    shutil.copytree(KUBERNETES, tmp_path / "pbs-exporter" / "deploy" / "kubernetes")
    text = block("docs/deployment.md: Two exporters in a namespace 1", "yaml")
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "settings.toml").write_text("[pbs]\n")
    second = kustomize(tmp_path)
    first = kustomize(KUBERNETES / "overlays" / "prometheus-operator")
    assert first.keys() - second.keys() == {"PrometheusRule"}
    assert [kind for kind in second if second[kind]["metadata"]["name"] == first[kind]["metadata"]["name"]] == []
    for mine, other in ((first, second), (second, first)):
        pod, service = (mine[kind] for kind in ("Deployment", "Service"))
        for selector, kind, others in (
            (pod["spec"]["selector"]["matchLabels"], "Deployment", other["Deployment"]),
            (service["spec"]["selector"], "Deployment", other["Deployment"]),
            (mine["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"], "Deployment", other["Deployment"]),
            (mine["ServiceMonitor"]["spec"]["selector"]["matchLabels"], "Service", other["Service"]),
        ):
            assert selector.items() <= labels_of(mine[kind]).items()
            assert not selector.items() <= labels_of(others).items()
    volumes = second["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["configMap"]["name"] == second["ConfigMap"]["metadata"]["name"] == "berlin-pbs-exporter"
    assert volumes[1]["secret"]["secretName"] == "berlin-pbs-exporter"
    assert second["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "berlin-pbs-exporter"
    assert invalid(second.values(), versions()[-1]) == []


def labels_of(item: Object) -> Object:
    """Return the labels of an object, or of the pods that it makes."""
    return dict(item["spec"].get("template", item)["metadata"]["labels"])


def test_quick_start_works(tmp_path: Path) -> None:
    """The quick start for Kubernetes creates a matching Secret and objects with the program's version.

    docker doesn't run, and kubectl prints the objects instead of applying them to a cluster.
    """
    (tmp_path / "deploy").mkdir()
    shutil.copytree(KUBERNETES, tmp_path / "deploy" / "kubernetes")
    shown = tmp_path / "shown"
    shown.mkdir()
    instead = f"""\
        docker() {{ echo "$@" >>{shown}/docker; }}
        kubectl() {{
            case $1 in
            create) {kubectl()} "$@" --dry-run=client --output=yaml >{shown}/secret ;;
            apply) {kubectl()} kustomize "$3" >{shown}/objects ;;
            esac
        }}
    """
    commands = block("docs/deployment.md: Quick start 1")
    script = f"set -euo pipefail; cd {tmp_path}\n{instead}\n{commands}"
    run("bash", "-c", script, stdin="00000000-0000-0000-0000-000000000000\n")

    assert re.findall(r"registry\S+", (shown / "docker").read_text()) == [REGISTRY_IMAGE, REGISTRY_IMAGE]
    secret = yaml.safe_load((shown / "secret").read_text())
    example = yaml.safe_load((KUBERNETES / "base" / "secret.example.yaml").read_text())
    assert secret["data"].keys() == example["stringData"].keys()
    objects = by_kind(yaml.safe_load_all((shown / "objects").read_text()))
    assert objects.keys() == BASE_KINDS
    assert {item["metadata"]["namespace"] for item in [secret, *objects.values()]} == {"monitoring"}
    assert container(objects)["image"] == REGISTRY_IMAGE
    volume = objects["Deployment"]["spec"]["template"]["spec"]["volumes"][1]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert invalid([secret, *objects.values()], versions()[-1]) == []
