import asyncio
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.errors import OutputError
from pbs_exporter.plain_text import comment
from pbs_exporter.simulator import Answer, Certificate, Fault, Replay, SimulatedPbs, Source, World
from pbs_exporter.simulator.recording import Recording
from tests.support.canned_pbs import CannedPbs, snapshot
from tests.support.exporter import FakeClock, exporting, main_of, make_settings
from tests.support.metrics_page import Scraped
from tests.support.paths import RECORDINGS, recorded_time, recording_file
from tools.record import main, record
from tools.scrubbing import Scrubber

NOW = 1_795_373_400
SMALL: Mapping[str, Any] = {"datastores": 2, "namespaces": 2, "groups": 4, "snapshots": 3, "now": lambda: NOW}
CERTIFICATE = Certificate.make()
ALL = {collector.name: True for collector in COLLECTORS}
MEASURED = re.compile(
    r"pbs_exporter_(?:.*_seconds_(?:bucket|sum)|scrape_duration_seconds|build_info)|pbs_scrape_collector_duration_seconds"
)
"""What differs from scrape to scrape."""

Series = Mapping[str, Mapping[frozenset[tuple[str, str]], float]]


def simulated(source: Source, **options: Any) -> SimulatedPbs:
    return SimulatedPbs(source, certificate=CERTIFICATE, login_delay=0, forbidden_delay=0, **options)


async def recorded(pbs: SimulatedPbs, file: Path, now: float = NOW) -> Scrubber:
    """Record a PBS into a file."""
    scrubber = Scrubber(pbs.token_id)
    recording, unanswered = await record(main_of(make_settings(pbs)).pbs, scrubber, FakeClock(now).clock)
    assert not unanswered
    await asyncio.to_thread(file.write_bytes, recording.encode())
    return scrubber


async def scraped(pbs: SimulatedPbs, now: float, mode: str) -> Scraped:
    """Scrape twice, because only the second listing can be incremental, and return the second page."""
    settings = make_settings(pbs, collectors=ALL, listing_mode=mode)
    async with exporting(settings, FakeClock(now).clock) as exporter:
        await exporter.scrape()
        return await exporter.scrape()


def series(page: Scraped) -> Series:
    found = {sample.name for family in page.families.values() for sample in family.samples}
    return {
        name: {frozenset(labels.items()): value for labels, value in page.series(name)}
        for name in found
        if not MEASURED.fullmatch(name)
    }


def renamed(page: Series, scrubber: Scrubber) -> Series:
    """Return the series with the names in their labels replaced as in the recording."""
    notes = {comment(original): new for original, new in scrubber._names.items()}
    names = ("datastore", "backup_id", "name", "serial", "job_id", "remote", "remote_datastore", "pool")
    new: dict[str, Callable[[str], str]] = {
        **dict.fromkeys(names, lambda text: scrubber.name("not-recorded", text)),
        **dict.fromkeys(("comment", "group_comment"), lambda text: notes.get(text, text)),
        "namespace": scrubber.namespace,
        "owner": scrubber.auth_id,
        "worker_id": scrubber.worker_id,
    }
    return {
        name: {
            frozenset((label, new[label](text) if label in new else text) for label, text in labels): value
            for labels, value in rows.items()
        }
        for name, rows in page.items()
    }


@pytest.mark.parametrize(
    ("source", "mode"),
    [
        *((source, "full") for source in (*RECORDINGS, "generated")),
        ("pbs-4.2.3-more", "changes"),
        ("generated", "changes"),
    ],
)
async def test_replay_makes_the_same_metrics_under_other_names(source: str, mode: str, tmp_path: Path) -> None:
    """A recording produces each series of the recorded PBS, with the same value."""
    generated = source == "generated"
    now = NOW if generated else recorded_time(source)
    original = World(**SMALL) if generated else Replay(recording_file(source))
    async with simulated(original) as pbs:
        scrubber = await recorded(pbs, tmp_path / "my.jsonl", now)
        page = series(await scraped(pbs, now, mode))
    async with simulated(Replay(tmp_path / "my.jsonl")) as pbs:
        assert series(await scraped(pbs, now, mode)) == renamed(page, scrubber)
    assert page["pbs_up"] == {frozenset(): 1}


