"""Real connections: nothing is sent twice, and what never left is known from what may have."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import io
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.attacks.hostile import certificates
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.connections import AiohttpClient
from wacoex_cli.foundation.http import (
    WINDOW,
    Answer,
    FilePart,
    Http,
    NotSentError,
    UnansweredError,
    on_written,
)

PATIENCE_SECONDS = 10.0
TOKEN = {"Authorization": "Bearer token-0123456789"}
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "one"}'
SHORT = httpx.Timeout(connect=20.0, read=20.0, write=0.2, pool=0.05)


class Talk:
    """One connection as the server sees it."""

    def __init__(self, connection: socket.socket, seen: list[bytes]) -> None:
        self.connection = connection
        self._seen = seen
        self._rest = b""

    def head(self) -> bytes:
        """Read the head of the next request."""
        while b"\r\n\r\n" not in self._rest:
            if not (piece := self.connection.recv(65_536)):
                raise ConnectionError("the client is gone")
            self._rest += piece
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        self._seen.append(head)
        return head

    def request(self) -> bytes:
        """Read the next request whole; returns its head."""
        head = self.head()
        lines = [line.lower().split(b":") for line in head.split(b"\r\n")]
        size = next((int(line[1]) for line in lines if line[0] == b"content-length"), 0)
        while len(self._rest) < size and (piece := self.connection.recv(1024**2)):
            self._rest += piece
        self._rest = self._rest[size:]
        return head

    def say(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.sendall(part)

    def break_off(self) -> None:
        """Close the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Script = Callable[[Talk], None]
Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
_loop_of_this_test: Loop = asyncio.new_event_loop


@pytest.fixture(params=LOOPS, autouse=True)
def event_loop_kind(request: pytest.FixtureRequest) -> Iterator[None]:
    """All of this holds with both event loops that wacoex runs in: `make test-uvloop`."""
    global _loop_of_this_test
    if request.param == "uvloop":
        _loop_of_this_test = importlib.import_module("uvloop").new_event_loop
    yield
    _loop_of_this_test = asyncio.new_event_loop


def run_in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """What the work gives, in the event loop of this test."""
    with asyncio.Runner(loop_factory=_loop_of_this_test) as runner:
        return runner.run(work)


class Server:
    """A server of raw sockets: each connection follows its script, later ones the last script."""

    def __init__(self, scripts: tuple[Script, ...], listener: socket.socket) -> None:
        self.seen: list[bytes] = []
        self.connections = 0
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._scripts = scripts
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, script), daemon=True).start()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(PATIENCE_SECONDS)
            script(Talk(connection, self.seen))


@contextlib.contextmanager
def serving(*scripts: Script) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield Server(scripts, listener)
        # Wakes the thread that waits for the next connection.
        listener.shutdown(socket.SHUT_RDWR)


def answers(*bodies: bytes) -> Script:
    """One answer to each request, then a wait for the client to go."""

    def script(talk: Talk) -> None:
        for body in bodies:
            talk.request()
            talk.say(body)
        talk.connection.recv(1)

    return script


def always(talk: Talk) -> None:
    while True:
        talk.request()
        talk.say(OK)


def answer_to(work: Callable[[Http], Awaitable[Any]], **settings: Any) -> Any:
    """What the work with a client gives; errors of the client as values."""

    async def operation() -> Any:
        http = Http(SystemClock(), log=lambda text: None, **settings)
        try:
            return await work(http)
        except (NotSentError, UnansweredError) as error:
            return error
        finally:
            await http.aclose()

    return run_in_loop(operation())


def send(server: Server, method: str = "POST", **settings: Any) -> Any:
    async def work(http: Http) -> Answer:
        return await http.send(server.url, headers=TOKEN, json={"to": "+6591234567"}, method=method)

    return answer_to(work, **settings)


async def post(http: Http, url: str) -> Answer:
    return await http.send(url, headers=TOKEN, json={"to": "+6591234567"})


def test_a_connection_is_kept_for_the_next_request() -> None:
    with serving(always) as server:
        found = answer_to(lambda http: twice(http, server.url))

    assert [answer.status for answer in found] == [200, 200]
    assert server.connections == 1


async def twice(http: Http, url: str, pause_seconds: float = 0.0) -> list[Answer]:
    first = await post(http, url)
    # The event loop is blocked: it cannot handle what happens on the connection.
    time.sleep(pause_seconds)
    return [first, await post(http, url)]


