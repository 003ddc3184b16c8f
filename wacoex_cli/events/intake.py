"""From the bytes of a request to a payload that lies safely in the log, or a refusal."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.events.model import Source, UnfitPayload
from wacoex_cli.events.signatures import HEADERS, is_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request

    from wacoex_cli.events.ledger import Stored
    from wacoex_cli.events.model import Payload
    from wacoex_cli.events.writer import Writer

MOST_BYTES = 3 * 1024 * 1024
"""The largest body that is taken. Source: "Meta: webhooks, payloads up to 3 MB"."""
RETRY_AFTER_SECONDS = 30
"""When a sender is asked to come again after the log could not be written."""

_LARGE_BYTES = 256 * 1024
_MOST_HELD_BYTES = 32 * 1024 * 1024
_BODY_SECONDS = 30.0
_KEY_NAMES = {Source.META: "meta-app-secret", Source.RESPONDIO: "respondio-signing-key"}


class Refusal(Exception):
    """A request that is turned away: the HTTP status, and why in words without its content."""

    def __init__(
        self,
        status: int,
        why: str,
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after_seconds = retry_after_seconds


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
        """Raises Refusal (403) while no key is known."""
        if not (self.keys or self.takes_unsigned):
            raise Refusal(403, f"no {self.key_name} is known, so nothing can be trusted")

    def demand_signature(self, body: bytes, signature: str | None) -> None:
        """Raises Refusal (401) when the body is not signed with one of the keys."""
        if self.keys and not is_signed(self.source, body, signature, self.keys):
            what = "does not fit" if signature else "is missing"
            raise Refusal(401, f"the signature {what}")


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

        Raises Refusal for whatever is not stored.
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
        except UnfitPayload as error:
            raise Refusal(400, str(error)) from None

    async def _keep(self, payload: Payload) -> tuple[Payload, Stored]:
        try:
            return payload, await self._writer.store(payload)
        except WacoexError as error:
            raise unable(error) from None

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until the block is left."""
        body = bytearray()
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > MOST_BYTES:
            raise _too_large()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for piece in request.stream():
                    body += piece
                    self._held_bytes += len(piece)
                    if len(body) > MOST_BYTES:
                        raise _too_large()
                    if self._held_bytes > _MOST_HELD_BYTES:
                        raise Refusal(503, "too much comes in at once", retry_after_seconds=1)
            yield bytes(body)
        except TimeoutError:
            raise Refusal(408, f"the body took longer than {_BODY_SECONDS:g} seconds") from None
        finally:
            self._held_bytes -= len(body)


def unable(error: WacoexError) -> Refusal:
    """The refusal when something of ours fails: whoever asked is to come again."""
    return Refusal(503, error.message, retry_after_seconds=RETRY_AFTER_SECONDS)


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MOST_BYTES // 1024**2} MiB")
