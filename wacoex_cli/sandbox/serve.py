"""The sandbox as an ASGI application, on a socket of this machine: its faces and its webhooks."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from wacoex_cli.foundation.server import serve as serve_until_signal
from wacoex_cli.foundation.server import serving
from wacoex_cli.sandbox import account, control, graph, respondio
from wacoex_cli.sandbox.wire import (
    ClientLeft,
    Delivery,
    DueWebhook,
    deliver,
    is_loopback,
    read_call,
    webhook_client,
)
from wacoex_cli.sandbox.world import SIGNING_KEY, World

_HOST = "127.0.0.1"
# How long to wait before each further try; Meta goes on for days, with growing pauses.
_RETRY_AFTER_SECONDS = (0.2, 0.5, 1.0, 2.0)
_LOOKS_EVERY_SECONDS = 0.02
_complain = logging.getLogger("wacoex.sandbox").warning


def application(world: World) -> ASGIApp:
    """An ASGI application over one world; every answer carries `X-Wacoex-Sandbox: 1`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            call = await read_call(scope, receive)
            if call.path.startswith(control.PREFIX):
                reply = await control.answer(world, call, account.STORIES)
            elif call.path.startswith(respondio.PREFIX):
                reply = await respondio.answer(world, call)
            elif call.path == account.SDK_PATH or call.path.startswith(account.WINDOW_PREFIX):
                reply = account.signup_window(world, call)
            else:
                reply = await graph.answer(world, call)
            await deliver(reply, receive, send)
        except (ClientLeft, asyncio.CancelledError):
            # Cancelling a delayed answer is its normal end here, and no error.
            return

    return app


def serve(world: World, port: int, on_ready: Callable[[str], None]) -> int:
    """Serve on the loopback address until SIGINT or SIGTERM; returns the number of the signal.

    `port` 0 takes a free one; `on_ready` is given the base URL as soon as requests are answered.
    Requests under way are broken off at the end. Raises what `foundation.server.serve` raises.
    """

    async def run() -> int:
        async with _delivering(world):
            return await serve_until_signal(
                application(world),
                _HOST,
                port,
                on_ready=on_ready,
                on_stopping=lambda: None,
                log=_complain,
                drain_seconds=0,
            )

    # A full garbage collection would date an arrival 20 ms late: the clock of this world.
    gc.collect()
    gc.freeze()
    return asyncio.run(run())


@contextmanager
def running(world: World, port: int = 0) -> Iterator[str]:
    """Serve from a thread with its own event loop; yields the base URL.

    Raises what `foundation.server.serving` raises.
    """
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def run() -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        app = application(world)
        try:
            async with (
                serving(app, _HOST, port, log=_complain, drain_seconds=0) as base_url,
                _delivering(world),
            ):
                ready.set_result((base_url, lambda: loop.call_soon_threadsafe(end.set)))
                await end.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="sandbox", daemon=True)
    thread.start()
    base_url, stop = ready.result()
    try:
        yield base_url
    finally:
        stop()
        thread.join()


@asynccontextmanager
async def _delivering(world: World) -> AsyncIterator[None]:
    """Deliver webhooks that fall due, one after the other, while the block runs."""

    async def run() -> None:
        async with webhook_client() as client:
            while True:
                while (webhook := world.outbox.take(world.monotonic())) is not None:
                    await _deliver(world, client, webhook)
                await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _deliver(world: World, client: httpx.AsyncClient, webhook: DueWebhook) -> None:
    """Try once; a receiver that is not there, or does not say 200, is tried again later."""
    outbox, callbacks, tried, again = world.outbox, world.callbacks, None, None
    is_meta = webhook.source == "meta"
    url = webhook.url or (callbacks.meta_url if is_meta else callbacks.respondio_url)
    key = world.app_secret() if is_meta else callbacks.signing_key or SIGNING_KEY
    headers = {"Content-Type": "application/json", **webhook.signature(key)}
    try:
        if url is None or not is_loopback(url):
            return
        status = failure = None
        try:
            status = (await client.post(url, content=webhook.content, headers=headers)).status_code
        except httpx.HTTPError as error:
            failure = type(error).__name__
        tried = Delivery(webhook.number, webhook.source, webhook.tries + 1, status, failure)
        if status != 200 and webhook.tries < len(_RETRY_AFTER_SECONDS):
            due = world.monotonic() + _RETRY_AFTER_SECONDS[webhook.tries]
            again = replace(webhook, due=due, tries=webhook.tries + 1)
    finally:
        outbox.settle(tried, again)
