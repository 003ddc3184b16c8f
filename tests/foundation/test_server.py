"""Serving until a signal: ready, drained, and what goes wrong with ports and hosts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.errors import TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation import server

Act = Callable[[str], Awaitable[Any]]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers `fine` after as many seconds as the path says; `/boom` fails."""
    if scope["path"] == "/boom":
        raise RuntimeError("MARK")
    await asyncio.sleep(float(scope["path"].strip("/") or 0))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def serving(act: Act, **more: Any) -> tuple[int, Any, list[str]]:
    """Serve while `act` runs with the base URL; gives the signal, what it returned, the log."""
    log: list[str] = []

    async def operation() -> tuple[int, Any]:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        served = asyncio.create_task(
            server.serve(
                application,
                more.get("host", "127.0.0.1"),
                more.get("port", 0),
                on_ready=ready.set_result,
                on_stopping=lambda: log.append("stopping"),
                log=log.append,
            )
        )
        first: set[asyncio.Future[Any]] = {served, ready}
        done, _ = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if served in done:
            served.result()
        returned = await act(await ready)
        return await served, returned

    number, returned = asyncio.run(operation())
    return number, returned, log


def raise_signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def fetch(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return (await client.get(url)).text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal_and_says_which(number: signal.Signals) -> None:
    async def act(url: str) -> str:
        answer = await fetch(url)
        raise_signal(number)
        return answer

    assert serving(act) == (number, "fine", ["stopping"])


def test_a_request_under_way_is_answered_after_the_signal_and_a_new_one_refused() -> None:
    async def act(url: str) -> tuple[str, bool]:
        under_way = asyncio.create_task(fetch(f"{url}/0.6"))
        await asyncio.sleep(0.2)
        raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.25)
        try:
            await fetch(url)
        except httpx.ConnectError:
            return await under_way, True
        return await under_way, False

    assert serving(act)[1] == ("fine", True)


def test_a_second_signal_breaks_off_what_is_under_way() -> None:
    async def act(url: str) -> asyncio.Task[str]:
        under_way = asyncio.create_task(fetch(f"{url}/3600"))
        await asyncio.sleep(0.2)
        raise_signal(signal.SIGTERM)
        raise_signal(signal.SIGINT)  # within the same keystroke: once
        await asyncio.sleep(0.3)
        assert not under_way.done()
        raise_signal(signal.SIGINT)
        with pytest.raises(httpx.TransportError):
            await under_way
        return under_way

    number, _, log = serving(act)

    assert (number, log) == (signal.SIGTERM, ["stopping"])


def test_bad_http_and_failures_are_logged_in_one_line_each() -> None:
    async def act(url: str) -> int:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"MARK what is this\r\n\r\n")
        await reader.read()
        writer.close()
        async with httpx.AsyncClient(trust_env=False) as client:
            status = (await client.get(f"{url}/boom")).status_code
        raise_signal(signal.SIGTERM)
        return status

    _, status, log = serving(act)

    assert status == 500
    assert log == ["invalid http request received", "exception in asgi application", "stopping"]


async def nothing(url: str) -> None:
    raise AssertionError("it must not have started")


def failure(**more: Any) -> WacoexError:
    with pytest.raises(WacoexError) as caught:
        serving(nothing, **more)
    return caught.value


def test_a_taken_port_is_reported_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        error = failure(port=other.getsockname()[1])

    assert isinstance(error, TemporaryError)
    assert error.code == "port_taken"
    assert "--port" in (error.hint or "")


def test_an_address_of_another_machine_is_a_usage_error() -> None:
    error = failure(host="203.0.113.7")

    assert isinstance(error, UsageError)
    assert error.code == "host_unknown"


def test_a_name_of_several_addresses_is_served_on_all_of_them() -> None:
    async def act(url: str) -> str:
        answer = await fetch(url.replace("127.0.0.1", "localhost"))
        raise_signal(signal.SIGTERM)
        return answer

    assert serving(act, host="localhost")[1] == "fine"


