"""The token, and what to do when PBS refuses it.

PBS holds a refused login for three seconds and logs it, and people feed that log to fail2ban. So a refused
token is tried once a scrape, and after some refusals once a minute.
"""

from collections.abc import Callable

from pbs_exporter.clock import Clock
from pbs_exporter.config import Secret, TargetSettings
from pbs_exporter.errors import LoginPaused

PATIENCE = 3
"""After so many refusals in a row PBS is asked less often."""

PAUSE_SECONDS = 60.0
"""How long PBS isn't asked then."""


class TokenAuth:
    """The state of a target's login.

    `proven`: PBS has taken this token and not refused it since. `refusals`: how often in a row it refused.
    """

    def __init__(self, settings: TargetSettings, clock: Clock, reread: Callable[[], Secret | None]) -> None:
        self.proven = False
        self.refusals = 0
        self._token_id = settings.token_id
        self._secret = settings.token_secret
        self._reread = reread
        self._clock = clock
        self._refused_at = 0.0
        self._closed = False

    @property
    def header(self) -> str:
        """The value of the `Authorization` header. Holds the secret."""
        return f"PBSAPIToken={self._token_id}:{self._secret.reveal()}"

    def hide(self, text: str) -> str:
        """Take the secret out of a text."""
        return text.replace(self._secret.reveal(), "***")

    @property
    def paused(self) -> bool:
        """Whether the refusals so far forbid asking now."""
        waited = self._clock.monotonic() - self._refused_at
        return self.refusals >= PATIENCE and waited < PAUSE_SECONDS

    def reopen(self) -> None:
        """Allow the next try, at the start of a scrape: at once with a new secret, else when it is due."""
        if not self._closed:
            return
        secret = self._reread()
        if secret is not None and secret != self._secret:
            self._secret = secret
            self.refusals = 0
        self._closed = self.paused

    def check(self) -> None:
        """Raise `LoginPaused` where PBS must not be asked."""
        if self._closed:
            seconds = max(0, round(self._refused_at + PAUSE_SECONDS - self._clock.monotonic()))
            when = f"asked again in {seconds} s" if self.paused else "asked again at the next scrape"
            raise LoginPaused(f"PBS refused the token ({self.refusals} in a row): {when}")

    def taken(self) -> None:
        """Note that PBS took the token."""
        self.proven = True
        self.refusals = 0

    def refused(self) -> None:
        """Note a refusal. Requests that were under way with the same token count as one."""
        self.proven = False
        self._refused_at = self._clock.monotonic()
        if not self._closed:
            self.refusals += 1
            self._closed = True
