"""The values that the Helm chart refuses."""

import json

import helm_python
import pytest

from tests.deploy.chart_values import CERTIFICATE, MANY, VALUES, changed, default_values
from tests.deploy.manifests import CHART, Object, render


@pytest.mark.parametrize("replicas", [2, 3, 100])
def test_several_replicas_are_refused(replicas: int) -> None:
    """More than one replica is refused, with the reason why one is enough."""
    with pytest.raises(helm_python.HelmRenderError) as caught:
        render(changed("replicaCount", replicas))
    message = str(caught.value)
    assert f"replicaCount is {replicas}, and more than one is refused: one is enough." in message
    assert "duplicate every series" in message


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
        (
            changed("settings.exporter.web_config_file", "/x/web.yml") | {"webConfig": {"existingSecret": "web"}},
            "webConfig.existingSecret and settings.exporter.web_config_file are both set",
        ),
        (
            {"reloader": {"enabled": True}, "webConfig": {"existingSecret": "web"}},
            "reloader and webConfig.existingSecret are both set",
        ),
        (changed("settings.pbs.endpoint", "https://pbs.example.com"), "settings.pbs.endpoint has port 443"),
        (changed("settings.pbs.endpoint", "http://pbs/"), "settings.pbs.endpoint has port 80"),
        (changed("settings.pbs.endpoint", "https://[fd00::8007]:8008"), "settings.pbs.endpoint has port 8008"),
    ],
)
def test_what_does_not_fit_is_refused(values: Object, message: str) -> None:
    """A value that is missing, set twice or blocked by the NetworkPolicy is refused with a message that names it."""
    with pytest.raises(helm_python.HelmRenderError, match=message):
        render(VALUES | values)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"endpoint": ""}, "targets.zrh1.endpoint is required"),
        ({"endpoint": "https://pbs"}, "targets.zrh1.endpoint has port 443"),
        ({"caCertificate": CERTIFICATE, "fingerprint": "ab" * 32}, "targets.zrh1 has caCertificate and fingerprint"),
    ],
)
def test_wrong_targets_are_refused(target: Object, message: str) -> None:
    """A target without an address, on a port that is blocked, or with two ways of trust is refused by its name."""
    with pytest.raises(helm_python.HelmRenderError, match=message):
        render(MANY | {"targets": {"zrh1": MANY["targets"]["zrh1"] | target}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"existingSecret": ""}, "targets.zrh1.existingSecret is required"),
        ({"settings": {"pbs": {"token_id": ""}}}, "targets.zrh1.token_id is required"),
    ],
)
def test_targets_need_a_login(values: Object, message: str) -> None:
    """A target without a secret or a token ID of its own or of all is refused by its name."""
    with pytest.raises(helm_python.HelmRenderError, match=message):
        render(MANY | values | {"targets": {"zrh1": MANY["targets"]["zrh1"]}})


@pytest.mark.parametrize("endpoint", ["https://[fd00::1]:8007/", "https://pbs:8007"])
def test_endpoints_that_fit(endpoint: str) -> None:
    """An endpoint on PBS's usual port is accepted in every notation."""
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
        ("settings.pbs.max_concurrent_requests", 1),
        ("settings.pbs.listing_interval_seconds", -1),
        ("settings.pbs.listing_mode", "fast"),
        ("settings.exporter.log_level", "loud"),
        ("settings.exporter.log_format", "xml"),
        ("settings.exporter.listen_address", ":80"),
        ("settings.collectors.tapes", True),
        ("settings.collectors.tape", 1),
        ("settings.pbss", {}),
        ("targets", {"Zrh1": {}}),
        ("targets.zrh1", {"token_secret": "x"}),
        ("targets.zrh1", {"labels": {"instance": "x"}}),
        ("targets.zrh1", {"labels": {"__address__": "x"}}),
        ("targets.zrh1.collectors", {"tapes": False}),
        ("settings.exporter.external_url", "metrics.example.com"),
        ("reloader.enabled", "yes"),
        ("serviceMonitor.relabelings", {}),
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
        ("prometheusRule.runbookUrl", "docs/alerts.md"),
    ],
)
def test_schema_refuses(path: str, value: object) -> None:
    """The schema refuses a wrong or unknown value with a message that names its place."""
    with pytest.raises(helm_python.HelmValuesError) as caught:
        render(changed(path, value))
    place, _, key = path.rpartition(".")
    assert key in str(caught.value)
    assert "/".join(place.split(".")) in str(caught.value)


def test_schema_takes_the_defaults() -> None:
    """values.yaml is valid, and the schema allows no key that values.yaml lacks."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(default_values())

    def keys(node: Object, path: str = "") -> set[str]:
        below = node.get("properties", {})
        closed = node.get("additionalProperties") is False
        assert not below or closed, f"{path} lets any key through"
        return {path}.union(*(keys(value, f"{path}.{key}") for key, value in below.items()))

    def values(node: object, path: str = "") -> set[str]:
        below = node if isinstance(node, dict) and ".resources." not in path else {}
        return {path}.union(*(values(value, f"{path}.{key}") for key, value in below.items()))

    # Helm adds `global` if the chart is part of another.
    assert keys(schema) - values(default_values()) == {".global"}
    assert values(default_values()) - keys(schema) == set()
