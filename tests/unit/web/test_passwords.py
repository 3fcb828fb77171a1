"""Passwords: what is checked, what that takes, and who is checked next."""

import asyncio
import threading
from unittest.mock import Mock

import bcrypt
import pytest

from pbs_exporter.config import Secret
from pbs_exporter.web.port import passwords
from pbs_exporter.web.port.passwords import Busy, Passwords, Waiting, is_right, padding

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


def test_wrong_passwords_take_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong login does the rounds of the dearest hash, whatever the user's own costs, and for an unknown user too."""
    rounds: list[int] = []
    hashpw = bcrypt.hashpw

    def counting(password: bytes, salt: bytes) -> bytes:
        rounds.append(2 ** int(salt[4:6]))
        return hashpw(password, salt[:4] + b"04" + salt[6:])

    monkeypatch.setattr(bcrypt, "hashpw", counting)
    for stored in (None, *(b"$2y$%b$" % cost + b"a" * 21 + b"." * 32 for cost in (b"08", b"10", b"11"))):
        for password in (b"", b"wrong", b"x" * 100):
            rounds.clear()
            assert not is_right(password, stored, 11)
            assert sum(rounds) == 2**11


@pytest.mark.parametrize(("cost", "costs"), [(None, [12]), (12, []), (11, [11]), (4, [4, 5, 6, 7, 8, 9, 10, 11])])
def test_padding(cost: int | None, costs: list[int]) -> None:
    """The rounds that are missing are done, too."""
    assert list(padding(cost, 12)) == costs


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
@pytest.mark.parametrize("password", [b"secret", b"", "pässword".encode(), b"a\0b", b"x" * 72])
def test_right_passwords(prefix: bytes, password: bytes) -> None:
    """Hashes of all tools are understood, and passwords of any bytes; a longer one is another one."""
    stored = bcrypt.hashpw(password, bcrypt.gensalt(4)).replace(b"$2b$", b"$" + prefix + b"$")
    assert is_right(password, stored, 4)
    assert not is_right(password + b"x", stored, 4)


class Checks:
    """Stands for bcrypt: each check waits until the test lets it go on."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.go_on = threading.Event()

    def __call__(self, password: bytes, stored: bytes | None, _dearest: int) -> bool:
        self.asked.append(password)
        assert self.go_on.wait(30)
        return stored is not None and password == b"right"


USERS = {"alice": Secret(HASH)}


async def test_logins_are_remembered() -> None:
    """A login is checked once, right or wrong, also if several ask at once; a new hash counts at once."""
    checks = Checks()
    checks.go_on.set()
    logins = Passwords(checks)
    for _ in range(2):
        answers = [
            logins.accept(USERS, user, word, "::1") for user in ("alice", "bob") for word in (b"right", b"no", b"no")
        ]
        assert await asyncio.gather(*answers) == [True, False, False, False, False, False]
    assert sorted(checks.asked) == [b"no", b"no", b"right", b"right"]
    assert await logins.accept({"alice": Secret(HASH.replace("X", "Y"))}, "alice", b"right", "::1")
    assert len(checks.asked) == 5
    assert not await logins.accept({"bob": Secret(HASH)}, "alice", b"right", "::1")


async def test_no_password_stays_in_memory() -> None:
    """Of a remembered login nothing is kept in which the password could be found."""
    checks = Checks()
    checks.go_on.set()
    logins = Passwords(checks)
    assert await logins.accept(USERS, "alice", b"right", "a")
    assert not await logins.accept(USERS, "alice", b"wrong-password", "a")
    kept = repr((logins._right, logins._wrong, logins._pending, logins._waiting._groups))
    assert "right" not in kept
    assert "wrong-password" not in kept


async def test_a_flood_of_wrong_passwords_keeps_nobody_out() -> None:
    """While another address tries passwords, a remembered login needs no check, and a new one is checked next."""
    checks = Checks()
    checks.go_on.set()
    logins = Passwords(checks, threads=1)
    assert await logins.accept(USERS, "alice", b"right", "10.0.0.1")
    checks.go_on.clear()
    flood = [asyncio.create_task(logins.accept(USERS, "alice", b"%d" % n, "10.0.0.2")) for n in range(500)]
    await asyncio.sleep(0)
    assert await logins.accept(USERS, "alice", b"right", "10.0.0.3")
    other = asyncio.create_task(logins.accept({"bob": Secret(HASH)}, "bob", b"right", "10.0.0.3"))
    await asyncio.sleep(0)
    checks.go_on.set()
    assert await other
    # One was under way, and one of the flood may have had its turn.
    assert checks.asked.index(b"right", 1) <= 3
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(answer, Busy) for answer in answers) == 500 - passwords.MOST_WAITING


async def test_no_thread_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no more threads, a login is busy, and checked when there is one again."""
    checks = Checks()
    checks.go_on.set()
    logins = Passwords(checks, threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        for _ in range(3):
            with pytest.raises(Busy):
                await logins.accept(USERS, "alice", b"right", "a")
            await asyncio.sleep(0)
    assert await logins.accept(USERS, "alice", b"right", "a")


async def test_a_client_that_leaves_is_not_checked() -> None:
    """A login whose clients have all left waits for no check."""
    checks = Checks()
    logins = Passwords(checks, threads=1)
    first = asyncio.create_task(logins.accept(USERS, "alice", b"a", "x"))
    await asyncio.sleep(0)
    left = [asyncio.create_task(logins.accept(USERS, "alice", b"b", "x")) for _ in range(2)]
    await asyncio.sleep(0)
    left[0].cancel()
    await asyncio.sleep(0)
    assert len(logins._waiting) == 1
    left[1].cancel()
    checks.go_on.set()
    assert not await first
    assert checks.asked == [b"a"]
    assert len(logins._waiting) == 0


async def test_a_right_login_among_many_wrong_ones_is_found() -> None:
    """Of logins of one address any may be the next or be dropped: no order of a flood keeps one out for good."""
    taken: set[int] = set()
    for _ in range(300):
        waiting = Waiting(4)
        logins = [passwords._Login("x", "alice", lambda: True) for _ in range(5)]
        dropped = [waiting.add(login) for login in logins]
        assert dropped[:4] == [None] * 4
        assert dropped[4] in logins
        login = waiting.take()
        assert login is not None
        assert login is not dropped[4]
        taken.add(logins.index(login))
    assert taken == set(range(5))


async def test_a_flood_for_one_user_keeps_out_no_other() -> None:
    """Of one address, a login of another user isn't dropped because of a flood, and soon has its turn."""
    waiting = Waiting(8)
    other = passwords._Login("x", "bob", lambda: True)
    waiting.add(other)
    for _ in range(100):
        assert waiting.add(passwords._Login("x", "alice", lambda: True)) is not other
    taken = [waiting.take() for _ in range(8)]
    assert other in taken
    assert waiting.take() is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", True),
    ],
)
def test_who_is_one_client(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a column
    """An IPv6 client is its network, because it may have any address there."""
    assert (passwords.client_group(one) == passwords.client_group(other)) == same
