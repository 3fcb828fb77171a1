"""Users and their API tokens."""

from pbs_exporter.pbs.models.base import ApiObject


class Token(ApiObject, frozen=True):
    """An API token. `expire` (Unix seconds) is 0 or absent if it never expires."""

    tokenid: str
    expire: int | None = None


class User(ApiObject, frozen=True):
    """A row of `GET /access/users?include_tokens=1`. `expire` is as in `Token`."""

    userid: str
    expire: int | None = None
    tokens: list[Token] | None = None
