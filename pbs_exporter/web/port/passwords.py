"""Whether a login is right: bcrypt in a few threads, and what is remembered of it."""

import asyncio
import hashlib
import hmac
import ipaddress
import os
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from pbs_exporter.config import Secret
from pbs_exporter.waiting import shared_result

THREADS = 2
MOST_WAITING = 16
"""More would wait for longer than a scrape may take."""

MOST_WRONG = 1024
"""Wrong logins that are remembered, so that a client with an old password costs a check now and then alone."""

MOST_BYTES = 72
"""bcrypt has no more of a password."""

_NICENESS = 10
_SALT = b"NobodyHasThisPasswordu"
"""Any valid one."""

Check = Callable[[bytes, bytes | None, int], bool]


class Busy(Exception):
    """More logins wait for their check than the limit, or there is no thread for it."""


def is_right(password: bytes, stored: bytes | None, dearest: int) -> bool:
    """Whether the password has this hash.

    A wrong one takes as long as one check at the cost `dearest`, whatever the hash costs, and without any hash too.
    """
    # Most have no logins, and this takes memory.
    import bcrypt  # noqa: PLC0415

    usable = password[:MOST_BYTES]
    if stored is not None:
        same = hmac.compare_digest(bcrypt.hashpw(usable, stored), stored)
        if same and len(password) <= MOST_BYTES:
            return True
    for cost in padding(None if stored is None else cost_of(stored), dearest):
        bcrypt.hashpw(usable, b"$2b$%02d$%b" % (cost, _SALT))
    return False


def padding(cost: int | None, dearest: int) -> Sequence[int]:
    """Return the costs of the checks that a check of this cost lacks for one of the dearest.

    Each step doubles the time, so 8 and then 8, 9 and 10 take as long as 11.
    """
    return (dearest,) if cost is None else range(cost, dearest)


def cost_of(stored: bytes) -> int:
    """Return the cost of a bcrypt hash: the binary logarithm of its rounds."""
    return int(stored[4:6])


class Passwords:
    """Checks logins without holding up the event loop. No password stays in memory."""

    def __init__(self, check: Check = is_right, threads: int = THREADS) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._pending: dict[bytes, _Login] = {}
        self._waiting = Waiting(MOST_WAITING)
        self._idle_threads = threads

    async def accept(self, users: Mapping[str, Secret], user: str, password: bytes, client: str) -> bool:
        """Whether this is a user's password. `client` is its address. Raises `Busy`."""
        stored = users[user].reveal().encode() if user in users else None
        digest = self._digest(user, stored, password)
        if stored is not None and hmac.compare_digest(self._right.get(user, b""), digest):
            return True
        if digest in self._wrong:
            self._wrong.move_to_end(digest)
            return False
        login = self._pending.get(digest)
        if login is None:
            dearest = max(cost_of(hashed.reveal().encode()) for hashed in users.values())
            login = _Login(client_group(client), user, partial(self._check, password, stored, dearest))
            self._pending[digest] = login
            login.result.add_done_callback(partial(self._remember, digest, user))
            if (refused := self._waiting.add(login)) is not None:
                refused.result.set_exception(Busy())
            self._start()
        return await self._wait_for(login)

    async def _wait_for(self, login: "_Login") -> bool:
        login.clients += 1
        try:
            return await shared_result(login.result)
        finally:
            login.clients -= 1
            if not login.clients and self._waiting.remove(login):
                login.result.cancel()

    def _digest(self, user: str, stored: bytes | None, password: bytes) -> bytes:
        keyed = hashlib.blake2b(key=self._key)
        for part in (user.encode(), stored or b"", password):
            keyed.update(len(part).to_bytes(8))
            keyed.update(part)
        return keyed.digest()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle_threads and (login := self._waiting.take()) is not None:
            self._idle_threads -= 1
            # One for each check, and a daemon: Python would wait for it at exit.
            thread = threading.Thread(target=self._run, args=(loop, login), name="password", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system has no more threads.
                self._idle_threads += 1
                login.result.set_exception(Busy())

    def _run(self, loop: asyncio.AbstractEventLoop, login: "_Login") -> None:
        # In Linux this is of the thread alone. Scrapes go before.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        right = False
        try:
            right = login.check()
        finally:
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, login, right)

    def _end(self, login: "_Login", right: bool) -> None:  # noqa: FBT001 - the loop calls it
        self._idle_threads += 1
        if not login.result.done():
            login.result.set_result(right)
        self._start()

    def _remember(self, digest: bytes, user: str, result: "asyncio.Future[bool]") -> None:
        del self._pending[digest]
        if result.cancelled() or result.exception() is not None:
            return
        if result.result():
            # One for each configured user, so this needs no limit.
            self._right[user] = digest
        else:
            self._wrong[digest] = None
            if len(self._wrong) > MOST_WRONG:
                self._wrong.popitem(last=False)


class _Login:
    """A login to check, the number of requests that wait for it, and the group of clients that it counts for."""

    def __init__(self, group: str, user: str, check: Callable[[], bool]) -> None:
        self.group = group
        self.user = user
        self.check = check
        self.clients = 0
        self.result: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Waiting:
    """The logins that no thread checks yet, by the address of the client.

    The addresses take turns, so that one that tries many passwords doesn't keep out another. Of one address a user is
    taken by lot, known or not, and a login of that user. Above the limit one of the most frequent user is dropped, by
    lot as well: in any fixed order, a flood would keep out all others for good.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: OrderedDict[str, list[_Login]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(logins) for logins in self._groups.values())

    def add(self, login: _Login) -> _Login | None:
        """Add a login. Return the one that has no place any more."""
        self._groups.setdefault(login.group, []).append(login)
        if len(self) <= self._limit:
            return None
        crowd = max(self._groups.values(), key=len)
        numbers = Counter(waiting.user for waiting in crowd)
        most = max(numbers.values())
        dropped = secrets.choice([waiting for waiting in crowd if numbers[waiting.user] == most])
        self.remove(dropped)
        return dropped

    def take(self) -> _Login | None:
        """Return the next login; `None` if there is none."""
        if not self._groups:
            return None
        group = next(iter(self._groups))
        logins = self._groups[group]
        user = secrets.choice(sorted({login.user for login in logins}))
        login = secrets.choice([login for login in logins if login.user == user])
        self._groups.move_to_end(group)
        self.remove(login)
        return login

    def remove(self, login: _Login) -> bool:
        """Remove a login. Return whether it was there."""
        logins = self._groups.get(login.group, [])
        if login not in logins:
            return False
        logins.remove(login)
        if not logins:
            del self._groups[login.group]
        return True


def client_group(address: str) -> str:
    """Return what stands for a client: its address, of IPv6 the network that one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) if parsed.version == 6 else address  # noqa: PLR2004 - IPv6
