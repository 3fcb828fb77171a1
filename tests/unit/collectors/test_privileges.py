"""Which privileges a token has, and which commands grant what it lacks."""

from collections.abc import Mapping

import pytest

from pbs_exporter.collectors.base import Need
from pbs_exporter.collectors.privileges import grants, has

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
    """A privilege holds at its own path, and below where it propagates and no deeper entry replaces it."""
    assert has(permissions, NEED) is granted


def test_same_grant_is_named_once() -> None:
    """Several collectors with the same need make one line for the user and one for its token."""
    other = Need("Sys.Audit", "/system/status", "Audit")
    assert grants([NEED, other], {}, "me@pbs!token") == [
        "proxmox-backup-manager acl update / Audit --auth-id 'me@pbs'",
        "proxmox-backup-manager acl update / Audit --auth-id 'me@pbs!token'",
    ]


def test_right_that_a_deeper_entry_hides_is_granted_there() -> None:
    """Roles go to `/`, where they add up; only a right that is there already is granted on the path that lacks it."""
    permissions = {"/": {"Datastore.Audit": True}, "/datastore": {"Datastore.Read": True}}
    assert grants([NEED], permissions, "me@pbs!token") == [
        "proxmox-backup-manager acl update /datastore Audit --auth-id 'me@pbs'",
        "proxmox-backup-manager acl update /datastore Audit --auth-id 'me@pbs!token'",
    ]
