"""The endpoints of a generated world: one table, and a function for each that has more than a line to say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from pbs_exporter.simulator import api, jobs, node, upkeep
from pbs_exporter.simulator.answer import Answer, RefusedError, no_such_datastore, no_such_namespace
from pbs_exporter.simulator.counters import points
from pbs_exporter.simulator.layout import Datastore
from pbs_exporter.simulator.plan import Plan
from pbs_exporter.simulator.snapshots import Listings, count, group_rows
from pbs_exporter.simulator.stores import gc_row, gc_status, list_row, s3_statistics, sizes, usage_row
from pbs_exporter.simulator.tasks import task_list


class Ask(msgspec.Struct, frozen=True):
    """A call, and the world that it is about."""

    now: int
    stores: Sequence[Datastore]
    plans: Sequence[Plan]
    tape: Plan
    """The plan that uses the tape drive."""
    privileges: AbstractSet[str]
    """Of the token, on `/`."""
    task_history_seconds: int
    listings: Listings
    names: Mapping[str, str]
    """The variables of the path."""
    params: api.Params
    fingerprint: str

    def open(self, name: str) -> Datastore:
        """Return a datastore if it is there and can be used."""
        store = next((store for store in self.stores if store.name == name), None)
        if store is None:
            raise no_such_datastore(name)
        problem = store.problem(self.now)
        if problem is not None:
            raise RefusedError(400, problem)
        return store

    def open_namespace(self) -> tuple[Datastore, str]:
        """Return the call's datastore and namespace."""
        store, namespace = self.open(self.names["store"]), str(self.params.get("ns", ""))
        if namespace not in store.namespaces:
            raise no_such_namespace()
        return store, namespace


def _snapshots(ask: Ask) -> Answer:
    store, namespace = ask.open_namespace()
    wanted = {name: str(value) for name, value in ask.params.items() if name.startswith("backup-")}
    if wanted:
        return ask.listings.some(store, namespace, ask.now, wanted)
    return ask.listings.all(store, namespace, ask.now)


def _groups(ask: Ask) -> Answer:
    store, namespace = ask.open_namespace()
    return Answer.data(group_rows(store, namespace, ask.now))


def _namespaces(ask: Ask) -> Answer:
    store, parent = ask.open(ask.names["store"]), str(ask.params.get("parent", ""))
    names = [name for name in store.namespaces if not parent or name == parent or name.startswith(f"{parent}/")]
    depth = ask.params.get("max-depth")
    if isinstance(depth, int):
        names = [name for name in names if _level(name) - _level(parent) <= depth]
    return Answer.data([{"ns": name} for name in names])


def _level(namespace: str) -> int:
    return namespace.count("/") + 1 if namespace else 0


def _status(ask: Ask) -> Answer:
    store = ask.open(ask.names["store"])
    row = sizes(store, ask.now) | {"backend-type": store.backend}
    if store.backend == "s3":
        row["s3-statistics"] = s3_statistics(store, ask.now)
    if ask.params.get("verbose") is True:
        row |= {"counts": count(store), "gc-status": gc_status(store, ask.now)}
    return Answer.data(row)


def _gc(ask: Ask) -> Answer:
    return Answer.data(gc_row(ask.open(ask.names["store"]), ask.now))


def _all_gc(ask: Ask) -> Answer:
    if "store" in ask.params:
        return Answer.data([gc_row(ask.open(str(ask.params["store"])), ask.now)])
    return Answer.data([gc_row(store, ask.now) for store in ask.stores if store.problem(ask.now) is None])


def _tasks(ask: Ask) -> Answer:
    return task_list(ask.plans, ask.params, ask.now, ask.task_history_seconds)


def _node_status(ask: Ask) -> Answer:
    running = sum(plan.rhythm.running(ask.now) is not None for plan in ask.plans)
    return Answer.data(node.status(ask.now, running, ask.fingerprint))


def _users(ask: Ask) -> Answer:
    rows = node.users(upkeep.token_expires(ask.now))
    if ask.params.get("include_tokens") is not True:
        rows = [{name: value for name, value in row.items() if name != "tokens"} for row in rows]
    return Answer.data(rows, digest=_DIGEST)


def _disks(ask: Ask) -> Answer:
    return Answer.data(upkeep.disks(ask.now, smart=ask.params.get("skipsmart") is not True))


def _sync_jobs(ask: Ask) -> Answer:
    every = ask.params.get("sync-direction") == "all"
    return _of_store(ask, jobs.sync_jobs(ask.now, remotes="Remote.Audit" in ask.privileges, every=every))


def _of_store(ask: Ask, rows: Iterable[Mapping[str, object]]) -> Answer:
    """Return jobs of the datastores that are there, or of the one that the call is about."""
    wanted = [ask.params["store"]] if "store" in ask.params else [store.name for store in ask.stores]
    return Answer.data([row for row in rows if row["store"] in wanted], digest=_DIGEST)


def _tape(ask: Ask, rows: Sequence[object]) -> Answer:
    """Return rows that only who may audit tapes sees; nobody is told that there are more."""
    return Answer.data(rows if "Tape.Audit" in ask.privileges else [])


_DIGEST: Final = "f903253c84febfd184e0bdc7f1913cdaaf5cb967ec5fae43f614838230093b0a"

ENDPOINTS: Final[Mapping[str, Callable[[Ask], Answer]]] = {
    "/ping": lambda _: Answer.data(node.PING),
    "/version": lambda _: Answer.data(node.VERSION),
    "/access/permissions": lambda ask: Answer.data(node.permissions(ask.privileges)),
    "/access/users": _users,
    "/admin/datastore": lambda ask: Answer.data([list_row(store, ask.now) for store in ask.stores]),
    "/admin/datastore/{store}/gc": _gc,
    "/admin/datastore/{store}/groups": _groups,
    "/admin/datastore/{store}/namespace": _namespaces,
    "/admin/datastore/{store}/snapshots": _snapshots,
    "/admin/datastore/{store}/status": _status,
    "/admin/gc": _all_gc,
    "/admin/prune": lambda ask: _of_store(ask, jobs.prune_jobs(ask.now)),
    "/admin/sync": _sync_jobs,
    "/admin/verify": lambda ask: _of_store(ask, [jobs.verify_job(store, ask.now) for store in ask.stores]),
    "/nodes/{node}/apt/update": lambda ask: Answer.data(upkeep.updates(ask.now)),
    "/nodes/{node}/disks/list": _disks,
    "/nodes/{node}/disks/zfs": lambda ask: Answer.data(upkeep.pools(ask.now)),
    "/nodes/{node}/services": lambda ask: Answer.data(upkeep.services(ask.now)),
    "/nodes/{node}/status": _node_status,
    "/nodes/{node}/subscription": lambda ask: Answer.data(upkeep.subscription(ask.now)),
    "/nodes/{node}/tasks": _tasks,
    "/status/datastore-usage": lambda ask: Answer.data([usage_row(store, ask.now) for store in ask.stores]),
    "/status/metrics": lambda ask: Answer.data({"data": points(ask.stores, ask.now)}),
    "/tape/backup": lambda ask: _of_store(ask, jobs.tape_jobs(ask.now) if "Tape.Audit" in ask.privileges else []),
    "/tape/drive": lambda ask: _tape(ask, node.tape_drives(ask.tape, ask.now)),
    "/tape/media/list": lambda ask: _tape(ask, jobs.media(ask.now)),
}
"""The whole tree: what isn't here is a 404, as in a PBS that is too old for it."""
