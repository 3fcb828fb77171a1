"""When a failure is worth a line in the log: when it begins, now and then while it lasts, and when it ends."""

import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.errors import LoginPaused, PbsExporterError

REPEAT_SECONDS = 600.0
"""How often a failure that lasts is logged."""

_log = structlog.get_logger("pbs_exporter.scrape")


class _Failure(msgspec.Struct):
    since: float
    logged: float


class FailureLog:
    """Remembers what is failing, by its fields in the log (a collector, and maybe a datastore)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[tuple[str, ...], _Failure] = {}

    def judge(self, error: BaseException | None, *subject: str) -> None:
        """Log what is new in this outcome of `subject`, a collector's name and maybe a datastore's."""
        if error is None:
            self._recovered(subject)
        elif not isinstance(error, LoginPaused):
            # That the login was refused is said once, and not by everybody who wasn't let in.
            self._failed(error, subject)

    def all_well(self, name: str) -> None:
        """Note that nothing of a collector fails any more, also of datastores that weren't asked by themselves."""
        for subject in [subject for subject in self._failing if subject[0] == name]:
            self._recovered(subject)

    def _failed(self, error: BaseException, subject: tuple[str, ...]) -> None:
        now = self._clock.monotonic()
        known = self._failing.get(subject)
        if known is not None and now - known.logged < REPEAT_SECONDS:
            return
        self._failing[subject] = _Failure(known.since if known else now, now)
        fields = dict(zip(("collector", "datastore"), subject, strict=False))
        if isinstance(error, PbsExporterError):
            _log.warning("failing", **fields, reason=str(error), error=type(error).__name__)
        else:
            # A bug: its traceback is for the log alone.
            _log.error("failing", **fields, exc_info=error)

    def _recovered(self, subject: tuple[str, ...]) -> None:
        known = self._failing.pop(subject, None)
        if known is not None:
            fields = dict(zip(("collector", "datastore"), subject, strict=False))
            seconds = round(self._clock.monotonic() - known.since, 1)
            _log.info("recovered", **fields, failed_for_seconds=seconds)
