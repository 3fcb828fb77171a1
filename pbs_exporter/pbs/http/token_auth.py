"""Authentication with the API token, and the pause after PBS has refused it.

PBS delays the answer to a failed login by three seconds and logs it, and that log often feeds fail2ban. So after a
refusal one request at a time tries the token, at most `PATIENCE` times in a row, and then once per minute. It doesn't
matter how many scrapes there are, or which requests are refused: where PBS accepts the token and refuses single
requests, only these wait.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pbs_exporter import log
from pbs_exporter.clock import Clock
from pbs_exporter.config import Secret, TargetSettings
from pbs_exporter.errors import LoginPaused, LoginRefused
from pbs_exporter.plain_text import without_cut_secret, without_secret

PROOF = "/version"
"""The path that needs a valid token and no privilege. Unless it was refused itself, it shows what a refusal means."""

PATIENCE = 3
"""Refusals in a row after which the pause begins."""

PAUSE_SECONDS = 60.0
"""Seconds between two tries during the pause."""


class TokenAuth:
    """The token of a target, and whether PBS accepts it.

    `proven`: PBS has accepted this token and not refused it since. `refusals`: refused tries in a row.
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
        # The paths that PBS refused. Those that it has never refused go on once it has accepted the token.
        self._refused: set[str] = set()
        self._closed = False
        # How often PBS has refused, ever. It tells whether an answer belongs to a request that was sent before that.
        self._known_refusals = 0
        # Set when the request that tries the token alone has ended.
        self._under_way: asyncio.Event | None = None

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
            self._refused.clear()
        self._closed = self.paused

    @asynccontextmanager
    async def attempt(self, template: str) -> AsyncIterator[None]:
        """Wait until a request for this path may be sent, and learn from the result of the block.

        Raise `LoginPaused` if no such request may be sent.
        """
        self._check(template)
        while self._alone(template) and self._under_way is not None:
            await self._under_way.wait()
            self._check(template)
        ended = asyncio.Event()
        if self._alone(template):
            self._under_way = ended
        known = self._known_refusals
        try:
            yield
        except LoginRefused:
            self._on_refused(template, before=known)
            raise
        else:
            self._on_accepted(template, before=known)
        finally:
            if self._under_way is ended:
                self._under_way = None
            ended.set()

    def _check(self, template: str) -> None:
        known = self.proven or template == PROOF
        if self._closed and (template in self._refused or not known):
            left = max(0.0, self._refused_at + PAUSE_SECONDS - self._clock.monotonic())
            at = datetime.fromtimestamp(self._clock.now() + left, UTC)
            when = f"after {at:%H:%M:%S} UTC" if self.paused else "at the next scrape"
            raise LoginPaused(f"the token was refused ({self.refusals} in a row): next try {when}")

    def _alone(self, template: str) -> bool:
        """Whether such a request tries the token, so that no other may be sent meanwhile."""
        return bool(self._refused) and (template in self._refused or not self.proven)

    def _on_accepted(self, template: str, before: int) -> None:
        if before != self._known_refusals:
            # Sent before a refusal, this request doesn't show that PBS accepts the token now.
            return
        self.proven = True
        if template in self._refused:
            self._refused.clear()
            self.refusals = 0
            self._closed = False

    def _on_refused(self, template: str, before: int) -> None:
        if template not in self._refused:
            self._refused.add(template)
            self.proven = False
        if before != self._known_refusals:
            # Requests that were under way at once with the same token count as one.
            return
        self._known_refusals += 1
        self.refusals += 1
        self._refused_at = self._clock.monotonic()
        self._closed = True