async def test_recording_a_recording_changes_nothing(tmp_path: Path) -> None:
    """Recording a replay of a recording changes nothing, because answers have a stable order."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    async with simulated(Replay(recording_file("pbs-4.2.3-more"))) as pbs:
        await recorded(pbs, first)
    async with simulated(Replay(first)) as pbs:
        await recorded(pbs, second)
    assert second.read_text().split("\n")[1:] == first.read_text().split("\n")[1:]


async def test_every_endpoint_of_the_client_is_asked_with_gets_alone(tmp_path: Path) -> None:
    """All requests of the exporter in any listing mode are recorded, and only GETs are sent."""
    async with simulated(World(**SMALL)) as pbs:
        await recorded(pbs, tmp_path / "my.jsonl")
        asked = {request.template for request in pbs.requests}
        assert {request.method for request in pbs.requests} == {"GET"}
        for mode in ("full", "changes"):
            await scraped(pbs, NOW, mode)
        assert asked >= {request.template for request in pbs.requests}
    assert {"/admin/datastore/{store}/groups", "/admin/datastore/{store}/status", "/nodes/{node}/disks/zfs"} <= asked
    answered = {answer.path.split("/")[-1] for answer in Recording.read(tmp_path / "my.jsonl").answers}
    assert answered == {template.split("/")[-1] for template in asked}


# Each text contains the word that must not be left.
UPID = "UPID:private-node:000008F0:000D4340:00000020:6B0337C3:{}:{}:private-user@private-realm!private-token:"
FINGERPRINT = "fb:eb:2f:4a:2c:7f:af:e8:f4:c5:81:45:fb:a6:0d:62:06:1f:4c:dc:00:11:22:33:44:55:66:77:88:99:aa:bb"
TASK = {
    "upid": UPID.format("backup", r"private\x2dstore\x3ans-private-vm-private"),
    "node": "private-node",
    "starttime": NOW,
    "worker_type": "backup",
    "worker_id": "private-store:ns/private/vm/private",
    "user": "private-user@private-realm!private-token",
}
JOB = {
    "id": "private-job",
    "store": "private-store",
    "ns": "private/private-ns",
    "comment": "private",
    "owner": "private@pam",
    "last-run-state": "connection to private.example (192.0.2.77) failed",
    "last-run-upid": UPID.format("syncjob", r"private\x2dremote\x3aprivate"),
    "remote": "private-remote",
    "remote-store": "private-store",
    "remote-ns": "private",
    "group-filter": ["group:vm/private"],
    "pool": "private-pool",
    "drive": "private-drive",
    "next-media-label": "PRIVATE1L8",
    "notify-user": "private@pam",
}
NOT_MOUNTED = Answer.text(400, "datastore 'private-usb' is in offline maintenance mode: private")
PRIVATE: Mapping[str, Any] = {
    "/nodes/localhost/status": {
        "kversion": "Linux private",
        "current-kernel": {"release": "6.14.8", "version": "private"},
        "info": {"fingerprint": FINGERPRINT},
    },
    "/nodes/localhost/subscription": {"status": "active", "key": "private", "serverid": "private"},
    "/nodes/localhost/apt/update": [{"Package": "private-agent", "Origin": "private.example", "Title": "private"}],
    "/nodes/localhost/services": [{"service": "proxmox-backup", "state": "running", "desc": "private"}],
    "/nodes/localhost/disks/list": [
        {"name": "sda", "serial": "PRIVATE1", "wwn": "private", "devpath": "/dev/private", "model": "SSD"}
    ],
    "/nodes/localhost/disks/zfs": [{"name": "private-pool", "health": "ONLINE"}],
    "/nodes/localhost/tasks": [{**TASK, "endtime": TASK["starttime"], "status": "no route to private"}, TASK],
    "/access/permissions": {"/datastore/private-store/private": {"Datastore.Audit": True}, "/remote/private": {}},
    "/access/users": [
        {
            "userid": "private@pve-private",
            "email": "private@private.example",
            "firstname": "Private",
            "lastname": "Private",
            "comment": "private",
            "tokens": [{"tokenid": "private@pve-private!private", "tokenname": "private", "comment": "private"}],
        }
    ],
    "/admin/datastore": [
        {"store": "private-store", "comment": "private\nprivate"},
        {"store": "private-usb", "maintenance": 'offline,message="private"'},
    ],
    "/admin/datastore/private-store/snapshots": {
        "": [],
        "private/private-ns": [
            snapshot(
                1_795_000_000,
                backup_type="host",
                backup_id="private.example",
                owner="private@pam!private",
                comment="private",
                fingerprint=FINGERPRINT,
                verification={"state": "ok", "upid": UPID.format("verify", "private")},
                files=[{"filename": "private.pxar.didx"}, {"filename": "index.json.blob"}, {"filename": "private"}],
            )
        ],
    },
    "/admin/datastore/private-store/groups": [
        {
            "backup-type": "host",
            "backup-id": "private.example",
            "files": ["private.pxar.didx", "index.json.blob"],
            "last-backup": 1,
            "backup-count": 1,
            "owner": "private@pam",
            "comment": "private",
        }
    ],
    "/admin/datastore/private-store/status": {"total": 1, "used": 1, "avail": 1, "new-in-5.0": "private"},
    "/admin/datastore/private-usb/status": NOT_MOUNTED,
    "/admin/datastore/private-usb/groups": Answer.text(500, "no route to private.example"),
    "/status/datastore-usage": [
        {"store": "private-store", "gc-status": {"upid": UPID.format("garbage_collection", "private")}},
        {"store": "private-usb", "error": 'unable to open chunk store at "/private/.chunks" - Not here (os error 2)'},
    ],
    "/status/metrics": {"data": [{"id": "datastore/private-store", "metric": "used", "type": "gauge", "value": 1}]},
    "/admin/gc": [
        {"store": "private-store", "upid": UPID.format("garbage_collection", "private"), "schedule": "daily"}
    ],
    "/admin/sync": [JOB],
    "/admin/verify": [JOB],
    "/admin/prune": [JOB],
    "/tape/backup": [JOB],
    "/tape/drive": [{"name": "private-drive", "changer": "private", "path": "/dev/tape/private", "serial": "PRIVATE2"}],
    "/tape/media/list": [
        {"label-text": "PRIVATE1L8", "uuid": "private", "pool": "private", "location": "vault-private"},
        {"label-text": "PRIVATE2L8", "media-set-name": "private", "location": "online-private"},
    ],
}


async def test_nothing_private_is_left(tmp_path: Path) -> None:
    """No name, secret, address, fingerprint, serial number, host name, owner or note is in the file."""
    file = tmp_path / "my.jsonl"
    options: Mapping[str, Any] = {"token_id": "private@pam!private", "secret": "a-secret-that-is-private"}
    async with simulated(CannedPbs(dict(PRIVATE)), **options) as pbs:
        await recorded(pbs, file)
        host, port = pbs.endpoint.removeprefix("https://").split(":")
    text = file.read_text()
    left = [*re.findall(r".{0,40}private.{0,40}", text, re.IGNORECASE)]
    assert not left
    assert not [word for word in (FINGERPRINT, pbs.secret, host, port, "192.0.2.77", "example") if word in text]
    assert len(Recording.read(file).answers) > len(PRIVATE)


async def test_a_secret_in_an_answer_stops_the_recording(tmp_path: Path) -> None:
    """A recording that still contains the token's secret isn't written."""
    async with simulated(World(**SMALL)) as pbs:
        pbs.faults.add("/nodes/*/services", Fault.json({"data": [{"service": pbs.secret}]}))
        with pytest.raises(OutputError, match="secret"):
            await recorded(pbs, tmp_path / "my.jsonl")


def environment(pbs: SimulatedPbs, **changes: str) -> Mapping[str, str]:
    return {
        "PBS_EXPORTER__PBS__ENDPOINT": pbs.endpoint,
        "PBS_EXPORTER__PBS__TOKEN_ID": pbs.token_id,
        "PBS_EXPORTER__PBS__TOKEN_SECRET": pbs.secret,
        "PBS_EXPORTER__PBS__FINGERPRINT": pbs.fingerprint,
        **{f"PBS_EXPORTER__PBS__{name.upper()}": value for name, value in changes.items()},
    }


async def ended(file: Path, environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Return the exit code of the tool, and its lines."""
    code = await asyncio.to_thread(main, [str(file)], environ)
    output = capsys.readouterr()
    assert output.out == ""
    return code, output.err.splitlines()


