"""Foreign text in labels: cutting and cleaning."""

import pytest

from pbs_exporter.plain_text import comment
from tests.support.canned_pbs import NOW, page, series, snapshot, snapshots_page, success

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


SAID = [
    pytest.param(None, "", id="null"),
    pytest.param("", "", id="empty"),
    pytest.param("web", "web", id="plain"),
    pytest.param("a" * 64, "a" * 64, id="64 characters"),
    pytest.param("a" * 65, "a" * 63 + "…", id="65 characters"),
    pytest.param("💾" * 64, "💾" * 64, id="64 code points outside the base plane"),
    pytest.param("💾" * 65, "💾" * 63 + "…", id="65 code points outside the base plane"),
    pytest.param("first\nsecond", "first", id="line feed"),
    pytest.param("first\r\nsecond", "first", id="carriage return and line feed"),
    pytest.param("first\rsecond", "first", id="carriage return"),
    pytest.param("\nsecond", "", id="an empty first line"),
    pytest.param("a" * 64 + "\nsecond", "a" * 64, id="64 characters before the line break"),
    pytest.param("tab\there", "tabhere", id="tab"),
    pytest.param("nul\x00 esc\x1b[31m del\x7f c1\x9b", "nul esc[31m del c1", id="control characters"),
    pytest.param("\x01" * 10 + "a" * 64, "a" * 64, id="control characters do not count"),
    pytest.param("👩\u200d💻 \u200cx", "👩\u200d💻 \u200cx", id="joiners stay"),
    pytest.param("\u202eright to left", "\u202eright to left", id="format characters stay"),
    pytest.param("half \ud83d smile", "half  smile", id="a lone high surrogate"),
    pytest.param("half \ude00 smile", "half  smile", id="a lone low surrogate"),
    pytest.param("\ud800" * 70 + "b", "b", id="many lone surrogates"),
    pytest.param('say "hi" \\ bye', 'say "hi" \\ bye', id="what the format escapes"),
    pytest.param("größe 名前", "größe 名前", id="other scripts"),
    pytest.param("  spaces  ", "  spaces  ", id="spaces stay"),
]


@pytest.mark.parametrize(("said", "shown"), SAID)
async def test_comment_of_a_datastore(said: str | None, shown: str) -> None:
    """A datastore's comment is its first line, clean, and at most 64 code points long."""
    scraped = await page({"/admin/datastore": [{"store": "main", "comment": said}]}, ["datastores"])
    assert series(scraped, "pbs_datastore_info") == [({"datastore": "main", "backend": "", "comment": shown}, 1)]
    assert success(scraped, "datastores") == 1


@pytest.mark.parametrize(("said", "shown"), SAID)
async def test_comment_of_a_snapshot(said: str | None, shown: str) -> None:
    """A snapshot's comment obeys the same rule, and the cut text costs no row."""
    rows = [snapshot(NOW, comment=said), snapshot(NOW - 1, comment="other")]
    scraped = await snapshots_page({"main": {"": rows}})
    assert [labels["comment"] for labels, _ in series(scraped, "pbs_snapshot_info")] == [shown, "other"]
    assert success(scraped, "snapshots") == 1


async def test_comments_cut_to_the_same_text_make_no_double() -> None:
    """Two snapshots whose long comments differ only at the end stay two series."""
    rows = [snapshot(NOW, comment="a" * 80 + "1"), snapshot(NOW - 1, comment="a" * 80 + "2")]
    scraped = await snapshots_page({"main": {"": rows}})
    assert len(series(scraped, "pbs_snapshot_info")) == 2
    assert success(scraped, "snapshots") == 1
