"""The rows: each is declared here and nowhere else."""

from typing import Final

from benchmarks import parts
from benchmarks.health import health
from benchmarks.inputs import Input
from benchmarks.memory import memory
from benchmarks.results import Wanted
from benchmarks.row import Row
from benchmarks.scrapes import scrapes

_FAR = Input(datastores=20, groups=5, snapshots=2, latency=0.05)
_FAR_3 = Input(datastores=20, namespaces=3, groups=5, snapshots=2, latency=0.05)
_FULL = {"listing_mode": "full"}
_CHANGES = {"listing_mode": "changes"}
_ONE, _ALL = {"snapshot_history_limit": "1"}, {"snapshot_history_limit": "0"}
_1K, _10K, _100K = (Input(snapshots=number) for number in (1, 10, 100))
_SLOW = Input(snapshots=100, full_listing_seconds=2)
_GZIP = {"Accept-Encoding": "gzip"}

SCRAPES: Final = (
    Row(
        name="far-20x1",
        input=_FAR,
        settings=_FULL,
        measure=scrapes,
        wanted=Wanted(median=400),
    ),
    Row(
        name="far-20x3",
        input=_FAR_3,
        settings=_FULL,
        measure=scrapes,
        wanted=Wanted(median=650),
    ),
    Row(
        name="small",
        input=Input(datastores=2, groups=4, snapshots=5),
        settings=_FULL,
        measure=scrapes,
        runs=50,
        wanted=Wanted(median=4.5),
    ),
    Row(name="1k-limit-1", input=_1K, settings=_FULL | _ONE, measure=scrapes, compared=True, runs=21),
    Row(name="1k-limit-0", input=_1K, settings=_FULL | _ALL, measure=scrapes, compared=True, runs=21),
    Row(
        name="10k-limit-1",
        input=_10K,
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
        runs=21,
        wanted=Wanted(median=40),
    ),
    Row(
        name="10k-limit-0",
        input=_10K,
        settings=_FULL | _ALL,
        measure=scrapes,
        compared=True,
        runs=21,
        wanted=Wanted(median=55),
    ),
    Row(
        name="100k-limit-1",
        input=_100K,
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
        wanted=Wanted(median=400, ratio=0.5, peak=120, steady=60),
    ),
    Row(
        name="100k-limit-0",
        input=_100K,
        settings=_FULL | _ALL,
        measure=scrapes,
        compared=True,
        wanted=Wanted(median=600, ratio=0.75, peak=200, steady=120),
    ),
    Row(name="100k-gzip", input=_100K, settings=_FULL | _ALL, headers=_GZIP, measure=scrapes, compared=True),
    Row(
        name="changes-limit-1",
        input=_SLOW,
        settings=_CHANGES | _ONE,
        measure=scrapes,
        compared=True,
        wanted=Wanted(median=150),
    ),
    Row(name="changes-limit-0", input=_SLOW, settings=_CHANGES | _ALL, measure=scrapes, compared=True),
)
"""What another exporter can do too."""

WIRE: Final = tuple(
    Row(
        name=f"{'https' if tls else 'http'}-{'deflate' if deflate else 'plain'}",
        input=Input(snapshots=100, tls=tls, deflate=deflate),
        settings=_FULL | _ONE,
        measure=scrapes,
        compared=True,
    )
    for tls in (False, True)
    for deflate in (False, True)
)
"""100,000 snapshots over TLS and without, from a PBS that deflates if it is asked to and from one that never does."""

STEADY: Final = (
    Row(name="health", input=_100K, settings=_FULL | _ALL, measure=health, wanted=Wanted(largest=50)),
    Row(name="memory", input=_10K, settings=_FULL | _ALL, measure=memory, runs=200, wanted=Wanted(drift=0.03)),
)
"""What must hold over many scrapes."""

PARTS: Final = (
    Row(name="encoder", input=_100K, measure=parts.encoder, wanted=Wanted(median=0.9)),
    Row(name="decoder-structs", input=_100K, measure=parts.structs, wanted=Wanted(ratio=1 / 7)),
    Row(name="decoder-limit-1", input=_100K, settings=_ONE, measure=parts.sums),
    Row(name="decoder-limit-0", input=_100K, settings=_ALL, measure=parts.sums),
)
"""Parts of the exporter alone."""

GROWTH: Final = tuple((f"1k-limit-{limit}", f"10k-limit-{limit}", f"100k-limit-{limit}") for limit in (1, 0))
"""Rows of one kind, each ten times the size of the one before."""

SECTIONS: Final = {"scrapes": SCRAPES, "wire": WIRE, "steady": STEADY, "parts": PARTS}
"""The tables, by the name of their place in docs/performance.md."""