def nothing_in(folder: Path) -> bool:
    return not list(folder.iterdir())


async def test_a_good_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tool prints the number of answers and the file; a replay can read the file."""
    file = tmp_path / "my.jsonl"
    async with simulated(World(**SMALL)) as pbs:
        code, lines = await ended(file, environment(pbs), capsys)
    answers = len(Recording.read(file).answers)
    assert (code, lines) == (0, [f"record: {answers} answers are in {file}: read it before you publish it"])
    assert answers > 20
    assert Replay(file).recorded == pytest.approx(time.time(), abs=30)


async def test_settings_come_from_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--config` names the exporter's settings file; without verification the tool warns as the exporter does."""
    settings = tmp_path / "settings.toml"
    async with simulated(World(**SMALL)) as pbs:
        settings.write_text(
            f'[pbs]\nendpoint = "{pbs.endpoint}"\ntoken_id = "{pbs.token_id}"\ntoken_secret = "{pbs.secret}"\n'
        )
        arguments = ["--config", str(settings), str(tmp_path / "my.jsonl")]
        assert await asyncio.to_thread(main, arguments, {}) == 0
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith("record: warning: PBS's certificate is not verified")


async def test_a_request_without_an_answer_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed request is named, and the other answers are written."""
    world = World(**SMALL)
    store = world.stores[0].name
    async with simulated(world) as pbs:
        pbs.faults.add("/nodes/*/services", Fault.reset())
        pbs.faults.add(f"/admin/datastore/{store}/namespace", Fault.reset())
        code, lines = await ended(tmp_path / "my.jsonl", environment(pbs), capsys)
    assert code == 0
    assert [line.partition(": the connection ")[0] for line in lines[:-1]] == [
        f"record: warning: not recorded: {request}" for request in (f"namespaces({store})", "services()")
    ]
    assert lines[-1].startswith("record: ")


async def test_answers_without_sense_are_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that isn't PBS's JSON is recorded as any other, without its text."""
    file = tmp_path / "my.jsonl"
    async with simulated(World(**SMALL)) as pbs:
        pbs.faults.add("/admin/gc", Fault.body(b"<html>private</html>"))
        pbs.faults.add("/admin/datastore/*/namespace", Fault.json({"data": "private"}))
        assert (await ended(file, environment(pbs), capsys))[0] == 0
    text = await asyncio.to_thread(file.read_text)
    assert '{"path":"/admin/gc","token":"exporter","status":200,"headers":{"Content-Type":"text/html"}' in text
    assert "private" not in text
    assert {answer.path for answer in Recording.read(file).answers} >= {"/admin/datastore/datastore1/namespace"}


