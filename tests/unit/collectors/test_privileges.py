"""The privileges that a token has, and the commands that grant the missing ones."""

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
