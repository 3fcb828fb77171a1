from collections.abc import Mapping

import pytest

from pbs_exporter.collectors import COLLECTORS
from pbs_exporter.collectors.base import enabled
from pbs_exporter.simulator import Fault, Replay, SimulatedPbs
from tests.support.paths import recording_file
from tests.support.program import closed_port, deaf, run_program, settings

VERIFY = "PBS_EXPORTER__PBS__VERIFY_TLS"
FINGERPRINT = "PBS_EXPORTER__PBS__FINGERPRINT"


def recorded_pbs(recording: str = "pbs-4.2.3", *, tls: bool = True) -> SimulatedPbs:
    """Return a recorded PBS that refuses logins without delay."""
    return SimulatedPbs(Replay(recording_file(recording)), tls=tls, login_delay=0, forbidden_delay=0)


async def test_check_with_all_that_is_needed(pbs: SimulatedPbs) -> None:
    """`check` prints the version, the login and each collector's privileges, and exits with 0 if none is missing."""
    ended = await run_program("check", env=settings(pbs, **{FINGERPRINT: pbs.fingerprint}))
    assert (ended.code, ended.stderr) == (0, "")
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert ["endpoint", pbs.endpoint] in rows
    assert ["version", "PBS", "4.2.3"] in rows
    assert ["login", "ok,", "as", pbs.token_id] in rows
    on = enabled([collector for collector in COLLECTORS if collector.default])
    needed = [[name, need.privilege, need.path, "yes"] for name, needs in on.items() for need in needs]
    assert len(needed) > 10
    assert rows[-len(needed) :] == needed
    assert pbs.secret not in ended.stdout


async def test_check_names_what_would_grant_a_missing_right() -> None:
    """If a privilege is missing, `check` exits with 1, and prints the commands that grant it to user and token."""
    async with recorded_pbs("pbs-4.2.3-partial") as pbs:
        ended = await run_program("check", env=settings(pbs))
    assert (ended.code, ended.stderr) == (1, "")
    user = pbs.token_id.partition("!")[0]
    lines = [line.strip() for line in ended.stdout.splitlines() if "acl update" in line]
    assert lines == [
        f"proxmox-backup-manager acl update / {role} --auth-id '{auth_id}'"
        for role in ("Audit", "TapeAudit", "RemoteAudit")
        for auth_id in (user, pbs.token_id)
    ]
    rights = [line for line in ended.stdout.splitlines() if line.endswith((" yes", " NO"))]
    assert {line.split()[0] for line in rights} == {
        collector.name for collector in COLLECTORS if collector.default and collector.needs
    }
    assert all(line.endswith(" NO") for line in rights)


async def test_check_asks_only_for_rights_of_enabled_collectors() -> None:
    """A disabled collector needs no privilege."""
    names = {collector.name for collector in COLLECTORS} - {"tape"}
    off = {f"PBS_EXPORTER__COLLECTORS__{name.upper()}": "false" for name in names}
    async with recorded_pbs("pbs-4.2.3-partial") as pbs:
        ended = await run_program("check", env=settings(pbs) | off)
    assert ended.code == 1
    assert ended.stdout.count(" NO\n") == 1
    assert "/tape" in ended.stdout
    assert "Datastore.Audit" not in ended.stdout


async def test_check_with_a_wrong_token(pbs: SimulatedPbs) -> None:
    """With a token that PBS refuses, `check` exits with 1 after one refused login, and doesn't print the secret."""
    secret = "00000000-1111-2222-3333-444444444444"
    ended = await run_program("check", env=settings(pbs, PBS_EXPORTER__PBS__TOKEN_SECRET=secret))
    assert (ended.code, ended.stderr) == (1, "")
    assert f"login       FAILED as {pbs.token_id}: 401 " in ended.stdout
    assert secret not in ended.stdout
    assert len(pbs.requests) == 1


async def test_check_with_an_answer_that_holds_the_secret(pbs: SimulatedPbs) -> None:
    """The secret isn't printed, even if a proxy's error repeats the request."""
    pbs.faults.add("*", Fault.status(502, f"Authorization: PBSAPIToken={pbs.token_id}:{pbs.secret}"))
    ended = await run_program("check", env=settings(pbs))
    assert ended.code == 1
    assert "502 Authorization" in ended.stdout
    assert pbs.secret not in ended.stdout + ended.stderr


