"""Snapshots: newest, finished, verified and encrypted ones, and the number shown per group."""

from itertools import product

import pytest

from tests.support.canned_pbs import NOW, Json, page, series, snapshot, snapshots_page, success
from tests.support.metrics_page import Scraped

GROUP = {"datastore": "main", "namespace": "", "backup_type": "vm", "backup_id": "100"}
MANIFEST = {"filename": "index.json.blob", "crypt-mode": "none"}
UNFINISHED: Json = {"size": None, "files": [{"filename": "qemu-server.conf.blob"}]}
DAMAGED: Json = {"size": None, "files": [{"filename": "index.json.blob"}]}


def upid(start: int) -> str:
    """Make the ID of a verification with this start time."""
    return f"UPID:pbs:000003F2:00000E10:0000001A:{start:08X}:verificationjob:main\\x3av\\x2d1:root@pam:"


def verified(state: str, start: int = NOW) -> Json:
    """Make the field with the result of a verification."""
    return {"verification": {"state": state, "upid": upid(start)}}


async def group(*rows: Json, **settings: Json) -> Scraped:
    """Scrape a PBS with one group."""
    return await snapshots_page({"main": {"": list(rows)}}, **settings)


def number(scraped: Scraped, name: str, **labels: str) -> float | None:
    """Return a value of that group."""
    return scraped.value(f"pbs_snapshot_{name}", **GROUP, **labels)


def times(scraped: Scraped) -> list[int]:
    """Return the times of the exported snapshots, in the order of the page."""
    return [int(labels["backup_time"]) for labels, _ in series(scraped, "pbs_snapshot_info")]


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        pytest.param(0, [40, 30, 20, 10], id="0 is all"),
        pytest.param(1, [40], id="1"),
        pytest.param(2, [40, 30], id="2"),
        pytest.param(4, [40, 30, 20, 10], id="the group's size"),
        pytest.param(5, [40, 30, 20, 10], id="one above the group's size"),
    ],
)
async def test_snapshot_history_limit(limit: int, shown: list[int]) -> None:
    """The limit selects the newest snapshots for `pbs_snapshot_info`; the group's numbers count all."""
    rows = [
        snapshot(20, size=2),
        snapshot(40, size=4, **verified("ok")),
        snapshot(10, size=1, protected=True),
        snapshot(30, size=3, **verified("failed")),
    ]
    scraped = await group(*rows, snapshot_history_limit=limit)
    assert times(scraped) == shown
    assert number(scraped, "count") == 4
    assert number(scraped, "first_timestamp_seconds") == 10
    assert number(scraped, "last_timestamp_seconds") == 40
    assert number(scraped, "size_bytes") == 4
    assert number(scraped, "logical_size_bytes") == 10
    assert number(scraped, "protected") == 1
    assert [number(scraped, "verification", state=state) for state in ("ok", "failed", "none")] == [1, 1, 2]


async def test_limit_is_per_group() -> None:
    """The limit applies to each group separately, also to groups with the same ID."""
    rows = [snapshot(NOW - n, kind, "100") for kind in ("vm", "ct", "host") for n in range(3)]
    scraped = await snapshots_page({"main": {"": rows, "a": rows}, "other": {"": rows}}, snapshot_history_limit=2)
    shown: dict[tuple[str, str, str], list[int]] = {}
    for labels, _ in series(scraped, "pbs_snapshot_info"):
        key = (labels["datastore"], labels["namespace"], labels["backup_type"])
        shown.setdefault(key, []).append(int(labels["backup_time"]))
    places = (("main", ""), ("main", "a"), ("other", ""))
    assert shown == {(*place, kind): [NOW, NOW - 1] for place in places for kind in ("vm", "ct", "host")}


