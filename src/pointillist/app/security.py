"""Who may talk to the server: this machine's browser, with the token, from the server's own page."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pointillist.app.answers import LOG, Refused, refusal
from pointillist.errors import InputError, PointillistError

MOST_BODY_BYTES = 8 << 20
MOST_UPLOAD_BYTES = 512 << 20
_UPLOADS = "/api/import"
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NOT_A_SITE = (None, "same-origin", "none")


@dataclass(frozen=True)
class Door:
    """What a request needs.

    Attributes:
        port: of the server.
        token: of this start.
        hosts: names that the server answers to.
    """

    port: int
    token: str
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token."""
        return f"pointillist-{self.port}"

    @property
    def addresses(self) -> set[str]:
        """Host headers that are ours."""
        plain = {host for host in self.hosts if self.port == 80}
        return {f"{host}:{self.port}" for host in self.hosts} | plain


class Guard:
    """Refuses requests of others: foreign Host or Origin, no token, a body that is too large.

    Args:
        app: what is guarded.
        door: what a request needs.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        sending = _Hardened(send)
        try:
            response = self._judged(scope)
        except Refused as error:
            LOG.warning("refused %s %s: %s", scope["method"], scope["path"], str(error).replace("\n", ";"))
            response = refusal(error)
        if response is not None:
            await response(scope, receive, sending)
            return
        try:
            await self._app(scope, _Bounded(scope, receive), sending)
        except asyncio.CancelledError:  # the server ends, and waited for this one as long as it does
            if not sending.begun:
                await refusal(_ending(scope))(scope, receive, sending)

    def _judged(self, scope: Scope) -> Response | None:
        """An answer for a request that goes no further, or None."""
        headers = Headers(scope=scope)
        self._check_origin(headers)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and given:
            self._check_token(given)
            response = RedirectResponse("/", 303)
            response.set_cookie(self._door.cookie, given, path="/", httponly=True, samesite="strict")
            return response
        self._check_token(_token(headers, self._door.cookie))
        _check_length(headers.get("content-length", "0"), _most(scope))
        return None

    def _check_origin(self, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if len(headers.getlist("host")) != 1 or host not in self._door.addresses:
            raise _stranger("the request is for another server", "Host header", sorted(self._door.addresses), host)
        allowed = {f"http://{address}" for address in self._door.addresses}
        if origin is not None and origin not in allowed:
            raise _stranger("the request comes from another site", "Origin header", sorted(allowed), origin)
        site = headers.get("sec-fetch-site")
        if site not in _NOT_A_SITE and headers.get("sec-fetch-mode") != "navigate":
            raise _stranger("the request comes from another site", "Sec-Fetch-Site header", "same-origin", site)

    def _check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self._door.token.encode()):
            error = InputError(
                "the request lacks the token of this start",
                where="address, cookie or Authorization header",
                expected="the address that `pointillist annotate` printed",
                received="no token" if not given else "another token",
                todo="open the address in the terminal again",
            )
            raise Refused(401, error)


class _Bounded:
    """Receives a body up to a size, whatever its header said."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive, self._left, self._most = receive, _most(scope), _most(scope)

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large(self._most, "more")
        return message


class _Hardened:
    """Sends an answer with the headers that keep a page from doing harm."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await self._send(message)


def _most(scope: Scope) -> int:
    return MOST_UPLOAD_BYTES if scope["path"] == _UPLOADS else MOST_BODY_BYTES


def _token(headers: Headers, cookie: str) -> str:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(cookie)
    except CookieError:
        return ""
    return found.value if found else ""


def _check_length(stated: str, most: int) -> None:
    if not stated.isdigit() or int(stated) > most:
        raise _too_large(most, stated[:20])


def _too_large(most: int, received: str) -> Refused:
    error = InputError(
        "the request is too large",
        where="body",
        expected=f"at most {most:,} bytes",
        received=received,
        todo="send less at a time; large files go through `pointillist marks import`",
    )
    return Refused(413, error)


def _ending(scope: Scope) -> Refused:
    error = PointillistError(
        "the server ends",
        where=scope["path"],
        expected="an answer",
        received="none in time",
        todo="start `pointillist annotate` again",
    )
    return Refused(503, error)


def _stranger(what: str, where: str, expected: object, received: object) -> Refused:
    error = InputError(
        what,
        where=where,
        expected=expected,
        received=str(received)[:200] or "nothing",
        todo="open the address that `pointillist annotate` printed",
    )
    return Refused(403, error)