async def test_check_with_a_dead_pbs(pbs: SimulatedPbs) -> None:
    """If nothing listens on PBS's port, `check` says so in one line, and exits with 1."""
    port = closed_port()
    ended = await run_program("check", env=settings(pbs, PBS_EXPORTER__PBS__ENDPOINT=f"https://127.0.0.1:{port}"))
    assert (ended.code, ended.stderr) == (1, "")
    assert f"connection  FAILED: nothing listens on 127.0.0.1:{port}" in ended.stdout
    assert "tls         no certificate: " in ended.stdout


async def test_check_with_a_pbs_that_never_answers(pbs: SimulatedPbs) -> None:
    """If the port accepts connections and never answers, `check` exits with 1 after the time limit."""
    async with deaf() as port:
        endpoint = f"https://127.0.0.1:{port}"
        short = settings(pbs, PBS_EXPORTER__PBS__ENDPOINT=endpoint, PBS_EXPORTER__PBS__TIMEOUT_SECONDS="0.2")
        ended = await run_program("check", env=short)
    assert (ended.code, ended.stderr) == (1, "")
    assert "no certificate: no answer in time" in ended.stdout
    assert "connection  FAILED: no answer within 4 s" in ended.stdout


async def test_check_shows_the_fingerprint_with_verification_off(pbs: SimulatedPbs) -> None:
    """Without verification, `check` prints the certificate's expiry, and its fingerprint as a setting."""
    ended = await run_program("check", env=settings(pbs))
    assert ended.code == 0
    assert "tls         NOT verified; certificate expires 20" in ended.stdout
    printed = next(line.strip() for line in ended.stdout.splitlines() if line.count(":") == 31)
    assert printed == pbs.fingerprint
    assert "warning: PBS's certificate is not verified" in ended.stdout
    pinned = await run_program("check", env=settings(pbs, **{FINGERPRINT: printed}))
    assert pinned.code == 0
    assert "tls         verification on; certificate expires 20" in pinned.stdout
    assert "warning" not in pinned.stdout


@pytest.mark.parametrize("trust", [{VERIFY: "true"}, {FINGERPRINT: "ab" * 32}], ids=["system", "fingerprint"])
async def test_check_with_an_untrusted_certificate(pbs: SimulatedPbs, trust: Mapping[str, str]) -> None:
    """With an untrusted certificate, `check` exits with 1, prints the fingerprint, and doesn't send the token."""
    ended = await run_program("check", env=settings(pbs) | dict(trust))
    assert (ended.code, ended.stderr) == (1, "")
    assert "connection  FAILED: " in ended.stdout
    assert " verified" not in ended.stdout
    assert pbs.fingerprint in ended.stdout
    assert pbs.requests == []


async def test_check_over_http() -> None:
    """Over plain HTTP, `check` works, and warns that the token is sent unencrypted."""
    async with recorded_pbs(tls=False) as pbs:
        ended = await run_program("check", env=settings(pbs))
    assert (ended.code, ended.stderr) == (0, "")
    assert "tls         none: the token is sent unencrypted" in ended.stdout
    assert ended.stdout.count("warning: ") == 1


async def test_check_prints_no_escape_sequences(pbs: SimulatedPbs) -> None:
    """A PBS whose version has control characters writes none of them to the terminal."""
    pbs.faults.add("/version", Fault.json({"version": "4.2\x1b]0;title\x07\x1b[2J\n\x9b31m", "release": "3\r"}))
    ended = await run_program("check", env=settings(pbs))
    assert "\nversion     PBS 4.2" in ended.stdout
    assert not [c for c in ended.stdout if not c.isprintable() and c != "\n"]


async def test_check_prints_no_secret_that_comes_back(pbs: SimulatedPbs) -> None:
    """A PBS, or something in between, that answers with the login in the version doesn't bring it to the terminal."""
    pbs.faults.add("/version", Fault.json({"version": f"PBSAPIToken={pbs.token_id}:{pbs.secret}", "release": "3"}))
    ended = await run_program("check", env=settings(pbs))
    assert f"\nversion     PBS PBSAPIToken={pbs.token_id}:***" in ended.stdout
    assert pbs.secret not in ended.stdout + ended.stderr
