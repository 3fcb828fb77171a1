"""All benchmarks, by table."""

from typing import Final

from benchmarks import parts, targets
from benchmarks.benchmark import Benchmark
from benchmarks.health import health, health_in_a_flood
from benchmarks.idle import requests
from benchmarks.inputs import Input
from benchmarks.measurement import Thresholds
from benchmarks.memory import at_once, history, memory
from benchmarks.scrapes import login_of_our_port, scrapes, tls_of_our_port
from benchmarks.start import start

_SMALL = Input(datastores=2, groups=4, snapshots=5)
_FAR = Input(datastores=20, groups=5, snapshots=2, latency=0.05)
_FAR_3 = Input(datastores=20, namespaces=3, groups=5, snapshots=2, latency=0.05)
_FULL = {"listing_mode": "full"}
_CHANGES = {"listing_mode": "changes"}
_ONE, _ALL = {"snapshot_history_limit": "1"}, {"snapshot_history_limit": "0"}
_1K, _10K, _100K = (Input(snapshots=number) for number in (1, 10, 100))
_UNLIKE, _BLANKS = Input(snapshots=100, is_unlike=True), Input(snapshots=100, has_blanks=True)
_SLOW = Input(snapshots=100, full_listing_seconds=2)
_IDLE = Input(snapshots=100, full_listing_seconds=2, is_idle=True)
_FLOODS = {"tasks": 200_000, "wrong-rows": 300_000, "datastores": 20_000, "namespaces": 10_000, "pools": 60_000}
_GZIP = {"Accept-Encoding": "gzip"}

SCRAPES: Final = (
    Benchmark(
        name="far-20x1",
        input=_FAR,
        settings=_FULL,
        measure=scrapes,
        thresholds=Thresholds(median=350),
    ),
    Benchmark(
        name="far-20x3",
        input=_FAR_3,
        settings=_FULL,
        measure=scrapes,
        thresholds=Thresholds(median=600),
    ),
    Benchmark(
        name="small",
        input=_SMALL,
        settings=_FULL,
        measure=scrapes,
        runs=50,
        thresholds=Thresholds(median=4.5),
    ),
    Benchmark(name="1k-limit-1", input=_1K, settings=_FULL | _ONE, measure=scrapes, compared=True, runs=21),
    Benchmark(name="1k-limit-0", input=_1K, settings=_FULL | _ALL, measure=scrapes, compared=True, runs=21),
    Benchmark(
        name="10k-limit-1",
        input=_10K,
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
        runs=21,
        thresholds=Thresholds(median=40),
    ),
    Benchmark(
        name="10k-limit-0",
        input=_10K,
        settings=_FULL | _ALL,
        measure=scrapes,
        compared=True,
        runs=21,
        thresholds=Thresholds(median=55),
    ),
    Benchmark(
        name="100k-limit-1",
        input=_100K,
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
        thresholds=Thresholds(median=400, ratio=0.5, peak=120, steady=60),
    ),
    Benchmark(
        name="100k-limit-0",
        input=_100K,
        settings=_FULL | _ALL,
        measure=scrapes,
        compared=True,
        thresholds=Thresholds(median=600, ratio=0.75, peak=200, steady=120),
    ),
    Benchmark(
        name="100k-unlike-limit-1",
        input=_UNLIKE,
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
        thresholds=Thresholds(ratio=0.5),
    ),
    Benchmark(name="100k-unlike-limit-0", input=_UNLIKE, settings=_FULL | _ALL, measure=scrapes, compared=True),
    Benchmark(
        name="100k-blanks",
        input=_BLANKS,
        settings=_FULL | _ALL,
        measure=scrapes,
        compared=True,
        thresholds=Thresholds(peak=160),
    ),
    Benchmark(name="100k-gzip", input=_100K, settings=_FULL | _ALL, headers=_GZIP, measure=scrapes, compared=True),
    Benchmark(
        name="changes-limit-1",
        input=_SLOW,
        settings=_CHANGES | _ONE,
        measure=scrapes,
        compared=True,
        thresholds=Thresholds(median=150),
    ),
    Benchmark(name="changes-limit-0", input=_SLOW, settings=_CHANGES | _ALL, measure=scrapes, compared=True),
    Benchmark(
        name="unchanged-limit-1",
        input=_IDLE,
        settings=_CHANGES | _ONE,
        measure=scrapes,
        compared=True,
        runs=21,
        thresholds=Thresholds(median=60),
    ),
    Benchmark(name="unchanged-limit-0", input=_IDLE, settings=_CHANGES | _ALL, measure=scrapes, compared=True),
)
"""Scrapes, which other exporters can do as well."""

