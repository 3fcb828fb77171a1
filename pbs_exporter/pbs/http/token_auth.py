"""Authentication with the API token, and the pause after PBS has refused it.

PBS delays the answer to a failed login by three seconds and logs it, and that log often feeds fail2ban. So a refused
token is tried once per scrape, and after `PATIENCE` refusals once per minute.
"""

import re
from collections.abc import Callable

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.config import Secret, TargetSettings
from pbs_exporter.errors import LoginPaused
from pbs_exporter.plain_text import without_cut_secret, without_secret

PATIENCE = 3
"""Refusals in a row after which the pause begins."""

PAUSE_SECONDS = 60.0
"""Seconds between two tries during the pause."""


class TokenAuth:
    """The token of a target, and whether PBS accepts it.

    `proven`: PBS has accepted this token and not refused it since. `refusals`: refusals in a row.
    """

    def __init__(self, settings: TargetSettings, clock: Clock, reread: Callable[[], Secret | None]) -> None:
        self.proven = False
        self.refusals = 0
        self._token_id = settings.token_id
        self._secret = settings.token_secret
        # Also those that the file had before: an answer that comes late may quote one.
        self._secrets = [self._secret.reveal()]
        # What follows the token's ID in an echo of the header, even if it was cut within the secret.
        self._after_id = re.compile(rf"(?<={re.escape(settings.token_id)}:)[^\s'\"<>…]+")
        self._reread = reread
        self._clock = clock
        self._refused_at = 0.0
        self._closed = False

    @property
    def header(self) -> str:
        """The value of the `Authorization` header. It contains the secret."""
        return f"PBSAPIToken={self._token_id}:{self._secret.reveal()}"

    def hide(self, text: str) -> str:
        """Return the text with the secret masked, also if the text was cut within the secret."""
        for secret in self._secrets:
            text = without_secret(text, secret)
        text = self._after_id.sub("***", text)
        for secret in self._secrets:
            text = without_cut_secret(text, secret)
        return text

    @property
    def paused(self) -> bool:
        """Whether the pause after repeated refusals is running."""
        waited = self._clock.monotonic() - self._refused_at
        return self.refusals >= PATIENCE and waited < PAUSE_SECONDS

    def reopen(self) -> None:
        """Permit the next try, at the start of a scrape: at once with a new secret, otherwise after the pause."""
        if not self._closed:
            return
        secret = self._reread()
        if secret is not None and secret != self._secret:
            self._secret = secret
            self._secrets.append(secret.reveal())
            log.hide(secret.reveal())
            self.refusals = 0
        self._closed = self.paused

    def check(self) -> None:
        """Raise `LoginPaused` if no request may be sent."""
        if self._closed:
            seconds = max(0, round(self._refused_at + PAUSE_SECONDS - self._clock.monotonic()))
            when = f"next try in {seconds} s" if self.paused else "next try at the next scrape"
            raise LoginPaused(f"the token was refused ({self.refusals} in a row): {when}")

    def accepted(self) -> None:
        """Record that PBS accepted the token."""
        self.proven = True
        self.refusals = 0

    def refused(self) -> None:
        """Record a refusal. Concurrent requests with the same token count as one."""
        self.proven = False
        self._refused_at = self._clock.monotonic()
        if not self._closed:
            self.refusals += 1
            self._closed = True
