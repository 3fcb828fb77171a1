"""The objects and the notes that the Helm chart renders."""

import base64
import tomllib

import helm_python
import pytest
import yaml

from pbs_exporter import __version__
from tests.deploy.chart_values import CERTIFICATE, EVERYTHING, MANY, VALUES, changed
from tests.deploy.manifests import CHART, Object, invalid, render, rules, templated, versions


def test_lint_finds_nothing() -> None:
    """Helm's strict linter has no error and no warning, and its only remark is on the missing icon."""
    report = helm_python.lint(CHART, VALUES, strict=True)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("values", [VALUES, EVERYTHING, MANY], ids=["least", "everything", "many"])
def test_every_version_takes_it(values: Object, version: str) -> None:
    """The chart's objects are valid in the strict schemas of each Kubernetes from 1.29 to the newest."""
    assert invalid(render(values).values(), version) == []


def test_chart_has_the_programs_version() -> None:
    """The chart's version, its appVersion and the image's tag are the program's version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    (container,) = render(VALUES)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"pbs-exporter:{__version__}"


def test_values_have_their_effect() -> None:
    """Each value of `EVERYTHING` has its effect."""
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


def test_alerts_link_to_their_sections() -> None:
    """With an address of docs/alerts.md, each alert has a `runbook_url`, which is the only change to the rules."""
    address = "https://wiki.example.com/pbs/alerts"
    values = VALUES | {"prometheusRule": {"enabled": True, "runbookUrl": address}}
    groups = render(values)["PrometheusRule"]["spec"]["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        assert rule["annotations"].pop("runbook_url") == f"{address}#{rule['alert'].lower()}"
    assert groups == rules()


def test_targets_have_their_secrets() -> None:
    """The Secrets of targets are mounted whole, each once: a new key for a new target arrives in the running pod."""
    pod = render(MANY)["Deployment"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = {mounts[volume["name"]]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    assert secrets == {
        f"/run/secrets/targets/{name}": {"secretName": name, "defaultMode": 0o440} for name in ("berlin", "pbs-tokens")
    }
    targets = tomllib.loads(render(MANY)["ConfigMap"]["data"]["settings.toml"])["targets"]
    assert targets["zrh1"]["token_secret_file"] == "/run/secrets/targets/pbs-tokens/zrh1"
    assert targets["ber.1"]["token_secret_file"] == "/run/secrets/targets/berlin/token"
    both = render(MANY | {"settings": VALUES["settings"]})["Deployment"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in both["volumes"]] == ["settings", "secret", "targets-0", "targets-1"]


def test_targets_are_scraped() -> None:
    """The ServiceMonitor has an endpoint for each target, whose `instance` is its name, and one for the exporter."""
    own, *targets = render(MANY)["ServiceMonitor"]["spec"]["endpoints"]
    team = MANY["serviceMonitor"]["relabelings"]
    release = {
        "sourceLabels": ["__meta_kubernetes_service_label_app_kubernetes_io_instance"],
        "targetLabel": "instance",
    }
    no_pod = {"action": "labeldrop", "regex": "pod"}
    assert (own["path"], own["relabelings"]) == ("/metrics", [release, no_pod, *team])
    found = {target["params"]["target"][0]: target for target in targets}
    assert found.keys() == MANY["targets"].keys()
    for name, target in found.items():
        assert target["path"] == "/probe"
        assert target["relabelings"][0] == {"targetLabel": "instance", "replacement": name}
        assert no_pod in target["relabelings"]
        assert target["relabelings"][-1:] == team
        for key in ("port", "interval", "scrapeTimeout", "honorLabels"):
            assert target[key] == own[key]
    # A `$` would be the start of a group of the regular expression.
    assert {"targetLabel": "price", "replacement": "5$$"} in found["zrh1"]["relabelings"]
    assert {"targetLabel": "site", "replacement": "zurich"} in found["zrh1"]["relabelings"]


def test_reloader() -> None:
    """With the reloader, only settings that a reload doesn't read start a new pod, and the exporter permits reloads."""

    def pod(path: str, value: object) -> Object:
        values = changed(path, value) | {"reloader": {"enabled": True}}
        return dict(render(values)["Deployment"]["spec"]["template"])

    before = pod("settings.exporter.log_level", "info")
    exporter, reloader = before["spec"]["containers"]
    assert pod("settings.exporter.log_level", "debug") == before
    assert pod("settings.exporter.max_connections", 100) != before
    assert reloader["image"] == exporter["image"]
    assert reloader["securityContext"] == exporter["securityContext"]
    assert reloader["command"][2] == (CHART / "files" / "reloader.py").read_text(encoding="utf-8")
    settings = tomllib.loads(render(MANY)["ConfigMap"]["data"]["settings.toml"])
    assert settings["exporter"]["lifecycle"] is True


def test_existing_secret() -> None:
    """An existing Secret is mounted, the settings name the file of its key, and the chart creates none."""
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
    """Names come from the release or the values, in at most 63 characters, and selectors match the labels."""
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


def test_notes() -> None:
    """NOTES.txt says how to check and reach the exporter, and warns only about unsafe values."""
    name = "pbs-exporter/templates/NOTES.txt"
    notes = templated(VALUES)[name]
    assert "exec deployment/pbs-exporter -- pbs-exporter check" in notes
    assert "port-forward service/pbs-exporter 9101:9101" in notes
    assert "certificate is not verified" in notes
    assert "Prometheus doesn't scrape it yet" in notes
    assert "Helm stores the token's secret" in templated(EVERYTHING)[name]
    many = templated(MANY)[name]
    assert "monitors 2 PBS: ber.1, zrh1." in many
    assert "WARNING" not in many
    assert "certificate of zrh1 is not verified" in templated(MANY | {"settings": VALUES["settings"]})[name]
    safe = changed("settings.pbs.verify_tls", value=True) | {"serviceMonitor": {"enabled": True}}
    assert "WARNING" not in templated(safe)[name]
    assert "Prometheus doesn't scrape" not in templated(safe)[name]


def test_web_configuration() -> None:
    """`webConfig` mounts its Secret and names its file; with TLS, the probes and the ServiceMonitor use HTTPS."""
    login = {"username": {"name": "login", "key": "user"}, "password": {"name": "login", "key": "password"}}
    trust = {"ca": {"configMap": {"name": "ca", "key": "ca.crt"}}}
    more = {
        "reloader": {"enabled": False},
        "webConfig": {"existingSecret": "web", "tls": True},
        "serviceMonitor": {"enabled": True, "tlsConfig": trust, "basicAuth": login},
    }
    objects = render(MANY | more)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "web-config"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "web-config"]
    assert volume["secret"] == {"secretName": "web", "defaultMode": 0o440}
    settings = tomllib.loads(objects["ConfigMap"]["data"]["settings.toml"])
    assert settings["exporter"]["web_config_file"] == f"{mount['mountPath']}/web.yml"
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {probe["scheme"] for probe in probes} == {"HTTPS"}
    endpoints = objects["ServiceMonitor"]["spec"]["endpoints"]
    assert len(endpoints) == 1 + len(MANY["targets"])
    assert all((each["scheme"], each["tlsConfig"], each["basicAuth"]) == ("https", trust, login) for each in endpoints)
    assert invalid(objects.values(), versions()[-1]) == []
