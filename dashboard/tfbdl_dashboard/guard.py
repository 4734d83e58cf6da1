"""What stands before every answer: whose host, whose page, whose token; and headers on each.

A page of another site must neither read what is shown here (DNS rebinding: a foreign name that
points to this machine) nor send anything (a foreign ``Origin``). Where visitors may come from
another machine, a token is wanted too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import streamlit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "tfbdl_dashboard"
PARAMETER = "token"

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Guard:
    """ASGI middleware that refuses strangers, on pages and websocket alike.

    Args:
        app: What is guarded.
        hosts: Names that a request may give as its host.
        token: What every request must know, as ``?token=`` once and then as a cookie; None: none.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str | None = None) -> None:
        self.app, self.token = app, token
        self.hosts = frozenset(host.lower() for host in hosts)
        self.headers = security_headers()
        # a cookie that says nothing of the token, and outlives a restart
        self.pass_ = "" if token is None else _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pass, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "http" and self._shows_token(scope):
            await self._admit(scope, send)
        elif refusal is None:
            await self.app(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(send, *refusal)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[HTTPStatus, str] | None:
        host = headers.get("host", "")
        if hostname(host) not in self.hosts:
            return HTTPStatus.BAD_REQUEST, "This server does not answer to that host's name."
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return HTTPStatus.FORBIDDEN, "Pages of other sites may not ask this server."
        if self.token is None or self._has_cookie(headers) or self._shows_token(scope):
            return None
        return HTTPStatus.UNAUTHORIZED, "Open the address with ?token=... once: a token is wanted."

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        # by hand: a parser of all drops the whole header for one odd cookie of another server
        pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        given = [value for name, _, value in pairs if name == COOKIE]
        return any(hmac.compare_digest(v.encode(), self.pass_.encode()) for v in given)

    def _shows_token(self, scope: Scope) -> bool:
        if self.token is None or scope["type"] != "http" or scope["method"] != "GET":
            return False
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(PARAMETER, "")
        return hmac.compare_digest(_digest(given).encode(), self.pass_.encode())

    async def _admit(self, scope: Scope, send: Send) -> None:
        """Hand out the cookie, and lead on to the same page without the token in its address.

        By a page and no redirect: a strict cookie does not go along on a redirect that another
        site's link began.
        """
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        rest = urlencode([(name, value) for name, value in query if name != PARAMETER])
        # one slash: two would be the address of another host
        target = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")
        body = f'<meta http-equiv="refresh" content="0;url={html.escape(target)}">'
        cookie = f"{COOKIE}={self.pass_}; Path=/; HttpOnly; SameSite=Strict"
        await self._answer(send, HTTPStatus.OK, body, {"set-cookie": cookie}, "text/html")

    async def _answer(
        self,
        send: Send,
        status: HTTPStatus,
        body: str,
        headers: Mapping[str, str] | None = None,
        kind: str = "text/plain",
    ) -> None:
        more = {
            "content-type": f"{kind}; charset=utf-8",
            "cache-control": "no-store",
            **(headers or {}),
        }
        start = {"type": "http.response.start", "status": int(status), "headers": _raw(more)}
        await self._with_headers(send)(start)
        await send({"type": "http.response.body", "body": body.encode()})

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                mine = _raw(self.headers)
                names = {name for name, _ in mine}
                theirs = [(n, v) for n, v in message.get("headers", []) if n.lower() not in names]
                message = {**message, "headers": [*theirs, *mine]}
            await send(message)

        return sending


def hostname(host: str) -> str:
    """The name in a Host header, without its port; empty if it is no host."""
    try:
        parsed = urlsplit(f"//{host}")
        _ = parsed.port  # raises where it is no number
    except ValueError:
        return ""
    plain = parsed.username is None and not (parsed.path or parsed.query or parsed.fragment)
    return (parsed.hostname or "").rstrip(".") if plain else ""


def _place(origin: str) -> str:
    """Host and port of an origin; empty if it is none, and so that of no host."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def security_headers() -> dict[str, str]:
    """Headers of every answer: nothing is fetched from, sent to or framed by anyone else."""
    policy = {
        "default-src": "'self'",
        # charts compile their expressions; the start page has one small script of its own
        "script-src": " ".join(["'self'", "'unsafe-eval'", *_own_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "frame-src": "'none'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {what}" for name, what in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }


def _own_scripts() -> list[str]:
    """The hashes of the scripts inside Streamlit's start page, as a policy names them."""
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    scripts = _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def _digest(token: str) -> str:
    return hmac.new(token.encode(), b"a visitor of the dashboard", hashlib.sha256).hexdigest()


def _headers(scope: Scope) -> dict[str, str]:
    """Name -> value; of a name that is given twice the values are joined, which suits no host."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}; {text}" if key in found else text
    return found


def _raw(headers: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
