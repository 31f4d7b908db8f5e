"""Who may look: the one browser that came with the token, and no other page in it.

Owns the secrets of one server: the token that is good once, the cookie that it is changed for, and
the token that each form sends along. All pages stand below a path nobody can guess, so that the
cookie, which a browser sends to every port of this address, goes to this server alone.
"""

import secrets
from dataclasses import field

from policies.frozen import dataclass

COOKIE = "moonpool-review"
ENTER = "enter"


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(slots=True, kw_only=True)
class ReviewSession:
    """Mutable: the token can be used once."""

    port: int
    base: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(9)}")
    """Path that all pages stand below, without a slash at its end."""
    csrf: str = field(default_factory=_secret)
    """What a form or script sends along, for another page can't read it."""
    _token: str = field(default_factory=_secret)
    _cookie: str = field(default_factory=_secret)
    _used: bool = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def address(self) -> str:
        """What is opened in a browser; good once."""
        return f"{self.origin}{self.base}/{ENTER}?token={self._token}"

    def enter(self, token: str) -> str | None:
        """The cookie, for the token; None where it is another one, or was used."""
        right = secrets.compare_digest(token.encode(), self._token.encode())
        if not right or self._used:
            return None
        self._used = True
        return (
            f"{COOKIE}={self._cookie}; Path={self.base}; HttpOnly; SameSite=Strict; Max-Age=604800"
        )

    def knows(self, cookies: str) -> bool:
        """Whether a request's cookies have ours among them."""
        for pair in cookies.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE and secrets.compare_digest(value.encode(), self._cookie.encode()):
                return True
        return False

    def confirms(self, token: str) -> bool:
        """Whether it is the token that our own pages send along."""
        return secrets.compare_digest(token.encode(), self.csrf.encode())
