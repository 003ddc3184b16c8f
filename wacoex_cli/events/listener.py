"""The listener as a web application: Meta's and respond.io's deliveries, health, and our pages.

It answers 200 only for what is in the log. What it logs names neither content nor people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wacoex_cli.errors import WacoexError
from wacoex_cli.events.consumers import Page, PageRequest
from wacoex_cli.events.intake import Intake, Refusal, unable
from wacoex_cli.events.model import Source
from wacoex_cli.events.signatures import is_same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wacoex_cli.events.ledger import Stored
    from wacoex_cli.events.model import Payload

PATHS = {Source.META: "/webhooks/meta", Source.RESPONDIO: "/webhooks/respondio"}
"""Where each of them delivers to."""

_HEALTH = "/healthz"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOST_FORM_BYTES = 4 * 1024
_MOST_CHALLENGE = 1_024
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


class Teller(Protocol):
    """What the application reports to."""

    def took(self, payload: Payload, stored: Stored) -> None:
        """A delivery is in the log, or was already."""
        ...

    def turned_away(self, source: Source | None, request: str, status: int, why: str) -> None:
        """A request was refused."""
        ...


class Listener:
    """The handlers; `health` gives the JSON of `/healthz`, in which `ok` stands."""

    def __init__(
        self,
        intake: Intake,
        verify_tokens: Sequence[str],
        health: Callable[[], Mapping[str, object]],
        tell: Teller,
    ) -> None:
        self._intake = intake
        self._verify_tokens = verify_tokens
        self._health = health
        self._tell = tell

    def application(self, pages: Sequence[Page], prefix: str) -> ASGIApp:
        """The whole application. It answers under the prefix and without it."""
        meta, respondio = PATHS[Source.META], PATHS[Source.RESPONDIO]
        routes = [
            Route(meta, self._told(self._meta, meta, Source.META), methods=["GET", "POST"]),
            Route(
                respondio,
                self._told(self._respondio, respondio, Source.RESPONDIO),
                methods=["POST"],
            ),
            Route(_HEALTH, self._healthz, methods=["GET"]),
            *(
                Route(one.path, self._told(_page(one), one.path), methods=[*one.methods])
                for one in pages
            ),
        ]
        handlers = {HTTPException: self._unserved, Exception: self._unexpected}
        served = Starlette(routes=routes, exception_handlers=handlers)
        # A redirect would be made from the Host header, which anybody may choose.
        served.router.redirect_slashes = False
        return _without_prefix(served, prefix)

    async def _meta(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._deliver(Source.META, request)
        return self._handshake(request)

    async def _respondio(self, request: Request) -> Response:
        return await self._deliver(Source.RESPONDIO, request)

    async def _deliver(self, source: Source, request: Request) -> Response:
        payload, stored = await self._intake.take(source, request)
        self._tell.took(payload, stored)
        return Response()

    def _handshake(self, request: Request) -> Response:
        """Source: "Meta: webhooks, verification requests"."""
        self._intake.faces[Source.META].demand_open()
        asked = request.query_params
        challenge = asked.get("hub.challenge", "")
        if not self._verify_tokens:
            raise Refusal(403, "no webhook-verify-token is known")
        if asked.get("hub.mode") != "subscribe" or not 0 < len(challenge) <= _MOST_CHALLENGE:
            raise Refusal(403, "this is no handshake of Meta")
        if not is_same(asked.get("hub.verify_token", ""), self._verify_tokens):
            raise Refusal(403, "the verify token is another one")
        return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})

    async def _healthz(self, request: Request) -> Response:
        health = self._health()
        return JSONResponse(health, 200 if health["ok"] else 503, {"Cache-Control": "no-store"})

    def _told(
        self,
        handle: Callable[[Request], Awaitable[Response]],
        place: str,
        source: Source | None = None,
    ) -> Callable[[Request], Awaitable[Response]]:
        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                refusal = Refusal(400, "the sender left before the end")
            except Refusal as error:
                refusal = error
            except WacoexError as error:
                refusal = unable(error)
            self._tell.turned_away(source, f"{request.method} {place}", refusal.status, refusal.why)
            wait = refusal.retry_after_seconds
            return _answer(
                refusal.status, refusal.why, {"Retry-After": str(wait)} if wait else None
            )

        return told

    async def _unserved(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        why = "there is nothing of that name" if status == 404 else "not with this method"
        self._tell.turned_away(None, _described(request), status, why)
        return _answer(status, why, getattr(error, "headers", None))

    async def _unexpected(self, request: Request, error: Exception) -> Response:
        why = f"it failed unexpectedly ({type(error).__name__})"
        self._tell.turned_away(None, _described(request), 500, why)
        return _answer(500, why)


def prefix_of(public_url: str | None) -> str:
    """The path under which the outside reaches us, such as `/wacoex`; empty for the root."""
    return unquote(urlsplit(public_url or "").path).rstrip("/")


def _without_prefix(served: ASGIApp, prefix: str) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if prefix and path.startswith(f"{prefix}/"):
            scope = {**scope, "path": path.removeprefix(prefix)}
        try:
            await served(scope, receive, send)
        except asyncio.CancelledError:
            raise
        except Exception:
            # It was answered and told already; the framework raises it again to be printed.
            return

    return application


def _page(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else {}
        asked = PageRequest(request.method, str(request.path_params.get("token", "")), form)
        # In a thread: a page asks the state file, which a large commit may hold.
        answer = await asyncio.to_thread(page.handler, asked)
        return HTMLResponse(answer.html, answer.status, _PRIVATE)

    return show


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            raise Refusal(413, "the form is too large")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _answer(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    # What fails on our side is nobody's business outside.
    return PlainTextResponse(f"{why if status < 500 else 'try again later'}\n", status, headers)


def _described(request: Request) -> str:
    """Method and place in words we know: an address may hold a token, or anything at all."""
    path = request.scope["path"]
    method = request.method if request.method in _METHODS else "another method"
    return f"{method} {path if path in {_HEALTH, *PATHS.values()} else 'another path'}"
