"""Text from outside, made fit for a label, a log line or a page: one line without control characters."""

import re
import unicodedata
from functools import lru_cache

COMMENT_LIMIT = 64
"""The longest comment in a label, in code points."""

ERROR_LIMIT = 200
"""The longest text of PBS's own in an error, in code points."""


def printable(text: str) -> str:
    """Return the text without control characters and lone surrogates, which no label may hold."""
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))


def shortened(text: str, limit: int) -> str:
    """Return the text, or where it is longer than `limit` code points, its start and `…`."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_line(text: str) -> str:
    """Return the first line that isn't blank, printable and at most `ERROR_LIMIT` long."""
    line = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "").strip()
    return shortened(printable(line), ERROR_LIMIT)


# The snapshots of a group repeat each other's comments: equal texts become one object.
@lru_cache(maxsize=4096)
def comment(text: str | None) -> str:
    """Return a comment as a label has it: its first line, printable and at most `COMMENT_LIMIT` long."""
    return shortened(printable(re.split(r"[\r\n]", text or "", maxsplit=1)[0]), COMMENT_LIMIT)
