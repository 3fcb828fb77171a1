from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import runbook
from tests.monitoring.rule_files import RULE_FILES
from tests.support.commands import run
from tests.support.prometheus_programs import newest, oldest

VERSIONS = [newest, oldest]
MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
# No alert below waits longer than an hour. promtool's time begins at 0, so older timestamps are negative.
AT = HOUR + 5 * MINUTE
TARGET = {"job": "pbs", "instance": "pbs1:9101"}


@dataclass(frozen=True)
class Series:
    """One input of promtool; those of a time are that old at the end."""

    name: str
    labels: dict[str, str]
    value: float

    def given(self, samples: int = AT // MINUTE) -> dict[str, str]:
        labels = ", ".join(f'{name}="{value}"' for name, value in (TARGET | self.labels).items() if value)
        return {"series": f"{self.name}{{{labels}}}", "values": f"{self.value}+0x{samples}"}


def _group(guest: str, datastore: str = "main", namespace: str = "") -> dict[str, str]:
    backup_type, backup_id = guest.split("/")
    return {"datastore": datastore, "namespace": namespace, "backup_type": backup_type, "backup_id": backup_id}


def _backup(labels: dict[str, str], age: float) -> Series:
    return Series("pbs_snapshot_last_timestamp_seconds", labels, AT - age)


def _firing(labels: dict[str, str], *severities: str) -> list[dict[str, Any]]:
    return [{"labels": labels | {"severity": severity}} for severity in severities]


def _try(
    version: Any,
    folder: Path,
    alert: str,
    *,
    series: Sequence[dict[str, str]],
    firing: Sequence[dict[str, Any]],
    examples: Sequence[str] = (),
    at: int = AT,
) -> None:
    """Evaluate the project's rules and the examples with promtool. Exactly these alerts must fire at that time."""
    for number, example in enumerate(examples):
        (folder / f"{number}.yml").write_text(example, encoding="utf-8")
    by = "datastore, namespace, backup_type, backup_id, severity"
    expected = [
        {
            "labels": "{" + ", ".join(f'{k}="{v}"' for k, v in one["labels"].items() if v) + "}",
            "value": one.get("value", 1),
        }
        for one in firing
    ]
    test = {
        "rule_files": [
            *map(str, RULE_FILES),
            *(f"{number}.yml" for number in range(len(examples))),
        ],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": list(series),
                "promql_expr_test": [
                    {
                        "expr": f'sum by ({by}) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
                        "eval_time": f"{at // MINUTE}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    run(version("promtool"), "test", "rules", file)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("beyond", [False, True])
def test_own_limits_of_groups_are_kept(version: Any, *, beyond: bool, tmp_path: Path) -> None:
    """With the page's examples a group is too old beyond its own limit, and other groups beyond the default."""
    groups = (
        (_group("vm/205"), 7 * DAY + 5 * HOUR, 7 * DAY + 7 * HOUR, ("warning",)),
        (_group("vm/206"), 7 * DAY, 15 * DAY, ("warning",)),
        (_group("ct/299", namespace="prod"), 7 * DAY + 5 * HOUR, 7 * DAY + 7 * HOUR, ("warning",)),
        (_group("ct/310", namespace="lab"), 31 * DAY, 33 * DAY, ("warning",)),
        (_group("ct/310"), 29 * HOUR, 31 * HOUR, ("warning",)),
        (_group("vm/300"), 29 * HOUR, 31 * HOUR, ("warning",)),
        (_group("vm/105"), 29 * HOUR, 4000 * DAY, ()),
        (_group("vm/117"), 29 * HOUR, 4000 * DAY, ()),
        (_group("vm/105", namespace="prod"), 29 * HOUR, 31 * HOUR, ("warning",)),
    )
    series = [_backup(labels, old if beyond else fine).given() for labels, fine, old, _ in groups]
    firing = [one for labels, _, _, severities in groups if beyond for one in _firing(labels, *severities)]
    examples = [runbook.example("groups", f"because: {why}") for why in ("weekly", "deleted")]
    _try(version, tmp_path, "PbsBackupTooOld", series=series, firing=firing, examples=examples)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("age", [31 * HOUR, 7 * DAY])
def test_without_the_example_the_usual_limit_holds(version: Any, age: int, tmp_path: Path) -> None:
    """Without the examples their groups are too old after 30 hours."""
    series = [_backup(labels, age).given() for labels in (_group("vm/205"), _group("vm/117"))]
    firing = [one for labels in (_group("vm/205"), _group("vm/117")) for one in _firing(labels, "warning")]
    _try(version, tmp_path, "PbsBackupTooOld", series=series, firing=firing)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("old", "critical"), [(2, False), (3, True)])
def test_own_share_of_old_backups_is_kept(version: Any, old: int, *, critical: bool, tmp_path: Path) -> None:
    """With a share of one half for a datastore, two of four old groups are no critical alert, and three are."""
    own = (
        "groups: [{name: own, rules: [{record: 'datastore:pbs_snapshot_too_old:override_ratio', "
        "labels: {because: test}, expr: '0 * max without (backend, comment) (pbs_datastore_info) + 0.5'}]}]"
    )
    ages = [31 * HOUR] * old + [HOUR] * (4 - old)
    series = [
        _backup(_group(f"vm/{number}", namespace=f"n{number % 2}"), age).given() for number, age in enumerate(ages)
    ]
    series.append(Series("pbs_datastore_info", {"datastore": "main", "backend": "filesystem"}, 1).given())
    firing = _firing({"datastore": "main"}, "critical") if critical else []
    _try(version, tmp_path, "PbsBackupsTooOld", series=series, firing=firing, examples=[own])


@pytest.mark.parametrize("version", VERSIONS)
def test_larger_of_two_limits_holds(version: Any, tmp_path: Path) -> None:
    """If two rules that differ in a label match a group, the larger limit applies."""
    example = runbook.example("groups", "because: weekly").replace('"310"', '"210"')
    old, older = _group("ct/210", namespace="lab"), _group("ct/211", namespace="lab")
    series = [_backup(labels, 8 * DAY).given() for labels in (old, older)]
    _try(version, tmp_path, "PbsBackupTooOld", series=series, firing=_firing(older, "warning"), examples=[example])


@pytest.mark.parametrize("version", VERSIONS)
def test_limit_that_is_taken_away_holds_for_two_hours(version: Any, tmp_path: Path) -> None:
    """A limit applies for two hours after it was last recorded, then the default limit applies."""
    kept, gone = _group("vm/205"), _group("vm/206")
    at = 3 * HOUR
    series = [
        Series("pbs_snapshot_last_timestamp_seconds", labels, -31 * HOUR).given(at // MINUTE) for labels in (kept, gone)
    ]
    # Two hours after the second one's last value, the default limit has applied for its ten minutes.
    series += [
        Series("group:pbs_snapshot_age:override_seconds", labels, 7 * DAY).given(minutes)
        for labels, minutes in ((kept, 65), (gone, 45))
    ]
    _try(version, tmp_path, "PbsBackupTooOld", series=series, firing=_firing(gone, "warning"), at=at)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["last_verification_timestamp_seconds", "first_timestamp_seconds"])
def test_own_limit_of_verification_is_kept(version: Any, name: str, tmp_path: Path) -> None:
    """With the page's example, groups of that datastore alert after 100 days, verified or not, and others earlier."""
    example = runbook.example("groups", "pbs_verification_age")
    fine, old, other = _group("vm/100", "archive"), _group("vm/101", "archive"), _group("vm/100", "main")
    ages = [(fine, 99 * DAY), (old, 101 * DAY), (other, 99 * DAY)]
    series = [Series(f"pbs_snapshot_{name}", labels, AT - age).given() for labels, age in ages]
    for datastore in ("archive", "main"):
        info = {"datastore": datastore, "backend": "filesystem", "comment": "yearly"}
        job = {"job_type": "verify", "job_id": f"v-{datastore}", "datastore": datastore}
        series += [
            Series("pbs_datastore_info", info, 1).given(),
            Series("pbs_job_enabled", job, 1).given(),
            Series("pbs_job_last_run_timestamp_seconds", job, 0).given(),
        ]
    firing = [*_firing(old, "warning"), *_firing(other, "warning")]
    _try(version, tmp_path, "PbsVerificationTooOld", series=series, firing=firing, examples=[example])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("hours", "seen"), [(29, True), (31, False)])
def test_pbs_that_runs_for_its_backups_may_be_off(version: Any, hours: int, *, seen: bool, tmp_path: Path) -> None:
    """With the page's example, `pbs2` may be off for 30 hours, and another PBS is down; without it, both are down."""
    other = {"instance": "pbs1:9101"}
    pbs = {"instance": "pbs2:9101"}
    series = [Series("pbs_up", labels, 0).given() for labels in (pbs, other)]
    series.append(Series("instance:pbs_up:last_timestamp_seconds", pbs, AT - hours * HOUR).given(0))
    example = runbook.example("groups", "instance:pbs_up:override_seconds")
    # The sums have no instance.
    one = _firing({}, "critical")
    _try(version, tmp_path, "PbsNotSeen", series=series, firing=[] if seen else one, examples=[example])
    _try(version, tmp_path, "PbsDown", series=series, firing=one, examples=[example])
    _try(version, tmp_path, "PbsNotSeen", series=series, firing=[])
    both = [{"labels": {"severity": "critical"}, "value": 2}]
    _try(version, tmp_path, "PbsDown", series=series, firing=both)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("days", "firing"), [(34, ["usb2"]), (36, ["usb1", "usb2"])])
def test_own_limit_of_removable_datastore_is_kept(version: Any, days: int, firing: list[str], tmp_path: Path) -> None:
    """With the page's example, `usb1` may be unmounted for 35 days, and another datastore for eight."""
    series = []
    for datastore in ("usb1", "usb2"):
        labels = {"datastore": datastore}
        series += [
            Series("pbs_datastore_mounted", labels, 0).given(),
            Series("datastore:pbs_datastore_mounted:last_timestamp_seconds", labels, AT - days * DAY).given(0),
        ]
    expected = [one for datastore in firing for one in _firing({"datastore": datastore}, "warning")]
    examples = [runbook.example("groups", "because: rotated")]
    _try(version, tmp_path, "PbsDatastoreNotMounted", series=series, firing=expected, examples=examples)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("days", "firing"), [(8, []), (10, ["usb2"]), (34, []), (36, ["usb1"])])
def test_own_limit_of_its_backups_is_kept(version: Any, days: int, firing: list[str], tmp_path: Path) -> None:
    """With the page's example, backups on the mounted `usb1` may be 35 days old, and on another datastore nine.

    There a group is abandoned after 30 days.
    """
    series = []
    for datastore in ("usb1", "usb2"):
        series += [
            Series("pbs_datastore_mounted", {"datastore": datastore}, 1).given(),
            _backup(_group("vm/100", datastore), days * DAY).given(),
        ]
    expected = [one for datastore in firing for one in _firing(_group("vm/100", datastore), "warning")]
    examples = [runbook.example("groups", "because: rotated")]
    _try(version, tmp_path, "PbsBackupTooOld", series=series, firing=expected, examples=examples)
