"""Values of the Helm chart for the tests."""

import json

import yaml

from tests.deploy.manifests import CHART, Object

VALUES: Object = {
    "existingSecret": "pbs-exporter",
    "settings": {"pbs": {"endpoint": "https://pbs.example.com:8007", "token_id": "exporter@pbs!prometheus"}},
}
"""The required values, as in the kustomization's example."""

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
"""Values that use every part of the templates except `existingSecret`."""

MANY: Object = {
    "existingSecret": "pbs-tokens",
    "settings": {"pbs": {"token_id": "exporter@pbs!prometheus", "verify_tls": True}},
    "targets": {
        "zrh1": {
            "endpoint": "https://pbs-zrh1.example.com:8007",
            "labels": {"site": "zurich", "price": "5$"},
            "collectors": {"tape": False},
            "filters": {"datastores": ["!scratch"]},
        },
        "ber.1": {
            "endpoint": "https://pbs-ber1.example.com:8007",
            "token_id": "other@pbs!prometheus",
            "existingSecret": "berlin",
            "existingSecretKey": "token",
            "caCertificate": CERTIFICATE,
            "timeout_seconds": 2.5,
        },
    },
    "serviceMonitor": {
        "enabled": True,
        "relabelings": [{"targetLabel": "team", "replacement": "backup"}],
    },
    "reloader": {"enabled": True},
}
"""Values with targets and without a PBS of `/metrics`."""


def default_values() -> Object:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def changed(path: str, value: object) -> Object:
    """Return the required values with one more set."""
    values: Object = json.loads(json.dumps(VALUES))
    place = values
    *way, last = path.split(".")
    for key in way:
        place = place.setdefault(key, {})
    place[last] = value
    return values
