"""Durations on the status page."""

import pytest

from pbs_exporter.web.status.formatting import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5.0, "0 s"),
        (0.0, "0 s"),
        (0.0042, "4 ms"),
        (1.0, "1 s"),
        (1.25, "1.2 s"),
        (59.7, "60 s"),
        (60.0, "1 min"),
        (61.9, "1 min 1 s"),
        (3600.0, "1 h"),
        (86_399.0, "23 h 59 min"),
        (86_400.0, "1 d"),
        (400_000.0, "4 d 15 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """A duration has its two largest units."""
    assert span(seconds) == words
