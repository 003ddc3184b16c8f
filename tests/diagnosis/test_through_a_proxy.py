"""`doctor` and `status` behind a proxy: reads arrive through it, and its refusal is named."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.attacks.hostile import certificates
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, World

HOST = "portal.example"


class Proxy(http.server.ThreadingHTTPServer):
    """Connects every host to the pretend Meta, which speaks TLS here; or refuses with a status."""

    def __init__(self, meta_url: str, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port_of_meta = urlsplit(meta_url).port
        self.context = context
        self.refusal: int | None = None
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Tunnel(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.server.heads.append(f"{self.requestline}\n{self.headers}")
        if self.server.refusal is not None:
            self.send_error(self.server.refusal)
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.server.port_of_meta)) as meta,
            self.server.context.wrap_socket(self.connection, server_side=True) as client,
        ):
            back = threading.Thread(target=_pass_on, args=(meta, client), daemon=True)
            back.start()
            _pass_on(client, meta)
            back.join()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass everything on, the end too."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(
    clinic: Any, add_numbers: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxy]:
    """The way to Meta of 13 channels of one account."""
    add_numbers(12)
    authority, contexts = certificates(tmp_path)
    server = Proxy(os.environ["WACOEX_META_BASE_URL"], contexts["another host"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("WACOEX_META_BASE_URL", f"https://{HOST}")
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("//", "//ana:word@"))
    clinic.world.log.reads.clear()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("verb", ["doctor", "status"])
def test_reads_arrive_through_a_proxy(clinic: Any, proxy: Proxy, world: World, verb: str) -> None:
    world.patch_settings({"list_refuses": frozenset({"health_status"})})

    outcome = clinic.run(verb, "--json")

    verdicts = [channel["verdict"] for channel in outcome.data["channels"]]
    assert len(verdicts) == 13
    assert "unknown" not in verdicts
    assert world.log.reads[next(path for path in world.log.reads if path.startswith("POST"))] == 1
    assert all(head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\n") for head in proxy.heads)
    assert not any(DEFAULT_TOKEN in head for head in proxy.heads)


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_leaves_every_channel_unknown_and_is_named(
    clinic: Any, proxy: Proxy, world: World, status: int
) -> None:
    proxy.refusal = status

    outcome = clinic.doctor()
    shown = clinic.run("status")

    reason = f"{HOST} gives no answer: the proxy refuses to connect (HTTP {status})"
    [meta] = [source for source in outcome.data["sources"] if source["name"] == "meta"]
    assert (meta["ok"], meta["reason"]) == (False, reason)
    assert {channel["verdict"] for channel in outcome.data["channels"]} == {"unknown"}
    assert outcome.code == 3
    assert reason in " ".join((shown.out + shown.err).split())
    assert world.log.reads.total() == 0


def test_a_proxy_that_cannot_be_reached_is_named(
    clinic: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    outcome = clinic.doctor()

    [meta] = [source for source in outcome.data["sources"] if source["name"] == "meta"]
    assert meta["reason"] == f"{HOST} gives no answer: the proxy cannot be reached"
    assert {channel["verdict"] for channel in outcome.data["channels"]} == {"unknown"}