@pytest.mark.parametrize("shown", [1, 3, 6])
async def test_groups_whose_labels_become_equal(shown: int) -> None:
    """Of two groups that differ in a control character only, the newer one is shown, and the collector fails."""
    older = [snapshot(NOW - 100 - n, size=2) for n in range(shown)]
    newer = [snapshot(NOW - n, backup_id="100\a", size=3) for n in range(shown)]
    scraped = await group(*older, *newer, snapshot_history_limit=0)
    assert times(scraped) == [row["backup-time"] for row in (*newer, *older)]
    assert number(scraped, "count") == shown
    assert number(scraped, "size_bytes") == 3
    assert len(scraped.series("pbs_snapshot_verification")) == 3
    assert success(scraped, "snapshots") == 0


async def test_snapshots_that_are_alike_and_others() -> None:
    """Each snapshot has its own comment, owner and verification, also where others around it are alike."""
    fields: list[Json] = [
        {},
        {},
        {"comment": 'say "hi"\\'},
        {"comment": 'say "hi"\\'},
        {"owner": "a@pbs"},
        verified("ok"),
        verified("ok"),
        {},
    ]
    rows = [snapshot(NOW - n, **changed) for n, changed in enumerate(fields)]
    shown = series(await group(*rows, snapshot_history_limit=0), "pbs_snapshot_info")
    names = ("backup_time", "comment", "owner", "verification_state")
    assert [tuple(labels[name] for name in names) for labels, _ in shown] == [
        (str(NOW - n), one.get("comment", ""), one.get("owner", "root@pam"), "ok" if "verification" in one else "none")
        for n, one in enumerate(fields)
    ]
    assert [labels | GROUP for labels, _ in shown] == [labels for labels, _ in shown]


async def test_a_snapshot_that_is_there_twice() -> None:
    """Of equal snapshots one is shown, and the collector fails; those of one time that differ are all shown."""
    rows = [snapshot(NOW - n) for n in range(6)]
    twice = await group(*rows, rows[2], snapshot_history_limit=0)
    assert times(twice) == [NOW - n for n in range(6)]
    assert success(twice, "snapshots") == 0
    both = await group(*rows, snapshot(NOW - 2, owner="a@pbs"), snapshot_history_limit=0)
    assert sorted(times(both)) == sorted([*(NOW - n for n in range(6)), NOW - 2])
    assert success(both, "snapshots") == 1


async def test_same_id_in_other_types_namespaces_and_datastores_stays_apart() -> None:
    """Groups with the same ID have their own counts and sizes, by type, namespace and datastore."""
    places = list(product(("main", "other"), ("", "a", "a/b"), ("vm", "ct", "host")))
    listings: dict[str, dict[str, Json]] = {}
    for size, (store, namespace, kind) in enumerate(places, start=1):
        rows = [snapshot(NOW - n, kind, "100", size=size) for n in range(size)]
        listings.setdefault(store, {}).setdefault(namespace, []).extend(rows)
    scraped = await snapshots_page(listings)
    for size, (store, namespace, kind) in enumerate(places, start=1):
        labels = {"datastore": store, "namespace": namespace, "backup_type": kind, "backup_id": "100"}
        assert scraped.value("pbs_snapshot_count", **labels) == size
        assert scraped.value("pbs_snapshot_size_bytes", **labels) == size
    assert len(scraped.series("pbs_snapshot_count")) == len(places)
    assert scraped.by("pbs_datastore_namespaces", "datastore") == {"main": 3, "other": 3}


@pytest.mark.parametrize(
    ("fields", "unfinished", "damaged"),
    [
        pytest.param({}, 0, 0, id="finished"),
        pytest.param({"size": 0}, 0, 0, id="finished and empty"),
        pytest.param(UNFINISHED, 1, 0, id="no manifest"),
        pytest.param({"size": None, "files": []}, 1, 0, id="no files yet"),
        pytest.param({"size": None, "files": None}, 1, 0, id="files unsaid"),
        pytest.param(DAMAGED, 0, 1, id="a manifest that can not be read"),
    ],
)
async def test_unfinished_and_damaged(fields: Json, unfinished: float, damaged: float) -> None:
    """A snapshot without a size is unfinished without a manifest, and damaged with one; it is counted either way."""
    scraped = await group(snapshot(NOW, **fields))
    assert number(scraped, "count") == 1
    assert number(scraped, "unfinished") == unfinished
    assert number(scraped, "damaged") == damaged
    finished = not (unfinished or damaged)
    assert (number(scraped, "size_bytes") is not None) == finished
    assert times(scraped) == [NOW]
    assert success(scraped, "snapshots") == 1


