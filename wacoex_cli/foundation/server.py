"""Running an ASGI app on a socket of this machine until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import socket
from typing import TYPE_CHECKING, Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wacoex_cli.errors import TemporaryError, UsageError
from wacoex_cli.foundation.workspace import allow_files, interruptible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

DRAIN_SECONDS = 10
"""How long requests under way may take after the first signal."""
MOST_WAITING = 512
"""Connections that may be open without a complete request; the oldest is closed for a new one."""
HEADER_SECONDS = 10.0
"""How long the first line and the headers of a request may take."""
BODY_SECONDS = 35.0
"""How long a body may take; an application may say earlier that it takes too long."""

# Longer than proxies keep their connections, so that it is they who close them.
_KEEP_ALIVE_SECONDS = 75
_LOOKS_EVERY_SECONDS = 0.05
# Those that wait for the rest of a request are counted apart: they must refuse nobody.
_MOST_REQUESTS = 1_000
_BACKLOG = 1_024
# All of the above, and what else a process has open.
_FILES = 4_096
_NOT_ON_THIS_MACHINE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], None],
    on_stopping: Callable[[], None],
    log: Callable[[str], None],
    drain_seconds: int = DRAIN_SECONDS,
) -> int:
    """Serve until SIGINT or SIGTERM; returns the number of the signal.

    The first signal closes the socket and lets requests under way end, `drain_seconds` at most (0
    breaks them off); a second one breaks them off. `port` 0 takes a free one; `on_ready` is given
    the base URL as soon as requests are answered. `log` gets what the server itself complains
    about.

    Raises:
        UsageError: the host is none of this machine, or the port is reserved for the system.
        TemporaryError: the port is taken.
    """
    with _listening(host, port) as listeners, _complaining(log):
        allow_files(_FILES)
        server = _Server(app, drain_seconds, lambda: on_ready(_base_url(listeners[0])))

        def stop(number: int) -> None:
            server.should_exit = True
            on_stopping()

        with interruptible(stop, lambda number: server.break_off()) as received:
            await server.serve(sockets=listeners)
    return received[0]


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    log: Callable[[str], None],
    drain_seconds: int = DRAIN_SECONDS,
) -> AsyncIterator[str]:
    """Serve while the block runs; gives the base URL. Signals are left to others.

    Requests under way when the block is left may take `drain_seconds`. `port` 0 takes a free one.

    Raises what `serve` raises.
    """
    with _listening(host, port) as listeners, _complaining(log):
        allow_files(_FILES)
        ready = asyncio.Event()
        server = _Server(app, drain_seconds, ready.set)
        task = asyncio.create_task(server.serve(sockets=listeners))
        try:
            started = asyncio.create_task(ready.wait())
            await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
            yield _base_url(listeners[0])
        finally:
            server.should_exit = True
            await task


class _Connection(H11Protocol):
    """A connection that gives way as long as its request is not complete.

    `waiting` holds all such connections of a server, the oldest first; those that wait between two
    requests are among them. Nobody is refused by address: a proxy is one.
    """

    def __init__(self, *arguments: Any, waiting: dict[_Connection, None], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._waiting = waiting
        self._waits_for: str | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if len(self._waiting) > _most_waiting():
            next(iter(self._waiting)).drop()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close it at once, without an answer."""
        self._wait_for(None)
        # Else it would count until the event loop comes round.
        self.connections.discard(self)
        self.transport.abort()

    def _look(self) -> None:
        is_first, state = self.cycle is None, self.conn.their_state
        if self.transport.is_closing() or state not in (h11.IDLE, h11.SEND_BODY):
            self._wait_for(None)
        elif state is h11.SEND_BODY:
            self._wait_for("body", BODY_SECONDS)
        elif is_first or self.conn.trailing_data[0]:
            self._wait_for("header", HEADER_SECONDS)
        else:
            # The server itself closes a connection that is not used again.
            self._wait_for("another request")

    def _wait_for(self, what: str | None, seconds: float | None = None) -> None:
        """A limit runs from the moment at which the wait for something begins."""
        if what == self._waits_for:
            return
        self._waits_for = what
        self._waiting.pop(self, None)
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if what is not None:
            self._waiting[self] = None
        if seconds is not None:
            self._limit = self.loop.call_later(seconds, self.drop)


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and leaves the signals to others."""

    def __init__(self, app: ASGIApp, drain_seconds: int, on_ready: Callable[[], None]) -> None:
        connection = functools.partial(_Connection, waiting={})
        config = uvicorn.Config(
            _with_one_length(app),
            http=cast("type[asyncio.Protocol]", connection),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            # Anybody who reaches the socket could claim anything in X-Forwarded-For.
            proxy_headers=False,
            server_header=False,
            backlog=min(_BACKLOG, 2 * _most_waiting()),
            limit_concurrency=MOST_WAITING + _MOST_REQUESTS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.timeout_graceful_shutdown:
            return await super().shutdown(sockets)
        for server in self.servers:
            server.close()
        self.break_off()
        return await asyncio.sleep(0)  # lets the connections learn that they are gone

    def break_off(self) -> None:
        """Wait for nothing any more: requests under way lose their connection."""
        self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _with_one_length(app: ASGIApp) -> ASGIApp:
    """The application without requests that say two lengths.

    A proxy in front may believe the other one, and take a part of the body for a request.
    Source: RFC 9112, 6.1 and 11.2.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope.get("headers", ())}
        if not {b"content-length", b"transfer-encoding"} <= names:
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": b"the request says two lengths\n"})

    return checked


