"""The settings that the Helm chart gives the exporter."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Settings, load, settings_table
from pbs_exporter.config.table import target_rows, target_section
from pbs_exporter.simulator import Certificate
from tests.deploy.chart_values import EVERYTHING, MANY, VALUES, changed, default_values
from tests.deploy.manifests import CHART, KUBERNETES, Object, Objects, kustomize, render
from tests.support.documented import RECOMMENDED
from tests.support.exporter import main_of


def loaded(objects: Objects, folder: Path) -> tuple[Settings, list[str]]:
    """Load the settings that a ConfigMap holds, as the exporter does."""
    text = objects["ConfigMap"]["data"]["settings.toml"]
    secret, certificate, file = folder / "secret", folder / "ca.crt", folder / "settings.toml"
    secret.write_text("00000000-0000-0000-0000-000000000000")
    text = re.sub(r'(?<=^token_secret_file = ").*(?="$)', str(secret), text, flags=re.MULTILINE)
    file.write_text(re.sub(r"/etc/pbs-exporter/(target-)?[a-z.0-9]+\.crt", str(certificate), text))
    return load(str(file), {}, DEFAULTS)


def test_settings_are_the_same(tmp_path: Path) -> None:
    """The exporter reads the same settings from both ConfigMaps: the example's, what is recommended, and defaults."""
    settings, warnings = loaded(render(VALUES), tmp_path)
    assert (settings, warnings) == loaded(kustomize(KUBERNETES / "base"), tmp_path)
    assert {("pbs", "snapshot_history_limit"): main_of(settings).pbs.snapshot_history_limit} == RECOMMENDED


def test_targets_arrive(tmp_path: Path) -> None:
    """The exporter reads each target with its own settings, and no PBS of `/metrics`."""
    (tmp_path / "ca.crt").write_bytes(Certificate.make().pem)
    settings, warnings = loaded(render(MANY), tmp_path)
    assert warnings == []
    assert settings.main is None
    assert settings.exporter.lifecycle
    one, other = settings.targets["zrh1"], settings.targets["ber.1"]
    assert (one.pbs.token_id, other.pbs.token_id) == ("exporter@pbs!prometheus", "other@pbs!prometheus")
    assert one.labels == MANY["targets"]["zrh1"]["labels"]
    assert (one.collectors["tape"], other.collectors["tape"]) == (False, True)
    assert one.pbs.verify_tls
    assert other.pbs.ca_file == tmp_path / "ca.crt"
    assert other.pbs.timeout_seconds == 2.5
    assert one.filters != other.filters


def test_chart_knows_every_setting_of_a_target() -> None:
    """The schema has each setting of a target, but for those that the chart sets."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]["targets"]
    (target,) = schema["patternProperties"].values()
    own = {row.key for row in target_rows("x", settings_table(DEFAULTS)) if row.section == target_section("x")}
    chart_sets = {"token_secret", "token_secret_file", "ca_file"}
    values = {"existingSecret", "existingSecretKey", "caCertificate", "labels", "collectors", "filters"}
    assert target["properties"].keys() == own - chart_sets | values


@pytest.mark.parametrize("path", ["settings.pbs.fingerprint", "settings.pbs.verify_tls"])
def test_verified_settings_are_worth_no_warning(path: str, tmp_path: Path) -> None:
    """With a fingerprint or verification, the chart's settings cause no warning."""
    value = {"settings.pbs.fingerprint": ":".join(["ab"] * 32), "settings.pbs.verify_tls": True}[path]
    settings, warnings = loaded(render(changed(path, value)), tmp_path)
    assert main_of(settings).pbs.verify_tls
    assert warnings == []


def test_chart_knows_every_setting() -> None:
    """values.yaml and the schema have each setting, with the program's default, except those that the chart sets.

    One has the recommended value instead.
    """
    chart_sets = {
        ("pbs", "token_secret"),
        ("pbs", "token_secret_file"),
        ("pbs", "ca_file"),
        ("exporter", "listen_address"),
    }
    table = {
        (row.section, row.key): RECOMMENDED.get((row.section, row.key), json.loads(row.default))
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
    """A setting with any characters arrives in the ConfigMap's TOML with its value and its type."""
    _, section, key = path.split(".")
    settings = tomllib.loads(render(changed(path, value))["ConfigMap"]["data"]["settings.toml"])
    assert (settings[section][key], type(settings[section][key])) == (value, type(value))


def test_changed_settings_start_a_new_pod() -> None:
    """A changed setting changes the pod's annotations, and so does a changed secret of the chart."""

    def annotations(values: Object) -> Object:
        return dict(render(values)["Deployment"]["spec"]["template"]["metadata"]["annotations"])

    assert annotations(VALUES) == annotations(VALUES)
    assert annotations(VALUES) != annotations(changed("settings.exporter.log_level", "debug"))
    other = annotations(EVERYTHING | {"tokenSecret": "other"})
    assert annotations(EVERYTHING)["checksum/secret"] != other["checksum/secret"]
