"""What becomes of texts that PBS passes on from people: labels of one line, without control characters."""

import re
import unicodedata
from functools import lru_cache

COMMENT_LIMIT = 64
"""The longest comment in a label, in code points."""


def clean(text: str) -> str:
    """Take out what no label may hold: control characters and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs"))


# The snapshots of a group repeat each other's notes and owners: equal texts become one object.
@lru_cache(maxsize=4096)
def comment(text: str | None) -> str:
    """Make a label of a text that somebody wrote: its first line, clean, at most `COMMENT_LIMIT` long."""
    line = clean(re.split(r"[\r\n]", text or "", maxsplit=1)[0])
    return line if len(line) <= COMMENT_LIMIT else line[: COMMENT_LIMIT - 1] + "…"
