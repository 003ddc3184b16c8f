"""The signup page as a web application: shown once, one report taken, for this machine only."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from wacoex_cli.foundation.masking import rendered
from wacoex_cli.onboarding.model import (
    WindowCancelled,
    WindowClosed,
    WindowFailed,
    WindowFinished,
    WindowReport,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from wacoex_cli.onboarding.model import SignupEnd, SignupSetup

_MOST_BYTES = 16 * 1024
_LONGEST_CODE = 4_096
_LONGEST_TEXT = 500
_ID = re.compile(r"[0-9]{1,32}")
_UNPRINTABLE = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f]")
_FILES = {"/page.js": ("signup.js", "text/javascript"), "/page.css": ("signup.css", "text/css")}
_FACEBOOK = "https://www.facebook.com https://*.facebook.com"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FORGED = "That did not come from the page."
_ONCE = (
    "This page is shown once, and it was shown already. If that was you, go back to that tab."
    " If it was not, press Ctrl-C in the terminal and begin again."
)


def report_in(values: Mapping[str, object]) -> WindowReport:
    """The report of the page. Raises ValueError for what the page never sends.

    Everything in it came through a browser: texts are cut and freed of control characters.
    """
    kind = values.get("kind")
    if kind == "finished":
        code = values.get("code")
        if not isinstance(code, str) or not 0 < len(code) <= _LONGEST_CODE:
            raise ValueError("no code")
        return WindowFinished(code, _id(values.get("waba_id")), _text(values.get("event")))
    if kind == "cancelled":
        return WindowCancelled(_text(values.get("current_step")))
    if kind == "error":
        text = _text(values.get("error_message")) or "Meta gave no text"
        code, session = _text(values.get("error_code")), _text(values.get("session_id"))
        return WindowFailed(text, code, session)
    if kind == "closed":
        return WindowClosed(_id(values.get("waba_id")))
    raise ValueError("no known kind")


class SignupPage:
    """The ASGI application. `take` is given the one report, and its answer is shown.

    The paths, the nonce and the cookie are new for each page and used once.
    """

    def __init__(
        self, setup: SignupSetup, take: Callable[[WindowReport], Awaitable[SignupEnd]]
    ) -> None:
        self.path = f"/{secrets.token_urlsafe(24)}"
        self.has_report = False
        self._setup = setup
        self._take = take
        self._report_path = f"/{secrets.token_urlsafe(24)}"
        self._nonce = secrets.token_urlsafe(24)
        # Browsers share cookies among the ports of a machine, so each page has its own name.
        self._cookie = f"wacoex_signup_{secrets.token_hex(4)}"
        self._session = secrets.token_urlsafe(24)
        self._was_shown = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        response.headers.update(_HEADERS)
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if not request.client or not ipaddress.ip_address(request.client.host).is_loopback:
            return _refusal(403, "Only the machine that runs wacoex may open this.")
        port = request.scope["server"][1]
        # A name that somebody else points at this machine is not let in (DNS rebinding).
        if request.headers.get("host") not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
            return _refusal(421, "Open the address as wacoex shows it.")
        path, method = request.url.path, request.method
        if path in _FILES and method == "GET":
            name, media_type = _FILES[path]
            text = (files(__package__) / name).read_text(encoding="utf-8")
            return Response(text, media_type=media_type)
        if path == self.path:
            return self._shown() if method == "GET" else _refusal(405, "Only GET is known here.")
        if path == self._report_path:
            posted = method == "POST"
            return await self._take_report(request) if posted else _refusal(405, "Only POST.")
        return _refusal(404, "There is nothing here.")

    def _shown(self) -> Response:
        if self._was_shown:
            return _refusal(410, _ONCE)
        self._was_shown = True
        page = rendered(
            __package__,
            "signup.html.jinja",
            setup=self._setup,
            report_path=self._report_path,
            state=self._nonce,
        )
        response = Response(page, media_type="text/html")
        frames = " ".join(filter(None, (_FACEBOOK, self._setup.extra_origin)))
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self' {self._setup.sdk_origin}; style-src 'self';"
            f" connect-src 'self'; img-src data:; frame-src {frames};"
            " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
        )
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
        return response

    async def _take_report(self, request: Request) -> Response:
        is_ours = _is_same(request.cookies.get(self._cookie), self._session)
        if not is_ours or request.headers.get("origin") != f"http://{request.headers['host']}":
            return _refusal(403, _FORGED)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refusal(415, "Only JSON is known here.")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BYTES:
                return _refusal(413, "That is too long.")
        values = _object(body)
        if not _is_same(values.get("state"), self._nonce):
            return _refusal(403, _FORGED)
        try:
            report = report_in(values)
        except ValueError:
            return _refusal(422, "That is not a report of the page.")
        if self.has_report:
            return _refusal(410, _ONCE)
        self.has_report = True
        end = await self._take(report)
        return JSONResponse({"ok": end.ok, "title": end.title, "lines": list(end.lines)})


def _is_same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _id(value: object) -> str | None:
    text = _text(value)
    return text if text and _ID.fullmatch(text) else None


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _UNPRINTABLE.sub(" ", str(value)).strip()[:_LONGEST_TEXT] or None
