"""The shipped rules with short durations, for a test that can't wait for days.

These parts stay or change:

- Names, labels, annotations, order and expressions are the shipped ones, but for the expressions below.
- `for` and `keep_firing_for` are `FOR`: long enough that one scrape that failed makes no alert fire. None stays none.
- The `interval` of a group of rules is left out; Prometheus's own, in seconds, holds for all.
- Ranges (`[7d]`) and offsets are the shipped ones: Prometheus has the past that they read from the beginning
  (`backfill.py`). The simulated PBS can report any time, so limits of ages are the shipped ones too.
- `SHORTER` lists the exceptions: means and minimums over the time of the test itself, ages by the exporter's own
  clock, and times since a rule first saw something. A part that is no longer in the shipped rule is an error.
"""

from collections.abc import Mapping

from tests.monitoring.rule_files import Rules

FOR = "16s"

SHORTER: Mapping[str, Mapping[str, str]] = {
    # All ages of listings are divided by 45, the exporter's listing_max_age_seconds too (80 for 3600).
    "PbsListingOld": {"> 1800": "> 40", "> 2700": "> 60", "[45m]": "[60s]"},
    "PbsCollectorFailing": {"[150m]": "[20s]", "offset 150m": "offset 20s", "offset 75m": "offset 10s"},
    "PbsJobNeverRun": {
        'min_over_time(pbs_job_status{status="never"}[1d])': 'min_over_time(pbs_job_status{status="never"}[20s])'
    },
    "PbsJobUnknown": {"+ 2 * 86400": "+ 10"},
    "PbsSnapshotUnfinished": {"+ 86400": "+ 10"},
    "PbsNoVerifyJob": {"[2h]": "[20s]"},
    "PbsNoCopy": {"[2h]": "[20s]"},
    "PbsNoPruneJob": {"[2h]": "[20s]"},
    "PbsGcUnknown": {"[2h]": "[20s]"},
    "PbsUpdatesPending": {"[1d]": "[20s]"},
    "PbsHostCpuBusy": {"[30m]": "[20s]"},
    "PbsHostIoWait": {"[30m]": "[20s]"},
}
"""By alert: the part of the shipped expression, and its replacement."""


def shortened(rules: Rules) -> Rules:
    """Return the rules with short durations. Raise `ValueError` if an alert lacks a part that `SHORTER` names."""
    return {"groups": [_group(group) for group in rules["groups"]]}


def without_intervals(rules: Rules) -> Rules:
    """Return the rules without intervals, so that Prometheus's own interval applies."""
    return {"groups": [{"name": group["name"], "rules": group["rules"]} for group in rules["groups"]]}


def _group(group: Rules) -> Rules:
    return {"name": group["name"], "rules": [_rule(rule) for rule in group["rules"]]}


def _rule(rule: Rules) -> Rules:
    short = {"expr": rule["expr"]}
    for shipped, other in SHORTER.get(rule.get("alert", ""), {}).items():
        if shipped not in short["expr"]:
            raise ValueError(f"{rule['alert']} has no {shipped!r} that could be shortened")
        short["expr"] = short["expr"].replace(shipped, other)
    times = {key: FOR for key in ("for", "keep_firing_for") if key in rule}
    return rule | short | times
