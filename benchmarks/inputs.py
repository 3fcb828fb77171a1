"""The contents and the latency of the simulated PBS."""

import msgspec


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Contents and latency of a simulated PBS.

    `namespaces` are per datastore, `groups` per namespace, `snapshots` per group. `latency` is the delay of each
    answer and `full_listing_seconds` the additional delay of listing a whole namespace, both in seconds.
    `task_history_seconds` is the age of the oldest task. If it `is_idle`, no task runs. If it `is_unlike`, each
    snapshot has a note and a verification of its own. If it `has_blanks`, a proxy has written the listings anew.
    `flood` is the name of a flood, which has `flood_rows` rows.
    """

    datastores: int = 1
    namespaces: int = 1
    groups: int = 1_000
    snapshots: int = 1
    latency: float = 0.0
    full_listing_seconds: float = 0.0
    tls: bool = False
    deflate: bool = True
    # A thousand groups have a thousand tasks per day; these benchmarks are about snapshots.
    task_history_seconds: int = 3_600
    is_idle: bool = False
    is_unlike: bool = False
    has_blanks: bool = False
    flood: str = ""
    flood_rows: int = 0

    @property
    def total(self) -> int:
        """The total number of snapshots."""
        return self.datastores * self.namespaces * self.groups * self.snapshots

    def quick(self) -> "Input":
        """Return a tiny input of the same kind."""
        return msgspec.structs.replace(
            self,
            datastores=min(self.datastores, 3),
            groups=min(self.groups, 8),
            snapshots=min(self.snapshots, 3),
            latency=self.latency / 10,
            full_listing_seconds=self.full_listing_seconds / 10,
            flood_rows=min(self.flood_rows, 30),
        )

    def __str__(self) -> str:
        where = f"{_counted(self.namespaces, 'namespace')} of {_counted(self.datastores, 'datastore')}"
        parts = [f"{self.total:,} snapshots ({self.snapshots} in each of {self.groups:,} groups of {where})"]
        if self.latency:
            parts.append(f"{self.latency * 1000:g} ms an answer")
        if self.full_listing_seconds:
            parts.append(f"{self.full_listing_seconds:g} s for a full listing")
        if self.is_idle:
            parts.append("no running task")
        if self.is_unlike:
            parts.append("each with a note and a verification of its own")
        if self.has_blanks:
            parts.append("blanks between the tokens")
        if self.flood:
            parts.append(f"{self.flood_rows:,} {self.flood}")
        if self.tls:
            parts.append("TLS")
        if not self.deflate:
            parts.append("no deflate")
        return ", ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
