import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.__main__ import parsers
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.commands import check
from pbs_exporter.config import load
from pbs_exporter.config.warnings import OTHER_EXPORTERS
from pbs_exporter.exposition import self_metrics
from pbs_exporter.scrape import scrape_metrics
from pbs_exporter.simulator import Fault, Replay, SimulatedPbs
from pbs_exporter.web.app import create_app
from tests.support.documented import PAGES, block, blocks, commands
from tests.support.exporter import FakeClock, exporting, main_of, make_settings
from tests.support.metrics_page import Scraped
from tests.support.paths import ROOT, recorded_time, recording_file

RECORDING = "pbs-4.2.3"
RUST_EXPORTER = {
    "pbs_exporter_memory_usage_bytes",
    "pbs_exporter_api_calls_total",
    "pbs_task_last_run_timestamp",
    "pbs_snapshot_verification_timestamp_seconds",
    "pbs_snapshot_verified",
}
"""Names that only the Rust exporter has; docs/migration.md may mention them."""
NATRONTECH = {
    *re.findall(r"record: (\w+)", (ROOT / "monitoring/compat/natrontech.rules.yml").read_text(encoding="utf-8")),
    "pbs_snapshot_vm_last_age",
}
"""The same for natrontech's exporter and its rewrite for Node.js."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def command_lines() -> list[str]:
    """Return the documentation's lines that run pbs-exporter, in a container or not."""
    lines = [line for block in commands() for line in block.text.replace("\\\n", " ").splitlines()]
    found = [re.search(r"(?:^| -- | exec \S+ )(?:\S*/)?(pbs-exporter .*)", line) for line in lines]
    return list(dict.fromkeys(line[1] for line in found if line))


def test_readme_is_short() -> None:
    """The README has at most 270 lines. Tables and details are in docs/."""
    assert len(text_of("README.md").splitlines()) <= 270


async def test_excerpt_is_real() -> None:
    """The metrics that the README shows are exactly those of a recorded PBS."""
    excerpt = block("README.md: Try it 1", "text").splitlines()
    clock = FakeClock(recorded_time(RECORDING)).clock
    async with SimulatedPbs(Replay(recording_file(RECORDING))) as pbs, exporting(make_settings(pbs), clock) as exporter:
        page = await exporter.scrape()
    assert len(excerpt) > 5
    assert [line for line in excerpt if line not in page.text.splitlines()] == []


def test_minimal_configuration_works(tmp_path: Path) -> None:
    """The README's minimal configuration is enough to start, without a warning."""
    example = block("README.md: Minimal configuration 1", "toml")
    secret = tmp_path / "token"
    secret.write_text("00000000-0000-0000-0000-000000000000\n")
    file = tmp_path / "settings.toml"
    file.write_text(example.replace(tomllib.loads(example)["pbs"]["token_secret_file"], str(secret)))
    settings, warnings = load(str(file), {}, DEFAULTS)
    assert warnings == []
    assert main_of(settings).pbs.token_id == "exporter@pbs!prometheus"
    assert main_of(settings).pbs.fingerprint is not None


def test_scrape_jobs_honor_labels() -> None:
    """The README's scrape job is that of docs/getting-started.md, for an exporter on the same host."""
    readme = block("README.md: Prometheus 1", "yaml")
    _, _, job = block("docs/getting-started.md: With your own Prometheus 1", "yaml").partition("\n\nscrape_configs:")
    assert readme.replace("localhost:9101", "10.0.0.11:9101") == f"scrape_configs:{job}"
    assert "honor_labels: true" in readme


