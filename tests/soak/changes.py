"""What goes wrong during a soak: faults of answers, and events in the life of PBS."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from pbs_exporter.pbs.http.token_auth import PATIENCE
from pbs_exporter.simulator import Answer, Fault, SimulatedPbs, World
from pbs_exporter.simulator.exchange import Exchange
from pbs_exporter.simulator.world.node_rows import VERSION
from tests.support.fault_effects import LOST
from tests.support.running import STATUS

OLDER_RELEASE = "1"
"""The release of PBS while it lacks an endpoint."""

_LACKED = "/status/metrics"
_GROUPS = "/admin/datastore/{store}/groups"
_PATTERNS = (*LOST, STATUS, _GROUPS, "/admin/datastore/main/*", "/admin/datastore/*", "*", "*")
"""Where faults happen: each endpoint, all of one datastore, all of all datastores, and everywhere."""

_HTML = b"<html><title>Log in</title></html>"
_BODIES = (b"", b'{"success":1}', b'{"data":{"version":"4\xff"}}', b"\xff\x00", b"[" * 1000, b"[" * 1_000_000)
_RAW = (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200\r\n" + b"x" * 70_000)
_TEXTS = ("", "1", "\x00\x1b[31m", "x" * 5000, '"}\n# HELP', "größer 💾")
_VALUES: Sequence[Any] = (None, -1, 1.5, 1e300, 2**63, [], {}, True, *_TEXTS)
_DATA: Sequence[Any] = (None, "none", 7, [], {}, [None], [[1]], {"data": 1})


def _spoiled(seed: int) -> Callable[[Any], object]:
    """Return a function that replaces a field of an object, or of every third row."""

    def spoil(data: Any) -> object:
        random = Random(seed)  # noqa: S311 - reproducible
        if isinstance(data, list):
            return [row if index % 3 else of_row(row, random) for index, row in enumerate(data)]
        return of_row(data, random)

    def of_row(row: Any, random: Random) -> object:
        value = random.choice(_VALUES)
        return {**row, random.choice(sorted(row)): value} if isinstance(row, dict) and row else value

    return spoil


def _halved(data: Any) -> object:
    return data[::2] if isinstance(data, list) else None


def _doubled(data: Any) -> object:
    return [*data, *data] if isinstance(data, list) else {}


def _wrong_rows(number: int) -> bytes:
    return b'{"data":[%s]}' % b",".join([b'{"upid":1}'] * number)


def _echo(length: int) -> Fault:
    """Answer as a proxy that shows what it got, cut after some characters."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        text = f"bad request: {exchange.request.headers.get(hdrs.AUTHORIZATION, '')}"
        return await exchange.send(Answer.text(500, text[:length]))

    return Fault(act)


FAULTS: Mapping[str, tuple[Callable[[Random], Fault], ...]] = {
    "status": (
        lambda random: Fault.status(random.choice((400, 403, 404, 500, 503)), "no such disk"),
        lambda _: Fault.status(401, "who are you?"),
        lambda _: Fault.status(503, "", content_type=None),
    ),
    "body": (
        lambda random: Fault.body(_HTML, random.choice((200, 502, 504))),
        lambda random: Fault.body(random.choice(_BODIES)),
        lambda random: Fault.body(_wrong_rows(random.choice((10, 20_000)))),
    ),
    "json": (lambda random: Fault.json(random.choice(_DATA)),),
    "redirect": (lambda _: Fault.redirect("https://elsewhere.invalid/login"),),
    "slow": (lambda random: Fault.slow(random.uniform(0.05, 1.8)),),
    "rows": (
        lambda _: Fault.rows(_halved),
        lambda _: Fault.rows(_doubled),
        lambda random: Fault.rows(_spoiled(random.getrandbits(32))),
    ),
    "truncated": (lambda _: Fault.truncated(),),
    "reset": (lambda _: Fault.reset(),),
    "stall": (lambda _: Fault.stall(),),
    "stall_body": (lambda _: Fault.stall_body(),),
    "cut": (lambda _: Fault.cut(),),
    "partial_head": (lambda _: Fault.partial_head(),),
    "raw": (lambda random: Fault.raw(random.choice(_RAW)),),
    "drop_kept": (lambda _: Fault.drop_kept(),),
    "huge": (lambda random: Fault.huge(random.choice((70_000, 2_000_000))),),
    "echo": (lambda random: _echo(random.choice((10, 50, 60, 70, 500))),),
}
"""Ways to make each kind of fault. All but the last are the simulated PBS's own, by the name of their method."""

Undo = Callable[[], Awaitable[None]]


class WorldClock:
    """The time of PBS, which passes only between changes: two exporters can see the same moment."""

    def __init__(self, now: float) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def pass_by(self, seconds: float) -> None:
        self._now += seconds


