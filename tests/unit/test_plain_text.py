"""Foreign text in labels: cutting and cleaning."""

import json
import sys
import unicodedata

import pytest

from pbs_exporter.plain_text import cached, comment, printable, without_cut_secret, without_secret

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
    ("c0ff-'\\eec0ff-'\\\\ee \0c0ff-'\\ee\\", "****** \0***\\"),
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


@pytest.mark.parametrize("secret", ["00000000-0000", "0n0t-0r00", "\\\\\\", "5f2e"])
def test_a_secret_is_masked_whatever_its_characters_mean_in_escapes(secret: str) -> None:
    """A secret of zeros, letters of escapes or backslashes is masked, plain and with backslashes in it."""
    assert without_secret(f"a {secret} b", secret) == "a *** b"
    assert without_secret(f"C:\\{secret}", secret) in ("C:\\***", "C:***\\")
    assert without_secret(json.dumps(secret), secret) in ('"***"', '"******"')


LONG = [
    "\\" * 2**20,
    r"5\0" * 2**18,
    ("5f2e" + "\\" * 100) * 10_000,
    "5f2…" * 2**19,
    "5f2e0…" * 2**18,
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("secret", ["5f2e0000-0000", "5000000000000000"])
def test_the_time_to_mask_a_secret_grows_with_the_text_alone(text: str, secret: str) -> None:
    """A text of megabytes is masked in less than the time limit of a test: PBS knows the secret, and sends any text."""
    assert secret not in without_cut_secret(without_secret(text, secret), secret)


def test_printable_text_has_no_control_characters_or_surrogates() -> None:
    """All code points of the categories Cc and Cs are left out of printable text, and no others."""
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert printable("".join(every)) == "".join(c for c in every if unicodedata.category(c) not in ("Cc", "Cs"))


@pytest.mark.parametrize(("text", "shown"), CUT)
def test_a_secret_that_was_cut_is_masked(text: str, shown: str) -> None:
    """The beginning of a secret is masked where a text ends or was cut, and nowhere else."""
    assert without_cut_secret(text, HIDDEN) == shown
