"""Which failures get a line in the log: one that begins, one that lasts now and then, and one that ends."""

import msgspec
import structlog

from pbs_exporter.clock import Clock
from pbs_exporter.errors import LoginPaused, PbsExporterError

REPEAT_SECONDS = 600.0
"""Time between two lines about a failure that lasts."""

_log = structlog.get_logger("pbs_exporter.scrape")


class _Failure(msgspec.Struct):
    since: float
    logged: float


class FailureLog:
    """Remembers which subjects are failing: collectors, and datastores of collectors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[tuple[str, ...], _Failure] = {}

    def judge(self, error: BaseException | None, *subject: str) -> None:
        """Log, if it is worth a line, that a subject begins to fail or still fails with `error`, or has recovered."""
        if error is None:
            self._recovered(subject)
        elif not isinstance(error, LoginPaused):
            # A refused login is logged once, not for every collector that had to wait for it.
            self._failed(error, subject)

    def all_well(self, name: str) -> None:
        """Log that a collector and all its datastores have recovered, also those that weren't asked separately."""
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
            # A bug. Only the log shows its traceback.
            _log.error("failing", **fields, exc_info=error)

    def _recovered(self, subject: tuple[str, ...]) -> None:
        known = self._failing.pop(subject, None)
        if known is not None:
            fields = dict(zip(("collector", "datastore"), subject, strict=False))
            seconds = round(self._clock.monotonic() - known.since, 1)
            _log.info("recovered", **fields, failed_for_seconds=seconds)
