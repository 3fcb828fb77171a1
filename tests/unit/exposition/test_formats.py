"""Format and compression of an answer: negotiation, and the content."""

import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.config import ExporterSettings
from pbs_exporter.exposition.formats import accepts_gzip, choose, compress
from pbs_exporter.simulator import Certificate, Replay, SimulatedPbs
from tests.support.canned_pbs import CannedPbs
from tests.support.exporter import FakeClock, exporting, make_settings
from tests.support.paths import recorded_time, recording_file

CERTIFICATE = Certificate.make()

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + PROMETHEUS_3
)

ACCEPTED = [
    # Clients without preferences get the oldest format.
    ("", TEXT),
    ("*/*", TEXT),
    ("text/*", TEXT),
    ("text/plain", TEXT),
    ("text/plain;version=0.0.4", TEXT),
    ("text/plain; version=0.0.4; charset=utf-8", TEXT),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
    # By version, with the client's escaping or the default.
    ("text/plain;version=1.0.0", TEXT_1 + "underscores"),
    ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_1 + "allow-utf-8"),
    ("text/plain;version=1.0.0;escaping=dots", TEXT_1 + "dots"),
    ("text/plain;version=1.0.0;escaping=values", TEXT_1 + "values"),
    ("text/plain;version=1.0.0;escaping=evil\x00", TEXT_1 + "underscores"),
    ("application/openmetrics-text", OPENMETRICS + "underscores"),
    ("application/openmetrics-text;version=1.0.0", OPENMETRICS + "underscores"),
    ('application/openmetrics-text; version="1.0.0"', OPENMETRICS + "underscores"),
    # Unknown versions are skipped, and never echoed.
    ("application/openmetrics-text;version=0.0.1", TEXT),
    ("application/openmetrics-text;version=2.0.0", TEXT),
    ("application/openmetrics-text;version=99.0.0", TEXT),
    ("application/openmetrics-text;version=abc", TEXT),
    ("application/openmetrics-text;version=1.0.0evil", TEXT),
    ("application/openmetrics-text;version=", TEXT),
    ("text/plain;version=2.0.0,application/openmetrics-text", OPENMETRICS + "underscores"),
    # Prometheus's own header.
    (PROMETHEUS_2, OPENMETRICS + "underscores"),
    (PROMETHEUS_3, OPENMETRICS + "allow-utf-8"),
    (PROTOBUF_FIRST, OPENMETRICS + "allow-utf-8"),
    # The highest weight wins, and the first of equals.
    ("text/plain;q=0.5,application/openmetrics-text;q=0.9", OPENMETRICS + "underscores"),
    ("application/openmetrics-text;q=0.5,text/plain;q=0.9", TEXT),
    ("application/openmetrics-text;q=0.5,text/plain", TEXT),
    ("text/plain,application/openmetrics-text", TEXT),
    ("application/openmetrics-text,text/plain", OPENMETRICS + "underscores"),
    ("application/openmetrics-text;q=0.001,text/html", OPENMETRICS + "underscores"),
    # A weight of 0 is a refusal.
    ("application/openmetrics-text;q=0", TEXT),
    ("application/openmetrics-text;q=0.000,text/plain;version=1.0.0;q=0.1", TEXT_1 + "underscores"),
    # Names in any case, and any white space.
    ("APPLICATION/OpenMetrics-Text;VERSION=1.0.0;Q=1.0", OPENMETRICS + "underscores"),
    ("\t application/openmetrics-text \t;  version = 1.0.0 ; q = 0.2 ", OPENMETRICS + "underscores"),
    # Invalid entries are skipped.
    (",,;;,=;=,", TEXT),
    ("application/openmetrics-text;q=high,text/plain;version=1.0.0;q=0.1", TEXT_1 + "underscores"),
    ("application/openmetrics-text;q=1.5", TEXT),
    ("application/openmetrics-text;q=-1", TEXT),
    ("application/openmetrics-text;q=nan", TEXT),
    ("application/openmetrics-text;q=inf", TEXT),
    ("application/openmetrics-text;q=1e-1", TEXT),
    ("application/openmetrics-text;q=0.0001", TEXT),
    ("application/openmetrics-text;q=", TEXT),
    ("text", TEXT),
    ("\ud800\x00", TEXT),
    ("a/b;" * 1000, TEXT),
]


@pytest.mark.parametrize(("accept", "content_type"), ACCEPTED, ids=range(len(ACCEPTED)))
def test_the_format_is_negotiated(accept: str, content_type: str) -> None:
    """The client gets the available format that it prefers most, and text 0.0.4 if it names none."""
    assert choose(accept).content_type == content_type


ENCODINGS = [
    ("", False),
    ("identity", False),
    ("gzip", True),
    ("GZip", True),
    ("*", True),
    ("deflate, gzip;q=1.0, *;q=0.5", True),
    ("identity, gzip;q=0.5", True),
    ("gzip;q=0.001", True),
    ("gzip;q=0", False),
    ("gzip;q=0.0", False),
    ("gzip;q=0, *", False),
    ("*, gzip;q=0", False),
    ("*;q=0", False),
    ("*;q=0, gzip", True),
    ("gzip;q=nonsense", False),
    ("gzip;q=2", False),
    ("br, zstd", False),
    ("notgzip", False),
    (",;,", False),
]


