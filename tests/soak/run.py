"""A soak: thousands of scrapes of one exporter, while its PBS fails in changing ways.

`python -m tests.soak.run --scrapes 5000 --seed 7`. The exporter is the installed program with a settings file, and PBS
is the simulated one. After each part of the scrapes all faults end, and the exporter must show what one shows that has
never met a fault.
"""

import argparse
import asyncio
import logging
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Self

import aiohttp
import msgspec

from pbs_exporter.pbs.http.token_auth import PATIENCE, PAUSE_SECONDS
from pbs_exporter.simulator import SimulatedPbs, World, demo_world
from pbs_exporter.web.unsent import RETURN_SECONDS
from tests.soak.changes import EVENTS, FAULTS, Changes, WorldClock
from tests.soak.clients import RECOGNIZED, Client
from tests.support.metrics_page import LISTING_TIMES, Facts, Scraped, facts, listed_at, without
from tests.support.program import Running, serving, started


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long a soak is, and the bounds that the exporter must keep."""

    scrapes: int = 5000
    minutes: float = 30
    """Time after which it has failed."""
    clients: int = 4
    parts: int = 10
    settled: int = 1
    """Parts after which memory may hardly grow."""
    memory_growth: float = 0.05
    """Largest growth of the resident memory after that."""
    descriptors: int = 0
    """Open files more than after the first part, while nothing is connected."""
    threads: int = 5
    """Threads in all: the main one, and one each for pages, slow collectors, the status page and the log."""
    scrapes_to_recover: int = 3
    """Scrapes after the last fault until every series is right."""
    pause: bool = True
    """Whether the last token is refused until the exporter pauses, and given back as it was: it takes two minutes."""


LONG = Plan()
SHORT = Plan(scrapes=250, minutes=5, parts=5, settled=2, memory_growth=0.15, pause=False)
"""It meets each fault about twice, so memory that some fault needs once is taken later."""

SETTINGS = """\
[pbs]
endpoint = "{endpoint}"
token_id = "{token_id}"
token_secret_file = "{secret_file}"
fingerprint = "{fingerprint}"
timeout_seconds = 1
listing_timeout_seconds = 1.5
scrape_timeout_seconds = 5
listing_refresh_seconds = 2
listing_idle_seconds = 1
slow_interval_seconds = 0.2
snapshot_history_limit = 3
# The time of the simulated PBS runs ahead.
task_window_seconds = 864000

[exporter]
listen_address = "127.0.0.1:0"

