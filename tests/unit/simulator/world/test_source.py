"""The generated world: datastores, groups, snapshots and PBS's answers about them."""

from itertools import pairwise
from typing import Any

import pytest

from pbs_exporter.simulator import Call, RefusedError, World
from pbs_exporter.simulator import api as tree
from pbs_exporter.simulator.world.endpoints import ENDPOINTS
from pbs_exporter.simulator.world.rhythm import Rhythm
from tests.support.simulator_client import NOW, SMALL, ask

DAY_OF = (("timeframe", "day"), ("cf", "AVERAGE"))


def test_a_world_has_the_size_asked_for() -> None:
    """The numbers of datastores, namespaces, groups and snapshots are the requested ones in every answer."""
    world = World(datastores=7, namespaces=6, groups=5, snapshots=4, now=lambda: NOW)
    stores = [row["store"] for row in ask(world, "/admin/datastore")]
    assert len(set(stores)) == 7
    for store in stores:
        namespaces = [row["ns"] for row in ask(world, f"/admin/datastore/{store}/namespace")]
        assert len(set(namespaces)) == 6
        assert namespaces[0] == ""
        for namespace in namespaces:
            groups = ask(world, f"/admin/datastore/{store}/groups", ("ns", namespace))
            snapshots = ask(world, f"/admin/datastore/{store}/snapshots", ("ns", namespace))
            assert [group["backup-count"] for group in groups] == [4] * 5
            keys = {(row["backup-type"], row["backup-id"], row["backup-time"]) for row in snapshots}
            assert len(keys) == 20
        counts = ask(world, f"/admin/datastore/{store}/status", ("verbose", "1"))["counts"]
        assert sum(row["snapshots"] for row in counts.values() if row) == 6 * 5 * 4


def test_a_world_is_the_same_for_the_same_seed() -> None:
    """The same seed and time make the same world, and another seed makes another."""

    def bodies(seed: int) -> list[bytes]:
        world = World(**SMALL, seed=seed)
        paths = [path.replace("{store}", "main").replace("{node}", "localhost") for path in ENDPOINTS]
        return [world.answer(Call(path, DAY_OF if path.endswith("/rrd") else ())).body for path in paths]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)


def test_a_world_stands_still_unless_it_lives() -> None:
    """Time passes in every world, but only a living world changes."""
    clock = [NOW]
    still, alive = (World(2, 1, 4, 3, now=lambda: clock[0], live=live) for live in (False, True))
    before = [world.answer(Call("/admin/datastore/main/snapshots")).body for world in (still, alive)]
    clock[0] += 86400
    after = [world.answer(Call("/admin/datastore/main/snapshots")).body for world in (still, alive)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_worlds_snapshots_look_like_those_of_pbs() -> None:
    """Keys and their order, files, sizes, verification and unfinished snapshots are as recorded."""
    world = World(datastores=1, namespaces=1, groups=40, snapshots=30, now=lambda: NOW)
    rows = ask(world, "/admin/datastore/main/snapshots")
    order = "backup-type backup-id backup-time comment verification fingerprint files size owner protected"
    names = order.split()
    finished = [row for row in rows if "size" in row]
    unfinished = [row for row in rows if "size" not in row]
    for row in rows:
        assert list(row) == [name for name in names if name in row]
        assert row["backup-time"] <= NOW
    for row in finished:
        assert row["size"] == sum(file.get("size", 0) for file in row["files"])
        assert "index.json.blob" in [file["filename"] for file in row["files"]]
        modes = {file["crypt-mode"] for file in row["files"] if "crypt-mode" in file}
        assert ("encrypt" in modes) == ("fingerprint" in row)
    for row in unfinished:
        assert "verification" not in row
        assert all(list(file) == ["filename"] for file in row["files"])
        assert "index.json.blob" not in [file["filename"] for file in row["files"]]
    assert unfinished
    assert {row["protected"] for row in rows} == {True, False}
    assert {row["verification"]["state"] for row in finished if "verification" in row} == {"ok", "failed"}
    verified = next(row["verification"] for row in finished if "verification" in row)
    start = int(verified["upid"].split(":")[5], 16)
    assert NOW - 31 * 86400 < start < NOW
    assert any("verification" not in row for row in finished)
    assert any("fingerprint" in row for row in finished)
    assert any("comment" not in row for row in finished)


def test_a_world_lists_single_groups() -> None:
    """`backup-type` and `backup-id` select rows of the whole listing."""
    world = World(**SMALL)
    path = "/admin/datastore/main/snapshots"
    everything = ask(world, path)
    for query in ({"backup-type": "vm"}, {"backup-id": "101"}, {"backup-type": "vm", "backup-id": "100"}):
        rows = ask(world, path, *query.items())
        assert rows == [row for row in everything if query.items() <= row.items()]
        assert rows
    assert ask(world, path, ("backup-id", "none")) == []


def test_groups_agree_with_snapshots() -> None:
    """`last-backup` is the newest finished snapshot, and its files are listed."""
    world = World(datastores=1, namespaces=1, groups=30, snapshots=5, now=lambda: NOW)
    snapshots = ask(world, "/admin/datastore/main/snapshots")
    for group in ask(world, "/admin/datastore/main/groups"):
        key = (group["backup-type"], group["backup-id"])
        mine = [row for row in snapshots if (row["backup-type"], row["backup-id"]) == key]
        newest = max((row for row in mine if "size" in row), key=lambda row: int(row["backup-time"]))
        assert group["last-backup"] == newest["backup-time"]
        assert group["files"] == [file["filename"] for file in newest["files"]]


def test_a_hundred_thousand_snapshots_are_encoded_once() -> None:
    """An unchanged listing is the same object, so that a benchmark measures its client."""
    world = World(datastores=1, namespaces=1, groups=50, snapshots=20, now=lambda: NOW)
    call = Call("/admin/datastore/main/snapshots")
    first = world.answer(call)
    assert world.answer(call) is first
    assert 450 < len(first.body) / 1000 < 750
    world.stores[0].namespaces[""].pop()
    assert world.answer(call) is not first


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["", "prod", "prod/db", "lab"]),
        ({"max-depth": "0"}, [""]),
        ({"max-depth": "1"}, ["", "prod", "lab"]),
        ({"parent": "prod"}, ["prod", "prod/db"]),
        ({"parent": "prod", "max-depth": "0"}, ["prod"]),
    ],
)
def test_namespaces_below_a_parent(query: dict[str, str], names: list[str]) -> None:
    """The first row of a namespace list is the parent itself."""
    world = World(datastores=1, namespaces=4, groups=1, snapshots=1)
    assert [row["ns"] for row in ask(world, "/admin/datastore/main/namespace", *query.items())] == names


