"""A request and an answer as data, and the ways an answer can travel, or not."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

SANDBOX_HEADER = "X-Wacoex-Sandbox"
_DRIPS = 10


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; header names in lower case, `origin` as the client addressed us."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    client: str
    origin: str

    def json(self) -> Any:
        """The body as JSON values, or None when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `manner` says how it travels, `seconds` how long a `drip` takes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Literal["whole", "drip", "reset", "hang"] = "whole"
    seconds: float = 0.0


def json_reply(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Reply(
        status, body, {"Content-Type": "application/json; charset=UTF-8", **(headers or {})}
    )


async def read_call(scope: Scope, receive: Receive) -> Call:
    """The whole request; raises ClientLeft when it never becomes complete."""
    body = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientLeft
        body += event.get("body", b"")
        more = event.get("more_body", False)
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=body,
        client=scope["client"][0] if scope.get("client") else "",
        origin=f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}",
    )


async def deliver(reply: Reply, receive: Receive, send: Send) -> None:
    """Send the answer in its manner."""
    if reply.manner == "reset":
        await _reset(receive, send)
    elif reply.manner == "hang":
        await _until_closed(receive)
    else:
        await _send_start(reply, send)
        pieces = _DRIPS if reply.manner == "drip" else 1
        await _send_body(reply, send, pieces)


async def _send_start(reply: Reply, send: Send) -> None:
    headers = {**reply.headers, "Content-Length": str(len(reply.body)), SANDBOX_HEADER: "1"}
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})


async def _send_body(reply: Reply, send: Send, pieces: int) -> None:
    size = max(1, -(-len(reply.body) // pieces))
    starts = range(0, max(1, len(reply.body)), size)
    for start in starts:
        if reply.seconds:
            await asyncio.sleep(reply.seconds / len(starts))
        piece, more = reply.body[start : start + size], start != starts[-1]
        await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _reset(receive: Receive, send: Send) -> None:
    """Break the connection with a reset (RST), as a crashed load balancer does."""
    # ASGI has no word for this: uvicorn's `send` is a method of the object with the transport.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox broke the connection")
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_closed(receive)


async def _until_closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
