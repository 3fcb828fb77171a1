"""Answers of a replay: the recorded ones, and those that PBS would return otherwise."""

import json

import pytest

from pbs_exporter.simulator import Replay
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
