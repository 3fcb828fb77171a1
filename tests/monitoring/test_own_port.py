"""A real Prometheus scrapes a port with TLS and a login, as docs/settings.md shows it."""

import asyncio
import base64
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
import yaml

from pbs_exporter.simulator import SimulatedPbs, World
from tests.monitoring.exporters import ExporterProcess, demo, with_settings
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


@contextmanager
def fleet(number: int) -> Iterator[dict[str, SimulatedPbs]]:
    """Run that number of simulated PBS, in a thread."""
    pbs = {f"pbs{one}": SimulatedPbs(World(1, 1, 2, 2, seed=1)) for one in range(number)}
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    started = threading.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for one in pbs.values():
                await stack.enter_async_context(one)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert started.wait(60)
        yield pbs
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def write_targets(file: Path, targets: Mapping[str, SimulatedPbs]) -> None:
    """Replace the settings file by one with these targets."""
    head = '[exporter]\nweb_config_file = "web.yml"\nlifecycle = true\n'
    sections = [
        f'[targets.{name}]\nendpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
        f'fingerprint = "{pbs.fingerprint}"\n'
        for name, pbs in targets.items()
    ]
    new = file.with_suffix(".new")
    new.write_text("\n".join([head, *sections]))
    new.replace(file)


@pytest.mark.parametrize("program", [newest, oldest], ids=["newest", "oldest"])
def test_prometheus_finds_the_targets_with_tls_and_a_login(program: Any, tmp_path: Path) -> None:
    """By `/sd`, Prometheus finds and scrapes twelve PBS over TLS with a login, and one that a reload adds."""
    write_certificate(tmp_path, "server")
    CA.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web_config()))
    (tmp_path / "password").write_text(PASSWORD)
    (user,) = web_config()["basic_auth_users"]
    login = {
        "basic_auth": {"username": user, "password_file": str(tmp_path / "password")},
        "tls_config": {"ca_file": str(tmp_path / "ca.crt")},
    }
    file = tmp_path / "settings.toml"
    with fleet(13) as pbs:
        added = dict(pbs)
        last = added.popitem()
        write_targets(file, added)
        with with_settings(tmp_path, file) as exporter:
            address = exporter.url.removeprefix("http://")
            discovery = {"url": f"https://{address}/sd", "refresh_interval": "5s", **login}
            job = {"job_name": "pbs", "scheme": "https", "http_sd_configs": [discovery], **login}
            configuration = {"global": {"scrape_interval": "5s", "scrape_timeout": "5s"}, "scrape_configs": [job]}
            with prometheus(tmp_path, configuration, program=program("prometheus")) as running:

                def up() -> dict[str, float]:
                    return {labels["instance"]: value for labels, value in running.query("pbs_up")}

                poll(lambda: up() == dict.fromkeys(added, 1), "twelve targets are up", seconds=60)
                write_targets(file, {**added, last[0]: last[1]})
                assert reloaded(exporter.url, tmp_path / "ca.crt", f"{user}:{PASSWORD}") == "ok\n"
                poll(lambda: up() == dict.fromkeys(pbs, 1), "the new target is up", seconds=60)


def reloaded(url: str, ca_file: Path, login: str) -> str:
    """Request a reload, and return the answer."""
    context = ssl.create_default_context(cafile=ca_file)
    request = urllib.request.Request(  # noqa: S310 - the exporter's own URL
        url.replace("http://", "https://") + "/-/reload",
        method="POST",
        headers={"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=60) as answer:
        text: str = answer.read().decode()
    return text
