"""What is read of PBS's answers about the server itself, its disks, and who may log in. As in `models`."""

import msgspec

from pbs_exporter.pbs.models import Answer


class Subscription(Answer, frozen=True):
    """`GET /nodes/localhost/subscription`. `nextduedate` is `YYYY-MM-DD`, and `0000-00-00` where there is none."""

    status: str | None = None
    nextduedate: str | None = None


class Update(msgspec.Struct, frozen=True, rename="pascal"):
    """A row of `GET /nodes/localhost/apt/update`: a package that can be upgraded."""

    package: str


class Service(Answer, frozen=True):
    """A row of `GET /nodes/localhost/services`. The states are systemd's."""

    service: str
    state: str | None = None
    unit_state: str | None = None


class Disk(Answer, frozen=True):
    """A row of `GET /nodes/localhost/disks/list`. `wearout` is the percentage of its life that remains."""

    name: str
    model: str | None = None
    serial: str | None = None
    status: str | None = None
    size: int | None = None
    wearout: float | None = None


class Pool(Answer, frozen=True):
    """A row of `GET /nodes/localhost/disks/zfs`. `frag` is in percent."""

    name: str
    health: str | None = None
    size: int | None = None
    alloc: int | None = None
    free: int | None = None
    frag: float | None = None


class Token(Answer, frozen=True):
    """An API token. `expire` is 0 or absent where it never does."""

    tokenid: str
    expire: int | None = None


class User(Answer, frozen=True):
    """A row of `GET /access/users?include_tokens=1`. `expire` is 0 or absent where it never does."""

    userid: str
    expire: int | None = None
    tokens: list[Token] | None = None
