import pytest

from tests.monitoring.grafana import dashboards
from tests.support.paths import ROOT
from tools.pictures.frames import rows_of
from tools.pictures.rule_backfill import levels
from tools.pictures.units import nice_step, shown

PICTURES = ROOT / "docs" / "pictures"
NOW = 1_800_000_000.0


@pytest.mark.parametrize("uid", sorted(dashboards()))
def test_each_dashboard_has_a_picture(uid: str) -> None:
    """Each dashboard has a small picture, which the documentation shows."""
    picture = PICTURES / f"dashboard-{uid.removeprefix('pbs-')}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
    assert f"pictures/{picture.name}" in (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "none", "0"),
        (12345, "none", "12,345"),
        (1.2345, "none", "1.23"),
        (1536, "bytes", "1.5 KiB"),
        (-(2.0**40), "bytes", "-1 TiB"),
        (2048, "Bps", "2 KiB/s"),
        (0.25, "reqps", "0.25 req/s"),
        (0.015, "s", "15 ms"),
        (0, "s", "0 s"),
        (90, "s", "1.5 min"),
        (129600, "s", "1.5 d"),
        (-7200, "s", "-2 h"),
        (0.034, "percentunit", "3.4%"),
        (0.81, "percentunit", "81%"),
        ((NOW + 7200) * 1000, "dateTimeFromNow", "in 2 h"),
        ((NOW - 120) * 1000, "dateTimeFromNow", "2 min ago"),
    ],
)
def test_units(value: float, unit: str, text: str) -> None:
    """Values are drawn with their unit, and few digits."""
    assert shown(value, unit, NOW) == text


@pytest.mark.parametrize(
    ("span", "unit", "step"),
    [
        (1.0, "percentunit", 0.2),
        (4, "none", 1),
        (0.06, "s", 0.02),
        (100_000, "s", 6 * 3600),
        (60 * 7 * 86400, "s", 140 * 86400),
        (8 * 2**40, "bytes", 2 * 2**40),
    ],
)
def test_axes_have_round_numbers(span: float, unit: str, step: float) -> None:
    """The lines of a graph's grid are at numbers that are round in the graph's unit."""
    assert nice_step(span, unit) == pytest.approx(step)


def test_every_unit_can_be_drawn() -> None:
    """The pictures support the unit of every panel and column."""
    found = set()
    for board in dashboards().values():
        for panel in board["panels"]:
            config = panel.get("fieldConfig", {})
            found.add(config.get("defaults", {}).get("unit", "none"))
            overrides = [one for override in config.get("overrides", ()) for one in override["properties"]]
            found |= {one["value"] for one in overrides if one["id"] == "unit"}
    assert {unit for unit in found if not shown(1, unit, NOW)} == set()


def test_rows_are_merged_and_sorted() -> None:
    """Results that share labels become one row; columns are named, hidden, put in order, and rows sorted."""
    panel = {
        "targets": [{"refId": "A"}, {"refId": "B"}],
        "transformations": [
            {"id": "merge"},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"job": True},
                    "indexByName": {"store": 0, "Value #B": 1, "Value #A": 2},
                    "renameByName": {"store": "Datastore", "Value #A": "Used", "Value #B": "Age"},
                },
            },
        ],
        "options": {"sortBy": [{"displayName": "Used", "desc": True}]},
    }
    used = [
        {"metric": {"store": "a", "job": "x"}, "value": [0, "1"]},
        {"metric": {"store": "b", "job": "x"}, "value": [0, "2"]},
    ]
    age = [{"metric": {"store": "a"}, "value": [0, "7"]}, {"metric": {"store": "c"}, "value": [0, "8"]}]
    assert rows_of(panel, [used, age]) == (
        ["Datastore", "Age", "Used"],
        [
            {"Datastore": "b", "Used": 2.0},
            {"Datastore": "a", "Used": 1.0, "Age": 7.0},
            {"Datastore": "c", "Age": 8.0},
        ],
    )


def test_rules_come_after_those_that_they_read() -> None:
    """A rule is evaluated after the rules whose results it reads, except itself."""
    rules = [
        {"record": "c:c:c", "expr": "b:b:b + a:a:a"},
        {"record": "b:b:b", "expr": "a:a:a or last_over_time(b:b:b[1h])"},
        {"record": "a:a:a", "expr": "up"},
    ]
    assert [[rule["record"] for rule in level] for level in levels(rules)] == [["a:a:a"], ["b:b:b"], ["c:c:c"]]
    with pytest.raises(ValueError, match="need each other"):
        list(levels([{"record": "a:a:a", "expr": "b:b:b"}, {"record": "b:b:b", "expr": "a:a:a"}]))
