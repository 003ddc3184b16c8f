"""`events listen`: deliveries of Meta and respond.io, health and our pages over HTTP.

It answers 200 only for what is in the log. What it logs names neither content nor people. Two
threads work behind it: `Writer` commits whatever is waiting, together, and `Projector` lets the
projections read the log on meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import queue
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wacoex_cli.channels.store import Channels
from wacoex_cli.contacts.stops import follow, words_of
from wacoex_cli.errors import CredentialError, UsageError, WacoexError
from wacoex_cli.events import consumers
from wacoex_cli.events.consumers import PageRequest, WebPage
from wacoex_cli.events.store import EventLog, Stored, Tally
from wacoex_cli.events.wrapping import GZIP, BrokenGzip, TooLarge, read_delivery, unpacked
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.server import serve
from wacoex_cli.foundation.settings import is_loopback, ways_to_give
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.foundation.workspace import STOPPING
from wacoex_cli.platforms.events import Payload, Projection, Source, UnreadablePayload, Via
from wacoex_cli.terminal import render

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import Dialogue

    Handler = Callable[[Request], Awaitable[Response]]

MOST_BYTES = 3 * 1024 * 1024
"""The largest body that is taken. Source: "Meta: webhooks, payloads up to 3 MB"."""

_TOO_LARGE = f"the body is larger than {MOST_BYTES // 1024**2} MiB"
_ENCODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}
_RETRY_AFTER_SECONDS = 30
_STORED_AT_ONCE = 500
_META_SCHEME = "sha256="
_LARGE_BYTES = 256 * 1024
_MOST_HELD_BYTES = 32 * 1024 * 1024
_BODY_SECONDS = 30.0
_PROJECTED_AT_ONCE = 200
# Between steps the writer gets its turn; after a commit a few more come, to be read together.
_PAUSE_SECONDS = 0.02
_GATHERING_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 5.0
_CLOSING_SECONDS = 5.0
_HEALTH = "/healthz"
_BROWSER = frozenset({"origin", "sec-fetch-site"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOST_FORM_BYTES = 4 * 1024
_MOST_CHALLENGE = 1_024
_SAME_TROUBLE_SECONDS = 60.0
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

_Waiting = tuple["Payload", "asyncio.Future[Stored]"]


class _Platform(NamedTuple):
    """How a platform delivers: to which path, signed in which header, with which secret.

    `where` is the place in its own pages where our address is entered.
    """

    title: str
    path: str
    header: str
    key_name: str
    where: str


PLATFORMS = {
    Source.META: _Platform(
        *("Meta", "/webhooks/meta", "x-hub-signature-256", "meta-app-secret"),
        "App Dashboard, WhatsApp, Configuration, Callback URL",
    ),
    Source.RESPONDIO: _Platform(
        *("respond.io", "/webhooks/respondio", "x-webhook-signature", "respondio-signing-key"),
        "Workspace Settings, Integrations, Webhooks",
    ),
}


def is_signed(source: Source, body: bytes, header: str | None, keys: Sequence[str]) -> bool:
    """Whether the header holds the signature of exactly these bytes, made with one of the keys.

    Compares in constant time. Sources: "Meta: webhooks, validating payloads" (hexadecimal
    HMAC-SHA256 under the app secret after `sha256=`); integrators' reports on respond.io (base64
    HMAC-SHA256 under the webhook's signing key, a key for each webhook).
    """
    text, claimed = (header or "").strip(), b""
    with contextlib.suppress(ValueError):  # also what is not ASCII
        if source is Source.RESPONDIO:
            claimed = base64.b64decode(text, validate=True)
        elif text[: len(_META_SCHEME)].lower() == _META_SCHEME:
            claimed = bytes.fromhex(text[len(_META_SCHEME) :])
    return bool(claimed) and any(
        hmac.compare_digest(claimed, hmac.digest(key.encode(), body, "sha256")) for key in keys
    )


def is_same(given: str, known: Sequence[str]) -> bool:
    """Whether a word is one of the known ones, compared in constant time."""
    return any(hmac.compare_digest(given.encode(), word.encode()) for word in known)


class RefusedRequest(Exception):
    """A request that is turned away: the HTTP status, and why in words without its content."""

    def __init__(self, status: int, why: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys that each platform may sign with, and the verify tokens of Meta's handshake.

    A platform without keys is closed, unless `takes_unsigned`.
    """

    signing: Mapping[Source, tuple[str, ...]]
    verify_tokens: tuple[str, ...]
    takes_unsigned: bool = False

    def is_open(self, source: Source) -> bool:
        """Whether deliveries of a platform are taken."""
        return bool(self.signing[source]) or self.takes_unsigned