async def test_check_example_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/cli.md shows what `check` prints for a token without the privilege to see tapes."""
    (example,) = [
        found.text
        for found in blocks("docs/cli.md")
        if (found.heading, found.language) == ("check", "text") and not found.text.startswith("usage:")
    ]

    def without_tape(permissions: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        return {path: {name: on for name, on in of.items() if name != "Tape.Audit"} for path, of in permissions.items()}

    async with SimulatedPbs(Replay(recording_file(RECORDING)), token_id="exporter@pbs!prometheus") as pbs:
        pbs.faults.add("/access/permissions", Fault.rows(without_tape))
        pinned = bytes.fromhex(pbs.fingerprint.replace(":", ""))
        settings = make_settings(pbs, verify_tls=True, fingerprint=pinned)
        code = await check._check(main_of(settings).pbs, [collector for collector in COLLECTORS if collector.default])
    printed = capsys.readouterr().out
    for shown, stands_for in (
        (pbs.endpoint, "https://pbs.example.com:8007"),
        (pbs.fingerprint, example.splitlines()[2].strip()),
    ):
        assert shown in printed
        printed = printed.replace(shown, stands_for)
    day = r"expires \d{4}-\d\d-\d\d"
    assert re.sub(day, "", printed) == re.sub(day, "", example)
    assert code == 1


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_are_understood(line: str) -> None:
    """The program accepts every pbs-exporter command line in the documentation."""
    arguments = line.split()[1:]
    parser = parsers()[0]
    if arguments == ["--version"]:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 0
    else:
        assert callable(parser.parse_args(arguments).run)


def test_make_targets_exist() -> None:
    """Every make target that the documentation names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), re.MULTILINE)}
    assert {"demo", "test", "lint", "dev"} <= named
    assert named - targets == set()


def test_metric_names_exist() -> None:
    """Every metric that the documentation names exists in the program, or only in another exporter."""
    own = (*scrape_metrics.METRICS, *self_metrics.METRICS)
    declared = {metric.name for collector in COLLECTORS for metric in collector.metrics} | {m.name for m in own}
    named = {
        name: page
        for page in (
            "README.md",
            "docs/settings.md",
            "docs/cli.md",
            "docs/troubleshooting.md",
            "docs/migration.md",
            "docs/metrics.md",
        )
        for name in re.findall(r"\bpbs_(?!exporter\b)[a-z0-9_]+\b(?<!_)(?!…)", text_of(page))
    }
    assert len(named.keys() & declared) > 15
    others = RUST_EXPORTER | NATRONTECH
    assert named.keys() - declared == others
    assert {named[name] for name in others} == {"docs/migration.md"}


@pytest.mark.parametrize(("variable", "ours"), OTHER_EXPORTERS.items())
def test_migration_page_has_each_variable(variable: str, ours: str) -> None:
    """docs/migration.md has a row for each variable that the start tells about, with the same setting."""
    (row,) = (line for line in text_of("docs/migration.md").splitlines() if re.match(rf"\| .*`{variable}`.* \|", line))
    setting = re.match(r"PBS_EXPORTER__\w+?__(\w+)", ours)
    assert row.split(" | ")[1] == (f"`{setting[1].lower()}`" if setting else "None")


def messages() -> list[str]:
    """Return the program's own messages in docs/troubleshooting.md. Those of PBS begin with a status."""
    rows = [line for line in text_of("docs/troubleshooting.md").splitlines() if line.startswith("|")]
    found = [message for row in rows for message in re.findall(r"`([^`]+)`", row.split("|")[1])]
    return [message for message in found if not message[0].isdigit()]


@pytest.mark.parametrize("message", messages())
def test_messages_are_the_programs(message: str) -> None:
    """The messages that docs/troubleshooting.md explains are in the program's source."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "pbs_exporter").rglob("*.py"))
    words = next(part.strip() for part in re.split(r"…|\d|'<", message) if part.strip())
    assert len(words) > 3
    assert words in source


async def test_example_collector_works() -> None:
    """The collector that docs/architecture.md shows is complete: added to the list, it exports its sample."""
    (example,) = [found.text for found in blocks("docs/architecture.md") if found.language == "python"]
    module: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "docs/architecture.md", "exec"), module)  # noqa: S102 - our own page
    collector = module["VisibleCollector"]()
    async with SimulatedPbs(Replay(recording_file(RECORDING))) as pbs:
        settings = make_settings(pbs, collectors={collector.name: True})
        server = TestServer(create_app(settings, (*COLLECTORS, collector)))
        async with TestClient(server) as client, client.get("/metrics") as response:
            page = Scraped(await response.text())
    assert page.value("pbs_scrape_collector_success", collector=collector.name) == 1
    assert page.value(collector.metrics[0].name) == len(page.series("pbs_datastore_info"))