class Changes:
    """The sequence of changes, which depends on `random` alone.

    `release` scrapes, and returns the release of PBS that the page names.
    """

    def __init__(
        self,
        pbs: SimulatedPbs,
        world: World,
        clock: WorldClock,
        random: Random,
        *,
        secret_file: Path,
        release: Callable[[], Awaitable[str | None]],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.secrets = [pbs.secret]
        """All secrets that the exporter was given."""
        self._pbs = pbs
        self._world = world
        self._clock = clock
        self._secret_file = secret_file
        self._random = random
        self._release = release
        self._undo: dict[str, Undo] = {}
        self._untried: list[str] = []
        self._replaced_at = time.monotonic()
        self._changing = asyncio.Lock()

    async def next(self) -> None:
        """Wait, in most cases end what is wrong, and begin something new. One change at a time."""
        async with self._changing:
            await self._next()

    async def _next(self) -> None:
        # A page that has changed takes long to parse, so it doesn't change each time.
        self._clock.pass_by(self._random.choice((0, 0, 30, 120)))
        if self._random.random() < 0.7 or "older PBS" in self._undo:
            await self.mend()
        # Each once before any comes again.
        self._untried = self._untried or [*FAULTS, *EVENTS]
        for _ in range(min(self._random.choice((1, 1, 2, 3)), len(self._untried))):
            name = self._untried.pop(self._random.randrange(len(self._untried)))
            if name in FAULTS:
                self._arm(name)
            elif name not in self._undo:
                await self.begin(name)
            if name == "older PBS":
                # It is alone: what it lacks is remembered until its version changes, so the exporter must have seen it.
                return

    async def begin(self, event: str) -> None:
        """Begin an event, which lasts until `mend`."""
        self.counts[event] += 1
        self._undo[event] = await EVENTS[event](self)

    async def mend(self, *, same_token: bool = False) -> bool:
        """End all that is wrong.

        A token that was refused until the exporter pauses is replaced, or given back as it was with `same_token`.
        Return whether the exporter may pause.
        """
        while self._undo:
            _, undo = self._undo.popitem()
            await undo()
        self._pbs.faults.clear()
        refusals = sum(one.status == 401 and one.started > self._replaced_at for one in self._pbs.requests)
        if refusals >= PATIENCE and not same_token:
            self._replace_token()
        return refusals >= PATIENCE and same_token

    def _arm(self, kind: str) -> None:
        self.counts[kind] += 1
        fault = self._random.choice(FAULTS[kind])(self._random)
        times = self._random.choice((None, None, 1, 5, 20))
        self._pbs.faults.add(self._random.choice(_PATTERNS), fault, times)

    def _replace_token(self) -> None:
        self.counts["token replaced"] += 1
        self._pbs.secret = self._new_secret()
        self._replaced_at = time.monotonic()
        self.secrets.append(self._pbs.secret)
        self._secret_file.write_text(self._pbs.secret, encoding="ascii")

    def _new_secret(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    async def _revoke_token(self) -> Undo:
        return _replace(self._pbs, "secret", self._new_secret())

    async def _stop(self) -> Undo:
        port = int(self._pbs.endpoint.rpartition(":")[2])
        await self._pbs.stop()
        return lambda: self._pbs.start(port)

    async def _downgrade(self) -> Undo:
        await self.mend()
        self._pbs.faults.add("/version", Fault.json({**VERSION, "release": OLDER_RELEASE}))
        self._pbs.faults.add(_LACKED, Fault.status(404, f"Path '/api2/json{_LACKED}' not found."))

        async def upgrade() -> None:
            shown = [await self._release() for _ in range(3)]
            assert OLDER_RELEASE in shown, f"PBS is of release {OLDER_RELEASE}, the pages have {shown}"

        return upgrade

    async def _take_privilege(self) -> Undo:
        taken = self._random.choice(sorted(self._world.privileges))
        return _replace(self._world, "privileges", self._world.privileges - {taken})

    async def _remove_datastore(self) -> Undo:
        removed = self._random.choice(self._world.stores)
        return _replace(self._world, "stores", [store for store in self._world.stores if store is not removed])

    async def _maintain(self) -> Undo:
        return _replace(self._random.choice(self._world.stores), "maintenance", "offline,message=disk swap")

    async def _unplug(self) -> Undo:
        removable = [store for store in self._world.stores if store.removable]
        return _replace(self._random.choice(removable or self._world.stores), "mounted", value=False)

    async def _remove_namespace(self) -> Undo:
        store = max(self._world.stores, key=lambda store: len(store.namespaces))
        removed = self._random.choice(sorted(store.namespaces))
        kept = {name: groups for name, groups in store.namespaces.items() if not name or name != removed}
        return _replace(store, "namespaces", kept)

    async def _remove_group(self) -> Undo:
        store = self._random.choice(self._world.stores)
        name = self._random.choice(sorted(store.namespaces))
        return _replace(store, "namespaces", {**store.namespaces, name: store.namespaces[name][1:]})


EVENTS: Mapping[str, Callable[[Changes], Awaitable[Undo]]] = {
    "PBS away": Changes._stop,
    "older PBS": Changes._downgrade,
    "token revoked": Changes._revoke_token,
    "privilege taken": Changes._take_privilege,
    "datastore removed": Changes._remove_datastore,
    "datastore in maintenance": Changes._maintain,
    "disk unplugged": Changes._unplug,
    "namespace removed": Changes._remove_namespace,
    "group removed": Changes._remove_group,
}
"""How each event begins."""


def _replace(holder: object, name: str, value: object) -> Undo:
    """Replace an attribute. Handlers of PBS may be reading the old value in a thread, so that is left as it is."""
    before = getattr(holder, name)
    setattr(holder, name, value)

    async def restore() -> None:
        setattr(holder, name, before)

    return restore
