"""How a scrape went, and which failures get a line in the log: one that begins, lasts (now and then) or ends."""

from collections import defaultdict
from collections.abc import Container, Mapping

import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.collectors.certificate import NOT_SEEN
from pbs_exporter.errors import (
    TOKEN_REFUSED,
    LoginPaused,
    PbsError,
    PbsExporterError,
    PbsTimeout,
    TlsFailed,
    Unreachable,
)
from pbs_exporter.scrape.collector_run import Outcome

REPEAT_SECONDS = 600.0
"""Time between two lines about a failure that lasts."""

BURST = 5
"""How often in that time a failure that comes and goes has a line with the same reason.

A recovery has no line if its failure had none.
"""

MOST_LINES = 30
"""How many lines it has in that time, whatever the reasons."""

DATASTORE_LINES = 200
"""How many lines the datastores of a collector have in that time together. PBS may have thousands, or always others."""

TARGET = "version"
"""The subject of a failure of the whole PBS, whose request is the one to `/version`."""

_log = structlog.get_logger("pbs_exporter.scrape")


def same_cause(error: BaseException | None, down: BaseException | None) -> bool:
    """Whether a failure has the same cause as that of the whole PBS, and so needs no line of its own."""
    if error is None or down is None:
        return False
    if isinstance(error, TOKEN_REFUSED) and isinstance(down, TOKEN_REFUSED):
        return True
    if type(error) is type(down):
        # A listing names its namespace before PBS's reason. How long a request waited doesn't matter.
        return str(error).endswith(str(down)) or isinstance(down, PbsTimeout)
    without_tls = isinstance(down, Unreachable | TlsFailed | PbsTimeout)
    return without_tls and isinstance(error, TlsFailed) and str(error) == NOT_SEEN


class ScrapeReport(msgspec.Struct, frozen=True):
    """How a scrape went: when it began (Unix time), how long it took, and the outcomes without their samples.

    `error` is the reason why PBS is down, if it is, known at `answered_at` (Unix time). `unlisted` are the datastores
    that PBS can't read, with the reason.
    """

    at: float
    seconds: float
    error: PbsError | None
    answered_at: float
    outcomes: list[Outcome]
    unlisted: Mapping[str, str]


def completed(report: ScrapeReport, before: ScrapeReport | None) -> ScrapeReport:
    """Return the report of a scrape that its client ended early, completed by what an earlier scrape got.

    What such a scrape didn't get isn't PBS's failure, until nothing has been got for `REPEAT_SECONDS`.
    """
    if before is None:
        return report
    known = {outcome.name: outcome for outcome in before.outcomes}
    outcomes = []
    for outcome in report.outcomes:
        earlier = known.get(outcome.name, outcome)
        recent = report.at - (earlier.at or report.at) < REPEAT_SECONDS
        if recent and by_client(outcome.error):
            outcomes.append(earlier)
            continue
        datastores = {
            store: earlier.datastores.get(store) if recent and by_client(error) else error
            for store, error in outcome.datastores.items()
        }
        outcomes.append(msgspec.structs.replace(outcome, datastores=datastores))
    if by_client(report.error) and report.at - before.answered_at < REPEAT_SECONDS:
        report = msgspec.structs.replace(report, error=before.error, answered_at=before.answered_at)
    return msgspec.structs.replace(report, outcomes=outcomes, unlisted=report.unlisted or before.unlisted)


def with_others(report: ScrapeReport, before: ScrapeReport | None) -> ScrapeReport:
    """Return the report of a scrape in which only some collectors ran, with what an earlier one knows of the others."""
    if before is None:
        return report
    asked = {outcome.name for outcome in report.outcomes}
    others = [outcome for outcome in before.outcomes if outcome.name not in asked]
    return msgspec.structs.replace(
        report, outcomes=[*report.outcomes, *others], unlisted=report.unlisted or before.unlisted
    )


def by_client(error: BaseException | None) -> bool:
    """Whether PBS had no time to answer, because the client of the scrape had none."""
    return isinstance(error, PbsTimeout) and error.by_client


class _Subject(msgspec.Struct):
    """`logged` are its last lines, by time and reason. `since` is when it began to fail; `None` if it doesn't."""

    logged: list[tuple[float, str]] = []
    since: float | None = None
    told: bool = False


class FailureLog:
    """Remembers which subjects are failing: collectors, and datastores of collectors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subjects: dict[tuple[str, ...], _Subject] = {}
        # When the datastores of a collector had a line.
        self._datastore_lines: defaultdict[str, list[float]] = defaultdict(list)

    def judge(self, error: BaseException | None, *subject: str) -> None:
        """Log, if it is worth a line, that a subject begins to fail or still fails with `error`, or has recovered."""
        if error is None:
            self._recovered(subject)
        elif not isinstance(error, LoginPaused):
            # A refused login is logged once, not for every collector that had to wait for it.
            self._failed(error, subject)

    def all_well(self, name: str) -> None:
        """Log that a collector and all its datastores have recovered, also those that weren't asked separately."""
        for subject in [subject for subject in self._subjects if subject[0] == name]:
            self._recovered(subject)

    def forget_others(self, name: str, datastores: Container[str]) -> None:
        """Forget the failures of datastores that a collector doesn't ask any more, or they would add up."""
        for subject in [subject for subject in self._subjects if subject[0] == name and len(subject) > 1]:
            if subject[1] not in datastores:
                del self._subjects[subject]

    def _failed(self, error: BaseException, subject: tuple[str, ...]) -> None:
        now = self._clock.monotonic()
        known = self._subjects.setdefault(subject, _Subject())
        if known.since is None:
            known.since, known.told = now, False
        known.logged = [(at, reason) for at, reason in known.logged if now - at < REPEAT_SECONDS]
        often = sum(reason == str(error) for _, reason in known.logged) >= BURST
        if known.logged and (known.told or often or len(known.logged) >= MOST_LINES):
            return
        if len(subject) > 1 and not self._has_datastore_line(subject[0], now):
            return
        known.logged.append((now, str(error)))
        known.told = True
        fields = dict(zip(("collector", "datastore"), subject, strict=False))
        if isinstance(error, PbsExporterError):
            unreachable = subject == (TARGET,) and isinstance(error, Unreachable | TlsFailed)
            event = "PBS unreachable" if unreachable else "failing"
            _log.warning(event, **fields, reason=str(error), error=type(error).__name__)
        else:
            # A bug. Only the log shows its traceback.
            _log.error("failing", **fields, exc_info=error)

    def _has_datastore_line(self, name: str, now: float) -> bool:
        """Take a line for a datastore of a collector. Return whether there was one."""
        lines = self._datastore_lines[name] = [at for at in self._datastore_lines[name] if now - at < REPEAT_SECONDS]
        if len(lines) > DATASTORE_LINES:
            return False
        lines.append(now)
        if len(lines) > DATASTORE_LINES:
            _log.warning("more datastores are failing than are logged", collector=name, limit=DATASTORE_LINES)
            return False
        return True

    def _recovered(self, subject: tuple[str, ...]) -> None:
        known = self._subjects.get(subject)
        if known is None:
            return
        now = self._clock.monotonic()
        if known.since is not None and known.told:
            fields = dict(zip(("collector", "datastore"), subject, strict=False))
            _log.info("recovered", **fields, failed_for_seconds=round(now - known.since, 1))
        known.since = None
        # The lines count on: what fails again soon isn't told each time.
        if all(now - at >= REPEAT_SECONDS for at, _ in known.logged):
            del self._subjects[subject]