def test_as_many_requests_are_open_at_once_as_the_window_says() -> None:
    all_here = threading.Barrier(WINDOW + 6, timeout=PATIENCE_SECONDS)

    def script(talk: Talk) -> None:
        talk.request()
        all_here.wait()
        talk.say(OK)

    async def work(http: Http) -> list[Answer]:
        return await asyncio.gather(*(post(http, server.url) for _ in range(WINDOW + 6)))

    with serving(script) as server:
        found = answer_to(work, window=WINDOW + 6)

    assert [answer.status for answer in found] == [200] * (WINDOW + 6)


def test_more_requests_may_be_open_once_the_window_is_widened() -> None:
    all_here = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def script(talk: Talk) -> None:
        talk.request()
        all_here.wait()
        talk.say(OK)

    async def work(http: Http) -> list[Answer]:
        first = asyncio.create_task(post(http, server.url))
        await asyncio.sleep(0)
        http.widen(4)
        others = await asyncio.gather(*(post(http, server.url) for _ in range(3)))
        return [await first, *others]

    with serving(script) as server:
        found = answer_to(work, window=1)

    assert [answer.status for answer in found] == [200] * 4


def test_a_kept_connection_that_the_server_closed_is_not_written_to() -> None:
    def once(talk: Talk) -> None:
        talk.request()
        talk.say(OK)

    with serving(once, always) as server:
        found = answer_to(lambda http: twice(http, server.url, 0.1))

    assert [answer.status for answer in found] == [200, 200]
    assert (server.connections, len(server.seen)) == (2, 2)


@pytest.mark.parametrize("pause_seconds", [0.0, 0.1])
def test_an_unrequested_answer_is_not_taken_for_the_next_one(pause_seconds: float) -> None:
    said = threading.Event()

    def talkative(talk: Talk) -> None:
        talk.request()
        talk.say(OK)
        time.sleep(0.03)
        talk.say(OK.replace(b"one", b"two"))
        said.set()
        talk.connection.recv(1)

    async def work(http: Http) -> list[Answer]:
        first = await post(http, server.url)
        if pause_seconds:
            time.sleep(pause_seconds)
        else:
            await asyncio.to_thread(said.wait, PATIENCE_SECONDS)
            await asyncio.sleep(0.03)
        return [first, await post(http, server.url)]

    with serving(talkative, always) as server:
        found = answer_to(work)

    assert [answer.json for answer in found] == [{"id": "one"}] * 2
    assert server.connections == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_no_request_is_repeated_when_its_kept_connection_breaks(method: str, ending: str) -> None:
    def breaking(talk: Talk) -> None:
        talk.request()
        talk.say(OK)
        talk.request()
        if ending == "reset":
            talk.break_off()

    async def work(http: Http) -> Answer:
        await post(http, server.url)
        return await http.send(server.url, headers=TOKEN, json={}, method=method)

    with serving(breaking, always) as server:
        found = answer_to(work)

    assert isinstance(found, UnansweredError)
    assert found.reason == "the connection broke"
    assert (server.connections, len(server.seen)) == (1, 2)


def test_a_read_is_asked_again_after_its_connection_broke() -> None:
    def silent(talk: Talk) -> None:
        talk.request()

    async def work(http: Http) -> Answer:
        return await http.read("GET", server.url, headers=TOKEN, params={})

    with serving(silent, always) as server:
        found = answer_to(work, jitter=lambda: -0.5)

    assert found.status == 200
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
    ids=[
        *("nothing", "half a line", "another protocol", "no number", "an early end"),
        *("two lengths", "a negative length", "chunks without end", "no chunk"),
        *("many headers", "a long header", "hints alone"),
    ],
)
def test_a_broken_answer_leaves_the_outcome_of_the_request_open(answer: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.request()
        talk.say(answer)

    with serving(script) as server:
        found = send(server)

    assert isinstance(found, UnansweredError)
    assert found.reason == "the connection broke"
    assert len(server.seen) == 1


def test_hints_before_an_answer_are_passed_over() -> None:
    with serving(answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK)) as server:
        assert send(server).json == {"id": "one"}


