"""Text from outside the program, made safe for labels, logs and pages: one line without control characters."""

import re
import unicodedata
from functools import lru_cache

COMMENT_LIMIT = 64
"""The longest comment in a label, in code points."""

ERROR_LIMIT = 200
"""The longest quotation of PBS in an error, in code points."""


def printable(text: str) -> str:
    """Return the text without control characters and lone surrogates, which are invalid in labels."""
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))


def shortened(text: str, limit: int) -> str:
    """Return the text, truncated to `limit` code points including a final `…` if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_line(text: str) -> str:
    """Return the first line that isn't blank, in printable form and truncated to `ERROR_LIMIT`."""
    line = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "").strip()
    return shortened(printable(line), ERROR_LIMIT)


# The snapshots of a group often have the same comment: the cache makes them share one string.
@lru_cache(maxsize=4096)
def comment(text: str | None) -> str:
    """Return a comment as a label value: its first line, in printable form and truncated to `COMMENT_LIMIT`."""
    return shortened(printable(re.split(r"[\r\n]", text or "", maxsplit=1)[0]), COMMENT_LIMIT)