WIRE: Final = tuple(
    Benchmark(
        name=f"{'https' if tls else 'http'}-{'deflate' if deflate else 'plain'}",
        input=Input(snapshots=100, tls=tls, deflate=deflate),
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
    )
    for tls in (False, True)
    for deflate in (False, True)
)
"""100,000 snapshots with and without TLS, from a PBS with and without deflate."""

STEADY: Final = (
    Benchmark(name="health", input=_100K, settings=_FULL | _ALL, measure=health, thresholds=Thresholds(largest=50)),
    Benchmark(
        name="health-blanks",
        input=_BLANKS,
        settings=_FULL | _ALL,
        measure=health,
        thresholds=Thresholds(largest=50, peak=160),
    ),
    *(
        Benchmark(
            name=f"health-{flood}",
            input=Input(groups=10, flood=flood, flood_rows=rows),
            settings=_FULL,
            measure=health_in_a_flood,
            runs=3,
            thresholds=Thresholds(largest=250),
        )
        for flood, rows in _FLOODS.items()
    ),
    Benchmark(
        name="memory", input=_10K, settings=_FULL | _ALL, measure=memory, runs=200, thresholds=Thresholds(drift=0.03)
    ),
    Benchmark(
        name="history",
        input=Input(datastores=20, groups=1),
        measure=history,
        runs=3,
        thresholds=Thresholds(median=60),
    ),
    Benchmark(
        name="start",
        input=_SMALL,
        measure=start,
        runs=20,
        thresholds=Thresholds(median=500, steady=45),
    ),
    *(
        Benchmark(
            name=f"at-once-{number}",
            input=_100K,
            settings=_FULL | _ALL,
            measure=at_once(number),
            runs=3,
            thresholds=Thresholds(peak=200, steady=120),
        )
        for number in (1, 2, 4)
    ),
    Benchmark(
        name="login",
        input=_SMALL,
        settings=_FULL,
        measure=login_of_our_port,
        runs=500,
        thresholds=Thresholds(median=0.2),
    ),
    Benchmark(
        name="own-tls", input=_SMALL, settings=_FULL, measure=tls_of_our_port, runs=200, thresholds=Thresholds(median=1)
    ),
)
"""Behaviour over many scrapes, and with several at once."""

MANY: Final = (
    Benchmark(
        name="targets-50",
        input=Input(datastores=2, groups=10, snapshots=2, latency=0.05),
        settings=_FULL,
        measure=targets.at_once(50),
        thresholds=Thresholds(peak=130),
    ),
    Benchmark(
        name="targets-isolation", input=_100K, measure=targets.well_ones, runs=20, thresholds=Thresholds(ratio=2)
    ),
    *(
        Benchmark(
            name=f"targets-500-{name}",
            input=Input(groups=2),
            measure=targets.path(wanted, 500),
            runs=21,
            thresholds=Thresholds(median=50),
        )
        for name, wanted in (("sd", "/sd"), ("status", "/"))
    ),
    Benchmark(
        name="targets-200-status",
        input=Input(datastores=20, groups=2),
        settings=_FULL,
        measure=targets.path("/", 200, scraped=True),
        runs=21,
        thresholds=Thresholds(median=100),
    ),
)
"""One exporter of many PBS."""

IDLE: Final = tuple(
    Benchmark(
        name=f"idle-{seconds}",
        input=Input(datastores=20, namespaces=3, groups=10, snapshots=5),
        settings=_CHANGES | {"listing_idle_seconds": str(seconds)},
        measure=requests,
        runs=60,
    )
    for seconds in (0, 300, 7200)
)
"""An hour of scrapes of 20 datastores, of which one is active."""

PARTS: Final = (
    Benchmark(name="encoder", input=_100K, measure=parts.encoder, thresholds=Thresholds(median=0.9)),
    Benchmark(name="decoder-structs", input=_100K, measure=parts.structs, thresholds=Thresholds(ratio=1 / 7)),
    Benchmark(name="decoder-limit-1", input=_100K, settings=_ONE, measure=parts.sums),
    Benchmark(name="decoder-limit-0", input=_100K, settings=_ALL, measure=parts.sums),
    Benchmark(name="settings-500", input=_SMALL, measure=parts.settings(500), thresholds=Thresholds(ratio=2)),
)
"""Parts of the exporter, in isolation."""

GROWTH: Final = tuple((f"1k-limit-{limit}", f"10k-limit-{limit}", f"100k-limit-{limit}") for limit in (1, 0))
"""Series of benchmarks, each ten times the size of the previous one."""

SECTIONS: Final = {
    "scrapes": SCRAPES,
    "wire": WIRE,
    "steady": STEADY,
    "many": MANY,
    "idle": IDLE,
    "parts": PARTS,
}
"""The tables, by the names of their places in docs/performance.md."""
