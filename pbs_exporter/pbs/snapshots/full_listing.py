"""A full listing: every snapshot of every namespace. PBS reads each manifest for it."""

import asyncio
from collections.abc import Collection, Sequence

import msgspec

from pbs_exporter.errors import PbsError, PbsTimeout
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed  # noqa: TC001 - one way to import is enough
from pbs_exporter.pbs.snapshots.concurrently import concurrently
from pbs_exporter.pbs.snapshots.datastore_client import DatastoreClient, NamespaceNames, name_namespaces
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots  # noqa: TC001 - one way to import is enough
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
    answers: dict[str, Timed[GroupedSnapshots]] = {}
    errors: dict[str, Exception] = {}

    async def snapshots(namespace: str) -> None:
        try:
            answers[namespace] = await datastore.snapshots(namespace, lane=lane)
        except Exception as error:  # noqa: BLE001 - returned
            errors[namespace] = error

    async def others() -> NamespaceNames:
        names = await datastore.namespaces(names_lane)
        await concurrently(snapshots, [name for name in names.wanted if name not in known])
        return names

    names, _ = await asyncio.gather(others(), concurrently(snapshots, expected), return_exceptions=True)
    goes_on = any(isinstance(error, PbsTimeout) for error in errors.values())
    if not isinstance(names, NamespaceNames):
        return FullListing(None, {}, 0, 0.0, None, names, goes_on)
    # A namespace that was expected and is gone can't be listed, which is no failure.
    good = {name: answers[name] for name in names.wanted if name in answers}
    failed = {name: errors[name] for name in names.wanted if name in errors}
    name_namespaces(failed, names)
    return FullListing(
        names.wanted,
        {name: answer.value.groups for name, answer in good.items()},
        names.count,
        sum(answer.seconds for answer in good.values()),
        next((answer.value.omitted for answer in good.values() if answer.value.omitted), None),
        next(iter(failed.values()), None),
        goes_on,
    )
