from pathlib import Path

import pytest

from pbs_exporter.simulator import Replay
from pbs_exporter.simulator.answer import UNAUTHORIZED
from pbs_exporter.simulator.recording import RecordedAnswer, Recording


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
