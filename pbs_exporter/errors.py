"""Everything that the program raises on purpose.

PbsExporterError
├── ConfigError            settings that the program can't start with; one line a problem
├── ListenError            the listen address is taken or can't be bound
├── OutputError            the file for a page can't be written
└── PbsError               a request to PBS that gave no answer that could be used
    ├── Unreachable        no connection
    │   ├── ConnectionRefused
    │   └── HostNotFound
    ├── TlsFailed          no trust
    │   └── FingerprintMismatch
    ├── PbsTimeout         no answer in time
    ├── ProtocolFailed     a connection that broke, or speaks no proper HTTP
    ├── LoginPaused        PBS wasn't asked: it has refused the token
    ├── StatusError        an answer with another status than 200
    │   ├── LoginRefused   401, or 400 with PBS's login text
    │   ├── Forbidden      403
    │   ├── NotFound       404
    │   │   └── NotOffered 404 in PBS's own words: this version doesn't have that path
    │   ├── NoSuchParameter 400: this version doesn't know a parameter
    │   └── Unavailable    400: the datastore is in maintenance or not mounted
    └── DecodeFailed       status 200 with a body that isn't PBS's
        ├── NotJson
        ├── WrongShape
        └── TooLarge
"""

from pbs_exporter.plain_text import first_line


class PbsExporterError(Exception):
    """Base of all."""


class ConfigError(PbsExporterError):
    """The settings can't be used. `problems` has one line for each that is wrong, never a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ListenError(PbsExporterError):
    """The listen address can't be bound."""


class OutputError(PbsExporterError):
    """The file for a page can't be written."""


class PbsError(PbsExporterError):
    """A request to PBS failed. Its text is one clean line, fit for a log and a page.

    `code` is the value of the label `code` in `pbs_exporter_api_requests_total`.
    """

    code: str = "protocol"


class Unreachable(PbsError):
    """No connection to the endpoint."""

    code = "connect"


class ConnectionRefused(Unreachable):
    """Nothing listens there."""


class HostNotFound(Unreachable):
    """The endpoint's host name has no address."""


class TlsFailed(PbsError):
    """The TLS handshake failed: no TLS there, or a certificate that isn't trusted."""

    code = "tls"


class FingerprintMismatch(TlsFailed):
    """The certificate isn't the one whose fingerprint is configured. The token was not sent."""


class PbsTimeout(PbsError):
    """PBS gave no whole answer in time."""

    code = "timeout"


class ProtocolFailed(PbsError):
    """The connection broke, or what came over it was no HTTP."""

    code = "protocol"


class LoginPaused(PbsError):
    """PBS wasn't asked: it has refused the token, and each further refusal is a line in its log."""


class StatusError(PbsError):
    """PBS, or a proxy in front of it, answered with another status than 200."""

    def __init__(self, status: int, body: str) -> None:
        text = first_line(body)
        super().__init__(f"{status} {text}".rstrip())
        self.status = status
        self.code = str(status)


class LoginRefused(StatusError):
    """PBS didn't take the token."""


class Forbidden(StatusError):
    """The token lacks a privilege."""


class NotFound(StatusError):
    """PBS, or what is in front of it, doesn't have that path."""


class NotOffered(NotFound):
    """This PBS's version doesn't have that path, which is no failure."""


class NoSuchParameter(StatusError):
    """This PBS's version doesn't know one of the parameters."""


class Unavailable(StatusError):
    """The datastore is in maintenance, or isn't mounted."""


class DecodeFailed(PbsError):
    """The body of a 200 isn't what PBS sends."""

    code = "decode"


class NotJson(DecodeFailed):
    """The body is no JSON: a proxy's page, or cut off."""


class WrongShape(DecodeFailed):
    """The body is JSON, but not of the endpoint's shape."""


class TooLarge(DecodeFailed):
    """The body is larger than the program reads."""
