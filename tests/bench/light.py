"""A server that costs next to nothing: what it measures is the sender beside it.

    python -m tests.bench.light NUMBERS SECONDS

Messages are answered after SECONDS by a bare protocol; every other request by the sandbox. It
prints its address. More than 20 messages of one number in a second are refused. `GET /arrivals`
gives the moments at which messages came, by phone number, how many were refused, how many came
twice, and the longest time in seconds that the server itself was held up for meanwhile: what waits
for it then comes at once, and looks as if it had been sent at once.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, cast

import httpx

from tests.bench.figures import THROTTLED
from wacoex_cli.foundation.workspace import loop_factory
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node, World

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_NUMBER_ID = 500_000_000_000_000
MOST_IN_A_SECOND = 20
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_REFUSAL = json.dumps({"error": {"code": THROTTLED, "message": "too many messages"}}).encode()


def number_id(number: int) -> str:
    """Meta's id of the number with that place, counted from 0."""
    return str(FIRST_NUMBER_ID + number)


def phone_of(number: int) -> str:
    """The phone number with that place (E.164)."""
    return f"+65610{number:05}"


def world_of(numbers: int) -> World:
    """A pretend Meta with this many numbers in one account."""
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
        self.refused = 0
        self.longest_stall = 0.0
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(world)), base_url="http://127.0.0.1"
        )

    def take(self, number: str, body: bytes) -> bytes:
        """The answer to one message of a number."""
        now, before = time.monotonic(), self.arrivals[number]
        is_too_fast = len(before) >= MOST_IN_A_SECOND and now - before[-MOST_IN_A_SECOND] < 1.0
        before.append(now)
        if is_too_fast:
            self.refused += 1
            return _answer(_REFUSAL)
        self.recipients.append(json.loads(body)["to"])
        message_id = f"wamid.{len(self.recipients)}"
        answer = {"messaging_product": "whatsapp", "messages": [{"id": message_id}]}
        return _answer(json.dumps(answer).encode())

    def seen(self) -> bytes:
        """What came so far."""
        twice = len(self.recipients) - len(set(self.recipients))
        answer = {
            "numbers": self.arrivals,
            "refused": self.refused,
            "twice": twice,
            "longest_stall": self.longest_stall,
        }
        return _answer(json.dumps(answer).encode())

    async def ask_sandbox(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bytes:
        """The answer of the sandbox to a request other than a message."""
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
        self._write = cast("asyncio.Transport", transport).write

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
            answer = light.take(path.split("/")[-2], body)
            due = time.monotonic() + light.seconds
            asyncio.get_running_loop().call_later(light.seconds, self._give, answer, due)
        elif path == "/arrivals":
            self._write(light.seen())
        else:
            task = asyncio.create_task(self._forward(method, path, headers, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _give(self, answer: bytes, due: float) -> None:
        self._light.longest_stall = max(self._light.longest_stall, time.monotonic() - due)
        self._write(answer)

    async def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self._write(await self._light.ask_sandbox(method, path, headers, body))


def _answer(body: bytes) -> bytes:
    return _ANSWER % (len(body), body)


async def main(numbers: int, seconds: float) -> None:
    """Serve until the process is ended."""
    light = Light(world_of(numbers), seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(light), "127.0.0.1", 0, backlog=1000)
    # A collection of all that the sandbox loaded would hold up the server for longer than a slot.
    gc.collect()
    gc.freeze()
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(int(sys.argv[1]), float(sys.argv[2])))