def test_hints_without_end_have_an_end() -> None:
    def script(talk: Talk) -> None:
        talk.request()
        while True:
            talk.say(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with serving(script) as server:
        found = send(server, exchange_seconds=0.3)

    assert isinstance(found, UnansweredError)
    assert found.reason == "the answer took too long"


def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    def script(talk: Talk) -> None:
        talk.request()
        talk.say(b'HTTP/1.1 200 OK\r\n\r\n{"id": ', b'"one"}')

    with serving(script) as server:
        assert send(server).json == {"id": "one"}


def test_without_a_server_nothing_has_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    found = answer_to(lambda http: post(http, f"http://127.0.0.1:{port}"))

    assert isinstance(found, NotSentError)
    assert found.reason == "the connection cannot be made"


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_without_tls_nothing_has_left(greeting: bytes) -> None:
    with serving(lambda talk: talk.say(greeting)) as server:
        found = answer_to(lambda http: post(http, server.url.replace("http:", "https:")))

    assert isinstance(found, NotSentError)


# More than the buffers of both ends of a connection hold.
MUCH = 16_000_000


def file(content_bytes: int, size: int) -> FilePart:
    return FilePart("menu.jpg", io.BytesIO(b"x" * content_bytes), "image/jpeg", size)


@pytest.mark.parametrize("fields", [None, {"type": "image/jpeg"}])
def test_an_answer_before_the_body_is_read_is_taken(fields: dict[str, str] | None) -> None:
    is_taken = threading.Event()

    def early(talk: Talk) -> None:
        talk.head()
        talk.say(OK.replace(b"200 OK", b"413 Too Large"))
        is_taken.wait(PATIENCE_SECONDS)

    async def work(http: Http) -> list[int]:
        menu = file(MUCH, MUCH)
        refused = await http.upload(server.url, headers={}, params={}, fields=fields, file=menu)
        is_taken.set()
        return [refused.status, (await post(http, server.url)).status]

    with serving(early, always) as server:
        assert answer_to(work) == [413, 200]
    assert server.connections == 2


@pytest.mark.parametrize("size", [2_999_999, 3_000_001])
def test_a_file_that_changes_meanwhile_spoils_no_other_request(size: int) -> None:
    async def work(http: Http) -> Any:
        menu = file(3_000_000, size)
        with contextlib.suppress(UnansweredError):
            await http.upload(server.url, headers={}, params={}, fields=None, file=menu)
            return "taken"
        return await post(http, server.url)

    with serving(always) as server:
        assert answer_to(work, exchange_seconds=2.0).json == {"id": "one"}
    assert server.connections == 2


def test_a_written_request_is_known_before_the_answer() -> None:
    written = threading.Event()

    def script(talk: Talk) -> None:
        talk.request()
        talk.say(OK if written.wait(PATIENCE_SECONDS) else b"late")

    async def work(http: Http) -> Answer:
        on_written.set(written.set)
        return await post(http, server.url)

    with serving(script) as server:
        assert answer_to(work).status == 200


def test_a_request_that_nobody_reads_is_not_written() -> None:
    written = threading.Event()
    was_early = []

    def script(talk: Talk) -> None:
        talk.head()
        time.sleep(0.2)
        was_early.append(written.is_set())
        read = 0
        while read < MUCH - 65_536:
            read += len(talk.connection.recv(1024**2))
        talk.say(OK)

    async def work(http: Http) -> Answer:
        on_written.set(written.set)
        menu = file(MUCH, MUCH)
        return await http.upload(server.url, headers={}, params={}, fields=None, file=menu)

    with serving(script) as server:
        assert answer_to(work).status == 200
    assert was_early == [False]


def test_nothing_is_written_without_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    written = threading.Event()

    async def work(http: Http) -> Answer:
        on_written.set(written.set)
        return await post(http, f"http://127.0.0.1:{port}")

    assert isinstance(answer_to(work), NotSentError)
    assert not written.is_set()


def test_a_path_and_a_query_arrive_as_they_are() -> None:
    target = "/a%2Fb;c%3Bd?x=%2C&y=a%7Cb&z=%2B+%20"
    with serving(always) as server:
        run_in_loop(with_client(lambda client: client.get(server.url + target)))

    assert server.seen[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


def test_requests_have_only_our_headers() -> None:
    with serving(always) as server:
        send(server)

    names = [line.split(b":")[0].lower() for line in server.seen[0].split(b"\r\n")[1:]]
    assert sorted(names) == sorted(
        [
            *(b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"),
            *(b"authorization", b"content-length", b"content-type"),
        ]
    )
    assert b"User-Agent: wacoex/" in server.seen[0]


def test_no_cookie_comes_back() -> None:
    with serving(answers(OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=1\r\n"), OK)) as server:
        answer_to(lambda http: twice(http, server.url))

    assert len(server.seen) == 2
    assert not any(b"cookie" in head.lower() for head in server.seen)


@pytest.fixture
def proxy_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def name_it(url: str) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, url)

    return name_it


CREDENTIALS = b"Proxy-Authorization: Basic " + base64.b64encode(b"ana:word")


@pytest.mark.parametrize(
    "refusal",
    [b"", b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n", b"gibberish\r\n\r\n"],
    ids=["hangs up", "407", "no HTTP"],
)
def test_a_request_that_a_proxy_does_not_connect_never_left(
    proxy_at: Callable[[str], None], refusal: bytes
) -> None:
    def refuse(talk: Talk) -> None:
        talk.request()
        talk.say(refusal)

    with serving(refuse) as server:
        proxy_at(f"http://ana:word@127.0.0.1:{server.port}")
        found = answer_to(lambda http: post(http, "https://graph.example/v26.0/1/messages"))

    assert isinstance(found, NotSentError)
    assert server.seen[0].startswith(b"CONNECT graph.example:443 HTTP/1.1\r\n")
    assert CREDENTIALS in server.seen[0]
    assert b"token-0123456789" not in b"".join(server.seen)


def test_a_proxy_is_asked_for_plain_addresses_whole(proxy_at: Callable[[str], None]) -> None:
    with serving(always) as server:
        proxy_at(f"http://ana:word@127.0.0.1:{server.port}")
        found = answer_to(lambda http: post(http, "http://graph.example/v26.0/1/messages"))

    assert found.status == 200
    assert server.seen[0].startswith(b"POST http://graph.example/v26.0/1/messages HTTP/1.1\r\n")
    assert CREDENTIALS in server.seen[0]


def test_a_proxy_is_not_asked_for_this_machine(proxy_at: Callable[[str], None]) -> None:
    proxy_at("http://127.0.0.1:9")
    with serving(always) as server:
        assert send(server).status == 200


def test_a_proxy_without_http_is_refused(proxy_at: Callable[[str], None]) -> None:
    proxy_at("socks5://127.0.0.1:9")

    with pytest.raises(UsageError, match="proxy or certificate settings"):
        answer_to(lambda http: post(http, "https://graph.example"))


async def with_client(work: Callable[[AiohttpClient], Awaitable[Any]], places: int = 4) -> Any:
    limits = httpx.Limits(max_connections=places, keepalive_expiry=60.0)
    async with AiohttpClient(limits=limits, timeout=SHORT) as client:
        return await work(client)


def test_tls_goes_through_a_proxy_to_a_server_that_is_trusted(
    proxy_at: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, contexts = certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    def tunnel(context: ssl.SSLContext) -> Script:
        def script(talk: Talk) -> None:
            talk.request()
            talk.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with context.wrap_socket(talk.connection, server_side=True) as talk.connection:
                always(talk)

        return script

    async def work(client: AiohttpClient) -> list[int]:
        return [(await client.post("https://localhost/", json={})).status_code for _ in range(2)]

    with serving(tunnel(contexts["good"])) as server:
        proxy_at(server.url)
        assert run_in_loop(with_client(work)) == [200, 200]
    assert (server.connections, len(server.seen)) == (1, 3)
    with serving(tunnel(contexts["self-signed"])) as server:
        proxy_at(server.url)
        with pytest.raises(httpx.ConnectError):
            run_in_loop(with_client(work))
    assert len(server.seen) == 1


def test_a_write_without_progress_has_an_end() -> None:
    ended = threading.Event()

    def deaf(talk: Talk) -> None:
        ended.wait(PATIENCE_SECONDS)

    async def endless():
        while True:
            yield b"x" * 1_000_000

    with serving(deaf) as server:
        with pytest.raises(httpx.TimeoutException):
            run_in_loop(with_client(lambda client: client.post(server.url, content=endless())))
        ended.set()


def test_a_request_without_a_free_place_sent_nothing_and_each_place_is_given_back() -> None:
    may_answer = threading.Event()

    def slow(talk: Talk) -> None:
        talk.request()
        may_answer.wait(PATIENCE_SECONDS)
        talk.say(OK)
        always(talk)

    async def work(client: AiohttpClient) -> list[int]:
        first = asyncio.create_task(client.post(server.url, json={}))
        await asyncio.sleep(0.05)
        with pytest.raises(httpx.PoolTimeout):
            await client.post(server.url, json={})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.post(server.url, json={})
        may_answer.set()
        return [(await first).status_code, (await client.post(server.url, json={})).status_code]

    with serving(slow) as server:
        assert run_in_loop(with_client(work, places=1)) == [200, 200]
    assert len(server.seen) == 2


@pytest.mark.parametrize("failure", ["cancelled", "broken", "left"])
def test_a_failure_gives_its_place_back(failure: str) -> None:
    def bad(talk: Talk) -> None:
        talk.request()
        if failure == "cancelled":
            time.sleep(0.3)
        elif failure == "left":
            talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
            time.sleep(0.3)

    async def work(client: AiohttpClient) -> int:
        with contextlib.suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(0.1), client.stream("POST", server.url, json={}):
                if failure == "cancelled":
                    pytest.fail("no answer can come")
        return (await client.post(server.url, json={})).status_code

    with serving(bad, always) as server:
        assert run_in_loop(with_client(work, places=1)) == 200