@pytest.mark.parametrize(
    ("maintenance", "text"),
    [
        ("offline,message=swap", "datastore 'main' is unavailable: offline maintenance mode: swap"),
        ("delete", "datastore 'main' is unavailable: datastore is being deleted"),
        ("unmount", "datastore 'main' is unavailable: datastore is being unmounted"),
        ("s3-refresh,message=x", "datastore 'main' is unavailable: S3 refresh maintenance mode: x"),
    ],
)
def test_a_datastore_in_maintenance(maintenance: str, text: str) -> None:
    """Calls for the datastore return 400, its rows have the reason or are missing, and read-only changes nothing."""
    world = World(**SMALL)
    store = world.stores[0]
    store.maintenance = maintenance
    for path in ("status", "namespace", "groups", "snapshots", "gc"):
        with pytest.raises(RefusedError, match=f"^{text}$") as refused:
            ask(world, f"/admin/datastore/main/{path}")
        assert refused.value.answer.status == 400
    assert ask(world, "/admin/datastore")[0]["maintenance"] == maintenance
    usage = {"backend-type": "filesystem", "error": text, "mount-status": "nonremovable", "store": "main"}
    assert ask(world, "/status/datastore-usage") == [usage]
    assert ask(world, "/admin/gc") == []
    store.maintenance = "read-only"
    assert ask(world, "/admin/datastore/main/snapshots")
    assert len(ask(world, "/admin/gc", ("store", "main"))) == 1


def test_a_datastore_that_is_not_mounted() -> None:
    """Calls for the datastore return 400, and its usage row has no numbers."""
    world = World(**SMALL)
    world.stores[0].removable = True
    assert ask(world, "/admin/datastore")[0]["mount-status"] == "mounted"
    world.stores[0].mounted = False
    with pytest.raises(RefusedError, match=r"^datastore 'main' is not mounted$"):
        ask(world, "/admin/datastore/main/status")
    row = {"backend-type": "filesystem", "mount-status": "notmounted", "store": "main"}
    assert ask(world, "/status/datastore-usage") == [row]


def test_the_usage_has_a_month_of_history() -> None:
    """`history` has PBS's points, with gaps, and the newest roughly equals the sizes."""
    (row,) = ask(World(**SMALL), "/status/datastore-usage")
    assert len(row["history"]) == 1440
    assert None in row["history"]
    assert row["history-start"] + 1439 * row["history-delta"] == NOW // 1800 * 1800
    share = row["used"] / (row["used"] + row["avail"])
    assert row["history"][-1] == pytest.approx(share, rel=0.1)
    assert row["estimated-full-date"] > NOW
    assert row["gc-status"]["upid"].startswith("UPID:pbs1:")


