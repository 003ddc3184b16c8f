"""The sandbox as an ASGI application: each face of the pretend world has its paths."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from wacoex_cli.sandbox import browser, control, graph, respondio
from wacoex_cli.sandbox.wire import ClientLeft, deliver, read_call
from wacoex_cli.sandbox.world import World


def application(world: World) -> ASGIApp:
    """An ASGI application over one world; every answer carries `X-Wacoex-Sandbox: 1`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            call = await read_call(scope, receive)
        except ClientLeft:
            return
        if call.path.startswith(control.PREFIX):
            reply = await control.answer(world, call)
        elif call.path.startswith(respondio.PREFIX):
            reply = await respondio.answer(world, call)
        elif browser.is_for_browser(call.path):
            reply = browser.answer(world, call)
        else:
            reply = await graph.answer(world, call)
        await deliver(reply, receive, send)

    return app