def test_serving_for_the_length_of_a_block_answers_what_is_under_way_and_leaves_signals() -> None:
    async def operation() -> tuple[str, str, object]:
        before = signal.getsignal(signal.SIGINT)
        async with server.serving(application, "127.0.0.1", 0, log=lambda line: None) as url:
            during = signal.getsignal(signal.SIGINT)
            under_way = asyncio.create_task(fetch(f"{url}/0.5"))
            await asyncio.sleep(0.2)
        return await under_way, url, during is before

    answer, url, left_alone = asyncio.run(operation())

    assert (answer, left_alone) == ("fine", True)
    with pytest.raises(httpx.ConnectError):
        asyncio.run(fetch(url))


def test_a_block_that_is_broken_off_stops_serving() -> None:
    urls: list[str] = []

    async def operation() -> None:
        async with server.serving(application, "127.0.0.1", 0, log=lambda line: None) as url:
            urls.append(url)
            raise ValueError("the end")

    with pytest.raises(ValueError, match="the end"):
        asyncio.run(operation())
    with pytest.raises(httpx.ConnectError):
        asyncio.run(fetch(urls[0]))


async def connect(url: str, text: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection over which this was sent, and nothing more."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode())
    await writer.drain()
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes; a broken connection is one too."""
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""


HEAD = "GET / HTTP/1.1\r\nHost: here\r\n"
HALVES = {
    "nothing": "",
    "half a line": "GET / HT",
    "half a header": HEAD,
    "a second request": f"{HEAD}\r\nGET / HT",
    "half a body": "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf",
    "a body that was answered": f"POST {HEAD[4:]}Content-Length: 9\r\n\r\nhalf",
}


@pytest.mark.parametrize("half", list(HALVES))
def test_a_request_that_never_becomes_complete_loses_its_connection(
    half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(server, "BODY_SECONDS", 0.3)

    async def act(url: str) -> tuple[bytes, str]:
        reader, writer = await connect(url, HALVES[half])
        said = await rest(reader)
        writer.close()
        answer = await fetch(url)
        raise_signal(signal.SIGTERM)
        return said, answer

    said, answer = serving(act)[1]

    assert said.count(b"HTTP/1.1 200") == ("second" in half or "body" in half)
    assert answer == "fine"


def test_a_header_that_trickles_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.4)

    async def act(url: str) -> int:
        reader, writer = await connect(url, HEAD)
        sent = 0
        while not (reader.at_eof() or reader.exception()) and sent < 100:
            writer.write(b"X-More: 1\r\n")
            sent += 1
            await asyncio.sleep(0.05)
        writer.close()
        raise_signal(signal.SIGTERM)
        return sent

    assert 3 < serving(act)[1] < 20


def test_half_open_connections_block_nobody_and_the_oldest_is_closed_first() -> None:
    async def act(url: str) -> tuple[list[bool], list[str]]:
        opened = [await connect(url, HEAD) for _ in range(server.MOST_WAITING + 88)]
        answers = await asyncio.gather(*(fetch(url) for _ in range(20)))
        await asyncio.sleep(0.2)
        closed = [reader.at_eof() or reader.exception() is not None for reader, _ in opened]
        for _, writer in opened:
            writer.close()
        raise_signal(signal.SIGTERM)
        return closed, answers

    closed, answers = serving(act)[1]

    assert answers == ["fine"] * 20
    assert 88 <= sum(closed) <= 88 + 20
    assert closed == sorted(closed, reverse=True)


def test_requests_under_way_are_not_closed_for_half_open_connections() -> None:
    async def act(url: str) -> str:
        under_way = asyncio.create_task(fetch(f"{url}/1.5"))
        await asyncio.sleep(0.2)
        opened = [await connect(url) for _ in range(server.MOST_WAITING + 20)]
        answer = await under_way
        for _, writer in opened:
            writer.close()
        raise_signal(signal.SIGTERM)
        return answer

    assert serving(act)[1] == "fine"


def test_a_request_with_two_lengths_is_refused_and_its_connection_closed() -> None:
    lengths = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"

    async def act(url: str) -> bytes:
        smuggled = f"0\r\n\r\n{HEAD}\r\n"
        reader, writer = await connect(url, f"POST {HEAD[4:]}{lengths}\r\n{smuggled}")
        said = await rest(reader)
        writer.close()
        raise_signal(signal.SIGTERM)
        return said

    said = serving(act)[1]

    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") == 1
