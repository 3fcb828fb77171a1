"""The log lines of failures."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from pbs_exporter.errors import LoginPaused, NotJson
from pbs_exporter.scrape.failure_log import DATASTORE_LINES, REPEAT_SECONDS, FailureLog
from tests.support.exporter import FakeClock


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000.0)


@pytest.fixture
def log(clock: FakeClock) -> FailureLog:
    return FailureLog(clock.clock)


def test_a_failure_is_logged_when_it_begins_and_when_it_ends(
    log: FailureLog, clock: FakeClock, lines: list[Any]
) -> None:
    """A failure in three consecutive scrapes is one warning, and one line with its duration when it ends."""
    for _ in range(3):
        log.judge(NotJson("no JSON"), "tape")
        clock.advance(60)
    log.judge(None, "tape")
    log.judge(None, "tape")
    assert lines == [
        {"event": "failing", "log_level": "warning", "collector": "tape", "reason": "no JSON", "error": "NotJson"},
        {"event": "recovered", "log_level": "info", "collector": "tape", "failed_for_seconds": 180.0},
    ]


def test_a_failure_that_lasts_is_logged_again(log: FailureLog, clock: FakeClock, lines: list[Any]) -> None:
    """A failure is logged again after `REPEAT_SECONDS`, with its duration from the beginning."""
    log.judge(NotJson("one"), "tape")
    clock.advance(REPEAT_SECONDS)
    log.judge(NotJson("two"), "tape")
    clock.advance(1)
    log.judge(None, "tape")
    assert [line.get("reason") for line in lines] == ["one", "two", None]
    assert lines[-1]["failed_for_seconds"] == REPEAT_SECONDS + 1


def test_a_datastore_is_a_subject_of_its_own(log: FailureLog, lines: list[Any]) -> None:
    """A collector and its datastores fail and recover separately."""
    log.judge(NotJson("no JSON"), "s3", "main")
    log.judge(None, "s3")
    assert [(line["collector"], line["datastore"]) for line in lines] == [("s3", "main")]


def test_a_collector_that_is_well_ends_the_failures_of_its_datastores(log: FailureLog, lines: list[Any]) -> None:
    """Datastores that are no longer asked separately recover with their collector; others don't."""
    log.judge(NotJson("no JSON"), "s3", "main")
    log.judge(NotJson("no JSON"), "datastores", "main")
    log.all_well("s3")
    assert [(line["event"], line["collector"]) for line in lines] == [
        ("failing", "s3"),
        ("failing", "datastores"),
        ("recovered", "s3"),
    ]


def test_a_refused_login_is_not_logged_per_collector(log: FailureLog, lines: list[Any]) -> None:
    """A collector that wasn't asked because PBS refused the token gets no line."""
    log.judge(LoginPaused("PBS refused the token"), "tape")
    assert lines == []


def test_a_bug_is_logged_with_its_traceback(log: FailureLog, lines: list[Any]) -> None:
    """An unexpected exception is an error with the exception itself."""
    bug = ZeroDivisionError()
    log.judge(bug, "tape")
    assert lines == [{"event": "failing", "log_level": "error", "collector": "tape", "exc_info": bug}]


def test_the_datastores_of_a_collector_share_a_number_of_lines(
    log: FailureLog, clock: FakeClock, lines: list[Any]
) -> None:
    """However many datastores fail, and whether or not they are others at each scrape, the log doesn't fill up."""
    for scrape in range(20):
        names = [f"store-{scrape}-{number}" for number in range(100)]
        for name in names:
            log.judge(NotJson("no JSON"), "s3", name)
        log.forget_others("s3", names)
        log.judge(NotJson("no JSON"), "datastores", "main")
        clock.advance(1)
    failing = [line["collector"] for line in lines if line["event"] == "failing"]
    assert failing.count("s3") == DATASTORE_LINES
    assert failing.count("datastores") == 1
    assert [line for line in lines if line["event"] != "failing"] == [
        {
            "event": "more datastores are failing than are logged",
            "log_level": "warning",
            "collector": "s3",
            "limit": DATASTORE_LINES,
        }
    ]
    clock.advance(REPEAT_SECONDS)
    log.judge(NotJson("no JSON"), "s3", "main")
    assert lines[-1]["datastore"] == "main"


def test_a_datastore_that_is_gone_is_forgotten(log: FailureLog, lines: list[Any]) -> None:
    """A datastore that failed and isn't asked any more has no recovery, and its collector's other failures last."""
    for subject in (("s3",), ("s3", "main"), ("s3", "gone"), ("datastores", "gone")):
        log.judge(NotJson("no JSON"), *subject)
    log.forget_others("s3", {"main"})
    lines.clear()
    log.all_well("s3")
    log.all_well("datastores")
    assert [(line["collector"], line.get("datastore")) for line in lines] == [
        ("s3", None),
        ("s3", "main"),
        ("datastores", "gone"),
    ]
