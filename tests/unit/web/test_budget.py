"""The time limit of a scrape."""

import pytest

from pbs_exporter.web.budget import budget


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 30),
        ("10", 9.5),
        ("10.0", 9.5),
        ("15", 14.5),
        ("1", 0.5),
        ("1.5", 1.0),
        ("0.3", 0.15),
        ("0.001", 0.0005),
        ("30", 29.5),
        ("30.4", 29.9),
        ("31", 30),
        ("60", 30),
        ("1e9", 30),
        ("1e400", 30),
        ("inf", 30),
        ("-inf", 30),
        ("nan", 30),
        ("-1", 30),
        ("0", 30),
        ("-0", 30),
        ("abc", 30),
        ("", 30),
        ("1_0", 30),
        ("0x10", 30),
        ("10s", 30),
        ("10,5", 30),
        ("\N{ARABIC-INDIC DIGIT ONE}", 30),
    ],
)
def test_the_time_for_a_scrape(header: str | None, seconds: float) -> None:
    """The limit is Prometheus's timeout less 0.5 s, at least half of it, and at most ours; bad values are ignored."""
    assert budget(header, 30.0) == pytest.approx(seconds)
