"""HTTP: patient with reads, one try for what changes things, silent about secrets."""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat

import httpx
import pytest

from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation.http import (
    MOST_ANSWER_BYTES,
    Answer,
    Http,
    NotSentError,
    UnansweredError,
    retry_after_seconds,
)

URL = "https://graph.example/v26.0/1/messages"
HEADERS = {"Authorization": "Bearer token-0123456789"}
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def http(clock, logged: list[str]):
    def build(*answers: httpx.Response | Exception | Handler, seconds: float = 60.0) -> Http:
        waiting = list(answers)

        async def handle(request: httpx.Request) -> httpx.Response:
            clock.advance(0.087)
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, httpx.Response) else answer(request)

        return Http(
            clock,
            log=logged.append,
            transport=httpx.MockTransport(handle),
            jitter=lambda: 0.5,
            exchange_seconds=seconds,
        )

    return build


def read(http: Http, **more) -> Answer:
    async def operation() -> Answer:
        params = {"input_token": "token-0123456789"}
        try:
            return await http.read("GET", URL, headers=HEADERS, params=params, **more)
        finally:
            await http.aclose()

    return asyncio.run(operation())


def send(http: Http) -> Answer:
    async def operation() -> Answer:
        try:
            return await http.send(URL, headers=HEADERS, json={"to": "+6591234567"})
        finally:
            await http.aclose()

    return asyncio.run(operation())


def test_an_answer_brings_status_headers_and_json(http) -> None:
    answer = read(http(httpx.Response(200, json={"a": 1}, headers={"X-App-Usage": "{}"})))

    assert (answer.status, answer.json, answer.headers["x-app-usage"]) == (200, {"a": 1}, "{}")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_not_json_survives(http, body: bytes) -> None:
    answer = read(http(httpx.Response(200, content=body)))

    assert (answer.json, answer.size) == (None, len(body))


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(503),
        httpx.Response(429),
    ],
    ids=["no connection", "time-out", "broken", "503", "429"],
)
def test_a_read_is_tried_again_after_a_growing_wait(http, clock, failure: object) -> None:
    answer = read(http(failure, failure, failure, httpx.Response(200, json={})))

    assert answer.status == 200
    assert clock.slept == [1, 2, 4]


def test_four_tries_are_enough(http, clock) -> None:
    assert read(http(httpx.Response(500))).status == 500
    assert len(clock.slept) == 3


def test_a_read_that_never_gets_an_answer_is_a_temporary_failure(http) -> None:
    with pytest.raises(TemporaryError, match="gives no answer: no connection in time"):
        read(http(httpx.ConnectTimeout("no")))


def test_slow_failures_use_up_the_time_limit(http, clock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        clock.advance(30)
        raise httpx.ReadTimeout("slow")

    with pytest.raises(TemporaryError):
        read(http(slow))
    assert clock.slept == []


@pytest.mark.parametrize(
    ("value", "slept"),
    [("7", [7]), ("Sat, 07 Nov 2026 12:00:30 GMT", [pytest.approx(29.9, abs=0.1)]), ("0", [1])],
)
def test_retry_after_is_obeyed(http, clock, value: str, slept: list[float]) -> None:
    busy = httpx.Response(429, headers={"Retry-After": value})

    assert read(http(busy, httpx.Response(200))).status == 200
    assert clock.slept == slept


def test_a_long_retry_after_is_not_waited_for(http, clock) -> None:
    assert read(http(httpx.Response(429, headers={"Retry-After": "61"}))).status == 429
    assert clock.slept == []


def test_an_answer_that_will_not_get_better_is_taken_at_once(http, clock) -> None:
    assert read(http(httpx.Response(500)), is_final=lambda answer: True).status == 500
    assert clock.slept == []


def test_a_read_follows_no_redirect_and_names_both_hosts(http) -> None:
    away = httpx.Response(302, headers={"Location": "https://portal.example/login"})

    with pytest.raises(TemporaryError, match=r"graph\.example redirects to portal\.example"):
        read(http(away))


@pytest.mark.parametrize("status", [200, 302, 400, 500, 503, 429])
def test_a_send_is_one_try_after_any_answer(http, clock, status: int) -> None:
    first = httpx.Response(status, headers={"Location": "https://portal.example"})

    assert send(http(first, httpx.Response(299))).status == status
    assert clock.slept == []


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_without_a_connection_nothing_was_sent(http, failure: type[httpx.HTTPError]) -> None:
    with pytest.raises(NotSentError):
        send(http(failure("no"), httpx.Response(200)))


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.RemoteProtocolError,
        httpx.DecodingError,
        httpx.ProxyError,
    ],
)
def test_any_other_failure_leaves_the_outcome_open(http, failure: type[httpx.RequestError]) -> None:
    with pytest.raises(UnansweredError):
        send(http(failure("no"), httpx.Response(200)))


def test_an_answer_that_drips_without_end_is_cut_off(clock) -> None:
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                await asyncio.sleep(0.001)
                yield b"."

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Dripping()))

    with pytest.raises(UnansweredError, match="the answer took too long"):
        send(Http(clock, log=lambda text: None, transport=transport, exchange_seconds=0.05))


def test_the_log_has_neither_query_nor_token(http, logged: list[str], caplog) -> None:
    caplog.set_level("DEBUG")

    read(http(httpx.ReadTimeout("slow"), httpx.Response(200)))

    assert logged == [
        "GET graph.example/v26.0/1/messages: the answer took too long in 87 ms",
        "GET graph.example/v26.0/1/messages: 200 in 87 ms",
    ]
    assert "token-0123456789" not in caplog.text


