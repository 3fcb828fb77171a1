"""The answers of a recorded PBS as a source for the simulated one."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import msgspec

from pbs_exporter.simulator import api
from pbs_exporter.simulator.answer import (
    UNAUTHORIZED,
    Answer,
    Call,
    LoginFailure,
    RefusedError,
    no_such_datastore,
    no_such_namespace,
)
from pbs_exporter.simulator.recording import OF_A_HANDLER, RecordedAnswer, Recording
from pbs_exporter.simulator.world.access_rows import permissions_on

_OK, _UNAUTHORIZED = 200, 401
_NO_LIMIT = ("limit", "0")
_NO_SMART = ("skipsmart", "1")
_PERMISSIONS = "/access/permissions"
_OF_A_GROUP = ("backup-type", "backup-id")
_DROPPED = {"content-encoding", "transfer-encoding", "content-type", "date"}

_Query = tuple[tuple[str, str], ...]


class Replay:
    """The answers of a recorded PBS, as `token` got them.

    A query that wasn't recorded gets the nearest answer: `since` and an empty `ns` are ignored, and so is `limit=0`,
    because the recorded list is complete. A list of disks is the one without SMART values, and the privileges on a path
    are taken from all.
    """

    def __init__(self, file: Path, token: str = "exporter") -> None:  # noqa: S107 - names a login
        recording = Recording.read(file)
        self.recorded = recording.time
        """The Unix time of the recording. The clock of whoever asks a replay must show it."""
        self._answers: dict[tuple[str, _Query], Answer] = {}
        self._stores: set[str] = set()
        self._failures: dict[str, Answer] = {}
        for recorded in recording.answers:
            if recorded.token == token:
                path = unquote(recorded.path)
                self._answers[path, _query(recorded.query)] = _answer(recorded)
                found = api.find(path)
                if found and "store" in found[1]:
                    self._stores.add(found[1]["store"])
            elif recorded.status == _UNAUTHORIZED:
                self._failures[recorded.token] = _answer(recorded)

    def pbs_time(self) -> float:
        """Return the time of the recording."""
        return self.recorded

    def unauthorized(self, failure: LoginFailure) -> Answer:
        """Return the recorded answer to a failed login, or that of PBS 4.1.2 and later if there is none."""
        return self._failures.get(failure, UNAUTHORIZED)

    def answer(self, call: Call) -> Answer:
        """Return the recorded answer."""
        path = unquote(call.path)
        query = tuple(sorted(call.query))
        group = {name: value for name, value in query if name in _OF_A_GROUP}
        if group and path.endswith("/snapshots"):
            rest = tuple(pair for pair in query if pair[0] not in group)
            return _of_group(self._lookup(call, path, rest), group)
        if path == _PERMISSIONS and (of_path := dict(query).get("path")):
            return _on_path(self._lookup(call, path, ()), of_path)
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
            # PBS refuses a part if it refuses the whole.
            return whole
        if "ns" in dict(query):
            raise no_such_namespace()
        raise RefusedError(400, f"not recorded: {path} {dict(query)}")


def _of_group(listing: Answer, group: dict[str, str]) -> Answer:
    """Return the rows of one group (or of one type or ID) in `listing`."""
    if listing.status != _OK:
        return listing
    rows = msgspec.json.decode(listing.body)["data"]
    chosen = [row for row in rows if all(row[name] == value for name, value in group.items())]
    return Answer.stream(msgspec.json.encode(chosen))


def _on_path(permissions: Answer, path: str) -> Answer:
    """Return the privileges on one path."""
    if permissions.status != _OK:
        return permissions
    return Answer.data(permissions_on(path, msgspec.json.decode(permissions.body)["data"]))


def _answer(recorded: RecordedAnswer) -> Answer:
    headers = OF_A_HANDLER if recorded.headers is None else recorded.headers
    names = {name.lower(): value for name, value in headers.items()}
    return Answer(
        status=recorded.status,
        body=recorded.content,
        content_type=names.get("content-type"),
        headers={name: value for name, value in headers.items() if name.lower() not in _DROPPED},
        compressible="content-encoding" in names,
        streamed=recorded.status == _OK and recorded.path.endswith(("/snapshots", "/tasks")),
    )


def _query(text: str) -> _Query:
    return tuple(sorted(parse_qsl(text, keep_blank_values=True)))


def _nearest(query: _Query) -> Iterable[_Query]:
    yield query
    # Older recordings have the list of disks without SMART values only.
    yield tuple(sorted((*query, _NO_SMART)))
    lenient = tuple(pair for pair in query if pair[0] not in {"since", "_dc"} and pair != ("ns", ""))
    yield lenient
    yield tuple(pair for pair in lenient if pair != _NO_LIMIT)
