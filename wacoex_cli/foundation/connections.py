"""Connections for httpx, made by aiohttp: an error says on which side of the first byte it came.

`httpx.ConnectError`, `ConnectTimeout` and `PoolTimeout` mean that nothing of the request has left.
Every other error may come after that.
"""

from __future__ import annotations

import asyncio
import functools
import select
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, cast

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from aiohttp.tracing import Trace
from yarl import URL

# httpx writes these itself, or wants them left out.
_LEFT_TO_HTTPX = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# aiohttp waits for the connection only when it has written more: 64 KB, the headers included.
_NEVER_WAITS_BYTES = 32 * 1024


class AiohttpClient(httpx.AsyncClient):
    """A client of httpx, proxies of the environment included, whose connections are aiohttp's.

    It belongs to the running event loop, and its answers are not decoded. What the extension
    `on_written` of a request names is called when the whole body is written.

    Raises:
        ValueError: a proxy of the environment speaks no HTTP.
        OSError: the certificates of the environment cannot be read.
    """

    def __init__(self, *, limits: httpx.Limits, **settings: Any) -> None:
        self._pool = _Pool(limits)
        super().__init__(limits=limits, **settings)

    def add_places(self, more: int) -> None:
        """Let this many more requests be open at once."""
        for _ in range(more):
            self._pool.places.release()

    def _init_transport(self, *_: Any, **settings: Any) -> httpx.AsyncBaseTransport:
        return _Transport(self._pool)

    def _init_proxy_transport(
        self, proxy: httpx.Proxy, *_: Any, **settings: Any
    ) -> httpx.AsyncBaseTransport:
        return _Transport(self._pool, proxy)


