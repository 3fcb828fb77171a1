"""Privileges: those that collectors need, those that the token has, the commands that grant others; its expiry."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import chain

import pytest

from pbs_exporter.collectors import COLLECTORS, DEFAULTS
from pbs_exporter.collectors.base import AnyCollector, Need
from pbs_exporter.collectors.privileges import grants, has
from tests.support.canned_pbs import NOW, Json, page
from tests.support.metrics_page import facts, failed
from tests.support.running import running, small_world

UNLOCKS = {
    "/version": (),
    "/access/*": (),
    "/nodes/{node}/status": ("Sys.Audit /system/status",),
    "/nodes/{node}/tasks": ("Sys.Audit /system/tasks",),
    "/nodes/{node}/services": ("Sys.Audit /system/services",),
    "/nodes/{node}/disks/*": ("Sys.Audit /system/disks",),
    "/nodes/{node}/subscription": ("Sys.Audit /",),
    "/nodes/{node}/apt/update": ("Sys.Audit /",),
    "/admin/datastore": ("Datastore.Audit /datastore",),
    "/admin/datastore/*": ("Datastore.Audit /datastore",),
    "/admin/gc": ("Datastore.Audit /datastore",),
    "/admin/sync": ("Datastore.Audit /datastore", "Remote.Audit /remote"),
    "/admin/verify": ("Datastore.Audit /datastore",),
    "/admin/prune": ("Datastore.Audit /datastore",),
    "/status/datastore-usage": ("Datastore.Audit /datastore",),
    "/status/metrics": ("Sys.Audit /system/status", "Datastore.Audit /datastore"),
    "/tape/*": ("Tape.Audit /tape",),
}
"""By path template: the privileges without which PBS refuses, or says less."""


def unlocking(template: str) -> tuple[str, ...]:
    """Return the privileges that an endpoint needs."""
    (found,) = (needs for pattern, needs in UNLOCKS.items() if _matches(template, pattern))
    return found


def _matches(template: str, pattern: str) -> bool:
    return template == pattern if "*" not in pattern else fnmatchcase(template, pattern)


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
async def test_needs_are_those_of_what_is_asked(collector: AnyCollector) -> None:
    """A collector's declared privileges are exactly those that its endpoints need."""
    only = dict.fromkeys(DEFAULTS, False) | {collector.name: True}
    # Incremental listings also read the task list, but can do without it.
    world = small_world()
    world.stores[0].backend = "s3"
    async with running(world, collectors=only, listing_mode="full") as setup:
        await setup.scrape()
        asked = {request.template for request in setup.pbs.requests}
    assert {f"{need.privilege} {need.path}" for need in collector.needs if need.only_with is None} == set(
        chain.from_iterable(map(unlocking, asked))
    )


async def test_needs_with_another_collector() -> None:
    """The extra privileges of jobs for tape are those of the endpoints that are only asked with tape."""
    asked = []
    for tape in (False, True):
        only = dict.fromkeys(DEFAULTS, False) | {"jobs": True, "tape": tape}
        async with running(collectors=only) as setup:
            await setup.scrape()
            asked.append({request.template for request in setup.pbs.requests})
    assert asked[1] - asked[0] == {"/tape/backup", "/tape/drive"}
    (jobs,) = (collector for collector in COLLECTORS if collector.name == "jobs")
    more = {f"{need.privilege} {need.path}" for need in jobs.needs if need.only_with == "tape"}
    assert more == set(unlocking("/tape/backup"))


async def test_a_right_that_is_missing_is_seen() -> None:
    """Without Tape.Audit and Remote.Audit their privileges are 0, their metrics are missing, and the rest is whole."""
    async with running() as well:
        whole = await well.scrape()
    world = small_world()
    world.privileges -= {"Tape.Audit", "Remote.Audit"}
    async with running(world) as setup:
        scraped = await setup.scrape()
    missing = {
        (labels["collector"], labels["privilege"], labels["path"])
        for labels, value in scraped.series("pbs_token_privilege")
        if value == 0
    }
    assert missing == {
        ("tape", "Tape.Audit", "/tape"),
        ("tape_media", "Tape.Audit", "/tape"),
        ("jobs", "Tape.Audit", "/tape"),
        ("jobs", "Remote.Audit", "/remote"),
    }
    assert failed(scraped) == set()
    kept = {key for key in facts(whole) if not key[0].startswith(("pbs_tape_", "pbs_job_"))}
    assert kept <= facts(scraped).keys()
    assert {labels["job_id"] for labels, _ in scraped.series("pbs_job_info")} >= {"s-local", "p-main"}
    assert not [labels for labels, _ in scraped.series("pbs_job_info") if labels["remote"]]