async def test_a_refused_token_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused token costs one request, and gives exit code 1 and no file."""
    async with simulated(World(**SMALL)) as pbs:
        code, lines = await ended(tmp_path / "my.jsonl", environment(pbs, token_secret="wrong"), capsys)
        assert [request.path for request in pbs.requests] == ["/version"]
    assert (code, lines) == (1, ["record: 401 authentication failed"])
    assert nothing_in(tmp_path)


async def test_a_dead_pbs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint without a server gives exit code 1 and no file."""
    async with simulated(World(**SMALL)) as pbs:
        environ = environment(pbs)
    code, lines = await ended(tmp_path / "my.jsonl", environ, capsys)
    port = pbs.endpoint.rpartition(":")[2]
    assert (code, lines) == (1, [f"record: nothing listens on 127.0.0.1:{port} (connection refused)"])
    assert nothing_in(tmp_path)


async def test_a_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the file exists, PBS isn't asked and the file stays as it is."""
    file = tmp_path / "my.jsonl"
    file.write_text("kept")
    async with simulated(World(**SMALL)) as pbs:
        assert await ended(file, environment(pbs), capsys) == (1, [f"record: {file} exists: choose another name"])
        assert not pbs.requests
    assert file.read_text() == "kept"


async def test_a_folder_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that can't be written gives exit code 1."""
    file = tmp_path / "missing" / "my.jsonl"
    async with simulated(World(**SMALL)) as pbs:
        code, lines = await ended(file, environment(pbs), capsys)
    assert (code, lines) == (1, [f"record: can't write {file}: no such file or directory"])


async def test_missing_settings_are_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without settings each required one is named."""
    code, lines = await ended(tmp_path / "my.jsonl", {}, capsys)
    assert code == 1
    assert [line.split()[1] for line in lines] == [
        f"PBS_EXPORTER__PBS__{name}" for name in ("ENDPOINT", "TOKEN_ID", "TOKEN_SECRET")
    ]