@pytest.mark.parametrize(("accept_encoding", "accepted"), ENCODINGS)
def test_gzip_is_only_for_who_takes_it(accept_encoding: str, *, accepted: bool) -> None:
    """A page is compressed if the client accepts gzip or anything, and never with a weight of 0."""
    assert accepts_gzip(accept_encoding) is accepted


def test_compression_is_the_same_every_time() -> None:
    """Compression is lossless, and the same page gives the same bytes."""
    pieces = [b"pbs_up 1.0\n" * 1000, b"# EOF\n"]
    body, compressed = b"".join(pieces), b"".join(compress(pieces))
    assert gzip.decompress(compressed) == body
    assert b"".join(compress(pieces)) == compressed
    assert len(compressed) < len(body) / 10


async def pages(*accepts: str) -> list[tuple[str, str]]:
    """Scrape a recorded PBS with these headers, and return content types and texts."""
    recording = "pbs-4.2.3"
    got: list[tuple[str, str]] = []
    async with SimulatedPbs(Replay(recording_file(recording)), certificate=CERTIFICATE) as pbs:
        settings = make_settings(pbs, exporter=ExporterSettings(process_metrics=True))
        async with exporting(settings, FakeClock(recorded_time(recording)).clock) as exporter:
            for accept in accepts:
                async with exporter.client.get("/metrics", headers={"Accept": accept}) as response:
                    assert response.status == 200
                    got.append((response.headers["Content-Type"], await response.text()))
    return got


async def test_openmetrics_is_openmetrics() -> None:
    """The page for Prometheus passes the strict parser, ends with `# EOF`, and its units match its names."""
    ((content_type, text),) = await pages(PROMETHEUS_3)
    assert content_type == OPENMETRICS + "allow-utf-8"
    assert text.endswith("\n# EOF\n")
    assert text.count("# EOF") == 1
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    requests = families["pbs_exporter_api_requests"]
    assert requests.type == "counter"
    assert {sample.name for sample in requests.samples} == {"pbs_exporter_api_requests_total"}
    assert families["pbs_exporter_api_request_duration_seconds"].type == "histogram"
    # Not a counter: the specification fixes its name.
    assert families["pbs_task_total"].type == "gauge"
    units = dict(line.split(" ")[2:] for line in text.splitlines() if line.startswith("# UNIT "))
    assert units["pbs_host_uptime_seconds"] == "seconds"
    assert units["pbs_datastore_used_bytes"] == "bytes"
    assert units["pbs_exporter_api_request_duration_seconds"] == "seconds"
    assert all(name.endswith(f"_{unit}") for name, unit in units.items())
    declared = {metric.name for collector in COLLECTORS for metric in collector.metrics if metric.unit}
    assert {name for name in declared if name in families} <= units.keys()


async def test_both_texts_are_the_text_format() -> None:
    """Text 0.0.4 and 1.0.0 parse, and have neither units nor an end mark."""
    for (content_type, text), expected in zip(
        await pages("", "text/plain;version=1.0.0"), (TEXT, TEXT_1 + "underscores"), strict=True
    ):
        assert content_type == expected
        families = {family.name for family in parse_text(text)}
        assert {"pbs_up", "pbs_task_total", "pbs_exporter_api_requests"} <= families
        assert "# UNIT" not in text
        assert "# EOF" not in text


async def test_all_formats_say_the_same() -> None:
    """Every format has the same series, and none has the creation time of a counter."""
    texts = [text for _, text in await pages("", "text/plain;version=1.0.0", PROMETHEUS_2)]
    families = [list(parse_text(text)) for text in texts[:2]]
    families.append(list(parse_openmetrics(texts[2])))  # type: ignore[no-untyped-call]
    found: list[list[str]] = []
    for parsed in families:
        samples = [sample for family in parsed for sample in family.samples]
        assert not [sample.name for sample in samples if sample.name.endswith("_created")]
        # A histogram's bounds are written as 1 in one format, and as 1.0 in the other.
        series = {f"{s.name}{sorted((k, v.removesuffix('.0')) for k, v in s.labels.items())}" for s in samples}
        assert len(series) == len(samples)
        found.append(sorted(series))
    assert found[0] == found[1] == found[2]


NEGOTIATED = [("gzip", "gzip"), ("gzip;q=0", None), ("*", "gzip"), ("identity", None)]


@pytest.mark.parametrize(("accept_encoding", "encoding"), NEGOTIATED)
async def test_a_page_is_compressed_where_accepted(accept_encoding: str, encoding: str | None) -> None:
    """The answer is compressed if the client accepts it; Content-Encoding and Vary are set accordingly."""
    async with (
        SimulatedPbs(CannedPbs({}), tls=False, certificate=CERTIFICATE) as pbs,
        exporting(make_settings(pbs)) as exporter,
    ):
        headers = {"Accept-Encoding": accept_encoding}
        async with exporter.client.get("/metrics", headers=headers, auto_decompress=False) as response:
            body = await response.read()
    assert response.headers.get("Content-Encoding") == encoding
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    text = (gzip.decompress(body) if encoding else body).decode()
    assert "\npbs_up 1.0\n" in text
