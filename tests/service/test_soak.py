"""A short soak, and the judgement of what a soak measures. `make soak` runs a long one."""

from inspect import getmembers, ismethod
from pathlib import Path

import pytest

from pbs_exporter.simulator import Fault
from tests.soak.changes import FAULTS
from tests.soak.run import LONG, SHORT, Plan, Summary, Usage, difference, excesses, soak

pytestmark = pytest.mark.no_cover

SEED = 15


# Where the simulated PBS stops amid requests, asyncio of Python 3.13 and 3.14 fails in a destructor of its connections.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(60 * SHORT.minutes)
async def test_a_short_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that change at random leave nothing behind: no leak, no traceback, and soon no wrong series."""
    # Coverage would take memory in the exporter's process.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    summary = Summary(SEED)
    try:
        await soak(SHORT, summary, tmp_path)
    finally:
        print(summary)  # noqa: T201 - pytest shows it if the test fails


def test_every_fault_is_tried() -> None:
    """A soak has each kind of fault that the simulated PBS has."""
    kinds = {name for name, _ in getmembers(Fault, ismethod) if not name.startswith("_")}
    assert len(kinds) > 10
    assert kinds <= FAULTS.keys()


def usage(*memory: float, descriptors: int = 7, threads: int = 5) -> list[Usage]:
    """Return what was used after each part, with these numbers after the last one."""
    return [*(Usage(one, 7, 5) for one in memory[:-1]), Usage(memory[-1], descriptors, threads)]


@pytest.mark.parametrize(
    ("found", "used", "plan"),
    [
        pytest.param([], usage(50, 49, 52), LONG, id="within the bounds"),
        pytest.param(["memory has grown from 50.0 to 52.6 MiB"], usage(50, 51, 52.6), LONG, id="memory"),
        pytest.param([], usage(50, 60, 62), SHORT, id="memory of the first parts of a short one"),
        pytest.param(["memory has grown from 60.0 to 70.0 MiB"], usage(50, 60, 70), SHORT, id="memory of a short one"),
        pytest.param(["open files have become more: 7, then 8"], usage(50, 50, descriptors=8), LONG, id="a file"),
        pytest.param(["there are more than 5 threads: [5, 8]"], usage(50, 50, threads=8), LONG, id="a thread"),
    ],
)
def test_bounds(found: list[str], used: list[Usage], plan: Plan) -> None:
    """What exceeds the bounds of the plan is named, with its numbers."""
    assert excesses(used, plan) == found


def test_differences_are_told() -> None:
    """A series that is missing, unexpected or has another value is a difference."""
    page = {("a", frozenset({("x", "1")})): 1.0, ("b", frozenset[tuple[str, str]]()): 2.0}
    assert difference(page, dict(page)) == ""
    assert difference(page, {}).startswith("2 series: a{'x': '1'} is 1.0, not None; ")
    assert difference({}, page).startswith("2 series: a{'x': '1'} is None, not 1.0; ")
    assert difference(page, dict.fromkeys(page, 2.0)) == "1 series: a{'x': '1'} is 1.0, not 2.0"