class _Pool:
    """One session for all transports of a client, opened on first use, and its places."""

    def __init__(self, limits: httpx.Limits) -> None:
        self.places = asyncio.Semaphore(limits.max_connections or 1)
        self._kept_seconds = limits.keepalive_expiry
        self._tls = httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = _Connector(
                ssl=self._tls,
                keepalive_timeout=self._kept_seconds,
                # The places are the limit: aiohttp would wait for its own on the time to connect.
                limit=0,
                resolver=aiohttp.ThreadedResolver(),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_LEFT_TO_HTTPX,
                middlewares=[_one_try],
            )
        return self._session

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _Transport(httpx.AsyncBaseTransport):
    """Requests through a pool, straight or through one proxy."""

    def __init__(self, pool: _Pool, proxy: httpx.Proxy | None = None) -> None:
        self._pool = pool
        self._proxy: URL | None = None
        self._proxy_headers: dict[str, str] = {}
        if proxy is not None:
            if proxy.url.scheme not in ("http", "https"):
                raise ValueError("a proxy that speaks no HTTP")
            self._proxy = URL(str(proxy.url))
            if proxy.auth is not None:
                credentials = aiohttp.encode_basic_auth(*proxy.auth)
                self._proxy_headers = {"Proxy-Authorization": credentials}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        places, timeouts = self._pool.places, request.extensions["timeout"]
        if places.locked():
            try:
                async with asyncio.timeout(timeouts["pool"]):
                    await places.acquire()
            except TimeoutError:
                raise httpx.PoolTimeout("no place is free") from None
        else:
            await places.acquire()
        try:
            with _as_httpx():
                answer = await self._request(request, timeouts)
        except BaseException:
            places.release()
            raise
        stream = _AnswerStream(answer, places.release)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=stream)

    async def _request(
        self, request: httpx.Request, timeouts: dict[str, float]
    ) -> aiohttp.ClientResponse:
        url = request.url
        headers = [
            (name.decode("ascii"), value.decode("ascii"))
            for name, value in request.headers.raw
            # aiohttp says itself that a body comes in chunks.
            if name.lower() != b"transfer-encoding"
        ]
        if url.scheme == "http":
            headers += self._proxy_headers.items()
        content: bytes | AsyncIterable[bytes]
        if isinstance(request.stream, httpx.ByteStream):
            content = b"".join(request.stream)
        else:
            content = cast("AsyncIterable[bytes]", request.stream)
        body = None
        if content:
            body = _RequestBody(content, timeouts["write"], request.extensions.get("on_written"))
        # A proxy connects to somebody else too before anything can be sent.
        connecting = timeouts["connect"] + (timeouts["read"] if self._proxy else 0.0)
        return await self._pool.session.request(
            request.method,
            # As it stands, without a name and a password: only `glimpse` goes through the client
            # that makes a header of them.
            URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=_time_limits(connecting, timeouts["connect"], timeouts["read"]),
            proxy=self._proxy,
            proxy_headers=self._proxy_headers or None,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Connector(aiohttp.TCPConnector):
    """Makes connections, and keeps them. Nothing of a request has left while it is here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                if not self._is_stale(connection):
                    return connection
                connection.close()
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise httpx.ConnectError("no connection") from error

    def _is_stale(self, connection: Connection) -> bool:
        """Whether a kept connection was closed, or holds what nobody asked for.

        aiohttp sees the end of a connection only when the event loop has come to it, and takes an
        answer that came between two requests for the answer to the second.
        """
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return True
        if protocol not in self._used:
            self._used.add(protocol)
            return False
        if protocol.should_close:
            return True
        poll = select.poll()
        poll.register(transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))


class _RequestBody(aiohttp.Payload):
    """The body of a request, sent once, whose every piece is written within `seconds`."""

    def __init__(
        self,
        content: bytes | AsyncIterable[bytes],
        seconds: float,
        on_written: Callable[[], None] | None,
    ) -> None:
        super().__init__(content)
        self._seconds = seconds
        self._on_written = on_written

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("the pieces of a body are read once")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        content = self._value
        try:
            if isinstance(content, bytes) and len(content) <= _NEVER_WAITS_BYTES:
                await writer.write(content)
            else:
                await self._write_pieces(writer, content_length)
        except BaseException:
            # Closed in order, a connection waits for its other end to read what is left.
            if isinstance(writer, StreamWriter) and writer.transport is not None:
                writer.transport.abort()
            raise
        if self._on_written is not None:
            self._on_written()

    async def _write_pieces(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        written = 0
        content = self._value
        pieces = httpx.ByteStream(content) if isinstance(content, bytes) else content
        async for piece in pieces:
            written += len(piece)
            if content_length is not None and written > content_length:
                raise ValueError("the body is longer than its headers say")
            async with asyncio.timeout(self._seconds):
                await writer.write(piece)
        if content_length is not None and written < content_length:
            raise ValueError("the body is shorter than its headers say")


class _AnswerStream(httpx.AsyncByteStream):
    """The body of an answer as it travels; frees its place at the end."""

    def __init__(self, answer: aiohttp.ClientResponse, free: Callable[[], None]) -> None:
        self._answer = answer
        self._free = free

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            while piece := await self._answer.content.readany():
                yield piece

    async def aclose(self) -> None:
        try:
            self._answer.release()
            await self._answer.wait_for_close()
        finally:
            self._free()


async def _one_try(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp itself repeats GET, PUT and DELETE after its own errors of a broken connection."""
    with _as_httpx():
        return await handler(request)


class _as_httpx:
    """Errors of aiohttp that come when a request may have left, as errors of httpx.

    A class, because it stands three times around every message.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing has to begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TimeoutError):
            raise httpx.ReadTimeout("no answer in time") from error
        if isinstance(error, aiohttp.ClientError | OSError | ValueError):
            raise httpx.ReadError("the connection broke") from error


@functools.lru_cache(maxsize=16)
def _time_limits(connecting: float, connect: float, read: float) -> aiohttp.ClientTimeout:
    """The limits of a request in aiohttp's words; they are the same for nearly all."""
    return aiohttp.ClientTimeout(connect=connecting, sock_connect=connect, sock_read=read)
