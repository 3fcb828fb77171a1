"""From a registry to bytes, in the format that the client prefers."""

import re
import zlib
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from pbs_exporter.exposition.encoder import GenerateLatest, encode

# In the text formats each `_created` sample would be a gauge family of its own.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Format(msgspec.Struct, frozen=True):
    """A text format: its media type and version in an `Accept` header, and prometheus_client's function for it."""

    media_type: str
    version: str
    content_type: str
    generate_latest: GenerateLatest


TEXT = Format("text/plain", "0.0.4", "text/plain; version=0.0.4; charset=utf-8", generate_text)
TEXT_1 = Format("text/plain", "1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping={}", generate_text)
OPENMETRICS = Format(
    "application/openmetrics-text",
    "1.0.0",
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={}",
    generate_openmetrics,
)

_ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_COMPRESSION_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS
_LARGE_BYTES = 8 * 1024


class NegotiatedFormat(msgspec.Struct, frozen=True):
    """The format of a response, with its `Content-Type`."""

    format: Format
    content_type: str


def choose(accept: str) -> NegotiatedFormat:
    """Return the format for an `Accept` header: the one with the highest q-value, the first of equals.

    Parts that can't be parsed are skipped. If nothing is left, or without a header, it is text 0.0.4.
    """
    best, best_weight = None, 0.0
    for media_type, parameters, weight in _parsed(accept):
        found = _format(media_type, parameters)
        if found is not None and weight > best_weight:
            best, best_weight = found, weight
    return best or NegotiatedFormat(TEXT, TEXT.content_type)


def render(registry: CollectorRegistry, negotiated: NegotiatedFormat) -> list[bytes]:
    """Return all that is in the registry, in that format: pieces of text of which equal rows make equal ones."""
    return list(_joined(encode(registry, negotiated.format.generate_latest)))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client accepts gzip, by name or as `*`."""
    weights = {name: weight for name, _, weight in _parsed(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def compress(pieces: Iterable[bytes]) -> list[bytes]:
    """Compress quickly, with gzip. Metrics shrink to a tenth even so."""
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP)
    return list(_joined([*map(compressor.compress, pieces), compressor.flush()]))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small neighbours. Large pieces stay as they are."""
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < _LARGE_BYTES:
            small.append(piece)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield piece
    if small:
        yield b"".join(small)


def _parsed(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the name, parameters and weight of each alternative in a header. A malformed weight is 0."""
    for alternative in header.split(","):
        name, *rest = (part.strip() for part in alternative.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        weight = parameters.pop("q", "1")
        yield name.lower(), parameters, float(weight) if _WEIGHT.fullmatch(weight) else 0.0


def _format(media_type: str, parameters: dict[str, str]) -> NegotiatedFormat | None:
    if media_type in ("*/*", "text/*"):
        return NegotiatedFormat(TEXT, TEXT.content_type)
    version = parameters.get("version")
    for candidate in (TEXT, TEXT_1, OPENMETRICS):
        if candidate.media_type == media_type and version in (candidate.version, None):
            escaping = parameters.get("escaping", "")
            escaping = escaping if escaping in _ESCAPINGS else "underscores"
            return NegotiatedFormat(candidate, candidate.content_type.format(escaping))
    return None
