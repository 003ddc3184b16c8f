"""From the bytes of a request to a payload that lies safely in the log, or a refusal.

Two threads work behind the listener: `Writer` commits whatever is waiting, together, and
`Projector` lets the projections read the log on meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.events.store import EventLog
from wacoex_cli.platforms.events import Source, UnreadablePayload, Via

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from starlette.requests import Request

    from wacoex_cli.events.store import Stored
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Payload, Projection

MOST_BYTES = 3 * 1024 * 1024
"""The largest body that is taken. Source: "Meta: webhooks, payloads up to 3 MB"."""
RETRY_AFTER_SECONDS = 30
"""When a sender is asked to come again after the log could not be written."""
HEADERS = {Source.META: "x-hub-signature-256", Source.RESPONDIO: "x-webhook-signature"}
"""The header in which each of them signs."""
STORED_AT_ONCE = 500
"""Payloads of one transaction."""

_META_SCHEME = "sha256="
_KEY_NAMES = {Source.META: "meta-app-secret", Source.RESPONDIO: "respondio-signing-key"}
_LARGE_BYTES = 256 * 1024
_MOST_HELD_BYTES = 32 * 1024 * 1024
_BODY_SECONDS = 30.0
_PROJECTED_AT_ONCE = 200
# Between steps the writer gets its turn; after a commit a few more come, to be read together.
_PAUSE_SECONDS = 0.02
_GATHERING_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 5.0
_CLOSING_SECONDS = 5.0

_Waiting = tuple["Payload", "asyncio.Future[Stored]"]


def is_signed(source: Source, body: bytes, header: str | None, keys: Iterable[str]) -> bool:
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


def is_same(given: str, known: Iterable[str]) -> bool:
    """Whether a word is one of the known ones, compared in constant time."""
    return any(hmac.compare_digest(given.encode(), word.encode()) for word in known)


class RefusedRequest(Exception):
    """A request that is turned away: the HTTP status, and why in words without its content."""

    def __init__(self, status: int, why: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after_seconds = retry_after_seconds


def unable(error: WacoexError) -> RefusedRequest:
    """The refusal when something of ours fails: whoever asked is to come again."""
    return RefusedRequest(503, error.message, retry_after_seconds=RETRY_AFTER_SECONDS)


@dataclass(frozen=True)
class Face:
    """One of the two senders: the keys it may sign with; without any it stays closed.

    `takes_unsigned` opens it all the same. A face with keys always asks for a signature.
    """

    source: Source
    keys: tuple[str, ...] = field(repr=False)
    takes_unsigned: bool = False

    @property
    def key_name(self) -> str:
        """The name of the secret it signs with."""
        return _KEY_NAMES[self.source]

    def demand_open(self) -> None:
        """Raises RefusedRequest (403) while no key is known."""
        if not (self.keys or self.takes_unsigned):
            raise RefusedRequest(403, f"no {self.key_name} is known, so nothing can be trusted")

    def demand_signature(self, body: bytes, signature: str | None) -> None:
        """Raises RefusedRequest (401) when the body is not signed with one of the keys."""
        if self.keys and not is_signed(self.source, body, signature, self.keys):
            what = "does not fit" if signature else "is missing"
            raise RefusedRequest(401, f"the signature {what}")


class Intake:
    """What both senders share: reading, checking, storing. Used from one event loop."""

    def __init__(
        self,
        faces: Mapping[Source, Face],
        read: Callable[[Source, bytes], Payload],
        writer: Writer,
    ) -> None:
        self.faces = faces
        self._read = read
        self._writer = writer
        self._held_bytes = 0
        self._one_large = asyncio.Lock()

    async def take(self, source: Source, request: Request) -> tuple[Payload, Stored]:
        """Check and store one delivery; when this returns, it is durable.

        Raises RefusedRequest for whatever is not stored.
        """
        self.faces[source].demand_open()
        signature = request.headers.get(HEADERS[source])
        async with self._body(request) as body:
            if len(body) <= _LARGE_BYTES:
                return await self._keep(self._checked(source, body, signature))
            # In a thread, so that others are answered meanwhile; one at a time, for memory.
            async with self._one_large:
                payload = await asyncio.to_thread(self._checked, source, body, signature)
                return await self._keep(payload)

    def _checked(self, source: Source, body: bytes, signature: str | None) -> Payload:
        self.faces[source].demand_signature(body, signature)
        try:
            return self._read(source, body)
        except UnreadablePayload as error:
            raise RefusedRequest(400, str(error)) from None

    async def _keep(self, payload: Payload) -> tuple[Payload, Stored]:
        try:
            return payload, await self._writer.store(payload)
        except WacoexError as error:
            raise unable(error) from None

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until the block is left."""
        body = bytearray()
        too_large = RefusedRequest(413, f"the body is larger than {MOST_BYTES // 1024**2} MiB")
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
                        raise RefusedRequest(
                            503, "too much comes in at once", retry_after_seconds=1
                        )
            yield bytes(body)
        except TimeoutError:
            raise RefusedRequest(
                408, f"the body took longer than {_BODY_SECONDS:g} seconds"
            ) from None
        finally:
            self._held_bytes -= len(body)


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
                self._loop.call_soon_threadsafe(_answer, batch, outcomes)
            self._on_stored()

    def _take(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            while len(batch) < STORED_AT_ONCE:
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


def _answer(batch: Sequence[_Waiting], outcomes: Sequence[Stored | Exception]) -> None:
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

        Whoever reads the log next goes on where this stopped.
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
                    if self._log.is_behind(projection.name):
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
