"""What a request costs over our connections, and with aiohttp alone.

    python -m tests.bench.transport

64 requests at a time to a server that answers after 20 ms, each way in a process of its own, in
turn; the medians of the rounds. A quarter of a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import aiohttp

from tests.bench.figures import Figure, finish, show
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import WINDOW, Http

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
REQUESTS = 500
ANSWER_AFTER_SECONDS = 0.02

_CHECKOUT = Path(__file__).parents[2]
_HEADERS = {"Authorization": "Bearer " + "x" * 200}
_MESSAGE = {
    "messaging_product": "whatsapp",
    "to": "+6591234567",
    "type": "template",
    "template": {"name": "opening_hours", "language": {"code": "en_US"}},
}
_BODY = b'{"messaging_product": "whatsapp", "messages": [{"id": "wamid.HBgKMTIzNDU2Nzg5MA=="}]}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


class Spent(NamedTuple):
    """What a number of requests took: seconds on the clock, seconds of the processor."""

    seconds: float
    cpu_seconds: float

    def rate(self) -> float:
        return REQUESTS / self.seconds

    def cpu_milliseconds(self) -> float:
        """For one request."""
        return self.cpu_seconds * 1_000 / REQUESTS


class _LightServer(asyncio.Protocol):
    """Answers each request after a while; its requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._wanted = b""

    def data_received(self, data: bytes) -> None:
        self._wanted += data
        head, found, body = self._wanted.partition(b"\r\n\r\n")
        if found:
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) == size:
                self._wanted = b""
                loop = asyncio.get_running_loop()
                loop.call_later(ANSWER_AFTER_SECONDS, self._transport.write, _ANSWER)


def _serve(listener: socket.socket) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_LightServer, sock=listener)
        await server.serve_forever()

    asyncio.run(forever())


@contextlib.contextmanager
def light_server() -> Iterator[str]:
    """A server in a process of its own; gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,))
        process.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v26.0/1/messages"
        finally:
            process.terminate()
            process.join()


async def _all(request: Callable[[], Awaitable[None]]) -> Spent:
    """Make the requests, as many at a time as may be; measured after the first of them."""
    left = iter(range(REQUESTS))

    async def some() -> None:
        for _ in left:
            await request()

    await asyncio.gather(*(request() for _ in range(WINDOW)))
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some() for _ in range(WINDOW)))
    return Spent(time.perf_counter() - started, time.process_time() - cpu)


async def ours(url: str) -> Spent:
    """As wacoex sends."""
    http = Http(SystemClock(), log=lambda text: None)

    async def request() -> None:
        answer = await http.send(url, headers=_HEADERS, json=_MESSAGE)
        assert answer.json

    try:
        return await _all(request)
    finally:
        await http.aclose()


async def bare(url: str) -> Spent:
    """aiohttp and nothing else."""
    connector = aiohttp.TCPConnector(limit=WINDOW)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def request() -> None:
            async with session.post(url, headers=_HEADERS, json=_MESSAGE) as answer:
                assert json.loads(await answer.read())

        return await _all(request)


WAYS = {"ours": ours, "bare": bare}


def _measured(way: str, url: str) -> Spent:
    command = [sys.executable, "-m", "tests.bench.transport", way, url]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_CHECKOUT).stdout
    return Spent(*json.loads(said))


def main() -> None:
    """Both ways in turn, and ours against aiohttp alone."""
    rounds: dict[str, list[Spent]] = {way: [] for way in WAYS}
    with light_server() as url:
        for _ in range(ROUNDS):
            for way, spent in rounds.items():
                spent.append(_measured(way, url))
    rate = {way: statistics.median(map(Spent.rate, each)) for way, each in rounds.items()}
    cpu = {
        way: statistics.median(map(Spent.cpu_milliseconds, each)) for way, each in rounds.items()
    }
    show(
        "a request over our connections",
        (
            Figure("CPU, ours / bare", cpu["ours"] / cpu["bare"], at_most=2.4, decimals=2),
            Figure("rate, ours / bare", rate["ours"] / rate["bare"], at_least=0.4, decimals=2),
        ),
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(asyncio.run(WAYS[sys.argv[1]](sys.argv[2]))))
    else:
        main()
        finish()
