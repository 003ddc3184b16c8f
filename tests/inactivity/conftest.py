"""A place on this machine that notices and heartbeats arrive at."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Inbox:
    """What came in over HTTP, and how it is answered. Apprise posts to `url`."""

    port: int = 0
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    goes_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def hang(self) -> None:
        """Answer nobody until the test is over."""
        self.goes_on.clear()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """An HTTP server on loopback that keeps what is posted and which paths are asked for."""
    opened = Inbox()
    opened.goes_on.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if opened.status == 200:
                opened.messages.append(json.loads(body))
            self.do_GET()

        def do_GET(self) -> None:
            opened.paths.append(self.path)
            opened.goes_on.wait(30)
            self.send_response(opened.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    opened.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield opened
    opened.goes_on.set()
    server.shutdown()
    server.server_close()
    thread.join()