@pytest.mark.parametrize("fields", [UNFINISHED, DAMAGED], ids=["unfinished", "damaged"])
async def test_a_newer_snapshot_that_is_not_finished_is_not_the_last(fields: Json) -> None:
    """Times and sizes are those of finished snapshots, even if the newest or the oldest is unfinished or damaged."""
    scraped = await group(
        snapshot(50, **fields),
        snapshot(40, size=4, **verified("ok")),
        snapshot(30, size=3),
        snapshot(20, **fields),
    )
    assert number(scraped, "count") == 4
    assert number(scraped, "last_timestamp_seconds") == 40
    assert number(scraped, "first_timestamp_seconds") == 30
    assert number(scraped, "size_bytes") == 4
    assert number(scraped, "logical_size_bytes") == 7
    assert number(scraped, "last_verification", state="ok") == 1


async def test_group_without_a_finished_snapshot() -> None:
    """A group with only unfinished and damaged snapshots has counts, and neither a time nor a size."""
    scraped = await group(snapshot(50, **UNFINISHED), snapshot(40, **DAMAGED))
    shown = {name for name in scraped.families if name.startswith("pbs_snapshot_")}
    assert shown == {
        "pbs_snapshot_info",
        "pbs_snapshot_count",
        "pbs_snapshot_unfinished",
        "pbs_snapshot_damaged",
        "pbs_snapshot_protected",
        "pbs_snapshot_encrypted",
        "pbs_snapshot_verification",
        "pbs_snapshot_listing_timestamp_seconds",
        "pbs_snapshot_full_listing_timestamp_seconds",
    }


async def test_verification_time_of_a_group_without_a_finished_snapshot() -> None:
    """The time of the newest verification stays when the group's only snapshot becomes damaged."""
    scraped = await group(snapshot(50, **DAMAGED, **verified("failed", 1234)))
    assert number(scraped, "last_verification_timestamp_seconds") == 1234
    assert number(scraped, "last_verification", state="failed") is None


@pytest.mark.parametrize(
    ("verification", "state"),
    [
        pytest.param(None, "none", id="absent"),
        pytest.param({"state": "ok", "upid": upid(9)}, "ok", id="ok"),
        pytest.param({"state": "failed", "upid": upid(9)}, "failed", id="failed"),
        pytest.param({"state": "skipped", "upid": upid(9)}, "none", id="one that PBS invents later"),
        pytest.param({"state": "OK", "upid": upid(9)}, "none", id="another spelling"),
        pytest.param({"state": None}, "none", id="null"),
        pytest.param({}, "none", id="empty"),
    ],
)
async def test_verification_states(verification: Json, state: str) -> None:
    """Each snapshot is in one of three states; the state set of the newest has all three, and exactly one is 1."""
    scraped = await group(snapshot(NOW, verification=verification))
    states = ("ok", "failed", "none")
    wanted = {name: float(name == state) for name in states}
    assert {name: number(scraped, "verification", state=name) for name in states} == wanted
    assert {name: number(scraped, "last_verification", state=name) for name in states} == wanted
    assert [labels["verification_state"] for labels, _ in series(scraped, "pbs_snapshot_info")] == [state]


@pytest.mark.parametrize(
    ("upids", "newest"),
    [
        pytest.param([upid(300), upid(100), upid(200)], 300, id="the newest of several"),
        pytest.param(
            ["UPID:pbs:000003F2:123456789:0123456789ABCDEF:000000FF:verify:x:root@pam:"], 255, id="long parts"
        ),
        pytest.param(["UPID:pbs:000003f2:00000e10:0000001a:000000ff:verify:x:root@pam:"], 255, id="lower case"),
        pytest.param(["no UPID at all"], None, id="nonsense"),
        pytest.param(["no UPID at all", upid(77)], 77, id="nonsense beside a good one"),
        pytest.param([None], None, id="null"),
    ],
)
async def test_start_of_the_newest_verification(upids: list[str | None], newest: float | None) -> None:
    """The time of a group's newest verification is read from the task IDs of all its snapshots."""
    rows = [snapshot(NOW - n, verification={"state": "ok", "upid": text}) for n, text in enumerate(upids)]
    scraped = await group(*rows)
    assert number(scraped, "last_verification_timestamp_seconds") == newest
    assert success(scraped, "snapshots") == 1