class Writer:
    """Stores payloads for one event loop. `on_stored` is called in the writer's own thread."""

    def __init__(self, state: State, clock: Clock, *, on_stored: Callable[[], None]) -> None:
        self._state = state
        self._clock = clock
        self._on_stored = on_stored
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self.problem: Exception | None = None
        """Why the newest transaction failed; None when it did not."""

    @property
    def waiting(self) -> int:
        """How many payloads wait to be stored."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    async def store(self, payload: Payload) -> Stored:
        """Store a payload; returns when it is durable.

        Raises StateError or TemporaryError when the state file cannot be written.
        """
        stored: asyncio.Future[Stored] = self._loop.create_future()
        self._waiting.put((payload, stored))
        return await stored

    def close(self) -> None:
        """Store what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            if not batch:
                continue
            outcomes = self._commit([payload for payload, _ in batch])
            with contextlib.suppress(RuntimeError):  # the loop is gone, and who waited with it
                self._loop.call_soon_threadsafe(_resolve, batch, outcomes)
            self._on_stored()

    def _take(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            while len(batch) < _STORED_AT_ONCE:
                waiting = self._waiting.get(block=not batch)
                if waiting is None:
                    return batch, False
                batch.append(waiting)
        return batch, True

    def _commit(self, payloads: Sequence[Payload]) -> Sequence[Stored | Exception]:
        try:
            with self._state.transaction():
                stored = EventLog(self._state).store(payloads, Via.LISTEN, self._clock.now())
        except WacoexError as error:
            self.problem = error
            return [error] * len(payloads)
        except Exception as error:
            # A payload that cannot be stored must not take the others with it.
            if len(payloads) > 1:
                return [outcome for payload in payloads for outcome in self._commit([payload])]
            return [error]
        self.problem = None
        return stored


def _resolve(batch: Sequence[_Waiting], outcomes: Sequence[Stored | Exception]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if future.cancelled():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class Projector:
    """Gives each projection the events it has not seen, in turns and in small steps.

    It works on a state file of its own, so that it holds up nobody who reads. A projection that
    fails is reported and tried again later; the others go on.
    """

    def __init__(
        self,
        state: State,
        projections: Sequence[Projection],
        clock: Clock,
        *,
        on_failure: Callable[[str, str], None],
    ) -> None:
        """`on_failure` gets the name of the projection and why it failed."""
        self._log = EventLog(state)
        self._projections = projections
        self._clock = clock
        self._on_failure = on_failure
        self._news = threading.Event()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._work, name="projector", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process may have left."""
        self._news.set()
        self._thread.start()

    def wake(self) -> None:
        """There are new events."""
        self._news.set()

    def close(self) -> None:
        """Let the projections catch up, five seconds at most, then end.

        The next reader of the log continues where this stopped.
        """
        self._give_up_at = self._clock.monotonic() + _CLOSING_SECONDS
        self._closing.set()
        self._news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._news.clear()
            if not self._catch_up():
                self._closing.wait(_AFTER_FAILURE_SECONDS)
                self._news.set()
            self._closing.wait(_GATHERING_SECONDS)
        self._catch_up()

    def _catch_up(self) -> bool:
        """False when a projection failed; the others are up to date then, if there was time."""
        remaining = list(self._projections)
        has_failed = False
        while remaining and self._clock.monotonic() < self._give_up_at:
            for projection in tuple(remaining):
                try:
                    if self._log.behind([projection.name]):
                        self._log.project(projection, self._clock.now(), _PROJECTED_AT_ONCE)
                    else:
                        remaining.remove(projection)
                except Exception as error:
                    has_failed = True
                    remaining.remove(projection)
                    # Only our own errors are worded so that they quote nothing of an event.
                    named = type(error).__name__
                    why = error.message if isinstance(error, WacoexError) else named
                    self._on_failure(projection.name, why)
            self._closing.wait(_PAUSE_SECONDS)
        return not has_failed


@dataclass
class ListenCount(Tally):
    """What came in; `refused` counts requests."""

    refused: int = 0


class ListenReport:
    """Counts and reports what comes in: lines for a person, or a JSON object a line.

    Never the content of a message, a number or a key.
    """

    def __init__(self, dialogue: Dialogue, clock: Clock, *, streams_json: bool) -> None:
        self._dialogue = dialogue
        self._clock = clock
        self._streams_json = streams_json
        self._reported_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self.count = ListenCount()
        self.newest_at: datetime | None = None
        """When something last came in; None while nothing has."""

    def ready(self, url: str) -> None:
        """Requests are answered from now on."""
        self._stream({"event": "ready", "url": url})

    def took(self, payload: Payload, stored: Stored) -> None:
        """A delivery is in the log, or was already."""
        self.newest_at = self._clock.now()
        events = {kind.value: count for kind, count in sorted(stored.events.items())}
        self.count.add([stored])
        what = "stored" if stored.is_new else "duplicate"
        self._stream({"event": what, "source": payload.source.value, "events": events})
        counts = ", ".join(f"{count} {kind}" for kind, count in events.items())
        self._dialogue.detail(f"{payload.source.value}: {what}{f' ({counts})' if counts else ''}")
        if payload.unread and stored.is_new:
            at, title = to_text(self._clock.now()), PLATFORMS[payload.source].title
            self._dialogue.warn(f"{at} a payload of {title} is kept as `other`: {payload.unread}")

    def refuse(self, source: Source | None, request: str, status: int, why: str) -> None:
        """A request was refused; `request` names method and place without what was asked for."""
        self.count.refused += 1
        self._stream(
            {"event": "refused", "source": source, "events": {}, "status": status, "why": why}
        )
        if status == 503 and self._was_reported_lately(why):
            return
        self._dialogue.warn(f"{to_text(self._clock.now())} {request}: {status}, {why}")

    def trouble(self, text: str) -> None:
        """Something of our own does not work; the same is reported once a minute."""
        if not self._was_reported_lately(text):
            self._dialogue.warn(f"{to_text(self._clock.now())} {text}")

    def _was_reported_lately(self, text: str) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            before = self._reported_at.get(text, float("-inf"))
            is_lately = now < before + _SAME_TROUBLE_SECONDS
            if not is_lately:
                self._reported_at[text] = now
        return is_lately

    def _stream(self, entry: dict[str, object]) -> None:
        if self._streams_json:
            line = {**entry, "at": to_text(self._clock.now())}
            render.write(sys.stdout, f"{json.dumps(line, sort_keys=True)}\n")


@dataclass
class Listener:
    """The web application of one event loop: reads, checks and stores what is delivered.

    `read` makes payloads of bytes. `newest_at` is the newest arrival before it started.
    """

    keys: Keys
    read: Callable[[Source, bytes], Sequence[Payload]]
    writer: Writer
    report: ListenReport
    started_at: datetime
    newest_at: datetime | None = None
    _held_bytes: int = field(default=0, init=False)
    _one_large: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def application(self, pages: Sequence[WebPage], prefix: str) -> ASGIApp:
        """The whole application. It answers under the prefix and without it."""
        meta, respondio = (PLATFORMS[source].path for source in (Source.META, Source.RESPONDIO))
        deliver = partial(self._deliver, Source.RESPONDIO)
        handlers: list[tuple[str, Handler, Source | None, Sequence[str]]] = [
            (meta, self._meta, Source.META, ("GET", "POST")),
            (respondio, deliver, Source.RESPONDIO, ("POST",)),
            *((page.path, _show(page), None, page.methods) for page in pages),
        ]
        routes = [
            Route(path, self._answering(handle, path, source), methods=[*methods])
            for path, handle, source, methods in handlers
        ]
        routes.append(Route(_HEALTH, self._healthz, methods=["GET"]))
        failures = dict.fromkeys((HTTPException, Exception), self._failed)
        served = Starlette(routes=routes, exception_handlers=failures)
        # A redirect would be made from the Host header, which anybody may choose.
        served.router.redirect_slashes = False

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            path = str(scope.get("path", ""))
            if prefix and path.startswith(f"{prefix}/"):
                path = path.removeprefix(prefix)
            # People may type our address with a slash at its end.
            scope = {**scope, "path": path.rstrip("/") or "/"}
            # What fails was answered and reported; the framework raises it again to be printed.
            with contextlib.suppress(Exception):
                await served(scope, receive, send)

        return application

    async def _meta(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._deliver(Source.META, request)
        # Source: "Meta: webhooks, verification requests".
        self._demand_open(Source.META)
        query = request.query_params
        challenge = query.get("hub.challenge", "")
        if not self.keys.verify_tokens:
            raise RefusedRequest(403, "no webhook-verify-token is known")
        if query.get("hub.mode") != "subscribe" or not 0 < len(challenge) <= _MOST_CHALLENGE:
            raise RefusedRequest(403, "this is not a handshake of Meta")
        if not is_same(query.get("hub.verify_token", ""), self.keys.verify_tokens):
            raise RefusedRequest(403, "the verify token is a different one")
        return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})

    async def _deliver(self, source: Source, request: Request) -> Response:
        self._demand_open(source)
        # Without signatures, this machine is trusted; a page that its browser shows is not.
        if not self.keys.signing[source] and not _BROWSER.isdisjoint(request.headers.keys()):
            raise RefusedRequest(403, "it is unsigned, and a page in a browser sent it")
        signature = request.headers.get(PLATFORMS[source].header)
        is_packed = _is_packed(request.headers.get("content-encoding", ""))
        async with self._body(request) as body:
            if len(body) <= _LARGE_BYTES and not is_packed and not body.startswith(GZIP):
                payloads = self._checked(source, body, signature)
                stored = [await self.writer.store(payload) for payload in payloads]
            else:
                # In a thread, so that others are answered meanwhile; one at a time, for memory.
                async with self._one_large:
                    # What nobody has signed is not worth unpacking.
                    if self.keys.signing[source] and not signature:
                        raise RefusedRequest(401, "the signature is missing")
                    plain = await asyncio.to_thread(_unpacked, body, is_packed=is_packed)
                    payloads = await asyncio.to_thread(
                        self._checked, source, plain, signature, body
                    )
                    stored = [await self.writer.store(payload) for payload in payloads]
        for payload, outcome in zip(payloads, stored, strict=True):
            self.report.took(payload, outcome)
        return Response()

    def _demand_open(self, source: Source) -> None:
        if not self.keys.is_open(source):
            name = PLATFORMS[source].key_name
            raise RefusedRequest(403, f"no {name} is known, so wacoex can trust nothing")

    def _checked(
        self, source: Source, body: bytes, signature: str | None, packed: bytes | None = None
    ) -> Sequence[Payload]:
        """The payloads of a body that is signed as it is, or as it came (`packed`).

        Meta signs what it means; a proxy that packs it does not sign again.
        """
        keys = self.keys.signing[source]
        forms = {body, body if packed is None else packed}
        if keys and not any(is_signed(source, form, signature, keys) for form in forms):
            what = "is wrong" if signature else "is missing"
            raise RefusedRequest(401, f"the signature {what}")
        try:
            return self.read(source, body)
        except UnreadablePayload as error:
            raise RefusedRequest(400, str(error)) from None

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until the block is left."""
        body = bytearray()
        too_large = RefusedRequest(413, _TOO_LARGE)
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > MOST_BYTES:
            raise too_large
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for piece in request.stream():
                    body += piece
                    self._held_bytes += len(piece)
                    if len(body) > MOST_BYTES:
                        raise too_large
                    if self._held_bytes > _MOST_HELD_BYTES:
                        raise RefusedRequest(503, "too much arrives at once", retry_after_seconds=1)
            yield bytes(body)
        except TimeoutError:
            raise RefusedRequest(
                408, f"the body took longer than {_BODY_SECONDS:g} seconds"
            ) from None
        finally:
            self._held_bytes -= len(body)

    async def _healthz(self, request: Request) -> Response:
        # It does not ask the state file: a full disk must not delay it.
        count, newest = self.report.count, self.report.newest_at or self.newest_at
        health = {
            "ok": self.writer.problem is None,
            "stored": count.stored,
            "duplicates": count.duplicates,
            "queued": self.writer.waiting,
            "newest_at": to_text(newest) if newest else None,
            "started_at": to_text(self.started_at),
        }
        return JSONResponse(health, 200 if health["ok"] else 503, {"Cache-Control": "no-store"})

    def _answering(self, handle: Handler, place: str, source: Source | None) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                refusal = RefusedRequest(400, "the sender left before the end")
            except RefusedRequest as error:
                refusal = error
            except WacoexError as error:
                refusal = RefusedRequest(
                    503, error.message, retry_after_seconds=_RETRY_AFTER_SECONDS
                )
            status, why, wait = refusal.status, refusal.why, refusal.retry_after_seconds
            self.report.refuse(source, f"{request.method} {place}", status, why)
            return _refusal(status, why, {"Retry-After": str(wait)} if wait else None)

        return answer

    async def _failed(self, request: Request, error: Exception) -> Response:
        status, why, headers = 500, f"it failed unexpectedly ({type(error).__name__})", None
        if isinstance(error, HTTPException):
            status, headers = error.status_code, error.headers
            why = "there is nothing with that name" if status == 404 else "not with this method"
        self.report.refuse(None, _described(request), status, why)
        return _refusal(status, why, headers)


def _is_packed(encoding: str) -> bool:
    """Whether a body is packed with gzip; raises RefusedRequest for another encoding."""
    name = encoding.strip().lower()
    if name not in _ENCODINGS:
        raise RefusedRequest(415, "its Content-Encoding is not gzip")
    return _ENCODINGS[name]


def _unpacked(body: bytes, *, is_packed: bool) -> bytes:
    """The body without gzip; raises RefusedRequest where it is broken or too large."""
    if not (is_packed or body.startswith(GZIP)):
        return body
    try:
        return unpacked(body, MOST_BYTES)
    except BrokenGzip as error:
        raise RefusedRequest(400, str(error)) from None
    except TooLarge:
        raise RefusedRequest(413, f"{_TOO_LARGE} when it is unpacked") from None


def prefix_of(public_url: str | None) -> str:
    """The path under which the outside reaches us, such as `/wacoex`; empty for the root."""
    return unquote(urlsplit(public_url or "").path).rstrip("/")


def _show(page: WebPage) -> Handler:
    async def show(request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else {}
        wanted = PageRequest(request.method, str(request.path_params.get("token", "")), form)
        # In a thread: a page asks the state file, which a large commit may hold.
        answer = await asyncio.to_thread(page.handler, wanted)
        return HTMLResponse(answer.html, answer.status, _PRIVATE)

    return show


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            raise RefusedRequest(413, "the form is too large")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    # What fails on our side is nobody's business outside.
    return PlainTextResponse(f"{why if status < 500 else 'try again later'}\n", status, headers)


def _described(request: Request) -> str:
    """Method and place in words we know: an address may hold a token, or anything at all."""
    path = request.scope["path"]
    is_ours = path == _HEALTH or any(path == platform.path for platform in PLATFORMS.values())
    method = request.method if request.method in _METHODS else "another method"
    return f"{method} {path if is_ours else 'another path'}"


async def listen(
    workspace: Workspace,
    host: str,
    port: int,
    dialogue: Dialogue,
    report: ListenReport,
    *,
    insecure: bool = False,
) -> int:
    """Receive until a signal, then store and project what came in before it.

    `insecure` takes unsigned deliveries, which only this machine may send. Returns the number of
    the signal. After a change of a key, start the listener again.

    Raises:
        CredentialError: there is no key to check signatures with, or one of the keys cannot be a
            secret.
        UsageError: unsigned deliveries from other machines, or a host or port that cannot be had.
        TemporaryError: the port is taken.
        StateError: the state file cannot be used.
    """
    signing = {
        Source.META: _known(workspace, "meta-app-secret"),
        Source.RESPONDIO: _known(workspace, "respondio-signing-key", separator=","),
    }
    keys = Keys(signing, _known(workspace, "webhook-verify-token"), insecure)
    if insecure and not is_loopback(host):
        raise UsageError(
            f"`--insecure` accepts unsigned deliveries, and `{host}` is open to other machines",
            hint="leave out `--host`, or give the keys and leave out `--insecure`",
            code="insecure_host",
        )
    if not any(map(keys.is_open, Source)):
        raise CredentialError(
            "there is neither a meta-app-secret nor a respondio-signing-key:"
            " anybody could send false webhooks",
            hint=f"{ways_to_give('meta-app-secret')}; for respond.io"
            f" {ways_to_give('respondio-signing-key')};"
            " to try it on this machine add `--insecure`",
            code="credentials_missing",
        )
    clock, public_url = workspace.clock, workspace.settings.public_url
    key, store_bodies = workspace.secrets.local_key(), workspace.settings.events.store_bodies

    consent = workspace.settings.consent
    follow(workspace.state, consent, workspace.clock.now())

    def read(source: Source, body: bytes) -> Sequence[Payload]:
        now = clock.now()
        return read_delivery(
            source,
            body,
            key=key,
            received_at=now,
            store_bodies=store_bodies,
            stop_words=words_of(consent),
        )

    def ready(url: str) -> None:
        for line in _opening(url, public_url, keys):
            dialogue.note(line)
        report.ready(url)

    with _storing(workspace, report) as writer:
        arrivals = filter(None, map(EventLog(workspace.state).newest_arrival, Source))
        newest_at = max(arrivals, default=None)
        listener = Listener(keys, read, writer, report, clock.now(), newest_at)
        return await serve(
            listener.application(consumers.pages(workspace), prefix_of(public_url)),
            host,
            port,
            on_ready=ready,
            on_stopping=lambda: dialogue.note(STOPPING),
            log=report.trouble,
        )


def _known(workspace: Workspace, name: str, separator: str | None = None) -> tuple[str, ...]:
    """The values of a secret, the shared one and those of single channels."""
    channels = Channels(workspace.state).all_channels()
    owners = [None, *(channel.name for channel in channels if not channel.archived_at)]
    secrets = (workspace.secrets.find(name, owner) for owner in owners)
    texts = [secret.reveal() for secret in secrets if secret is not None]
    if separator:
        texts = [part for text in texts for part in text.split(separator) if part]
    return tuple(dict.fromkeys(texts))


@contextlib.contextmanager
def _storing(workspace: Workspace, report: ListenReport) -> Iterator[Writer]:
    """A writer, and the projections reading on behind it; both finish when the block is left."""

    def failed(name: str, why: str) -> None:
        report.trouble(f"what comes in is stored, but projection `{name}` fails: {why}")

    # They read on a connection of their own, so that their commits hold up no answer.
    with contextlib.closing(open_state(workspace.state.path)) as state:
        clock = workspace.clock
        projector = Projector(state, consumers.projections(), clock, on_failure=failed)
        writer = Writer(workspace.state, clock, on_stored=projector.wake)
        projector.start()
        writer.start()
        try:
            yield writer
        finally:
            writer.close()
            projector.close()


def _opening(url: str, public_url: str | None, keys: Keys) -> Iterator[str]:
    yield f"listening at {url}; stop it with Ctrl-C"
    for source, platform in PLATFORMS.items():
        signing = keys.signing[source]
        if not keys.is_open(source):
            yield f"{platform.title}: closed, there is no {platform.key_name}"
            continue
        known = f"{len(signing)} {platform.key_name} known"
        yield f"{platform.title}: open, {known if signing else 'UNSIGNED deliveries are taken'}"
        yield f"  enter {public_url or 'https://YOUR-HOST'}{platform.path}"
        yield f"  at {platform.where}"
    if keys.signing[Source.META] and not keys.verify_tokens:
        yield "Meta's handshake will be refused: there is no webhook-verify-token"
    if public_url is None:
        yield "set `WACOEX_PUBLIC_URL` to the address under which this is reached from outside"
