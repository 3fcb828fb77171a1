"""A real Prometheus scrapes a port with TLS and a login, as docs/settings.md shows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
import yaml

from tests.monitoring.exporters import ExporterProcess, demo
from tests.monitoring.servers import Prometheus, prometheus
from tests.support.documented import block
from tests.support.prometheus_programs import newest, oldest
from tests.support.waiting import poll

CHAPTER = "docs/settings.md: TLS and login of the exporter's port"
PASSWORD = "correct horse"
METRIC = "pbs_exporter_web_config_last_load_successful"

CA = trustme.CA()


def write_certificate(folder: Path, name: str) -> None:
    """Write a new certificate and its key, each by a rename."""
    certificate = CA.issue_cert("127.0.0.1")
    for suffix, blob in (("key", certificate.private_key_pem), ("crt", certificate.cert_chain_pems[0])):
        blob.write_to_path(folder / "new")
        (folder / "new").replace(folder / f"{name}.{suffix}")


def web_config(**more: Any) -> dict[str, Any]:
    """Return the page's file, with a hash whose password is known."""
    example: dict[str, Any] = yaml.safe_load(block(f"{CHAPTER} 1", "yaml"))
    (user,) = example["basic_auth_users"]
    example["basic_auth_users"] = {user: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}
    example["tls_server_config"] |= more
    return example


@pytest.fixture(params=[newest, oldest], ids=["newest", "oldest"])
def scraped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ExporterProcess, Prometheus]]:
    """Run the demo and a Prometheus; the web configuration and the job are those of the page."""
    write_certificate(tmp_path, "server")
    write_certificate(tmp_path, "client")
    CA.cert_pem.write_to_path(tmp_path / "ca.crt")
    clients = {
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.crt",
        "client_allowed_sans": ["127.0.0.1"],
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web_config(**clients)))
    (tmp_path / "password").write_text(PASSWORD)
    job = yaml.safe_load(block(f"{CHAPTER} 2", "yaml"))
    job["tls_config"] = {
        "ca_file": str(tmp_path / "ca.crt"),
        "cert_file": str(tmp_path / "client.crt"),
        "key_file": str(tmp_path / "client.key"),
    }
    job["basic_auth"]["password_file"] = str(tmp_path / "password")
    with demo(tmp_path, PBS_EXPORTER__EXPORTER__WEB_CONFIG_FILE=str(tmp_path / "web.yml")) as exporter:
        target = {"targets": [exporter.url.removeprefix("http://")]}
        stranger = job | {"basic_auth": job["basic_auth"] | {"username": "mallory"}}
        unnamed = job | {"tls_config": {"ca_file": str(tmp_path / "ca.crt")}}
        configuration = {
            # Long enough for a scrape on a busy machine.
            "global": {"scrape_interval": "3s", "scrape_timeout": "3s"},
            "scrape_configs": [
                {"job_name": name, "static_configs": [target], **keys}
                for name, keys in (("pbs", job), ("stranger", stranger), ("unnamed", unnamed))
            ],
        }
        with prometheus(tmp_path, configuration, program=request.param("prometheus")) as running:
            yield exporter, running


def test_prometheus_scrapes_with_tls_and_a_login(scraped: tuple[ExporterProcess, Prometheus], tmp_path: Path) -> None:
    """Prometheus gets in with certificate and password, not without one of them, and a new certificate is no gap."""
    exporter, running = scraped

    def up(job: str) -> list[float]:
        return [value for _, value in running.query(f'up{{job="{job}"}}')]

    poll(lambda: up("pbs") == [1], "Prometheus gets in")
    poll(lambda: running.query("pbs_up"), "pbs_up")
    poll(lambda: up("stranger") == up("unnamed") == [0], "the others don't")
    errors = {
        target["scrapePool"]: target["lastError"] for target in running.json("/api/v1/targets")["data"]["activeTargets"]
    }
    assert "401 Unauthorized" in errors["stranger"]
    assert "certificate required" in errors["unnamed"]
    assert [value for _, value in running.query(METRIC)] == [1]

    write_certificate(tmp_path, "server")
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web_config()))
    poll(lambda: up("unnamed") == [1], "a client without certificate gets in")
    (tmp_path / "web.yml").write_text("basic_auth_users: {")
    poll(lambda: {value for _, value in running.query(METRIC)} == {0}, "the metric shows the wrong file")
    assert up("pbs") == [1]
    assert up("stranger") == [0]
    assert running.query('min_over_time(up{job="pbs"}[1h])')[0][1] == 1
    log = exporter.log.read_text()
    assert log.count("web_config_file can't be used") == 1
    assert PASSWORD not in log
