"""The source of the simulated PBS's answers."""

import json
import time
from dataclasses import replace

from benchmarks.floods import flooded
from benchmarks.inputs import Input
from pbs_exporter.simulator import Answer, Call, World
from pbs_exporter.simulator.answer import LoginFailure

_DAY = 86_400
_NOON = _DAY // 2
_CACHED = ("/groups", "/snapshots")


class StaticSource:
    """A generated world at a fixed time. It caches large answers, because the client is measured, not the world."""

    def __init__(self, size: Input) -> None:
        self._input = size
        self._world = World(
            size.datastores,
            size.namespaces,
            size.groups,
            size.snapshots,
            seed=1,
            now=_last_noon,
            task_history_seconds=size.task_history_seconds,
        )
        self._answers: dict[tuple[str, tuple[tuple[str, str], ...]], Answer] = {}
        self._flooded, self._flood = flooded(size.flood, size.flood_rows) if size.flood else ("", b"")

    def answer(self, call: Call) -> Answer:
        """Return the world's answer; delayed if it lists a whole namespace."""
        if call.path == self._flooded:
            return Answer(200, self._flood)
        if call.path.endswith("/snapshots") and not any(name.startswith("backup-") for name, _ in call.query):
            # The server calls this in a thread.
            time.sleep(self._input.full_listing_seconds)
        if not call.path.endswith(_CACHED):
            return self._as_sent(call)
        key = (call.path, tuple(call.query))
        if key not in self._answers:
            self._answers[key] = self._as_sent(call)
        return self._answers[key]

    def pbs_time(self) -> float:
        """Return the world's time."""
        return self._world.pbs_time()

    def unauthorized(self, failure: LoginFailure) -> Answer:
        """Return the answer to a failed login."""
        return self._world.unauthorized(failure)

    def _as_sent(self, call: Call) -> Answer:
        answer = self._world.answer(call)
        if self._input.is_idle and call.path.endswith("/tasks"):
            answer = Answer.data([task for task in json.loads(answer.body)["data"] if "endtime" in task])
        if call.path.endswith("/snapshots") and (self._input.is_unlike or self._input.has_blanks):
            answer = replace(answer, body=_rewritten(answer.body, self._input))
        return answer if self._input.deflate else replace(answer, compressible=False)


def _rewritten(body: bytes, size: Input) -> bytes:
    rows = json.loads(body)["data"]
    if size.is_unlike:
        for number, row in enumerate(rows):
            row["comment"] = f"guest of note {number}"
            start = row["backup-time"] + number % 3600
            upid = f"UPID:pbs:{number:08X}:00000000:{number:08X}:{start:08X}:verify_snapshot:main:root@pam:"
            row["verification"] = {"upid": upid, "state": "ok"}
    return json.dumps({"data": rows}, separators=None if size.has_blanks else (",", ":")).encode()


def _last_noon() -> float:
    """Return the last noon (Unix seconds), so that the same backups run in every benchmark."""
    return (time.time() - _NOON) // _DAY * _DAY + _NOON
