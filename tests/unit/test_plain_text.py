"""Text from outside, made fit for a label."""

import pytest

from pbs_exporter.plain_text import comment

COMMENTS = [
    (None, ""),
    ("", ""),
    ("web server", "web server"),
    ("first\nsecond", "first"),
    ("first\r\nsecond", "first"),
    ("first\rsecond", "first"),
    ("\nsecond", ""),
    ("  kept  ", "  kept  "),
    ("tab\there", "tabhere"),
    ("a\u2028b", "a\u2028b"),
    ("x" * 64, "x" * 64),
    ("x" * 65, "x" * 63 + "…"),
    ("\U0001f600" * 64, "\U0001f600" * 64),
    ("\U0001f600" * 65, "\U0001f600" * 63 + "…"),
    ("\x00" * 100 + "x" * 64, "x" * 64),
    ("x" * 64 + "\x07", "x" * 64),
    ("x" * 64 + "\n" + "y", "x" * 64),
    ("e\u0301" * 33, "e\u0301" * 31 + "e…"),
]


@pytest.mark.parametrize(("text", "label"), COMMENTS)
def test_a_comment_is_its_clean_first_line(text: str | None, label: str) -> None:
    """A comment is the text before the first line break, printable, and cut to 64 code points with `…` at the end."""
    assert comment(text) == label
