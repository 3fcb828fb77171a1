"""What running and ended tasks make an incremental listing ask for."""

import pytest

from pbs_exporter.simulator import Fault
from tests.support.backup_history import Place
from tests.support.incremental_listing import (
    DEEP,
    DNS,
    OF_MAIN,
    OTHER,
    TASKS,
    WEB,
    asked_for_changes_only,
    group_value,
    listing_changes,
    observe,
    small_history,
)
from tests.support.page_facts import failed


async def test_a_running_backup() -> None:
    """The group of a running backup is listed at each scrape, once more when it has ended, and then not."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.start_backup(WEB)
        for _ in range(3):
            seen = await observe(setup)
            assert seen.listed == {WEB}
            assert (group_value(seen.page, "count", WEB), group_value(seen.page, "unfinished", WEB)) == (4, 1)
        history.finish_backup(WEB, 77)
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert (group_value(seen.page, "unfinished", WEB), group_value(seen.page, "size_bytes", WEB)) == (0, 77)
        assert not (await observe(setup)).listed


async def test_an_aborted_backup() -> None:
    """A backup that ended between two scrapes has its group listed, although the list of groups looks the same."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.remove(WEB, history.at(WEB).oldest_first()[0])
        history.start_backup(WEB)
        history.abort_backup(WEB)
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert (group_value(seen.page, "count", WEB), group_value(seen.page, "unfinished", WEB)) == (3, 1)
        assert not (await observe(setup)).listed


async def test_a_backup_does_not_tell_its_namespace() -> None:
    """A backup's task names the group of each namespace of its datastore, and of no other datastore."""
    history, twin = small_history(), Place("main", "a", WEB.group)
    history.backup(twin)
    async with listing_changes(history) as setup:
        await observe(setup)
        history.start_backup(twin)
        assert (await observe(setup)).listed == {WEB, twin}


@pytest.mark.parametrize("place", [WEB, DEEP, OTHER])
@pytest.mark.parametrize("whole_group", [True, False])
async def test_a_verified_group_is_listed(place: Place, whole_group: bool) -> None:  # noqa: FBT001
    """What a task verified of one group is shown with the next scrape."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        if whole_group:
            history.verify_group(place, "failed")
        else:
            history.verify_snapshot(place, history.at(place).oldest_first()[1], "failed")
        seen = await observe(setup)
        assert asked_for_changes_only(seen)
        assert seen.listed == {place}
        assert group_value(seen.page, "verification", place, state="failed") == (3 if whole_group else 1)
        assert not (await observe(setup)).listed


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
async def test_the_clock_of_pbs_may_be_another(ahead: float) -> None:
    """Tasks are compared with PBS's own clock: what ended after the full listing is news, what ended before isn't."""
    history = small_history()
    history.verify_group(DNS)
    history.clock.advance(60)
    async with listing_changes(history, ahead=ahead) as setup:
        await observe(setup)
        history.clock.advance(60)
        history.verify_group(WEB, "failed")
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert group_value(seen.page, "verification", WEB, state="failed") == 3


async def test_a_group_that_is_being_verified() -> None:
    """A group is listed at each scrape while it is verified, and once more after that."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        task = history.begin("verify_group", "main:ns/a/ns/b/vm/102")
        assert (await observe(setup)).listed == {DEEP}
        assert (await observe(setup)).listed == {DEEP}
        history.end(task)
        assert (await observe(setup)).listed == {DEEP}
        assert not (await observe(setup)).listed


@pytest.mark.parametrize("worker_type", ["verify_group", "verify_snapshot"])
@pytest.mark.parametrize("worker_id", ["main", "main:", "main:what", "main:ns/a", "main:a/b/c/d/e"])
async def test_a_task_that_can_not_be_read(worker_type: str, worker_id: str) -> None:
    """Where a task doesn't tell which group it verified, its datastore is listed in full in the background."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.run(worker_type, worker_id)
        seen = await observe(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        assert (await observe(setup)).listed_in_full == []


@pytest.mark.parametrize("worker_type", ["verificationjob", "verify"])
async def test_a_verification_of_many(worker_type: str) -> None:
    """A verified datastore is listed in full in the background; the scrape after that shows what was found."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify("main", worker_type, "failed")
        seen = await observe(setup)
        assert not seen.listed
        assert seen.listed_in_full == OF_MAIN
        seen = await observe(setup)
        assert seen.listed_in_full == []
        assert [group_value(seen.page, "verification", place, state="failed") for place in (WEB, DEEP, OTHER)] == [
            3,
            3,
            0,
        ]


async def test_a_verification_of_many_that_runs() -> None:
    """As long as a datastore is being verified it isn't listed in full for that."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        task = history.begin("verificationjob", "main:daily")
        assert [(await observe(setup)).listed_in_full for _ in range(2)] == [[], []]
        history.end(task)
        assert (await observe(setup)).listed_in_full == OF_MAIN


async def test_tasks_that_come_late() -> None:
    """Where PBS fails to say its tasks, groups are compared all the same; what ended meanwhile is seen later."""
    history = small_history()
    async with listing_changes(history) as setup:
        await observe(setup)
        history.verify_group(WEB)
        history.prune(DNS, 1)
        armed = setup.pbs.faults.add(TASKS, Fault.status(500, "no"))
        seen = await observe(setup)
        assert failed(seen.page) == {"tasks"}
        assert seen.listed == {DNS}
        armed.remove()
        seen = await observe(setup)
        assert seen.listed == {WEB}
        assert group_value(seen.page, "verification", WEB, state="ok") == 3
