from collections.abc import Callable

import pytest

from tools.scrubbing import Scrubber

STORE, NAMESPACE, GUEST = "datastore1", "ns1", "id1"


@pytest.fixture
def scrubber() -> Scrubber:
    """Return a scrubber that has replaced a datastore, a namespace and a guest."""
    made = Scrubber("monitor@pam!prometheus")
    assert (made.name("datastore", "tank-2"), made.namespace("acme/web"), made.name("id", "100")) == (
        STORE,
        f"{NAMESPACE}/ns2",
        GUEST,
    )
    return made


@pytest.mark.parametrize(
    ("kind", "original", "replacement"),
    [
        (Scrubber.namespace, "", ""),
        (Scrubber.namespace, "web/acme", "ns2/ns1"),
        (Scrubber.auth_id, "monitor@pam!prometheus", "exporter@pbs!metrics"),
        (Scrubber.auth_id, "monitor@pam!other", "exporter@pbs!token1"),
        (Scrubber.auth_id, "root@pam", "root@pam"),
        (Scrubber.auth_id, "ann@acme@ldap!x", "user1@realm1!token1"),
        (Scrubber.worker_id, "tank-2:vm/100", "datastore1:vm/id1"),
        (Scrubber.worker_id, "tank-2:ns/acme/ns/web/vm/100/6B0337C3", "datastore1:ns/ns1/ns/ns2/vm/id1/6B0337C3"),
        (Scrubber.worker_id, "tank-2:/ct/6B0337C3", "datastore1:/ct/id2"),
        (Scrubber.worker_id, "here:tank-2:tank-2::s-1", "datastore2:datastore1:datastore1::id2"),
        (Scrubber.worker_id, "", ""),
        (
            Scrubber.upid,
            r"UPID:pve:000008F0:000D4340:00000020:6B0337C3:backup:tank\x2d2\x3ans-acme-vm-100:monitor@pam!prometheus:",
            r"UPID:node1:000008F0:000D4340:00000020:6B0337C3:backup:datastore1\x3ans-ns1-vm-id1:exporter@pbs!metrics:",
        ),
        (Scrubber.upid, "UPID:of another form", "text1"),
        (Scrubber.archive, "index.json.blob", "index.json.blob"),
        (Scrubber.archive, "drive-scsi0.img.fidx", "drive-scsi0.img.fidx"),
        (Scrubber.archive, "mail.acme.pxar.didx", "archive1.pxar.didx"),
        (Scrubber.archive, "mail", "archive1"),
        (Scrubber.maintenance, "read-only", "read-only"),
        (Scrubber.maintenance, 'offline,message="ask Ann"', "offline,message=note1"),
        (Scrubber.note, "ask Ann\r\n\nor Bob\n", "note1\r\n\nnote2\n"),
        (Scrubber.outcome, "WARNINGS: 3", "WARNINGS: 3"),
        (Scrubber.outcome, "no route to acme", "error1"),
        (Scrubber.location, "offline", "offline"),
        (Scrubber.location, "online-tl2", "online-device1"),
        (Scrubber.location, "vault-acme-cellar", "vault-vault1"),
        (Scrubber.location, "acme-cellar", "place1"),
        (Scrubber.metric_id, "host", "host"),
        (Scrubber.metric_id, "datastore/tank-2/s3", "datastore/datastore1/s3"),
        (Scrubber.privilege_path, "/", "/"),
        (Scrubber.privilege_path, "/system/disks", "/system/disks"),
        (Scrubber.privilege_path, "/datastore/tank-2/acme", "/datastore/datastore1/ns1"),
        (Scrubber.privilege_path, "/tape/pool/weekly", "/tape/pool/tape1"),
        (Scrubber.privilege_path, "/remote/acme-dc", "/remote/remote1"),
        (Scrubber.path, "/admin/datastore/tank%2D2/status", "/admin/datastore/datastore1/status"),
        (Scrubber.path, "/nodes/localhost/tasks", "/nodes/localhost/tasks"),
        (Scrubber.path, "/no/such", "/path1/path2"),
        (Scrubber.query, "limit=0&since=1795286989", "limit=0"),
        (Scrubber.query, "ns=acme%2Fweb", "ns=ns1%2Fns2"),
        (Scrubber.query, "ns=", "ns="),
    ],
)
def test_form_is_kept(
    scrubber: Scrubber, kind: Callable[[Scrubber, str], str], original: str, replacement: str
) -> None:
    """A text in one of PBS's forms keeps its form, and each name in it is replaced."""
    assert kind(scrubber, original) == replacement


@pytest.mark.parametrize(
    ("original", "replacement"),
    [
        ("no such datastore 'tank-2'", "no such datastore 'datastore1'"),
        ("datastore 'tank-2' is not mounted", "datastore 'datastore1' is not mounted"),
        (
            "datastore 'tank-2' is unavailable: offline maintenance mode: ask Ann",
            "datastore 'datastore1' is unavailable: offline maintenance mode: note1",
        ),
        ("datastore 'tank-2' is in offline maintenance mode", "datastore 'datastore1' is in offline maintenance mode"),
        (
            "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/tank-2/acme",
            "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/datastore1/ns1",
        ),
        ("Path '/api2/json/status/metrics' not found.", "Path '/api2/json/status/metrics' not found."),
        (
            "parameter verification failed - 'sync-direction': schema does not allow additional properties.",
            "parameter verification failed - 'sync-direction': schema does not allow additional properties.",
        ),
        ("could not reach acme-dc", "an error whose text is left out"),
        ("<html>Bad Gateway of acme</html>", "an error whose text is left out"),
    ],
)
def test_error(scrubber: Scrubber, original: str, replacement: str) -> None:
    """An error that the exporter may interpret keeps its words; the text of any other is removed."""
    assert scrubber.content("/version", original.encode()) == replacement.encode()


def test_unknown_texts_are_replaced(scrubber: Scrubber) -> None:
    """A key of a later PBS keeps its numbers, and none of its texts."""
    content = b'{"data":[{"store":"tank-2","new":{"deep":["acme",1,null,true]},"used":1.5}],"total":1}'
    assert scrubber.content("/admin/datastore", content) == (
        b'{"data":[{"store":"datastore1","new":{"deep":["ns1",1,null,true]},"used":1.5}],"total":1}'
    )


def test_fingerprints_stay_fingerprints(scrubber: Scrubber) -> None:
    """A fingerprint's replacement has a fingerprint's form."""
    new = scrubber.name("fingerprint", "fb:eb")
    assert len(bytes.fromhex(new.replace(":", ""))) == 32
    assert new == scrubber.name("fingerprint", "fb:eb") != scrubber.name("fingerprint", "fb:ec")
