"""`demo`: the exporter with a simulated PBS of its own."""

import signal
import socket
from pathlib import Path

import pytest

from tests.support.fixed_metrics import FIXED
from tests.support.metrics_page import Scraped
from tests.support.paths import ROOT
from tests.support.program import closed_port, get, program_environment, run_program, serving, started

DEMO_LOGIN = ROOT / "deploy" / "compose" / "simulated-pbs.env"


async def test_demo_shows_all_fixed_families_at_once() -> None:
    """`demo` prints an address whose first page has all 33 fixed families, and exits with 0 on SIGINT."""
    async with started("demo", env={"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0"}) as running:
        address = (await running.line(r"(http://127\.0\.0\.1:[1-9]\d*/metrics)"))[1]
        # The address is printed just before the server accepts connections.
        await running.line("msg=started")
        status, text = await get(address)
        ended = await running.end(signal.SIGINT)
    assert status == 200
    page = Scraped(text)
    assert [name for name in FIXED if not page.series(name)] == []
    assert page.value("pbs_up") == 1
    assert {value for _, value in page.series("pbs_scrape_collector_success")} == {1.0}
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("way", ["file", "short variable"])
async def test_demo_listens_where_it_is_told(tmp_path: Path, way: str) -> None:
    """The demo's listen address can come from a file or a short variable, as for `serve`."""
    port = closed_port()
    file = tmp_path / "settings.toml"
    file.write_text(f'[exporter]\nlisten_address = "127.0.0.1:{port}"\n')
    arguments, env = {
        "file": (["demo", "--config", str(file)], {}),
        "short variable": (["demo"], {"PBS_EXPORTER_EXPORTER_LISTEN_ADDRESS": f"127.0.0.1:{port}"}),
    }[way]
    async with started(*arguments, env=env) as running:
        assert (await serving(running)) == f"http://127.0.0.1:{port}"
        assert (await running.end(signal.SIGTERM)).code == 0


async def test_demo_can_let_others_ask_its_pbs() -> None:
    """With `--pbs-port`, the simulated PBS listens on that port, and accepts the login in deploy/compose/."""
    port = closed_port()
    variables = dict(line.split("=", 1) for line in DEMO_LOGIN.read_text().splitlines() if line.startswith("PBS_"))
    variables["PBS_EXPORTER__PBS__ENDPOINT"] = f"https://127.0.0.1:{port}"
    env = {"PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS": "127.0.0.1:0"}
    async with started("demo", "--pbs-port", str(port), env=env) as running:
        await running.line("msg=started")
        ended = await run_program("once", env=program_environment(**variables))
    assert Scraped(ended.stdout).value("pbs_up") == 1


async def test_demo_without_its_pbs_port() -> None:
    """If the simulated PBS's port is in use, `demo` writes one line to stderr, and exits with 1."""
    with socket.create_server(("", 0)) as listening:
        port = listening.getsockname()[1]
        env = program_environment(PBS_EXPORTER__EXPORTER__LISTEN_ADDRESS="127.0.0.1:0")
        ended = await run_program("demo", "--pbs-port", str(port), env=env)
    assert (ended.code, len(ended.lines)) == (1, 1)
    assert "address already in use" in ended.lines[0]
