"""A token and an app secret with a mark: after failures of every kind nothing else bears it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.support.state_files import make_empty
from wacoex_cli.foundation.settings import default_state_path
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID, World

TOKEN = "EAAmarkedtoken0123456789abcdefghij"
APP_SECRET = "markedappsecret0123456789"
PLAN = ("broadcast", "plan", "list.csv", "--template", "opening_hours", "--lang", "en_US")
LOUD = ("-vv", "--debug")
QUOTE = f"Malformed access token {TOKEN}, or {TOKEN[:20]} for short"
ELSEWHERE = f"https://redirected.example/{TOKEN}?access_token={TOKEN}"
AT_ONCE = {"Retry-After": "0.01", "X-Echo": TOKEN}


def betrayed(text: str | bytes) -> bool:
    """Whether a text gives a secret away, whole or in part."""
    known = text.encode() if isinstance(text, str) else text
    return TOKEN[:16].encode() in known or APP_SECRET[:16].encode() in known


def files_that_betray(directory: Path) -> list[Path]:
    """Every file below a directory that holds a secret."""
    return [file for file in directory.rglob("*") if file.is_file() and betrayed(file.read_bytes())]


@pytest.fixture
def shop(run, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A channel of the sandbox with our token and app secret, and a planned broadcast."""
    world = default_world()
    world.patch_token(TOKEN, {})
    world.patch_settings({"app_secret": APP_SECRET})
    with running(world) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", TOKEN)
        monkeypatch.setenv("WACOEX_META_APP_SECRET", APP_SECRET)
        ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
        make_empty(default_state_path())
        run("channel", "add", "shop", "--phone", PHONE, *ids)
        rows = "".join(f"+6591{row:06}\n" for row in range(200))
        Path("list.csv").write_text(f"phone\n{rows}", encoding="utf-8")
        Path("short.csv").write_text("phone\n+6591000001\n+6591000002\n", encoding="utf-8")
        yield world


@pytest.mark.parametrize("how", [LOUD, (*LOUD, "--json")], ids=["text", "json"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("expired_token"),
        Fault("expired_token", on="reads", details=QUOTE),
        Fault("refuse", code=131009, details=QUOTE),
        Fault("refuse", code=1, details=QUOTE),
        Fault("refuse", code=9, on="reads", details=QUOTE),
        Fault("server_error", on="all", headers=AT_ONCE),
        Fault("html", headers=AT_ONCE),
        Fault("redirect", location=ELSEWHERE),
        Fault("redirect", location=ELSEWHERE, on="reads"),
        Fault("truncated_json"),
        Fault("reset_before"),
        Fault("reset_after"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}-{fault.on}",
)
def test_a_run_with_faults_shows_no_secret(
    run, shop: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: tuple[str, ...],
    fault: Fault,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    commands = ["send 1 --yes", "resume 1 --yes", "show 1", "reconcile 1", "report 1", "send 1 -n"]
    plan = ["short.csv" if word == "list.csv" else word for word in PLAN]
    assert run(*plan, *how).code == 0
    shop.faults.replace([fault])

    ended = [run("broadcast", *command.split(), *how) for command in commands]

    assert ended[0].code != 0
    assert not betrayed("".join(entry.out + entry.err for entry in ended))
    assert not betrayed(caplog.text)
    assert files_that_betray(tmp_path) == []


@contextmanager
def a_server_that_quotes(status: int, form: str) -> Iterator[str]:
    """A server that puts the credentials it was sent into every part of its answers."""

    class Quoting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = f"{self.headers['Authorization']} {self.path} {TOKEN[:20]}"
            error = {"message": said, "code": 190, "error_data": {"details": said}}
            whole = json.dumps({"error": {**error, "type": said, "fbtrace_id": said}})
            body = {"error": whole, "page": f"<p>{said}</p>", "broken": whole[:-9]}[form]
            self.send_response(status)
            self.send_header("X-Echo", said)
            self.send_header("Location", f"/{TOKEN}?{self.path}")
            self.send_header("Retry-After", "0.01")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nobody wants to read it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Quoting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("how", [LOUD, (*LOUD, "--json")], ids=["text", "json"])
@pytest.mark.parametrize("form", ["error", "page", "broken"])
@pytest.mark.parametrize("status", [200, 302, 401, 500])
def test_an_answer_that_quotes_the_token_is_not_passed_on(
    run, shop: World, tmp_path: Path, how: tuple[str, ...], status: int, form: str
) -> None:
    with a_server_that_quotes(status, form) as base_url:
        ended = run(*PLAN, *how, env={"WACOEX_META_BASE_URL": base_url})

    assert ended.code in {4, 5, 6}
    assert "Traceback" in ended.err
    # The output shows what Meta says about a refusal, with stars in place of the token.
    assert ("****" in ended.out + ended.err) == (form == "error" and status != 302)
    assert not betrayed(ended.out + ended.err)
    assert files_that_betray(tmp_path) == []


def test_a_crash_with_its_traceback_shows_no_secret(
    run, shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = httpx.AsyncClient._transport_for_url

    def failing(self: httpx.AsyncClient, url: httpx.URL) -> httpx.AsyncBaseTransport:
        transport = healthy(self, url)

        async def fall_over(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                raise ZeroDivisionError(f"{request!r} {request.headers!r}".split("?")[0])
            return await transport.handle_async_request(request)

        return httpx.MockTransport(fall_over)

    run(*PLAN)
    monkeypatch.setattr(httpx.AsyncClient, "_transport_for_url", failing)

    ended = run("broadcast", "send", "1", "--yes", *LOUD)

    assert ended.code == 1
    assert "in _exchange" in ended.err
    assert "ZeroDivisionError" in ended.err
    assert not betrayed(ended.out + ended.err)
    assert files_that_betray(tmp_path) == []


def command_lines() -> Iterator[bytes]:
    """The arguments of every process of this machine."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_bytes()
        except OSError:
            continue  # it has ended meanwhile


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux's /proc")
def test_a_living_or_killed_sender_shows_no_secret(run, shop: World, tmp_path: Path) -> None:
    run(*PLAN)
    command = [sys.executable, "-m", "wacoex_cli", "broadcast", "send", "1", "--yes", *LOUD]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 30
        while len(shop.log.accepted()) < 10 and time.monotonic() < until:
            time.sleep(0.02)
        lines = list(command_lines())
        files = [file.parent.name for file in tmp_path.rglob("*") if file.is_file()]
        betraying = files_that_betray(tmp_path)
    finally:
        sender.kill()
        written, _ = sender.communicate()

    assert len(shop.log.accepted()) >= 10
    assert any(b"wacoex_cli\0broadcast\0send" in line for line in lines)
    assert not any(betrayed(line) for line in lines)
    assert "wacoex.db.presence" in files
    assert betraying == files_that_betray(tmp_path) == []
    assert b"POST" in written
    assert not betrayed(written)
