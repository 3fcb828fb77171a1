"""The settings that the Helm chart gives the exporter."""

import json
import tomllib
from pathlib import Path

import pytest

from pbs_exporter.collectors import DEFAULTS
from pbs_exporter.config import Settings, load, settings_table
from tests.deploy.chart_values import EVERYTHING, VALUES, changed, default_values
from tests.deploy.manifests import CHART, KUBERNETES, Object, Objects, kustomize, render
from tests.support.exporter import main_of


def loaded(objects: Objects, folder: Path) -> tuple[Settings, list[str]]:
    """Load the settings that a ConfigMap holds, as the exporter does."""
    text = objects["ConfigMap"]["data"]["settings.toml"]
    secret, certificate, file = folder / "secret", folder / "ca.crt", folder / "settings.toml"
    secret.write_text("00000000-0000-0000-0000-000000000000")
    text = text.replace(tomllib.loads(text)["pbs"]["token_secret_file"], str(secret))
    file.write_text(text.replace("/etc/pbs-exporter/ca.crt", str(certificate)))
    return load(str(file), {}, DEFAULTS)


def test_settings_are_the_same(tmp_path: Path) -> None:
    """The exporter reads the same settings from both ConfigMaps: the example's, and the program's defaults."""
    assert loaded(render(VALUES), tmp_path) == loaded(kustomize(KUBERNETES / "base"), tmp_path)


@pytest.mark.parametrize("path", ["settings.pbs.fingerprint", "settings.pbs.verify_tls"])
def test_verified_settings_are_worth_no_warning(path: str, tmp_path: Path) -> None:
    """With a fingerprint or verification, the chart's settings cause no warning."""
    value = {"settings.pbs.fingerprint": ":".join(["ab"] * 32), "settings.pbs.verify_tls": True}[path]
    settings, warnings = loaded(render(changed(path, value)), tmp_path)
    assert main_of(settings).pbs.verify_tls
    assert warnings == []


def test_chart_knows_every_setting() -> None:
    """values.yaml and the schema have each setting, with the program's default, except those that the chart sets."""
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