def _most_waiting() -> int:
    """Fewer where a process may open few files: each request needs one too."""
    return min(MOST_WAITING, allow_files(_FILES) // 4)


@contextlib.contextmanager
def _complaining(log: Callable[[str], None]) -> Iterator[None]:
    """The library's complaints as single lines: its own would hold tracebacks and addresses."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log(record.getMessage().partition("\n")[0].rstrip(".").lower())

    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    lines, before = Lines(logging.WARNING), [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(lines)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagates in zip(loggers, before, strict=True):
            logger.removeHandler(lines)
            logger.propagate = propagates


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """A socket for each address of the host, all on one port; closed in the end."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise _no_host(host) from None
    addresses = {(family, str(address[0])) for family, _, _, _, address in found}
    listeners: list[socket.socket] = []
    problem: OSError | None = None
    with contextlib.ExitStack() as opened:
        # IPv4 first: it is what most people mean by `localhost`.
        for family, address in sorted(addresses, key=lambda place: place[0] != socket.AF_INET):
            taken = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(opened.enter_context(_bound(family, address, taken)))
            except OSError as error:
                if error.errno not in _NOT_ON_THIS_MACHINE:
                    raise _unusable(host, port, error) from None
                problem = error
        if problem is not None and not listeners:
            raise _unusable(host, port, problem)
        yield listeners


def _bound(family: int, address: str, port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's algorithm off: else answers lag by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _unusable(host: str, port: int, error: OSError) -> UsageError | TemporaryError:
    if error.errno in _NOT_ON_THIS_MACHINE:
        return _no_host(host)
    if error.errno == errno.EACCES:
        return UsageError(
            f"port {port} is reserved for the system",
            hint="choose one above 1023 with `--port`, and let a reverse proxy answer there",
            code="port_reserved",
        )
    return TemporaryError(
        f"cannot listen on port {port} of {host}: {(error.strerror or str(error)).lower()}",
        hint="another program uses it: stop that program, or choose another port with `--port`",
        code="port_taken",
    )


def _no_host(host: str) -> UsageError:
    return UsageError(
        f"`{host}` is not an address of this machine",
        hint="give `--host` 127.0.0.1, 0.0.0.0 (all addresses) or an address of this machine",
        code="host_unknown",
    )
