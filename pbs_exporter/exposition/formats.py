"""From a registry to bytes, in the format that the client likes best."""

import gzip
import re
from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from pbs_exporter.exposition.encoder import Model, encode

# In the text formats each `_created` would be a gauge family of its own.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Format(msgspec.Struct, frozen=True):
    """A text format: its media type and version as a client names them, and what writes it in prometheus_client."""

    media_type: str
    version: str
    content_type: str
    model: Model


TEXT = Format("text/plain", "0.0.4", "text/plain; version=0.0.4; charset=utf-8", text)
TEXT_1 = Format("text/plain", "1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping={}", text)
OPENMETRICS = Format(
    "application/openmetrics-text",
    "1.0.0",
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={}",
    openmetrics,
)

_ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_COMPRESSION_LEVEL = 1


class Chosen(msgspec.Struct, frozen=True):
    """A format that a client gets, with the `Content-Type` that says so."""

    format: Format
    content_type: str


def choose(accept: str) -> Chosen:
    """Choose the format for an `Accept` header: the highest q-value, and of equals the first.

    What can't be read is skipped; where nothing is left, it is text 0.0.4, as without any header.
    """
    best, best_weight = None, 0.0
    for media_type, parameters, weight in _parsed(accept):
        found = _format(media_type, parameters)
        if found is not None and weight > best_weight:
            best, best_weight = found, weight
    return best or Chosen(TEXT, TEXT.content_type)


def render(registry: CollectorRegistry, chosen: Chosen) -> bytes:
    """Write all that is in the registry."""
    return encode(registry, chosen.format.model)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether the client takes gzip, by name or as `*`."""
    weights = {name: weight for name, _, weight in _parsed(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def compress(body: bytes) -> bytes:
    """Compress fast: a page shrinks to a tenth even so."""
    return gzip.compress(body, _COMPRESSION_LEVEL, mtime=0)


def _parsed(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Split a header of alternatives into name, parameters and weight. Malformed weights count as 0."""
    for alternative in header.split(","):
        name, *rest = (part.strip() for part in alternative.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        weight = parameters.pop("q", "1")
        yield name.lower(), parameters, float(weight) if _WEIGHT.fullmatch(weight) else 0.0


def _format(media_type: str, parameters: dict[str, str]) -> Chosen | None:
    if media_type in ("*/*", "text/*"):
        return Chosen(TEXT, TEXT.content_type)
    version = parameters.get("version")
    for candidate in (TEXT, TEXT_1, OPENMETRICS):
        if candidate.media_type == media_type and version in (candidate.version, None):
            escaping = parameters.get("escaping", "")
            escaping = escaping if escaping in _ESCAPINGS else "underscores"
            return Chosen(candidate, candidate.content_type.format(escaping))
    return None
