"""A server that costs next to nothing: what it measures is the sender beside it.

    python -m tests.bench.light NUMBERS SECONDS

Messages are answered after SECONDS by a bare protocol; every other request by the sandbox. It
prints its address. `GET /arrivals` gives the moments at which messages came, by phone number.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import httpx

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node, World

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_NUMBER_ID = 500_000_000_000_000
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


def number_id(number: int) -> str:
    """Meta's id of the number with that place, counted from 0."""
    return str(FIRST_NUMBER_ID + number)


def phone_of(number: int) -> str:
    """The phone number with that place (E.164)."""
    return f"+65610{number:05}"


def world_of(numbers: int) -> World:
    """A pretend Meta with so many numbers in one account."""
    world = default_world()
    model = world.nodes[PHONE_NUMBER_ID]
    for number in range(numbers):
        values = copy.deepcopy(model.values) | {"display_phone_number": phone_of(number)}
        name = number_id(number)
        world.nodes[name] = Node(model.kind, name, WABA_ID, values)
    return world


class Light:
    """What all connections share: the moments of arrival, and the sandbox."""

    def __init__(self, world: World, seconds: float) -> None:
        self.seconds = seconds
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)
        self.recipients: list[str] = []
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(world)), base_url="http://127.0.0.1"
        )

    async def ask_sandbox(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bytes:
        """The answer of the sandbox to what is no message."""
        kept: dict[str, str] = {
            name: headers[name] for name in ("authorization", "content-type") if name in headers
        }
        answer = await self._client.request(method, path, headers=kept, content=body)
        head = f"HTTP/1.1 {answer.status_code} -\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(answer.content)}\r\n\r\n".encode() + answer.content


class Connection(asyncio.Protocol):
    """One connection that is kept alive; requests on it come one after the other."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._buffer = b""
        self._write: Callable[[bytes], None] = lambda data: None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            size = int(headers.get("content-length", "0"))
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            method, path, _ = first.split(" ")
            self._answer(method, path, headers, body)

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        light = self._light
        if method == "POST" and path.endswith("/messages"):
            light.arrivals[path.split("/")[-2]].append(time.monotonic())
            light.recipients.append(json.loads(body)["to"])
            said = b'{"messaging_product":"whatsapp","messages":[{"id":"wamid.%d"}]}' % len(
                light.recipients
            )
            answer = _ANSWER % (len(said), said)
            asyncio.get_running_loop().call_later(light.seconds, self._write, answer)
        elif path == "/arrivals":
            twice = len(light.recipients) - len(set(light.recipients))
            said = json.dumps({"numbers": light.arrivals, "twice": twice}).encode()
            self._write(_ANSWER % (len(said), said))
        else:
            task = asyncio.create_task(self._forward(method, path, headers, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self._write(await self._light.ask_sandbox(method, path, headers, body))


async def main(numbers: int, seconds: float) -> None:
    """Serve until the process is ended."""
    light = Light(world_of(numbers), seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(light), "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