def test_a_failed_gc_leaves_the_counters_of_the_last_good_one() -> None:
    """During a GC its last run is hidden, and after a failure only the state of the run is new."""
    clock = [NOW]
    world = World(1, 1, 1, 1, now=lambda: clock[0], live=True)
    store = world.stores[0]
    store.gc = type(store.gc)("garbage_collection", "main", Rhythm(100, 0, 50), store="main", fails=0.5)
    seen: dict[str, Any] = {}
    running = 0
    for clock[0] in range(NOW, NOW + 3000, 10):
        row = ask(world, "/admin/datastore/main/gc")
        assert row == ask(world, "/admin/gc")[0]
        state = row.get("last-run-state")
        if state is None:
            running += 1
            assert "duration" not in row
            assert "last-run-endtime" not in row
        elif state.startswith("marking"):
            if "good" in seen:
                assert row["upid"] == seen["good"]["upid"]
                assert row["disk-bytes"] == seen["good"]["disk-bytes"]
                assert row["last-run-endtime"] > seen["good"]["last-run-endtime"]
            seen["bad"] = row
        else:
            assert row["duration"] <= 50
            seen["good"] = row
    assert running
    assert {"good", "bad"} <= seen.keys()


def test_a_gc_that_never_ends_well_is_bounded() -> None:
    """A plan that always fails shows its newest run, and the search for a good one ends."""
    world = World(**SMALL)
    store = world.stores[0]
    store.gc = type(store.gc)("garbage_collection", "main", Rhythm(100, 0, 50), store="main", fails=1.0)
    assert ask(world, "/admin/datastore/main/gc")["upid"]


def test_an_s3_datastore_counts_its_requests() -> None:
    """`status` of an S3 datastore has counters that only grow."""
    clock = [NOW]
    world = World(1, 1, 1, 1, now=lambda: clock[0], live=True)
    world.stores[0].backend = "s3"
    before = ask(world, "/admin/datastore/main/status")["s3-statistics"]
    clock[0] += 60
    after = ask(world, "/admin/datastore/main/status")["s3-statistics"]
    assert set(before) == {"delete", "downloaded", "get", "head", "post", "put", "uploaded"}
    assert all(before[name] <= after[name] for name in before)
    assert before["uploaded"] < after["uploaded"]


@pytest.mark.parametrize("path", ["/admin/datastore/main/rrd", "/nodes/localhost/rrd"])
@pytest.mark.parametrize(
    ("timeframe", "step", "rows"),
    [
        ("hour", 60, 61),
        ("day", 60, 1440),
        ("week", 1800, 337),
        ("month", 1800, 1440),
        ("year", 21600, 1440),
        ("decade", 604800, 523),
    ],
)
def test_the_past_has_the_steps_of_pbs(path: str, timeframe: str, step: int, rows: int) -> None:
    """An answer has the steps and the number of rows of a real one, and its times shift with the request."""
    world = World(**SMALL)
    past = ask(world, path, ("timeframe", timeframe), ("cf", "AVERAGE"))
    times = [row["time"] for row in past]
    assert len(past) == rows
    assert {later - earlier for earlier, later in pairwise(times)} == {step}
    assert {(time - NOW) % min(step, 86400) for time in times} == {0}
    assert sum("used" in row for row in past) > rows * 0.9


def test_the_past_ends_in_the_present() -> None:
    """The newest sizes of the past are those of the datastore's status, and older ones are smaller."""
    world = World(**SMALL)
    decade = ask(world, "/admin/datastore/main/rrd", ("timeframe", "decade"), ("cf", "AVERAGE"))
    newest = ask(world, "/admin/datastore/main/rrd", *DAY_OF)[-1]
    now = ask(world, "/admin/datastore/main/status")
    assert newest["total"] == now["total"]
    assert newest["used"] == pytest.approx(now["used"], rel=0.05)
    assert next(row["used"] for row in decade if "used" in row) < now["used"] / 2


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ((), "'timeframe': parameter is missing and it is not optional."),
        ((("timeframe", "day"),), "'cf': parameter is missing and it is not optional."),
        ((("timeframe", "minute"), ("cf", "MAX")), "'timeframe': value 'minute' is not defined in the enumeration."),
    ],
)
def test_the_past_needs_its_parameters(query: tuple[tuple[str, str], ...], text: str) -> None:
    """Without both parameters, or with a wrong one, the request is refused."""
    with pytest.raises(RefusedError) as refused:
        ask(World(**SMALL), "/nodes/localhost/rrd", *query)
    assert refused.value.answer.status == 400
    assert refused.value.answer.body.decode() == f"parameter verification failed - {text}"


def test_tokens_of_users_are_shown_on_demand() -> None:
    """`include_tokens` adds the tokens."""
    world = World(**SMALL)
    assert not any("tokens" in row for row in ask(world, "/access/users"))
    rows = ask(world, "/access/users", ("include_tokens", "1"))
    assert rows[0]["tokens"][0]["tokenid"] == "exporter@pbs!metrics"


def test_every_endpoint_of_the_world_is_in_the_tree() -> None:
    """The world answers the paths of the tree, and another path is a 404."""
    for template in ENDPOINTS:
        found = tree.find(template)
        assert found is not None
        assert found[0].template == template
    with pytest.raises(RefusedError, match=r"^Path '/api2/json/nodes/localhost/time' not found\.$"):
        ask(World(**SMALL), "/nodes/localhost/time")
    with pytest.raises(RefusedError, match=r"^ENOENT"):
        ask(World(**SMALL), "/admin/datastore/main/groups", ("ns", "none"))