AUDIT = {"Sys.Audit": True}


@pytest.mark.parametrize(
    ("permissions", "granted"),
    [
        pytest.param({}, 0, id="nothing"),
        pytest.param({"/": AUDIT}, 1, id="inherited"),
        pytest.param({"/": {"Sys.Audit": False}}, 0, id="not handed down"),
        pytest.param({"/system/status": {"Sys.Audit": False}}, 1, id="there, and not handed down"),
        pytest.param({"/": AUDIT, "/system": {"Sys.Modify": True}}, 0, id="replaced on the way"),
        pytest.param({"/": AUDIT, "/system/tasks": {"Sys.Modify": True}}, 1, id="replaced beside the way"),
        pytest.param({"/systems": AUDIT}, 0, id="another path"),
    ],
)
async def test_rights_follow_pbs(permissions: Json, granted: float) -> None:
    """A privilege is inherited if it propagates, and an entry on a deeper path replaces the inherited ones."""
    scraped = await page({"/access/permissions": permissions}, ["access", "host"])
    labels = {"collector": "host", "privilege": "Sys.Audit", "path": "/system/status"}
    assert scraped.value("pbs_token_privilege", **labels) == granted
    assert len(scraped.series("pbs_token_privilege")) == 1


def user(userid: str = "exporter@pbs", expire: int | None = None, **tokens: int | None) -> Json:
    """Make a row of `/access/users`; `tokens` maps names to expiry times."""
    rows = [{"tokenid": f"{userid}!{name}", "expire": end} for name, end in tokens.items()]
    return {"userid": userid, "expire": expire, "tokens": rows}


@pytest.mark.parametrize(
    ("users", "end"),
    [
        pytest.param([user(metrics=NOW)], NOW, id="the token"),
        pytest.param([user(expire=5, metrics=0)], 5, id="the user"),
        pytest.param([user(expire=9, metrics=7)], 7, id="the token first"),
        pytest.param([user(expire=7, metrics=9)], 7, id="the user first"),
        pytest.param([user(expire=0, metrics=0)], None, id="never"),
        pytest.param([user(metrics=None)], None, id="never, not said"),
        pytest.param([user(other=5)], None, id="another token"),
        pytest.param([user("admin@pbs", 5, metrics=5), user(metrics=8)], 8, id="another user"),
        pytest.param([{"userid": "exporter@pbs", "expire": 5}], None, id="no token there"),
        pytest.param([], None, id="nobody"),
    ],
)
async def test_the_token_expires(users: Json, end: float | None) -> None:
    """The earlier expiry of token and user is shown, and none if neither expires or the token isn't listed."""
    scraped = await page({"/access/users": users, "/access/permissions": {}}, ["access"])
    assert scraped.value("pbs_token_expire_timestamp_seconds") == end


NEED = Need("Datastore.Audit", "/datastore", "Audit")


@pytest.mark.parametrize(
    ("permissions", "granted"),
    [
        ({}, False),
        ({"/": {"Datastore.Audit": True}}, True),
        ({"/": {"Datastore.Audit": False}}, False),
        ({"/": {"Sys.Audit": True}}, False),
        ({"/datastore": {"Datastore.Audit": True}}, True),
        ({"/datastore": {"Datastore.Audit": False}}, True),
        ({"/": {"Datastore.Audit": True}, "/datastore": {"Datastore.Read": True}}, False),
        ({"/datastore/main": {"Datastore.Audit": True}}, False),
    ],
)
def test_rights_are_inherited(permissions: Mapping[str, Mapping[str, bool]], granted: bool) -> None:  # noqa: FBT001
    """A privilege holds on its own path, and below it if it propagates and no deeper entry replaces it."""
    assert has(permissions, NEED) is granted


def test_same_grant_is_named_once() -> None:
    """Collectors with the same need share one command for the user and one for its token."""
    other = Need("Sys.Audit", "/system/status", "Audit")
    assert grants([NEED, other], {}, "me@pbs!token") == [
        "proxmox-backup-manager acl update / Audit --auth-id 'me@pbs'",
        "proxmox-backup-manager acl update / Audit --auth-id 'me@pbs!token'",
    ]


def test_right_that_a_deeper_entry_hides_is_granted_there() -> None:
    """Roles are granted on `/`, where they add up; only a right that `/` already has is granted on a deeper path."""
    permissions = {"/": {"Datastore.Audit": True}, "/datastore": {"Datastore.Read": True}}
    assert grants([NEED], permissions, "me@pbs!token") == [
        "proxmox-backup-manager acl update /datastore Audit --auth-id 'me@pbs'",
        "proxmox-backup-manager acl update /datastore Audit --auth-id 'me@pbs!token'",
    ]
