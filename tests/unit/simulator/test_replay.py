"""Recordings, and the answers of a replay: the recorded ones, and those that PBS would return otherwise."""

import json
from pathlib import Path

import pytest

from pbs_exporter.simulator import Replay
from pbs_exporter.simulator.answer import UNAUTHORIZED
from pbs_exporter.simulator.recording import RecordedAnswer, Recording
from tests.support.paths import RECORDINGS, recording_file
from tests.support.simulator_client import OF_A_HANDLER, one_line, served


@pytest.mark.parametrize("token", ["exporter", "without-rights"])
@pytest.mark.parametrize("name", RECORDINGS)
async def test_replay_gives_each_answer_as_it_was_recorded(name: str, token: str) -> None:
    """Status, body and headers of a replay are those of the recording."""
    file = recording_file(name)
    async with served(Replay(file, token)) as client:
        logins = {token: None, "wrong-secret": f"PBSAPIToken={client.pbs.token_id}:wrong", "no-token": ""}
        for recorded in map(json.loads, file.read_text().split("\n")[1:-1]):
            if recorded["token"] not in logins:
                continue
            asked = recorded["path"] + (f"?{recorded['query']}" if "query" in recorded else "")
            reply = await client.get(asked, login=logins[recorded["token"]])
            body = recorded["text"] if "text" in recorded else one_line(recorded["body"])
            assert (reply.status, reply.text) == (recorded["status"], body), asked
            headers = recorded.get("headers", OF_A_HANDLER)
            for header in ("Content-Type", "Content-Encoding", "Set-Cookie", "Transfer-Encoding"):
                assert reply.headers.get(header) == headers.get(header), (asked, header)


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        ("/nodes/localhost/tasks?limit=0&since=17", "/nodes/localhost/tasks?limit=0"),
        ("/nodes/localhost/tasks?since=17&limit=0", "/nodes/localhost/tasks?limit=0"),
        ("/nodes/localhost/tasks?running=1&limit=0", "/nodes/localhost/tasks?running=1"),
        ("/admin/datastore/main/snapshots?ns=", "/admin/datastore/main/snapshots"),
        ("/admin/datastore/main/snapshots?ns=prod/db", "/admin/datastore/main/snapshots?ns=prod%2Fdb"),
        ("/admin/datastore/ma%69n/groups", "/admin/datastore/main/groups"),
    ],
)
async def test_replay_knows_the_same_question_in_other_words(asked: str, recorded: str) -> None:
    """`since`, an empty `ns`, the order and the encoding of parameters don't matter to a replay."""
    async with served(Replay(recording_file("pbs-4.2.3"))) as client:
        assert (await client.get(asked)).body == (await client.get(recorded)).body


async def test_replay_lists_single_groups() -> None:
    """The listing of one group is built from the recorded one."""
    async with served(Replay(recording_file("pbs-4.2.3"))) as client:
        rows = (await client.get("/admin/datastore/main/snapshots?backup-type=vm&backup-id=100")).data
        everything = (await client.get("/admin/datastore/main/snapshots")).data
        offline = await client.get("/admin/datastore/offline/snapshots?backup-type=vm")
    assert rows == [row for row in everything if (row["backup-type"], row["backup-id"]) == ("vm", "100")]
    assert len(rows) == 3
    assert (offline.status, offline.text[:19]) == (400, "datastore 'offline'")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/admin/datastore/other/status", 400, "no such datastore 'other'"),
        ("/admin/datastore/main/snapshots?ns=none", 400, "ENOENT: No such file or directory"),
        ("/not/there", 404, "Path '/api2/json/not/there' not found."),
        ("/nodes/localhost/tasks?limit=7", 400, "not recorded: /nodes/localhost/tasks {'limit': '7'}"),
        (
            "/admin/gc?x=1",
            400,
            "parameter verification failed - 'x': schema does not allow additional properties.",
        ),
    ],
)
async def test_replay_refuses_what_was_not_recorded(path: str, status: int, text: str) -> None:
    """A request that wasn't recorded is answered as PBS would, if that is known."""
    async with served(Replay(recording_file("pbs-4.2.3"))) as client:
        reply = await client.get(path)
    assert (reply.status, reply.text) == (status, text)


async def test_replay_of_an_old_server_lacks_what_that_lacked() -> None:
    """A path that the recorded PBS answered with 404 is a 404 again."""
    async with served(Replay(recording_file("pbs-3.2.4"))) as client:
        reply = await client.get("/status/metrics?history=1")
    assert (reply.status, reply.text) == (404, "Path '/api2/json/status/metrics' not found.")


def answer(content: bytes, path: str = "/version", query: str = "") -> RecordedAnswer:
    return RecordedAnswer.make(content, path=path, query=query, token="exporter", status=200)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b'{"data": [1.5, "\xe2\x98\x81", null]}', '"body":{"data":[1.5,"☁",null]}'),
        (b'{"b":1,"a":"\\u2028\\n"}', '"body":{"b":1,"a":"\u2028\\n"}'),
        (b'""', '"body":""'),
        (b"no such datastore", '"text":"no such datastore"'),
        (b'{"data":[', '"text":"{\\"data\\":["'),
        (b'{"data":1e400}', '"text":"{\\"data\\":1e400}"'),
        (b'{"data":NaN}', '"text":"{\\"data\\":NaN}"'),
    ],
)
def test_body_is_json_if_a_reader_gets_the_same_value_back(content: bytes, kept: str, tmp_path: Path) -> None:
    """A JSON body is kept as JSON, on one line with its keys in order; any other body is kept as text."""
    file = tmp_path / "my.jsonl"
    file.write_bytes(Recording(17, [answer(content)]).encode())
    line = file.read_text().split("\n")[1]
    assert line == f'{{"path":"/version","token":"exporter","status":200,{kept}}}'
    (read,) = Recording.read(file).answers
    value = kept.partition(":")[2]
    assert read.content.decode() == (value if '"body"' in kept else content.decode())


def test_an_empty_body_stays_empty(tmp_path: Path) -> None:
    """An answer without a body has neither `body` nor `text`."""
    file = tmp_path / "my.jsonl"
    file.write_bytes(Recording(17, [answer(b"")]).encode())
    assert file.read_text().split("\n")[1] == '{"path":"/version","token":"exporter","status":200}'
    assert Recording.read(file).answers[0].content == b""


def test_lines_are_sorted(tmp_path: Path) -> None:
    """After the header, answers are sorted by path and query, whatever the order of the requests."""
    file = tmp_path / "my.jsonl"
    asked = [("/b", ""), ("/a", "ns=b"), ("/a", ""), ("/a", "ns=a")]
    file.write_bytes(Recording(17, [answer(b"1", path, query) for path, query in asked]).encode())
    assert file.read_text().startswith('{"recorded":17}\n')
    read = Recording.read(file)
    assert [(line.path, line.query) for line in read.answers] == sorted(asked)
    assert read.time == 17


def test_replay_refuses_logins_that_nobody_recorded(tmp_path: Path) -> None:
    """Without a recorded failed login, a login is refused as by the current PBS."""
    file = tmp_path / "my.jsonl"
    file.write_bytes(Recording(17, [answer(b'{"data":{}}')]).encode())
    assert Replay(file).unauthorized("wrong-secret") == UNAUTHORIZED
