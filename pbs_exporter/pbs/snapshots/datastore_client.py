"""The requests that list one datastore."""

from collections.abc import Mapping, Sequence

import msgspec

from pbs_exporter.clock import Clock
from pbs_exporter.config import Patterns, keeps
from pbs_exporter.errors import PbsError, WrongShape
from pbs_exporter.pbs.client import PbsClient
from pbs_exporter.pbs.http.decoding import Decoder, Rows
from pbs_exporter.pbs.http.request_limiter import Lane
from pbs_exporter.pbs.http.transport import Timed
from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.concurrently import concurrently, failures, first_failure, results
from pbs_exporter.pbs.snapshots.group_notes import NoteBook
from pbs_exporter.pbs.snapshots.group_summary import GroupedSnapshots, GroupId
from pbs_exporter.plain_text import printable

MOST_NAMESPACES = 10_000
"""The largest number of namespaces of a datastore that is listed. An answer of 64 MiB could name millions."""


class NamespaceNames(msgspec.Struct, frozen=True):
    """The namespaces to list. `count` includes those that the filters leave out."""

    wanted: Sequence[str]
    count: int


def name_namespaces(failed: Mapping[str, BaseException], names: NamespaceNames) -> None:
    """Put its namespace before the text of each error, unless all namespaces have failed."""
    for namespace, error in failed.items():
        if len(failed) < len(names.wanted) and isinstance(error, PbsError):
            where = f"namespace {printable(namespace)}" if namespace else "root namespace"
            error.args = (f"{where}: {error}",)


class DatastoreClient:
    """Asks PBS about the datastore `store`. Every method raises a `PbsError` where there is no answer to use.

    `notes` are the newest notes of groups in any answer.
    """

    def __init__(
        self, client: PbsClient, store: str, patterns: Patterns, decode: Decoder[GroupedSnapshots], clock: Clock
    ) -> None:
        self.store = store
        self.notes = NoteBook()
        self._clock = clock
        self._client = client
        self._patterns = patterns
        self._decode = decode

    def pbs_now(self) -> float:
        """Return PBS's own time (Unix seconds), at most a second late."""
        return self._client.pbs_now()

    async def namespaces(self, lane: Lane) -> NamespaceNames:
        """`GET /admin/datastore/{store}/namespace`.

        A row that can't be read fails the answer: without its name there is no way to know what is missing.
        """
        answer = await self._client.namespaces(self.store, lane)
        if answer.omitted is not None:
            raise answer.omitted
        names = dict.fromkeys(row.ns for row in answer.rows)
        wanted = [name for name in names if keeps(self._patterns, name)]
        if len(wanted) > MOST_NAMESPACES:
            raise WrongShape(f"{len(wanted)} namespaces: at most {MOST_NAMESPACES} can be listed")
        self.notes.forget_others(names)
        return NamespaceNames(wanted, len(names))

    async def groups(self, namespace: str) -> Rows[GroupRow]:
        """`GET /admin/datastore/{store}/groups?ns=`."""
        answer = await self._client.groups(self.store, namespace)
        self.notes.take(namespace, answer.rows, self._clock.monotonic())
        return answer

    async def read_notes(self) -> None:
        """Ask for the groups of every namespace, for their notes. A namespace that fails keeps those that it had."""
        names = await self.namespaces(Lane.GROUPS)
        outcomes = await concurrently(self.groups, names.wanted)
        failed = failures(outcomes)
        failed |= {name: answer.omitted for name, answer in results(outcomes).items() if answer.omitted is not None}
        name_namespaces(failed, names)
        if error := first_failure(failed.values()):
            raise error

    async def snapshots(
        self, namespace: str, group: GroupId | None = None, lane: Lane = Lane.LISTING
    ) -> Timed[GroupedSnapshots]:
        """`GET /admin/datastore/{store}/snapshots?ns=`: of a namespace without those below it, or of one group."""
        return await self._client.snapshots(self.store, namespace, self._decode, group, lane)
