"""Connections that never become requests keep no delivery of Meta from its 200."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import resource
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.conftest import Attack

SECRET = "app-secret-0123456789"
MARK = "MARK-in-a-payload"
PATH = "/webhooks/meta"
HALVES = (
    b"",
    b"POST /webh",
    b"POST /webhooks/meta HTTP/1.1\r\nHost: here\r\nX-Hub-Signature-256: sha256=",
    b"POST /webhooks/meta HTTP/1.1\r\nHost: here\r\nContent-Length: 900\r\n\r\n{",
    b"POST /nothing HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\nGET /hea",
)


@pytest.fixture
def files() -> Iterator[None]:
    """This process may open as many sockets as the attack needs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def listening(attack: Attack) -> Iterator[str]:
    """`events listen` of that home; gives its base URL."""
    process = attack.home.start(
        *("events", "listen", "--port", "0"), environ={"WACOEX_META_APP_SECRET": SECRET}
    )
    assert process.stdout is not None
    url: str = json.loads(process.stdout.readline())["url"]
    try:
        yield url
    finally:
        process.terminate()
        attack.end(process)


@contextlib.contextmanager
def half_open(url: str, count: int) -> Iterator[None]:
    """This many connections, each with a part of a request, one kind after the other."""
    port = urlsplit(url).port or 0
    with contextlib.ExitStack() as opened:
        for _, half in zip(range(count), itertools.cycle(HALVES), strict=False):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            opened.enter_context(connection)
            with contextlib.suppress(OSError):
                connection.sendall(half)
        yield


def deliver(url: str, body: object) -> int:
    """A signed delivery over a connection of its own; gives the HTTP status."""
    content = json.dumps(body).encode()
    digest = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{url}{PATH}", content=content, headers=headers).status_code


def message(name: str) -> dict[str, Any]:
    value = {
        "metadata": {"display_phone_number": "6560000001", "phone_number_id": "106"},
        "messages": [{"from": "6591234567", "id": name, "type": "text", "text": {"body": MARK}}],
    }
    entry = {"id": "104", "time": 1_790_000_000, "changes": [{"field": "messages", "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


@pytest.mark.parametrize("count", [600, pytest.param(1_200, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("files")
def test_half_open_connections_keep_no_delivery_from_its_200(attack: Attack, count: int) -> None:
    odd: list[dict[str, Any]] = [
        {"object": "page", "said": MARK, "id": "7"},
        {"entry": [{"id": "1", "changes": [{"field": "new", "value": {"said": MARK}}]}]},
        {"object": "whatsapp_business_account", "entry": [{"changes": MARK, "x": {"y": [MARK]}}]},
    ]
    with listening(attack) as url, half_open(url, count):
        statuses = [deliver(url, body) for body in [*map(message, "abcdefgh"), *odd]]

    assert statuses == [200] * 11
    stored = attack.run("events", "list", "--limit", "50")
    kinds = [event["kind"] for event in stored.data["events"]]
    assert (kinds.count("message"), kinds.count("other")) == (8, 3)
    for path in attack.home.directory.glob("wacoex.db*"):
        if path.is_file():
            assert MARK.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("count", [600, pytest.param(1_200, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("files")
def test_half_open_connections_keep_no_message_from_the_sandbox(attack: Attack, count: int) -> None:
    with half_open(attack.sandbox.base_url, count):
        number = attack.home.plan(5)
        ended = attack.run("broadcast", "send", number, "--yes")

    assert (ended.code, ended.data["counts"]["accepted"]) == (0, 5)
    assert len(attack.arrived()) == 5
