"""Delivering webhooks while the server runs, and the handshake before."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from wacoex_cli.sandbox.webhooks import (
    RETRY_AFTER_SECONDS,
    Delivery,
    Letter,
    is_loopback,
    signature,
)
from wacoex_cli.sandbox.world import APP_SECRET, SIGNING_KEY

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

_LOOKS_EVERY_SECONDS = 0.02
_ANSWER_WITHIN_SECONDS = 5.0


async def deliver_webhooks(world: World) -> None:
    """Deliver whatever falls due, one after the other, until cancelled."""
    async with _client() as client:
        while True:
            while (letter := world.outbox.take(world.monotonic())) is not None:
                await _deliver(world, client, letter)
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)


async def shake_hands(url: str, verify_token: str) -> None:
    """Meta's handshake; raises ValueError when the receiver does not return the challenge."""
    challenge = secrets.token_hex(8)
    query = {
        "hub.mode": "subscribe",
        "hub.challenge": challenge,
        "hub.verify_token": verify_token,
    }
    try:
        async with _client() as client:
            answer = await client.get(url, params=query)
    except httpx.HTTPError as error:
        raise ValueError(f"`{url}` could not be reached: {type(error).__name__}") from error
    if answer.status_code != 200 or answer.text != challenge:
        raise ValueError(f"`{url}` did not return the challenge: status {answer.status_code}")


def app_secret(world: World) -> str:
    """The secret of the pretend app: it signs webhooks and is half of the app's token."""
    return world.callbacks.app_secret or world.settings.app_secret or APP_SECRET


def _client() -> httpx.AsyncClient:
    # Only http to this machine: an empty context saves reading the system's certificates.
    return httpx.AsyncClient(
        timeout=_ANSWER_WITHIN_SECONDS,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )


async def _deliver(world: World, client: httpx.AsyncClient, letter: Letter) -> None:
    outbox, tried, again = world.outbox, None, None
    try:
        tried = await _try(world, client, letter)
        if tried is not None and tried.status != 200 and letter.tries < len(RETRY_AFTER_SECONDS):
            due = world.monotonic() + RETRY_AFTER_SECONDS[letter.tries]
            again = replace(letter, due=due, tries=letter.tries + 1)
    finally:
        outbox.settle(tried, again)


async def _try(world: World, client: httpx.AsyncClient, letter: Letter) -> Delivery | None:
    callbacks = world.callbacks
    is_meta = letter.source == "meta"
    url = letter.url or (callbacks.meta_url if is_meta else callbacks.respondio_url)
    if url is None or not is_loopback(url):
        return None
    key = app_secret(world) if is_meta else callbacks.signing_key or SIGNING_KEY
    content = letter.content
    headers = {"Content-Type": "application/json", **signature(letter.source, key, content)}
    result = Delivery(letter.number, letter.source, letter.tries + 1)
    try:
        answer = await client.post(url, content=content, headers=headers)
    except httpx.HTTPError as error:
        return replace(result, error=type(error).__name__)
    return replace(result, status=answer.status_code)
