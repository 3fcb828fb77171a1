"""Foreign text in labels: cutting and cleaning."""

import json

import pytest

from pbs_exporter.plain_text import cached, comment, without_cut_secret, without_secret

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


HIDDEN = "c0ff-'\\ee"
WHOLE = [
    ("before c0ff-'\\ee after", "before *** after"),
    (repr("before c0ff-'\\ee after"), '"before *** after"'),
    (json.dumps({"k": "c0ff-'\\ee"}), '{"k": "***"}'),
    (repr(json.dumps("c0ff-'\\ee")), "'\"***\"'"),
    ("\0".join("c0ff-'\\ee"), "***"),
    (repr("\0".join("c0ff-'\\ee")), '"***"'),
    ("c0ff-\ud800'\\ee", "***"),
    ("c0ff-'\\e", "c0ff-'\\e"),
    ("C0FF-'\\EE", "C0FF-'\\EE"),
]
CUT = [
    ("PBSAPIToken=x: c0ff-'\\e", "PBSAPIToken=x: ***"),
    ("'...c0ff'", "'...***'"),
    ("a c0ff…", "a ***…"),
    ("a c0ff...', url='https://pbs'", "a ***...', url='https://pbs'"),
    ("a c0f", "a ***"),
    ("c0ff c0ff", "c0ff ***"),
    ("a c0", "a c0"),
    ("the c0ffee is hot", "the c0ffee is hot"),
    ("", ""),
]


@pytest.mark.parametrize(("length", "calls"), [(256, 1), (257, 2)])
def test_only_short_texts_are_remembered(length: int, calls: int) -> None:
    """The cache of comments and owners keeps no long text."""
    seen = []

    @cached
    def called(text: str | None) -> None:
        seen.append(text)

    called("x" * length)
    called("x" * length)
    assert len(seen) == calls


@pytest.mark.parametrize(("text", "shown"), WHOLE)
def test_a_secret_is_masked_in_each_of_its_forms(text: str, shown: str) -> None:
    """A secret is masked as it is, with its quotes and backslashes escaped, and with invisible characters in it."""
    assert without_secret(text, HIDDEN) == shown


@pytest.mark.parametrize(("text", "shown"), CUT)
def test_a_secret_that_was_cut_is_masked(text: str, shown: str) -> None:
    """The beginning of a secret is masked where a text ends or was cut, and nowhere else."""
    assert without_cut_secret(text, HIDDEN) == shown
