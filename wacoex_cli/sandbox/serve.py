"""Running the sandbox on a loopback socket: in a thread for tests, or blocking for a command."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from wacoex_cli.sandbox.app import application
from wacoex_cli.sandbox.courier import deliver_webhooks
from wacoex_cli.sandbox.world import World

_HOST = "127.0.0.1"
_KEEP_ALIVE_SECONDS = 120  # longer than clients keep connections, so that they close them


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and stops without waiting for hanging answers."""

    def __init__(self, config: uvicorn.Config, world: World, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._world = world
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._courier = asyncio.create_task(deliver_webhooks(self._world))
        self._on_ready()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.05)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the connections learn that they are gone
        tasks = [*self.server_state.tasks, self._courier]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _quietly(app: ASGIApp) -> ASGIApp:
    """Uvicorn logs the cancelling of a delayed answer as an error; here it is the normal end."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            return

    return quiet


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's algorithm off: else answers lag by 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _server(world: World, on_ready: Callable[[], None]) -> _Server:
    config = uvicorn.Config(
        _quietly(application(world)),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    return _Server(config, world, on_ready)


def serve(world: World, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve on the loopback address until SIGINT or SIGTERM, which is then raised again.

    `port` 0 takes a free one; `on_ready` is given the base URL as soon as requests are
    answered. Raises OSError when the port cannot be had.
    """
    with _listen(port) as listener:
        base_url = _base_url(listener)
        # A full garbage collection would date an arrival 20 ms late: the clock of this world.
        gc.collect()
        gc.freeze()
        _server(world, lambda: on_ready(base_url)).run(sockets=[listener])


@contextmanager
def running(world: World, port: int = 0) -> Iterator[str]:
    """Serve from a thread with its own event loop; yields the base URL.

    Raises OSError when the port cannot be had.
    """
    with _listen(port) as listener:
        ready = threading.Event()
        server = _server(world, ready.set)

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                ready.set()

        base_url = _base_url(listener)
        thread = threading.Thread(target=run, name="sandbox", daemon=True)
        thread.start()
        try:
            ready.wait()
            if not server.started:
                raise RuntimeError("the sandbox did not start")
            yield base_url
        finally:
            server.should_exit = True
            thread.join()


def _base_url(listener: socket.socket) -> str:
    return f"http://{_HOST}:{listener.getsockname()[1]}"
