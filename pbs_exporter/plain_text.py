"""Text from outside the program, made safe for labels, logs and pages: one printable line without secrets."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from itertools import accumulate, pairwise
from operator import contains
from typing import TypeVar

COMMENT_LIMIT = 64
"""The longest comment in a label, in code points."""

LABEL_LIMIT = 1024
"""The longest other label, in code points."""

_CACHED_LIMIT = 256

T = TypeVar("T")

ERROR_LIMIT = 200
"""The longest quotation of PBS in an error, in code points."""


_INVISIBLE = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_invisible = re.compile(f"{_INVISIBLE}+")


def printable(text: str) -> str:
    """Return the text without control characters and lone surrogates, which are invalid in labels."""
    return text if text.isprintable() else _invisible.sub("", text)


def has_surrogates(text: str) -> bool:
    """Whether it has lone surrogates, as the bytes of an argument or a variable that aren't UTF-8."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def shortened(text: str, limit: int) -> str:
    """Return the text, truncated to `limit` code points including a final `…` if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_line(text: str) -> str:
    """Return the first line that isn't blank, in printable form and truncated to `ERROR_LIMIT`."""
    line = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "").strip()
    return shortened(printable(line), ERROR_LIMIT)


def label(text: str) -> str:
    """Return the text as a label value: in printable form and truncated to `LABEL_LIMIT`."""
    return shortened(printable(text), LABEL_LIMIT)


def cached(function: Callable[[str | None], T]) -> Callable[[str | None], T]:
    """Return the function of a text with a cache of the last 4,096 results. Long texts aren't kept."""
    remember = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def call(text: str | None) -> T:
        return remember(text) if text is None or len(text) <= _CACHED_LIMIT else function(text)

    return call


def comment(text: str | None) -> str:
    """Return a comment as a label value: its first line, in printable form and truncated to `COMMENT_LIMIT`."""
    # As nearly all are: each of 100,000 snapshots can have its own.
    if text and len(text) <= COMMENT_LIMIT and text.isprintable():
        return text
    return _first_line_of_comment(text)


@cached
def _first_line_of_comment(text: str | None) -> str:
    return shortened(printable(re.split(r"[\r\n]", text or "", maxsplit=1)[0]), COMMENT_LIMIT)


# What may stand between the characters of a secret. Where invisible characters may be escaped, "\0" is one; where only
# backslashes are added, it is a zero.
_SKIPPED = (
    re.compile(rf"(?:{_INVISIBLE}|\\x[0-9a-f]{{2}}|\\u[0-9a-f]{{4}}|\\[0nrt]|\\)+"),
    re.compile(rf"(?:{_INVISIBLE}|\\)+"),
)
_CUT = re.compile(r"(?=\W*$|…|\.\.\.)")
_SHORTEST_PART = 3


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with all these secrets masked, as `without_secret` does. Hundreds cost little."""
    seen = [skipped.sub("", text) for skipped in _SKIPPED]
    for secret in secrets:
        if secret in text or any(map(contains, seen, _bare_forms(secret))):
            text = without_secret(text, secret)
    return text


@lru_cache(maxsize=4096)
def _bare_forms(secret: str) -> tuple[str, ...]:
    """Return the secret without what may stand between its characters, for each pattern of `_SKIPPED`."""
    return tuple(skipped.sub("", secret) for skipped in _SKIPPED)


def without_secret(text: str, secret: str) -> str:
    """Return the text with the secret masked, also where quotes are escaped or invisible characters are in between.

    It takes linear time: the text may come from a server that knows the secret.
    """
    text = text.replace(secret, "***")
    for skipped, bare in zip(_SKIPPED, _bare_forms(secret), strict=True):
        # Of a secret of backslashes nothing is left to be found.
        if len(bare) * 2 > len(secret):
            text = _without(text, bare, skipped)
    return text


def _without(text: str, bare: str, skipped: re.Pattern[str]) -> str:
    """Mask `bare` where it is found once all that is skipped is taken out of the text."""
    gaps = [(0, 0), *(match.span() for match in skipped.finditer(text)), (len(text), len(text))]
    pieces = [text[end:begin] for (_, end), (begin, _) in pairwise(gaps)]
    seen = "".join(pieces)
    begins = list(accumulate(map(len, pieces), initial=0))[:-1]

    def place(index: int) -> int:
        piece = bisect_right(begins, index) - 1
        return gaps[piece][1] + index - begins[piece]

    masked, done, at = [], 0, seen.find(bare)
    while at >= 0:
        end = at + len(bare)
        masked += [text[done : place(at)], "***"]
        done = place(end - 1) + 1
        at = seen.find(bare, end)
    return "".join([*masked, text[done:]])


def without_cut_secret(text: str, secret: str) -> str:
    """Return the text with a beginning of the secret masked where the text was cut: at its end, or before an ellipsis.

    Libraries also cut what they quote, so it isn't always possible to mask the secret before.
    """
    begin = secret[:_SHORTEST_PART]
    masked, done, at = [], 0, text.find(begin)
    while at >= 0:
        end = at
        while end - at < len(secret) and text[end : end + 1] == secret[end - at]:
            end += 1
        if _CUT.match(text, end):
            masked += [text[done:at], "***"]
            done = end
        at = text.find(begin, max(at + 1, done))
    return "".join([*masked, text[done:]])
