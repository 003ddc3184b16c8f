"""A pretend world with its own time, and a way to call it without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, World

Call = Callable[..., httpx.Response]
OPENING_HOURS = {
    "type": "whatsapp_template",
    "template": {"name": "opening_hours", "languageCode": "en_US"},
}


@pytest.fixture
def clock() -> SimpleNamespace:
    """The world's time: `monotonic` and `now` (Unix) in seconds, moved by hand."""
    return SimpleNamespace(monotonic=1000.0, now=1_790_000_000.0)


@pytest.fixture
def world(clock: SimpleNamespace) -> World:
    return default_world(monotonic=lambda: clock.monotonic, now=lambda: clock.now)


@pytest.fixture
def call(world: World) -> Callable[..., httpx.Response]:
    """Make one request to the world: `call(method, path, token=..., json=..., params=...)`."""

    async def request(method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(application(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers, **more)

    def run(
        method: str, path: str, *, token: str | None = DEFAULT_TOKEN, **more: Any
    ) -> httpx.Response:
        return asyncio.run(request(method, path, token, **more))

    return run


@pytest.fixture
def send(call: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    """Send the template without placeholders, or what `changes` make of that message."""

    def run(
        to: str = "+6591234567", *, number: str = PHONE_NUMBER_ID, **changes: Any
    ) -> httpx.Response:
        message = {
            "messaging_product": "whatsapp",
            "to": to,
            "type": "template",
            "template": {"name": "opening_hours", "language": {"code": "en_US"}},
            **changes,
        }
        return call("POST", f"/v26.0/{number}/messages", json=message)

    return run


@pytest.fixture
def ask(call: Call) -> Call:
    """Make one request to respond.io."""

    def run(method: str, path: str, **more: Any) -> httpx.Response:
        return call(method, f"/respondio/v2/{path}", **{"token": DEFAULT_RESPONDIO_TOKEN, **more})

    return run


@pytest.fixture
def change(call: Call) -> Call:
    """Change the workspace of respond.io."""

    def run(**values: Any) -> httpx.Response:
        return call("POST", "/_sandbox/respondio", token=None, json=values)

    return run


@pytest.fixture
def write(ask: Call) -> Call:
    """Send a message to somebody, the plain template to Ana if nothing else is said."""

    def run(
        message: object = None,
        *,
        to: str = "phone:+6591000001",
        channel: object = RESPONDIO_CHANNEL_ID,
        **more: Any,
    ) -> httpx.Response:
        body = {"channelId": channel, "message": OPENING_HOURS if message is None else message}
        return ask("POST", f"contact/{to}/message", **{"json": body, **more})

    return run


@pytest.fixture
def read(ask: Call) -> Callable[[httpx.Response], dict[str, Any]]:
    """The message that an answer names, as the API shows it."""

    def run(answer: httpx.Response) -> dict[str, Any]:
        found = ask("GET", f"contact/phone:+6591000001/message/{answer.json()['messageId']}").json()
        return dict(found)

    return run
