"""The endpoints: a table of handlers, and a function for each handler longer than a line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

import msgspec

from pbs_exporter.simulator import api
from pbs_exporter.simulator.answer import Answer, RefusedError, Row, no_such_datastore, no_such_namespace
from pbs_exporter.simulator.world import access_rows, job_rows, node_rows, rrd_rows, tape_rows
from pbs_exporter.simulator.world.datastore_rows import gc_row, gc_status, list_row, s3_statistics, sizes, usage_row
from pbs_exporter.simulator.world.layout import SimulatedDatastore
from pbs_exporter.simulator.world.plan import Plan
from pbs_exporter.simulator.world.snapshot_rows import ListingEncoder, count, group_rows
from pbs_exporter.simulator.world.task_rows import task_list


class EndpointRequest(msgspec.Struct, frozen=True):
    """A call of an endpoint, and the state of the world at that moment."""

    now: int
    stores: Sequence[SimulatedDatastore]
    plans: Sequence[Plan]
    privileges: AbstractSet[str]
    """The privileges of the token on `/`."""
    task_history_seconds: int
    listings: ListingEncoder
    names: Mapping[str, str]
    """The variables of the path, by name."""
    params: api.Params
    fingerprint: str

    def open(self, name: str) -> SimulatedDatastore:
        """Return a datastore. Raises `RefusedError` if it doesn't exist or is unavailable."""
        store = next((store for store in self.stores if store.name == name), None)
        if store is None:
            raise no_such_datastore(name)
        problem = store.problem(self.now)
        if problem is not None:
            raise RefusedError(400, problem)
        return store

    def open_namespace(self) -> tuple[SimulatedDatastore, str]:
        """Return the call's datastore and namespace. Raises `RefusedError` as `open`."""
        store, namespace = self.open(self.names["store"]), str(self.params.get("ns", ""))
        if namespace not in store.namespaces:
            raise no_such_namespace()
        return store, namespace


def _snapshots(request: EndpointRequest) -> Answer:
    store, namespace = request.open_namespace()
    wanted = {name: str(value) for name, value in request.params.items() if name.startswith("backup-")}
    if wanted:
        return request.listings.filtered(store, namespace, request.now, wanted)
    return request.listings.all(store, namespace, request.now)


def _groups(request: EndpointRequest) -> Answer:
    store, namespace = request.open_namespace()
    return Answer.data(group_rows(store, namespace, request.now))


def _namespaces(request: EndpointRequest) -> Answer:
    store, parent = request.open(request.names["store"]), str(request.params.get("parent", ""))
    names = [name for name in store.namespaces if not parent or name == parent or name.startswith(f"{parent}/")]
    depth = request.params.get("max-depth")
    if isinstance(depth, int):
        names = [name for name in names if _level(name) - _level(parent) <= depth]
    return Answer.data([{"ns": name} for name in names])


def _level(namespace: str) -> int:
    return namespace.count("/") + 1 if namespace else 0


def _status(request: EndpointRequest) -> Answer:
    store = request.open(request.names["store"])
    row: Row = {**sizes(store, request.now), "backend-type": store.backend}
    if store.backend == "s3":
        row["s3-statistics"] = s3_statistics(store, request.now)
    if request.params.get("verbose") is True:
        row |= {"counts": count(store), "gc-status": gc_status(store, request.now)}
    return Answer.data(row)


def _past(request: EndpointRequest) -> Answer:
    values = partial(rrd_rows.datastore_past, request.open(request.names["store"]), request.now)
    return Answer.data(rrd_rows.past_rows(request.params, request.now, values))


def _gc(request: EndpointRequest) -> Answer:
    return Answer.data(gc_row(request.open(request.names["store"]), request.now))


def _all_gc(request: EndpointRequest) -> Answer:
    if "store" in request.params:
        return Answer.data([gc_row(request.open(str(request.params["store"])), request.now)])
    return Answer.data([gc_row(store, request.now) for store in request.stores if store.problem(request.now) is None])


def _tasks(request: EndpointRequest) -> Answer:
    return task_list(request.plans, request.params, request.now, request.task_history_seconds)


def _node_status(request: EndpointRequest) -> Answer:
    running = sum(plan.rhythm.running(request.now) is not None for plan in request.plans)
    return Answer.data(node_rows.status(request.now, running, request.fingerprint))