@pytest.mark.parametrize("call", [read, send])
def test_no_failure_carries_the_request(http, call: Callable[[Http], Answer]) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout(f"{request.headers}", request=request)

    with pytest.raises((TemporaryError, UnansweredError)) as raised:
        call(http(broken))

    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert "token-0123456789" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sat, 07 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 07 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)

    assert retry_after_seconds({"retry-after": value}, now) == seconds
    assert retry_after_seconds({}, now) is None


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces; counts how many were taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.taken = 0
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece

    async def aclose(self) -> None:
        self.is_closed = True


def zeros(coding: str = "gzip", bits: int = 31) -> tuple[dict[str, str], Iterator[bytes]]:
    """A bomb: without end, and a thousandth of its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)

    def pieces() -> Iterator[bytes]:
        while True:
            if piece := packer.compress(bytes(1024**2)):
                yield piece

    return {"Content-Encoding": coding}, pieces()


def gzip_of_nothing() -> tuple[dict[str, str], Iterator[bytes]]:
    """Travels without end, and is empty when it is unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)
    return {"Content-Encoding": "gzip"}, chain([start], repeat(b"\0\0\0\xff\xff" * 13_107))


BOMBS: dict[str, Callable[[], tuple[dict[str, str], Iterator[bytes]]]] = {
    "endless": lambda: ({}, repeat(b"x" * 65_536)),
    "declared": lambda: ({"Content-Length": "99999999999"}, repeat(b"x" * 65_536)),
    "gzip": zeros,
    "deflate": lambda: zeros("deflate", 15),
    "empty blocks": gzip_of_nothing,
}


@pytest.mark.parametrize("bomb", list(BOMBS))
@pytest.mark.parametrize("call", [read, send])
def test_an_answer_that_is_too_large_is_left_in_the_middle(
    http, clock, bomb: str, call: Callable[[Http], Answer]
) -> None:
    headers, pieces = BOMBS[bomb]()
    body = Pieces(pieces)

    with pytest.raises((TemporaryError, UnansweredError), match="the answer is larger than 8 MB"):
        call(http(httpx.Response(200, headers=headers, stream=body)))
    assert body.is_closed
    assert body.taken <= 8 * 1024**2 // 65_535 + 2
    assert clock.slept == []


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "snappy"])
def test_an_unrequested_encoding_is_not_unpacked(http, coding: str) -> None:
    body = Pieces(repeat(b"x"))

    with pytest.raises(UnansweredError, match="cannot be decoded"):
        send(http(httpx.Response(200, headers={"Content-Encoding": coding}, stream=body)))
    assert (body.taken, body.is_closed) == (0, True)


def test_the_largest_answer_is_read_whole_and_one_byte_more_is_not(http) -> None:
    text = json.dumps("x" * (MOST_ANSWER_BYTES - 2)).encode()
    packed = {"Content-Encoding": "gzip"}

    assert send(http(httpx.Response(200, stream=Pieces([text])))).size == MOST_ANSWER_BYTES
    whole = http(httpx.Response(200, headers=packed, stream=Pieces([gzip.compress(text)])))
    assert read(whole).json == "x" * (MOST_ANSWER_BYTES - 2)
    more = gzip.compress(text + b" ")
    with pytest.raises(UnansweredError, match="larger than 8 MB"):
        send(http(httpx.Response(200, headers=packed, stream=Pieces([more]))))


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_packed_answer_that_is_cut_short_counts_as_no_answer(http, cut: float) -> None:
    packed = gzip.compress(json.dumps({"messages": [{"id": "wamid.A"}]}).encode())
    body = Pieces([packed[: int(len(packed) * cut)]])

    with pytest.raises(UnansweredError, match="cannot be decoded"):
        send(http(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=body)))


def test_a_send_accepts_no_compression_and_a_read_only_gzip(http) -> None:
    requests: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request.headers["accept-encoding"])
        return httpx.Response(200, json={})

    send(http(note))
    read(http(note))

    assert requests == ["identity", "gzip"]


def test_no_cookie_is_kept(http) -> None:
    """Each answer could add some, and none of the APIs needs them."""
    requests: list[str | None] = []

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": f"c{len(requests)}=1"}, json={})

    client = http(note)

    async def operation() -> None:
        for _ in range(3):
            await client.send(URL, headers={}, json={})
        await client.aclose()

    asyncio.run(operation())

    assert requests == [None] * 3


def test_large_answers_are_read_one_after_the_other(clock) -> None:
    """64 answers of 8 MB would not be small together."""
    open_now, most = set[int](), 0

    class Large(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal most
            yield b" " * 65_537
            open_now.add(id(self))
            most = max(most, len(open_now))
            await asyncio.sleep(0)
            yield b" " * 65_537
            open_now.discard(id(self))

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Large()))
    http = Http(clock, log=lambda text: None, transport=transport)

    async def operation() -> list[Answer]:
        sends = [http.send(URL, headers={}, json={}) for _ in range(20)]
        try:
            return await asyncio.gather(*sends)
        finally:
            await http.aclose()

    answers = asyncio.run(operation())

    assert [answer.size for answer in answers] == [131_074] * 20
    assert most == 1


@pytest.mark.parametrize("location", ["http://[", "", "//", "/login"])
def test_a_redirect_to_nowhere_is_reported_too(http, location: str) -> None:
    with pytest.raises(TemporaryError, match=r"graph\.example redirects to "):
        read(http(httpx.Response(302, headers={"Location": location})))
