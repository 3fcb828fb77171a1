"""What docs/performance.md says about the number of series."""

import re
from collections import Counter

import pytest

from pbs_exporter.simulator import SimulatedPbs, World
from tests.support.exporter import exporting, make_settings
from tests.support.paths import ROOT

SECTION = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("\n## Series in Prometheus\n")[2]
GROUPS, SNAPSHOTS = 10, 5


def per(what: str) -> int:
    """Return the number of series that the table has for each of these."""
    found = re.search(rf"^\| {what} \| (\d+) \|", SECTION, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(("limit", "shown"), [(0, SNAPSHOTS), (1, 1)])
async def test_groups_and_snapshots_have_that_many_series(limit: int, shown: int) -> None:
    """Each backup group has as many series as documented, and each snapshot that the limit lets through has one."""
    world = World(datastores=1, namespaces=1, groups=GROUPS, snapshots=SNAPSHOTS)
    async with SimulatedPbs(world) as pbs, exporting(make_settings(pbs, snapshot_history_limit=limit)) as exporter:
        page = await exporter.scrape()
    names = Counter(line.partition("{")[0] for line in page.text.splitlines() if 'backup_id="' in line)
    snapshots = names.pop("pbs_snapshot_info")
    # Only where a note has it.
    names.pop("pbs_group_max_age_seconds", None)
    assert snapshots == GROUPS * shown * per("exported snapshot")
    assert names.total() == GROUPS * per("backup group")


@pytest.mark.parametrize("limit", [0, 1])
def test_fleet_is_reckoned_right(limit: int) -> None:
    """The numbers of the fleet follow from those of groups and snapshots."""
    row = re.search(rf"^\| {limit} \| ([\d,]+) \| ([\d,]+) \| (\d+) % \|$", SECTION, re.MULTILINE)
    assert row is not None
    of_groups, of_snapshots = (int(number.replace(",", "")) for number in row.groups()[:2])
    pbs, groups, snapshots = 12, 500, 30
    assert of_groups == pbs * groups * per("backup group")
    assert of_snapshots == pbs * groups * (snapshots if limit == 0 else 1) * per("exported snapshot")
    assert int(row[3]) == round(100 * of_snapshots / (of_groups + of_snapshots))
