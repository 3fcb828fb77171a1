"""All exceptions that the program defines for its callers.

PbsExporterError
├── ConfigError            invalid settings; one line per problem
├── ListenError            the listen address is in use or can't be bound
├── OutputError            the output file can't be written
└── PbsError               a request to PBS without a usable answer
    ├── Unreachable        no connection
    │   ├── ConnectionRefused
    │   └── HostNotFound
    ├── TlsFailed          the handshake failed, or the certificate isn't trusted
    │   └── FingerprintMismatch
    ├── PbsTimeout         no answer in time
    ├── ProtocolFailed     the connection broke, or the answer isn't HTTP
    ├── ListingUnfinished  more groups have changed than one listing lists
    ├── LoginPaused        not sent, because PBS has refused the token
    ├── StatusError        an answer with a status other than 200
    │   ├── LoginRefused   401, or 400 with PBS's text of a failed login
    │   ├── Forbidden      403
    │   ├── NotFound       404
    │   │   └── NotOffered 404 with PBS's text: its version doesn't have this path
    │   ├── NoSuchParameter 400: PBS's version doesn't have this parameter
    │   └── Unavailable    400: the datastore is in maintenance or not mounted
    └── DecodeFailed       status 200 with an unexpected body
        ├── NotJson
        ├── WrongShape
        └── TooLarge
"""

from typing import TypeVar

from pbs_exporter.plain_text import first_line

E = TypeVar("E", bound=BaseException)


def bare(error: E) -> E:
    """Return the error without its traceback and causes: their frames hold answers of PBS while the error is kept."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class PbsExporterError(Exception):
    """Base of all."""


class ConfigError(PbsExporterError):
    """The settings are invalid. `problems` has one line per problem, never with a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ListenError(PbsExporterError):
    """The listen address can't be bound."""


class OutputError(PbsExporterError):
    """The output file can't be written."""


class PbsError(PbsExporterError):
    """A request to PBS failed. The message is one printable line, safe for logs and the status page.

    `code` is the value of the label `code` in `pbs_exporter_api_requests_total`.
    """

    code: str = "protocol"


class Unreachable(PbsError):
    """No connection to the endpoint."""

    code = "connect"


class ConnectionRefused(Unreachable):
    """Nothing listens on the endpoint."""


class HostNotFound(Unreachable):
    """The endpoint's host name has no address."""


class TlsFailed(PbsError):
    """The TLS handshake failed: the server doesn't speak TLS, or its certificate isn't trusted."""

    code = "tls"


class FingerprintMismatch(TlsFailed):
    """The certificate doesn't have the configured fingerprint. The token was not sent."""


class PbsTimeout(PbsError):
    """There was no complete answer in time.

    `by_client`: it isn't known whether PBS would have answered in its time, because the scrape ended before.
    """

    code = "timeout"
    SCRAPE_OVER = "the scrape's time was up"
    """The text of such an error, and the message of the cancellation of a request whose scrape has no time left."""

    def __init__(self, text: str, *, by_client: bool = False) -> None:
        super().__init__(text)
        self.by_client = by_client


class ProtocolFailed(PbsError):
    """The connection broke, or the answer isn't HTTP."""

    code = "protocol"


class ListingUnfinished(PbsError):
    """A listing has more to do than it does at once. The next one goes on."""


class LoginPaused(PbsError):
    """The request wasn't sent: PBS has refused the token, and logs each further refusal."""


class StatusError(PbsError):
    """PBS, or a proxy in front of it, answered with a status other than 200."""

    def __init__(self, status: int, body: str) -> None:
        text = first_line(body)
        super().__init__(f"{status} {text}".rstrip())
        self.status = status
        self.code = str(status)


class LoginRefused(StatusError):
    """PBS refused the token."""


class Forbidden(StatusError):
    """The token lacks a privilege."""


class NotFound(StatusError):
    """PBS, or a proxy in front of it, doesn't have this path."""


class NotOffered(NotFound):
    """This version of PBS doesn't have this path, which isn't a failure."""


class NoSuchParameter(StatusError):
    """This version of PBS doesn't have one of the parameters."""


class Unavailable(StatusError):
    """The datastore is in maintenance or not mounted."""


class DecodeFailed(PbsError):
    """The body of a 200 isn't as expected from PBS."""

    code = "decode"


class NotJson(DecodeFailed):
    """The body isn't JSON: it is truncated, or a proxy's page."""


class WrongShape(DecodeFailed):
    """The body is JSON, but doesn't have the endpoint's shape."""


class TooLarge(DecodeFailed):
    """The body exceeds the size limit."""


TOKEN_REFUSED = (LoginRefused, LoginPaused)
"""PBS has refused the token, now or before."""
