"""Deliveries as other programs hand them on: packed with gzip, or wrapped into an object of theirs.

What is taken off: the list and the `body` of an n8n webhook node (its items may lie under `json`),
the `raw_body` of Zapier's Catch Raw Hook, the `body` of an AWS API Gateway event (a text, also in
Base64), and lists of payloads. Sources: the documentation of n8n, Zapier and AWS.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Any

from wacoex_cli.platforms.events import Kind, Payload, Source, UnreadablePayload
from wacoex_cli.platforms.payloads import DECODER, payload_of, read_payload, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.platforms.stop_words import StopWords

GZIP = b"\x1f\x8b"
"""What packed bytes begin with."""
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_INSIDE = ("body", "raw_body", "rawBody", "json", "payload", "event")
_DEEPEST = 5


class BrokenGzip(ValueError):
    """Packed bytes that cannot be unpacked; the text says why, in lower case."""


class TooLarge(ValueError):
    """What is packed is larger than it may be."""


def unpacked(raw: bytes, most_bytes: int) -> bytes:
    """What is packed with gzip, `most_bytes` of it at most, so that a small bomb stays small.

    Raises BrokenGzip for what is no gzip or ends too early, TooLarge for more than that.
    """
    found = b""
    while raw:
        stream = zlib.decompressobj(_GZIP_FORMAT)
        try:
            found += stream.decompress(raw, most_bytes + 1 - len(found))
        except zlib.error:
            raise BrokenGzip("it should be gzip, and is not") from None
        if len(found) > most_bytes:
            raise TooLarge
        if not stream.eof:
            raise BrokenGzip("its gzip was cut short")
        raw = stream.unused_data
    return found


def unwrapped(value: object, deepest: int = _DEEPEST) -> Iterator[object]:
    """The payloads in it, in order; whatever is neither a payload nor a wrapper as it is."""
    if deepest == 0 or source_of(value) is not None:
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from unwrapped(part, deepest - 1)
    else:
        inner = _inside(value) if isinstance(value, dict) else None
        yield from [value] if inner is None else unwrapped(inner, deepest - 1)


def _inside(wrapper: dict[str, Any]) -> object | None:
    """What another program has put its wrapper around; None when it is no wrapper."""
    for name in _INSIDE:
        value = wrapper.get(name)
        if isinstance(value, str):
            value = _parsed(value, is_base64=wrapper.get("isBase64Encoded") is True)
        if isinstance(value, dict | list) and value:
            return value
    return None


def _parsed(text: str, *, is_base64: bool) -> object | None:
    try:
        plain = base64.b64decode(text, validate=True).decode() if is_base64 else text
        found: object = DECODER.decode(plain.strip())
    except (ValueError, binascii.Error, RecursionError):
        return None
    return found


def read_delivery(
    source: Source,
    raw: bytes,
    *,
    key: bytes,
    received_at: datetime,
    store_bodies: bool = False,
    stop_words: StopWords | None = None,
) -> tuple[Payload, ...]:
    """The payloads out of the bytes of a delivery that is trusted, also a wrapped one.

    See `read_payload`; raises UnreadablePayload for what is no JSON, or holds no object.
    """
    whole: Payload | None = None
    problem: UnreadablePayload | None = None
    try:
        whole = read_payload(
            source,
            raw,
            key=key,
            received_at=received_at,
            store_bodies=store_bodies,
            stop_words=stop_words,
        )
    except UnreadablePayload as error:
        problem = error
    if whole is not None and _is_known(whole):
        return (whole,)
    found = tuple(
        payload_of(
            source,
            body,
            len(raw),
            key=key,
            received_at=received_at,
            store_bodies=store_bodies,
            stop_words=stop_words,
        )
        for body in _unwrapped_bytes(raw)
        if isinstance(body, dict) and source_of(body) is source
    )
    if found:
        return found
    if whole is None:
        raise problem or UnreadablePayload("it has no payload")
    return (whole,)


def _is_known(payload: Payload) -> bool:
    """Whether something in it says what it is."""
    fields = [event.data.get("field") for event in payload.events if event.kind is Kind.OTHER]
    return payload.unread is None and fields != ["unknown"]


def _unwrapped_bytes(raw: bytes) -> Iterator[object]:
    try:
        body: object = DECODER.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return
    yield from unwrapped(body)
