import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pbs_exporter.__main__ import _parser
from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.commands import check
from pbs_exporter.config import load
from pbs_exporter.exposition import self_metrics
from pbs_exporter.scrape import scrape_metrics
from pbs_exporter.simulator import Fault, Replay, SimulatedPbs
from pbs_exporter.web.app import create_app
from tests.documented import commands
from tests.support import FakeClock, Scraped, exporting, make_settings, recorded_time, recording_file

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
RECORDING = "pbs-4.2.3"

RUST_EXPORTER = {
    "pbs_exporter_memory_usage_bytes",
    "pbs_exporter_api_calls_total",
    "pbs_task_last_run_timestamp",
    "pbs_snapshot_verification_timestamp_seconds",
    "pbs_snapshot_verified",
}
"""Names that the Rust exporter alone has, and which the README therefore may tell its users about."""


def blocks(page: str, language: str) -> list[str]:
    """Give the code blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    """Give the README's text below a heading, up to the next one of that rank."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def command_lines() -> list[str]:
    """Give the documentation's lines that call pbs-exporter, also those that have a container call it."""
    lines = [line for block in commands() for line in block.text.splitlines()]
    found = [re.search(r"(?:^| -- | exec \S+ )(?:\S*/)?(pbs-exporter .*)", line) for line in lines]
    return list(dict.fromkeys(line[1] for line in found if line))


async def test_excerpt_is_of_a_real_page() -> None:
    """The README begins with lines of the page that a recorded PBS gives, letter by letter."""
    excerpt = blocks(README, "text")[0].splitlines()
    clock = FakeClock(recorded_time(RECORDING)).clock
    async with SimulatedPbs(Replay(recording_file(RECORDING))) as pbs, exporting(make_settings(pbs), clock) as exporter:
        page = await exporter.scrape()
    assert len(excerpt) > 5
    assert [line for line in excerpt if line not in page.text.splitlines()] == []


def test_settings_example_works(tmp_path: Path) -> None:
    """The README's least settings are enough to start, without a warning."""
    (example,) = blocks(README, "toml")
    secret = tmp_path / "token"
    secret.write_text("00000000-0000-0000-0000-000000000000\n")
    file = tmp_path / "settings.toml"
    file.write_text(example.replace(tomllib.loads(example)["pbs"]["token_secret_file"], str(secret)))
    settings, warnings = load(str(file), {}, DEFAULTS)
    assert warnings == []
    assert settings.pbs.token_id == "exporter@pbs!prometheus"
    assert settings.pbs.fingerprint is not None


async def test_check_example_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The README shows what `check` prints for a token without the right to see tapes."""
    (example,) = blocks(section("Create the token on PBS"), "text")

    def without_tape(permissions: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        return {path: {name: on for name, on in of.items() if name != "Tape.Audit"} for path, of in permissions.items()}

    async with SimulatedPbs(Replay(recording_file(RECORDING)), token_id="exporter@pbs!prometheus") as pbs:
        pbs.faults.add("/access/permissions", Fault.rows(without_tape))
        pinned = bytes.fromhex(pbs.fingerprint.replace(":", ""))
        settings = make_settings(pbs, verify_tls=True, fingerprint=pinned)
        code = await check._check(settings.pbs, [collector for collector in COLLECTORS if collector.default])
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
    """Every pbs-exporter line of the documentation is one that the program's command line takes."""
    arguments = line.split()[1:]
    if arguments == ["--version"]:
        with pytest.raises(SystemExit) as ended:
            _parser().parse_args(arguments)
        assert ended.value.code == 0
    else:
        assert callable(_parser().parse_args(arguments).run)


def test_make_targets_are_there() -> None:
    """Every make target that the README and CONTRIBUTING.md name is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", pages, re.MULTILINE))
    assert {"demo", "test", "lint", "dev"} <= named
    assert named - targets == set()


def test_metric_names_exist() -> None:
    """Every metric that the README names is one of the program's, or one that only the Rust exporter has."""
    own = (*scrape_metrics.METRICS, *self_metrics.METRICS)
    declared = {metric.name for collector in COLLECTORS for metric in collector.metrics} | {m.name for m in own}
    named = set(re.findall(r"\bpbs_(?!exporter\b)[a-z0-9_]+\b(?<!_)(?!…)", README))
    assert len(named & declared) > 15
    assert named - declared == RUST_EXPORTER


def messages() -> list[str]:
    """Give the messages of the README's troubleshooting that are the program's own, PBS's begin with a status."""
    cells = [line.split("|")[1] for line in section("Troubleshooting").splitlines() if line.startswith("|")]
    found = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    return [message for message in found if not message[0].isdigit()]


@pytest.mark.parametrize("message", messages())
def test_messages_are_the_programs(message: str) -> None:
    """What the README says of a message, it says of words that the program has."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "pbs_exporter").rglob("*.py"))
    words = next(part.strip() for part in re.split(r"…|\d|'<", message) if part.strip())
    assert len(words) > 3
    assert words in source


async def test_example_collector_works() -> None:
    """The collector that docs/architecture.md shows is whole: added to the list, its sample is on the page."""
    (example,) = blocks(ARCHITECTURE, "python")
    module: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "docs/architecture.md", "exec"), module)  # noqa: S102 - our own page
    collector = module["COLLECTOR"]
    async with SimulatedPbs(Replay(recording_file(RECORDING))) as pbs:
        settings = make_settings(pbs, collectors={collector.name: True})
        server = TestServer(create_app(settings, (*COLLECTORS, collector)))
        async with TestClient(server) as client, client.get("/metrics") as response:
            page = Scraped(await response.text())
    assert page.value("pbs_scrape_collector_success", collector=collector.name) == 1
    assert page.value(collector.metrics[0].name) == len(page.series("pbs_datastore_info"))
