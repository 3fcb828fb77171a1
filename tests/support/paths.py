"""Where the project's files are."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


RECORDINGS = ("pbs-4.2.3", "pbs-4.2.3-vanished", "pbs-4.2.3-partial", "pbs-4.2.3-more", "pbs-3.2.4")


def recording_file(recording: str) -> Path:
    """Return the file of a recorded PBS."""
    return DATA / "recordings" / f"{recording}.jsonl"


def recorded_time(recording: str) -> float:
    """Return the time at which a recording was made, which is the time of its replay."""
    with recording_file(recording).open() as lines:
        return float(json.loads(next(lines))["recorded"])