[collectors]
disks = true
"""
SETTLE_SECONDS = 2.5
"""Time between two scrapes without a fault. No interval is longer, that of `updates` (12 times 0.2) neither."""

CLOSE_TRIES = 100
"""Tenths of a second in which the exporter notices that its connections have been closed."""

STORES = ("main", "cloud", "usb")
TASK_HISTORY_SECONDS = 2 * 3600
"""Of the world of the demo, so that a scrape takes little time: an ordinary datastore, one in S3, and a disk."""

_LOG_LINE = re.compile(r"ts=\S+ level=(debug|info|warn|warning) ")


class Usage(msgspec.Struct, frozen=True):
    """What a process uses."""

    memory_mib: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process_id: int) -> Self:
        folder = Path(f"/proc/{process_id}")
        status = (folder / "status").read_text(encoding="ascii", errors="replace")
        values = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
        return cls(int(values["VmRSS"]) / 1024, sum(1 for _ in (folder / "fd").iterdir()), int(values["Threads"]))

    def __str__(self) -> str:
        return f"{self.memory_mib:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


class Summary(msgspec.Struct):
    """How a soak goes."""

    seed: int
    scrapes: int = 0
    seconds: float = 0.0
    usage: list[Usage] = []
    """After each part."""
    recovered_after: list[int] = []
    """After each part, the scrapes until every series was right."""
    actions: Counter[str] = msgspec.field(default_factory=Counter)
    changes: Counter[str] = msgspec.field(default_factory=Counter)
    log_lines: int = 0

    def __str__(self) -> str:
        return (
            f"soak: {self.scrapes} scrapes in {self.seconds:.0f} s, seed {self.seed}, "
            f"Python {sys.version.partition(' ')[0]}\n"
            f"after each part: {'; '.join(map(str, self.usage))}\n"
            f"right after {self.recovered_after} scrapes without a fault\n"
            f"{self.log_lines} log lines\n"
            f"clients: {_counted(self.actions)}\n"
            f"faults: {_counted(self.changes)}"
        )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def excesses(usage: Sequence[Usage], plan: Plan) -> list[str]:
    """Return what exceeds the bounds, of what was used after each part."""
    first, settled, last = usage[0], usage[plan.settled - 1], usage[-1]
    found = []
    if last.memory_mib > settled.memory_mib * (1 + plan.memory_growth):
        found.append(f"memory has grown from {settled.memory_mib:.1f} to {last.memory_mib:.1f} MiB")
    if last.descriptors > first.descriptors + plan.descriptors:
        found.append(f"open files have become more: {first.descriptors}, then {last.descriptors}")
    if max(each.threads for each in usage) > plan.threads:
        found.append(f"there are more than {plan.threads} threads: {[each.threads for each in usage]}")
    return found


def comparable(page: Scraped) -> Facts:
    """Return what two exporters of one PBS agree on: all about PBS, and which requests succeeded."""
    about_pbs = {key: value for key, value in facts(page).items() if key[0].startswith("pbs_")}
    success = {key: value for key, value in page.facts().items() if key[0].endswith("_success")}
    # Which datastores are listed incrementally depends on how fast PBS has answered. These alone can be idle, and the
    # notes of their groups aren't asked for apart.
    success = {key: value for key, value in success.items() if ("collector", "groups") not in key[1]}
    return without(about_pbs, *LISTING_TIMES, "pbs_datastore_idle") | success


def difference(found: Facts, expected: Facts) -> str:
    """Return how many series are missing, unexpected or wrong, with the first of them; nothing if there are none."""
    keys = sorted((key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)), key=str)
    few = [f"{name}{dict(key)} is {found.get((name, key))}, not {expected.get((name, key))}" for name, key in keys[:5]]
    return f"{len(keys)} series: {'; '.join(few)}" if keys else ""


class Soak:
    """A running soak of an exporter whose PBS fails (`sick`), beside one of the same world whose PBS doesn't."""

    def __init__(
        self,
        plan: Plan,
        summary: Summary,
        changes: Changes,
        *,
        pbs: SimulatedPbs,
        sick: Running,
        sick_url: str,
        well_url: str,
    ) -> None:
        self._plan = plan
        self._summary = summary
        self._changes = changes
        self._pbs = pbs
        self._sick = sick
        self._sick_url = sick_url
        self._well_url = well_url
        self._next_change = 0
        self._descriptors = Usage.of(sick.process.pid).descriptors

    async def scrape(self, random: Random) -> None:
        """Scrape with all clients for one part, and change something now and then."""
        until = self._summary.scrapes + self._plan.scrapes // self._plan.parts
        seed = random.getrandbits(32)

        async def run(number: int) -> None:
            async with aiohttp.ClientSession() as session:
                its_random = Random(f"{seed} {number}")  # noqa: S311 - reproducible
                client = Client(self._sick_url, session, its_random, self._changes.secrets)
                while self._summary.scrapes < until:
                    is_scrape = await client.act()
                    self._summary.scrapes += is_scrape
                    if self._summary.scrapes >= self._next_change:
                        self._next_change = self._summary.scrapes + random.randint(3, 12)
                        await self._changes.next()
                self._summary.actions += client.counts

        try:
            async with asyncio.TaskGroup() as clients:
                for number in range(self._plan.clients):
                    clients.create_task(run(number))
        except* Exception as several:  # noqa: BLE001 - it is raised
            raise several.exceptions[0] from None

    async def recover(self, *, same_token: bool) -> None:
        """End all faults, and scrape until the page is that of the exporter that is well. Raise if it never is."""
        if same_token:
            # It may be revoked already, or have been replaced.
            await self._changes.mend()
            await scraped(self._sick_url)
            await self._changes.begin("token revoked")
            for _ in range(PATIENCE + 1):
                await scraped(self._sick_url)
        pauses = await self._changes.mend(same_token=same_token)
        assert pauses == same_token, "the token wasn't refused"
        mended_at = time.time()
        wrong = ""
        for number in range(1, self._plan.scrapes_to_recover + 1):
            page, expected = await scraped(self._sick_url), await scraped(self._well_url)
            old = [store for store, at in listed_at(page).items() if at < mended_at - 1]
            wrong = difference(comparable(page), comparable(expected)) or (f"old listings: {old}" if old else "")
            if not wrong:
                failing = [key for key, value in comparable(page).items() if key[0].endswith("_success") and not value]
                assert not failing, f"both fail: {failing}"
                self._summary.recovered_after.append(number)
                return
            # A refused token is tried once a minute, which is how often most Prometheus scrape.
            await asyncio.sleep(PAUSE_SECONDS if pauses else SETTLE_SECONDS)
        raise AssertionError(
            f"after {self._plan.scrapes_to_recover} scrapes without a fault the page is wrong: {wrong}"
        )

    async def measure(self) -> None:
        """Measure at rest: nothing is connected to the exporter nor it to anything, and free memory is returned."""
        port = int(self._pbs.endpoint.rpartition(":")[2])
        await self._pbs.stop()
        await asyncio.sleep(2 * RETURN_SECONDS)
        for _ in range(CLOSE_TRIES):
            await asyncio.sleep(0.1)
            used = Usage.of(self._sick.process.pid)
            if used.descriptors <= self._descriptors:
                break
        self._summary.usage.append(used)
        await self._pbs.start(port)


