"""What every request passes before a page sees it, and what every answer carries.

A page of somebody else's that runs in the same browser can send requests here: by another name of
this address (rebinding), from another port, by a form, by a link. Each check below refuses one of
these. What is refused here reaches no route.
"""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, Response

from agent.review.pages import messages
from agent.review.server.session import ENTER, ReviewSession

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

BODY_LIMIT_BYTES = 1 << 20
CSRF_HEADER = "x-csrf-token"
_ICON = "/favicon.ico"
_READING = ("GET", "HEAD")
_SAME_PAGE = ("same-origin", "none")
"""What a browser says of where a request comes from: our own pages, or the person's own hand."""
_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "no-store",
}


def content_policy(nonce: str) -> str:
    """The content security policy of a page: nothing but what it names, from this server."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types moonpool"
    )


class Guard:
    """An ASGI application around the pages."""

    def __init__(self, pages: Application, session: ReviewSession) -> None:
        self._pages = pages
        self._session = session

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on below `ReviewSession.base` with what was checked."""
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        nonce = secrets.token_urlsafe(18)
        send = _with_headers(send, nonce)
        own = self._own(scope, _headers(scope))
        if own is not None:
            await own(scope, receive, send)
            return
        # The rest of the path is what the routes know; their links begin with `root_path`.
        scope = {**scope, "root_path": self._session.base}
        scope["state"] = {**scope.get("state", {}), "nonce": nonce, "session": self._session}
        await self._pages(scope, _bounded(receive), send)

    def _own(self, scope: Message, headers: dict[str, str]) -> Response | None:
        """The answer to what no page is asked for."""
        if scope["path"] == _ICON and headers.get("host") == self._session.host:
            # A browser asks for one whatever a page says: there is none, which is no error.
            return Response(status_code=204)
        refused = self._refusal(scope, headers)
        if refused is None and scope["path"] == f"{self._session.base}/{ENTER}":
            return self._enter(headers, scope)
        if refused is None and not self._session.knows(headers.get("cookie", "")):
            refused = 401, messages.NOT_ENTERED
        return None if refused is None else _answer(*refused)

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason, for what no page of ours and no person sent."""
        if headers.get("host") != self._session.host:
            return 421, "This server answers under its own address only."
        if not f"{scope['path']}/".startswith(f"{self._session.base}/"):
            return 404, "There is nothing here."
        if scope["method"] not in (*_READING, "POST"):
            return 405, "Only GET, HEAD and POST are answered."
        entering = scope["path"] == f"{self._session.base}/{ENTER}"
        if not entering and headers.get("sec-fetch-site", "none") not in _SAME_PAGE:
            return 403, "Another page sent this request: open the address yourself."
        if scope["method"] == "POST":
            return self._writing_refusal(headers)
        return None

    def _writing_refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        if headers.get("origin") != self._session.origin:
            return 403, "Another page sent this request."
        # Our script sends the header; a page elsewhere could not, and has not the token.
        if not self._session.confirms(headers.get(CSRF_HEADER, "")):
            return 403, "The request lacks this server's token: reload the page."
        try:
            size = int(headers.get("content-length", ""))
        except ValueError:
            return 411, "The request does not say how long it is."
        return (413, "The request is too long.") if size > BODY_LIMIT_BYTES else None

    def _enter(self, headers: dict[str, str], scope: Message) -> Response:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        cookie = self._session.enter(query.get("token", [""])[0])
        if cookie is None and not self._session.knows(headers.get("cookie", "")):
            return _answer(403, messages.ADDRESS_USED)
        # No redirect: of a page that came from elsewhere, the next request would lack the cookie.
        page = messages.onward(f"{self._session.base}/")
        return HTMLResponse(page, headers={} if cookie is None else {"set-cookie": cookie})


def _headers(scope: Message) -> dict[str, str]:
    """By lower-case name. One that stands twice is no name for anything: it is joined."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joint = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{joint}{text}" if key in found else text
    return found


def _with_headers(send: Send, nonce: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update({**_FIXED, "Content-Security-Policy": content_policy(nonce)})
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    """A body's pieces, as long as it is no longer than one may be."""
    left = BODY_LIMIT_BYTES

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return receiving


def _answer(status: int, words: str) -> Response:
    return HTMLResponse(messages.message_page(words), status)
