"""Whether what was delivered comes from Meta or respond.io. Pure."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from wacoex_cli.events.model import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADERS = {Source.META: "x-hub-signature-256", Source.RESPONDIO: "x-webhook-signature"}
"""The header in which each of them signs."""

_META_SCHEME = "sha256="


def is_signed(source: Source, body: bytes, header: str | None, keys: Iterable[str]) -> bool:
    """Whether the header holds the signature of exactly these bytes, made with one of the keys.

    Compares in constant time. Sources: "Meta: webhooks, validating payloads" (hexadecimal
    HMAC-SHA256 under the app secret after `sha256=`); integrators' reports on respond.io (base64
    HMAC-SHA256 under the webhook's signing key, a key for each webhook).
    """
    claimed = _claimed(source, header)
    if claimed is None:
        return False
    return any(
        hmac.compare_digest(claimed, hmac.digest(key.encode(), body, "sha256")) for key in keys
    )


def is_same(given: str, known: Iterable[str]) -> bool:
    """Whether a word is one of the known ones, compared in constant time."""
    return any(hmac.compare_digest(given.encode(), one.encode()) for one in known)


def _claimed(source: Source, header: str | None) -> bytes | None:
    text = (header or "").strip()
    try:
        if source is Source.RESPONDIO:
            return base64.b64decode(text, validate=True) or None
        scheme, value = text[: len(_META_SCHEME)], text[len(_META_SCHEME) :]
        return bytes.fromhex(value) if value and scheme.lower() == _META_SCHEME else None
    except ValueError:  # also what is not ASCII
        return None