async def scraped(url: str) -> Scraped:
    """Return the page of an exporter."""
    async with aiohttp.ClientSession() as session:
        return await Client(url, session, Random(0), []).scrape()  # noqa: S311 - it isn't used


@asynccontextmanager
async def exporting(pbs: SimulatedPbs, folder: Path) -> AsyncIterator[tuple[Running, str]]:
    """Run the installed program with a settings file in the folder. Yield it with its URL."""
    secret_file, settings_file = folder / "secret", folder / "settings.toml"
    secret_file.write_text(pbs.secret, encoding="ascii")
    text = SETTINGS.format(
        endpoint=pbs.endpoint, token_id=pbs.token_id, secret_file=secret_file, fingerprint=pbs.fingerprint
    )
    settings_file.write_text(text, encoding="utf-8")
    async with started("--config", str(settings_file), "serve") as running:
        yield running, await serving(running)


async def read_log(running: Running, summary: Summary, secrets: Sequence[str]) -> None:
    """Check each line on stderr, until the program ends."""
    assert running.process.stderr is not None
    while line := (await running.process.stderr.readline()).decode():
        summary.log_lines += 1
        assert not any(secret[:RECOGNIZED] in line for secret in secrets), "a secret is in the log"
        assert _LOG_LINE.match(line), f"an error, or not a line of the log: {line}"
        assert "Traceback" not in line, line


async def soak(
    plan: Plan, summary: Summary, folder: Path, after_part: Callable[[Summary], None] = lambda _: None
) -> None:
    """Run a soak. Raise `AssertionError` at the first thing that is wrong. The summary is filled in any case."""
    random, began = Random(summary.seed), time.monotonic()  # noqa: S311 - reproducible
    clock = WorldClock(float(int(time.time())))
    stores = [store for store in demo_world(clock).stores if store.name in STORES]
    world = World(now=clock, live=True, stores=stores, task_history_seconds=TASK_HISTORY_SECONDS)
    for name in ("sick", "well"):
        folder.joinpath(name).mkdir()
    async with (
        asyncio.timeout(plan.minutes * 60),
        SimulatedPbs(world, login_delay=0.05, forbidden_delay=0.02) as pbs,
        SimulatedPbs(world, certificate=pbs.certificate) as healthy,
        exporting(pbs, folder / "sick") as (sick, sick_url),
        exporting(healthy, folder / "well") as (_, well_url),
    ):

        async def release() -> str | None:
            names = (await scraped(sick_url)).series("pbs_version")
            return names[0][0]["release"] if names else None

        changes = Changes(pbs, world, clock, random, secret_file=folder / "sick" / "secret", release=release)
        summary.changes = changes.counts
        running = Soak(plan, summary, changes, pbs=pbs, sick=sick, sick_url=sick_url, well_url=well_url)
        reading = asyncio.create_task(read_log(sick, summary, changes.secrets))
        try:
            for part in range(1, plan.parts + 1):
                await running.scrape(random)
                await running.recover(same_token=plan.pause and part == plan.parts)
                await running.measure()
                after_part(summary)
                if reading.done():
                    await reading
            sick.process.send_signal(signal.SIGTERM)
            await reading
        finally:
            summary.seconds = time.monotonic() - began
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        ended = await sick.end()
        assert (ended.code, ended.stdout) == (0, ""), f"exit code {ended.code}, on standard output {ended.stdout!r}"
    assert not (unused := {*FAULTS, *EVENTS} - changes.counts.keys()), f"faults that weren't tried: {unused}"
    assert not (found := excesses(summary.usage, plan)), "; ".join(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak that the command line asks for, and print how it went."""
    parser = argparse.ArgumentParser(description="Scrape an exporter while its PBS fails in changing ways.")
    parser.add_argument("--scrapes", type=int, default=LONG.scrapes)
    parser.add_argument("--seed", type=int, help="seed of an earlier run, for the same changes (default: a new one)")
    parsed = parser.parse_args(arguments)
    plan = msgspec.structs.replace(LONG, scrapes=parsed.scrapes)
    summary = Summary(SystemRandom().getrandbits(32) if parsed.seed is None else parsed.seed)
    print(f"soak: {plan.scrapes} scrapes, seed {summary.seed}", flush=True)
    # Handlers that end just when the simulated PBS stops are errors for aiohttp.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    failure = None
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            asyncio.run(soak(plan, summary, Path(folder), _print_part))
    except AssertionError as error:
        failure = str(error) or repr(error)
    except TimeoutError:
        failure = f"not through in {plan.minutes:g} minutes"
    finally:
        print(summary, flush=True)
    if failure is not None:
        print(f"soak failed: {failure}", file=sys.stderr)
    return int(failure is not None)


def _print_part(summary: Summary) -> None:
    print(
        f"after {summary.scrapes} scrapes: {summary.usage[-1]}, right after {summary.recovered_after[-1]}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
