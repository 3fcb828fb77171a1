"""Recorded answers of a real PBS, served again."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import msgspec

from pbs_exporter.simulator import api
from pbs_exporter.simulator.answer import (
    Answer,
    Call,
    LoginFailure,
    RefusedError,
    no_such_datastore,
    no_such_namespace,
)

_ROOT = "/api2/json"
_OK, _UNAUTHORIZED = 200, 401
_NO_LIMIT = ("limit", "0")
_NO_SMART = ("skipsmart", "1")
_OF_A_GROUP = ("backup-type", "backup-id")
_DROPPED = {"content-encoding", "transfer-encoding", "content-type", "date"}

_Query = tuple[tuple[str, str], ...]


class _Recorded(msgspec.Struct, frozen=True):
    path: str
    query: str
    token: str
    status: int
    headers: dict[str, str]
    body: str


class _Index(msgspec.Struct, frozen=True):
    recorded: int
    answers: list[_Recorded]


class Replay:
    """The answers in a folder of `tests/recorded`, as they were given to `token`.

    A query that wasn't recorded gets the answer of the nearest one: without `since` and an empty `ns`, and,
    as a list that PBS didn't cut is the same with any limit, without `limit=0`.
    The list of disks is the one without SMART values.
    """

    def __init__(self, folder: Path, token: str = "exporter") -> None:  # noqa: S107 - names a recording
        index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
        self.recorded = index.recorded
        """The Unix time at which the recording was made, and at which a replay belongs."""
        self._answers: dict[tuple[str, _Query], Answer] = {}
        self._stores: set[str] = set()
        self._failures: dict[str, Answer] = {}
        for recorded in index.answers:
            answer = _answer(recorded, (folder / recorded.body).read_bytes())
            if recorded.token == token:
                key = (unquote(recorded.path.removeprefix(_ROOT)), _query(recorded.query))
                self._answers[key] = answer
                found = api.find(key[0])
                if found and "store" in found[1]:
                    self._stores.add(found[1]["store"])
            elif recorded.status == _UNAUTHORIZED:
                self._failures[recorded.token] = answer

    def unauthorized(self, failure: LoginFailure) -> Answer:
        """Return what the recorded PBS said to a failed login."""
        return self._failures[failure]

    def answer(self, call: Call) -> Answer:
        """Return what was recorded."""
        path = unquote(call.path)
        query = tuple(sorted(call.query))
        group = {name: value for name, value in query if name in _OF_A_GROUP}
        if group and path.endswith("/snapshots"):
            rest = tuple(pair for pair in query if pair[0] not in group)
            return _of_group(self._lookup(call, path, rest), group)
        return self._lookup(call, path, query)

    def _lookup(self, call: Call, path: str, query: _Query) -> Answer:
        for nearest in _nearest(query):
            if (path, nearest) in self._answers:
                return self._answers[path, nearest]
        found = api.find(call.path)
        if found is None:
            raise api.not_found(call.path)
        endpoint, names = found
        api.read_params(endpoint, query)
        if "store" in names and names["store"] not in self._stores:
            raise no_such_datastore(names["store"])
        whole = self._answers.get((path, ()))
        if whole is None:
            raise api.not_found(call.path)
        if whole.status != _OK:
            # What is refused as a whole is refused in parts.
            return whole
        if "ns" in dict(query):
            raise no_such_namespace()
        raise RefusedError(400, f"not recorded: {path} {dict(query)}")


def _of_group(listing: Answer, group: dict[str, str]) -> Answer:
    """Return the rows of `listing` that PBS would have given for one group (or for one type or ID)."""
    if listing.status != _OK:
        return listing
    rows = msgspec.json.decode(listing.body)["data"]
    chosen = [row for row in rows if all(row[name] == value for name, value in group.items())]
    return Answer.stream(msgspec.json.encode(chosen))


def _answer(recorded: _Recorded, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in recorded.headers.items()}
    path = recorded.path
    return Answer(
        status=recorded.status,
        body=body,
        content_type=headers.get("content-type"),
        headers={k: v for k, v in recorded.headers.items() if k.lower() not in _DROPPED},
        compressible="content-encoding" in headers,
        streamed=recorded.status == _OK and path.endswith(("/snapshots", "/tasks")),
    )


def _query(text: str) -> _Query:
    return tuple(sorted(parse_qsl(text, keep_blank_values=True)))


def _nearest(query: _Query) -> Iterable[_Query]:
    yield query
    # Recorded without SMART values, for which these machines had no disks.
    yield tuple(sorted((*query, _NO_SMART)))
    lenient = tuple(pair for pair in query if pair[0] not in {"since", "_dc"} and pair != ("ns", ""))
    yield lenient
    yield tuple(pair for pair in lenient if pair != _NO_LIMIT)
