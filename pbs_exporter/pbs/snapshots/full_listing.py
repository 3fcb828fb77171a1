"""A full listing: every snapshot of every namespace. PBS reads each manifest for it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import msgspec

from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed
from pbs_exporter.pbs.snapshots.concurrently import concurrently, failures, first_failure, results
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient, NamespaceNames, name_namespaces
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots
from pbs_exporter.pbs.snapshots.listing import Namespaces


class FullListing(msgspec.Struct, frozen=True):
    """What PBS answered.

    `names` are the namespaces to list (`None` if PBS didn't name them), `namespaces` those whose listing succeeded.
    `seconds` is what PBS took for all answers together, `omitted` what couldn't be read. `error` is the first failure.
    `goes_on` says that a request timed out, and that PBS is still working on it.
    """

    names: Sequence[str] | None
    namespaces: Namespaces
    namespace_count: int
    seconds: float
    omitted: PbsError | None
    error: BaseException | None
    goes_on: bool


async def list_in_full(
    datastore: DatastoreClient, expected: Collection[str], *, lane: Lane, names_lane: Lane
) -> FullListing:
    """List all namespaces: the expected ones at once, the others when their names are known. Raise nothing.

    A namespace that fails doesn't end the others: PBS would finish their work anyway.
    """
    known = frozenset(expected)

    async def snapshots(namespace: str) -> Timed[GroupedSnapshots]:
        return await datastore.snapshots(namespace, lane=lane)

    async def others() -> tuple[NamespaceNames | Exception, Mapping[str, Timed[GroupedSnapshots] | Exception]]:
        try:
            names = await datastore.namespaces(names_lane)
        except Exception as error:  # noqa: BLE001 - returned
            return error, {}
        return names, await concurrently(snapshots, [name for name in names.wanted if name not in known])

    # If this is cancelled, it waits until all requests have ended.
    async with asyncio.TaskGroup() as group:
        at_once = group.create_task(concurrently(snapshots, expected))
        named = group.create_task(others())
    names, more = named.result()
    outcomes = {**at_once.result(), **more}
    goes_on = any(isinstance(outcome, PbsTimeout) for outcome in outcomes.values())
    if isinstance(names, Exception):
        return FullListing(None, {}, 0, 0.0, None, names, goes_on)
    # A namespace that was expected and is gone can't be listed, which is no failure.
    outcomes = {name: outcomes[name] for name in names.wanted}
    good, failed = results(outcomes), failures(outcomes)
    name_namespaces(failed, names)
    return FullListing(
        names.wanted,
        {name: answer.value.groups for name, answer in good.items()},
        names.count,
        sum(answer.seconds for answer in good.values()),
        next((answer.value.omitted for answer in good.values() if answer.value.omitted), None),
        first_failure(failed.values()),
        goes_on,
    )