@pytest.mark.parametrize(
    ("files", "encrypted"),
    [
        pytest.param([MANIFEST], 0, id="plain"),
        pytest.param([MANIFEST, {"filename": "a.fidx", "crypt-mode": "encrypt"}], 1, id="one file is"),
        pytest.param([MANIFEST, {"filename": "a.fidx", "crypt-mode": "sign-only"}], 0, id="only signed"),
        pytest.param([MANIFEST, {"filename": "a.fidx"}], 0, id="unsaid"),
        pytest.param([MANIFEST, {"filename": "a.fidx", "crypt-mode": "quantum"}], 0, id="one that PBS invents later"),
    ],
)
async def test_encrypted(files: Json, encrypted: float) -> None:
    """A snapshot is encrypted if any of its files is; a signed one isn't, although it has a fingerprint too."""
    scraped = await group(
        snapshot(NOW, files=files, fingerprint="ab:cd"),
        snapshot(NOW - 1, files=[MANIFEST, {"filename": "x.blob", "crypt-mode": "encrypt"}]),
    )
    assert number(scraped, "last_encrypted") == encrypted
    assert number(scraped, "encrypted") == 1 + encrypted


@pytest.mark.parametrize(("protected", "number_of"), [(True, 1), (False, 0), (None, 0)])
async def test_protected(protected: bool | None, number_of: float) -> None:  # noqa: FBT001
    """Protected snapshots are counted; a snapshot without the field isn't protected."""
    assert number(await group(snapshot(NOW, protected=protected)), "protected") == number_of


async def test_owner_and_time_are_labels() -> None:
    """A snapshot's series has its owner and its time in Unix seconds; a missing owner is empty."""
    scraped = await group(snapshot(NOW, owner="a@pbs!t"), snapshot(NOW - 1, owner=None))
    shown = [(labels["backup_time"], labels["owner"]) for labels, _ in series(scraped, "pbs_snapshot_info")]
    assert shown == [(str(NOW), "a@pbs!t"), (str(NOW - 1), "")]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(snapshot(NOW - 1, size="1000"), id="a size that is text"),
        pytest.param(snapshot(NOW - 1, size=-1.5), id="a size that is a fraction"),
        pytest.param({"backup-type": "vm", "backup-id": "100"}, id="no time"),
        pytest.param("vm/100", id="no object"),
        pytest.param(None, id="null"),
    ],
)
async def test_a_bad_row_costs_itself(bad: Json) -> None:
    """An invalid row is left out, the others are shown, and the datastore and the collector fail."""
    scraped = await snapshots_page({"main": {"": [snapshot(NOW), bad]}, "other": {"": [snapshot(NOW)]}})
    assert number(scraped, "count") == 1
    assert success(scraped, "snapshots") == 0
    assert scraped.by("pbs_scrape_datastore_success", "datastore") == {"main": 0, "other": 1}


async def test_empty_namespaces_have_no_group_series() -> None:
    """A namespace without snapshots is counted, and has no group series."""
    scraped = await snapshots_page({"main": {"": [], "a": []}, "void": {}})
    assert not scraped.series("pbs_snapshot_count")
    assert scraped.by("pbs_datastore_namespaces", "datastore") == {"main": 2, "void": 0}
    assert scraped.by("pbs_snapshot_listing_timestamp_seconds", "datastore") == {"main": NOW, "void": NOW}


async def test_no_datastores() -> None:
    """A PBS without datastores is no failure."""
    scraped = await page({"/admin/datastore": []}, ["snapshots"])
    assert success(scraped, "snapshots") == 1
    assert not scraped.series("pbs_scrape_datastore_success")
