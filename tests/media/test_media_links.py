"""A link is opened before a broadcast: what Meta could not fetch, or would not take, is said."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import httpx
import pytest

from tests.support.pictures import packed, picture
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.media.links import LinkChecker
from wacoex_cli.media.model import DOCX

LINK = "https://pictures.example/menu.jpg"
Answers = Callable[[httpx.Request], httpx.Response]


class _NoWaitClock(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are found without a network; `inside.example` is in a private one."""

    def resolve(host: str, port: int, *_: object, **__: object) -> list[object]:
        address = "10.0.0.7" if host == "inside.example" else "93.184.215.14"
        address = host if host[0].isdigit() else address
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def problem(answer: Answers, link: str = LINK, form: str = "IMAGE") -> str | None:
    async def look() -> str | None:
        transport = httpx.MockTransport(answer)
        http = Http(_NoWaitClock(), log=lambda text: None, transport=transport)
        try:
            return await LinkChecker(http).problem(link, form)
        finally:
            await http.aclose()

    return asyncio.run(look())


def jpeg(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=picture(), headers={"Content-Type": "image/jpeg"})


def test_a_link_to_a_picture_is_fine_and_no_token_goes_there() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return jpeg(request)

    assert problem(answer) is None
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("https://10.1.2.3/menu.jpg", "private network (10.1.2.3)"),
        ("http://127.0.0.1/menu.jpg", "private network (127.0.0.1)"),
        ("http://169.254.169.254/latest/meta-data", "private network"),
        ("https://inside.example/menu.jpg", "private network (10.0.0.7)"),
        ("https://ana:secret@pictures.example/menu.jpg", "a password"),
        ("https://pictures.example/my menu.jpg", "a space"),
        ("https://[oops/menu.jpg", "not a complete address"),
    ],
)
def test_an_address_that_meta_cannot_reach_is_not_requested(link: str, why: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    assert why in (problem(answer, link) or "")


def test_a_redirect_into_a_private_network_is_not_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "pictures.example"
        return httpx.Response(302, headers={"Location": "https://inside.example/menu.jpg"})

    assert "private network" in (problem(answer) or "")


def test_a_server_that_recovers_is_not_a_problem() -> None:
    left = [503, 429]

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(left.pop()) if left else jpeg(request)

    assert problem(answer) is None


def test_a_server_that_is_down_is_a_problem() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    assert "gives no answer" in (problem(answer) or "")


def test_an_unstated_size_is_counted() -> None:
    read = 0

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self):
            nonlocal read
            yield picture()
            for _ in range(20):
                read += 1
                yield bytes(1024**2)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Pieces(), headers={"Content-Type": "image/jpeg"})

    assert "5 MB at most" in (problem(answer) or "")
    assert read < 8


def test_a_packed_document_is_what_its_server_calls_it() -> None:
    hidden = packed("a" * 9_000, "[Content_Types].xml", "word/document.xml")

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=hidden, headers={"Content-Type": DOCX})

    assert problem(answer, form="DOCUMENT") is None
    assert problem(answer, form="IMAGE") is not None


def test_a_sandbox_does_not_request_links_to_elsewhere() -> None:
    async def look() -> str | None:
        http = Http(SystemClock(), log=lambda text: None)
        return await LinkChecker(http, only_loopback=True).problem(LINK, "IMAGE")

    assert asyncio.run(look()) is None