def _permissions(request: EndpointRequest) -> Answer:
    granted, path = access_rows.permissions(request.privileges), request.params.get("path")
    return Answer.data(granted if path is None else access_rows.permissions_on(str(path), granted))


def _users(request: EndpointRequest) -> Answer:
    rows = access_rows.users(access_rows.token_expires(request.now))
    if request.params.get("include_tokens") is not True:
        rows = [{name: value for name, value in row.items() if name != "tokens"} for row in rows]
    return Answer.data(rows, digest=_DIGEST)


def _disks(request: EndpointRequest) -> Answer:
    return Answer.data(node_rows.disks(request.now, smart=request.params.get("skipsmart") is not True))


def _sync_jobs(request: EndpointRequest) -> Answer:
    push = request.params.get("sync-direction") == "all"
    return _of_store(request, job_rows.sync_jobs(request.now, remotes="Remote.Audit" in request.privileges, push=push))


def _verify_jobs(request: EndpointRequest) -> Answer:
    return _of_store(request, [job_rows.verify_job(store, request.now) for store in request.stores])


def _tape_jobs(request: EndpointRequest) -> Answer:
    return _of_store(request, tape_rows.backup_jobs(request.now) if "Tape.Audit" in request.privileges else [])


def _of_store(request: EndpointRequest, rows: Iterable[Mapping[str, object]]) -> Answer:
    """Return the rows of existing datastores, or of the one in the parameter `store`."""
    wanted = [request.params["store"]] if "store" in request.params else [store.name for store in request.stores]
    return Answer.data([row for row in rows if row["store"] in wanted], digest=_DIGEST)


def _tape(request: EndpointRequest, rows: Sequence[object]) -> Answer:
    """Return the rows, or none without the privilege `Tape.Audit`."""
    return Answer.data(rows if "Tape.Audit" in request.privileges else [])


_DIGEST: Final = "f903253c84febfd184e0bdc7f1913cdaaf5cb967ec5fae43f614838230093b0a"

ENDPOINTS: Final[Mapping[str, Callable[[EndpointRequest], Answer]]] = {
    "/ping": lambda _: Answer.data(node_rows.PING),
    "/version": lambda _: Answer.data(node_rows.VERSION),
    "/access/permissions": _permissions,
    "/access/users": _users,
    "/admin/datastore": lambda request: Answer.data([list_row(store, request.now) for store in request.stores]),
    "/admin/datastore/{store}/gc": _gc,
    "/admin/datastore/{store}/groups": _groups,
    "/admin/datastore/{store}/namespace": _namespaces,
    "/admin/datastore/{store}/rrd": _past,
    "/admin/datastore/{store}/snapshots": _snapshots,
    "/admin/datastore/{store}/status": _status,
    "/admin/gc": _all_gc,
    "/admin/prune": lambda request: _of_store(request, job_rows.prune_jobs(request.now)),
    "/admin/sync": _sync_jobs,
    "/admin/verify": lambda request: _of_store(
        request, [job_rows.verify_job(store, request.now) for store in request.stores]
    ),
    "/nodes/{node}/apt/update": lambda request: Answer.data(node_rows.updates(request.now)),
    "/nodes/{node}/disks/list": _disks,
    "/nodes/{node}/disks/zfs": lambda request: Answer.data(node_rows.pools(request.now)),
    "/nodes/{node}/rrd": lambda request: Answer.data(
        rrd_rows.past_rows(request.params, request.now, rrd_rows.host_past)
    ),
    "/nodes/{node}/services": lambda request: Answer.data(node_rows.services(request.now)),
    "/nodes/{node}/status": _node_status,
    "/nodes/{node}/subscription": lambda request: Answer.data(node_rows.subscription(request.now)),
    "/nodes/{node}/tasks": _tasks,
    "/status/datastore-usage": lambda request: Answer.data([usage_row(store, request.now) for store in request.stores]),
    "/status/metrics": lambda request: Answer.data({"data": node_rows.points(request.stores, request.now)}),
    "/tape/backup": _tape_jobs,
    "/tape/drive": lambda request: _tape(request, tape_rows.drives(request.now)),
    "/tape/media/list": lambda request: _tape(request, tape_rows.media(request.now)),
}
"""All endpoints. Others answer 404, as a PBS that is too old for them."""
