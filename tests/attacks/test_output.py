"""Output that cannot be written: every message and notice leaves, and the exit status says it."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.bench.harness import phone
from wacoex_cli.sandbox.world import WABA_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.attacks.conftest import Attack

PROGRAM = [sys.executable, "-m", "wacoex_cli"]
PEOPLE = 25
# How the shell starts it, and the exit status: that of the work, but 0 becomes 1.
NOWHERE = {
    "a full log": ("", ">/dev/full 2>&1", 1),
    "a full log of progress": ("--progress json", ">/dev/full 2>&1", 1),
    "both closed": ("--json", ">&- 2>&-", 1),
    "all three closed": ("", "<&- >&- 2>&-", 1),
    "standard error closed": ("", ">out.log 2>&-", 1),
    "a reader that takes one line": ("--progress json", "| head -1", 0),
}
MORE_OF_NOWHERE = {
    "a full log of JSON": ("--json", ">/dev/full 2>&1", 1),
    "standard output full": ("", ">/dev/full 2>err.log", 1),
    "standard error full": ("", ">out.log 2>/dev/full", 1),
    "standard output only to be read": ("", "1</dev/null 2>err.log", 1),
    "a reader that leaves at once": ("", "2>&1 | true", 0),
}


def shell(
    attack: Attack, command: str, *, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in the home, where `wacoex` is the program; a pipe fails as its worst."""
    line = f'set -o pipefail; wacoex() {{ "{sys.executable}" -m wacoex_cli "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", line],
        cwd=attack.home.directory,
        env={**attack.home.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def plan(attack: Attack, people: int = PEOPLE, *, name: str = "Person") -> str:
    path = attack.write_list(people)
    path.write_text(path.read_text().replace("Person", name), encoding="utf-8")
    words = ("broadcast", "plan", str(path), "--template", "order_ready", "--lang", "en_US")
    planned = attack.run(*words, "--param", "1=name", "--param", "2=id", "-c", "first")
    return str(planned.data["broadcast_id"])


def everybody(people: int = PEOPLE) -> list[str]:
    return [phone(place) for place in range(people)]


def queried(attack: Attack, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(attack.home.state)) as database:
        return database.execute(sql).fetchall()


def notes(attack: Attack) -> set[tuple[str, str, int]]:
    found = queried(attack, "SELECT command, stream, is_failure FROM lost_output")
    return {(command, stream, is_failure) for command, stream, is_failure in found}


def demand_sound(attack: Attack) -> None:
    """Nothing that was printed is in the state file."""
    assert queried(attack, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(("form", "redirection", "status"), NOWHERE.values(), ids=NOWHERE)
def test_a_broadcast_whose_output_goes_nowhere(
    attack: Attack, form: str, redirection: str, status: int
) -> None:
    send_all(attack, PEOPLE, form, redirection, status)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "redirection", "status"), MORE_OF_NOWHERE.values(), ids=MORE_OF_NOWHERE
)
def test_a_long_broadcast_whose_output_goes_nowhere(
    attack: Attack, form: str, redirection: str, status: int
) -> None:
    send_all(attack, 200, form, redirection, status)


@pytest.mark.slow
def test_a_long_broadcast_whose_log_is_full(attack: Attack) -> None:
    send_all(attack, 400, "-vv", ">/dev/full 2>&1", 1)


def send_all(attack: Attack, people: int, form: str, redirection: str, status: int) -> None:
    number = plan(attack, people)
    ended = shell(attack, f"wacoex broadcast send {number} --yes {form} {redirection}")

    assert "Traceback" not in ended.stderr + ended.stdout
    assert "Exception ignored" not in ended.stderr + ended.stdout
    assert ended.returncode == status
    shown = attack.run("broadcast", "show", number)
    assert (shown.data["status"], shown.data["counts"]["accepted"]) == ("completed", people)
    lost = {failed for command, _, failed in notes(attack) if command == "broadcast send"}
    assert lost == {status}
    demand_sound(attack)
    attack.judge(everybody(people))


@pytest.mark.parametrize("redirection", ["", ">/dev/full 2>&1"])
def test_names_that_the_character_set_lacks(attack: Attack, redirection: str) -> None:
    number = plan(attack, 20, name="Зоя 林")
    latin = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = shell(attack, f"wacoex broadcast send {number} --yes -vv {redirection}", environ=latin)
    reported = shell(attack, f"wacoex broadcast show {number}; wacoex state export", environ=latin)

    assert "Traceback" not in ended.stderr + reported.stderr
    assert (ended.returncode, reported.returncode) == (1 if redirection else 0, 0)
    attack.judge(everybody(20))


def until_arrivals(attack: Attack, count: int) -> None:
    until = time.monotonic() + 30
    while attack.sandbox.control("GET", "summary")["arrivals"] < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def start(attack: Attack, *words: str, **more: Any) -> subprocess.Popen[str]:
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(
        [*words], cwd=attack.home.directory, env=attack.home.environ, text=True, **more
    )


def test_a_terminal_that_closes_ends_the_run_in_order(attack: Attack) -> None:
    number = plan(attack, 60)
    process = start(attack, *PROGRAM, "broadcast", "send", number, "--yes")
    until_arrivals(attack, 10)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    ended = attack.end(process)

    assert (ended.code, "Traceback" in ended.err) == (143, False)
    assert f"wacoex broadcast resume {number}" in ended.err + ended.out
    shown = attack.run("broadcast", "show", number).data
    assert (shown["status"], shown["counts"]["ambiguous"]) == ("paused", 0)
    assert attack.run("broadcast", "resume", number, "--yes").code == 0
    attack.judge(everybody(60))


def test_under_nohup_the_broadcast_continues(attack: Attack) -> None:
    number = plan(attack)
    process = start(attack, "nohup", *PROGRAM, "broadcast", "send", number, "--yes")
    until_arrivals(attack, 5)
    process.send_signal(signal.SIGHUP)
    ended = attack.end(process)

    assert ended.code == 0
    attack.judge(everybody())


class Terminal:
    """A terminal whose programs end up without it; what they write is read meanwhile."""

    def __init__(self) -> None:
        self._screen, self.end = pty.openpty()
        self.shown = b""
        self._is_open = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while self._is_open:
            if select.select([self._screen], [], [], 0.02)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self._screen, 65_536)

    def type(self, text: bytes) -> None:
        os.write(self._screen, text)

    def wait_for(self, text: bytes) -> None:
        until = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < until, self.shown
            time.sleep(0.02)

    def close(self) -> None:
        self._is_open = False
        self._reader.join()
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    with contextlib.suppress(OSError):
        made.close()


def start_at(attack: Attack, terminal: Terminal, *words: str) -> subprocess.Popen[str]:
    end = terminal.end
    process = start(attack, "setsid", "--ctty", *words, stdin=end, stdout=end, stderr=end)
    os.close(end)
    return process


def test_a_terminal_that_vanishes(attack: Attack, terminal: Terminal) -> None:
    number = plan(attack, 60)
    process = start_at(attack, terminal, *PROGRAM, "broadcast", "send", number, "--yes")
    until_arrivals(attack, 10)
    terminal.close()
    ended = attack.end(process)

    assert ended.code == 143
    shown = attack.run("broadcast", "show", number).data
    assert (shown["status"], shown["counts"]["ambiguous"]) == ("paused", 0)
    assert attack.run("broadcast", "resume", number, "--yes").code == 0
    attack.judge(everybody(60))


def test_a_terminal_that_vanishes_while_sighup_is_ignored(
    attack: Attack, terminal: Terminal
) -> None:
    number = plan(attack, 40)
    ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *PROGRAM)
    process = start_at(attack, terminal, *ignoring, "broadcast", "send", number, "--yes")
    until_arrivals(attack, 5)
    terminal.close()
    ended = attack.end(process)

    assert ended.code == 1
    assert ("broadcast send", "stderr", 1) in notes(attack)
    attack.judge(everybody(40))


def test_a_terminal_that_stops_its_output_delays_nothing(
    attack: Attack, terminal: Terminal
) -> None:
    number = plan(attack, 60)
    process = start_at(attack, terminal, *PROGRAM, "broadcast", "send", number, "--yes", "-vv")
    until_arrivals(attack, 5)
    terminal.type(b"\x13")  # Ctrl-S
    until_arrivals(attack, 60)
    terminal.type(b"\x11")  # Ctrl-Q
    ended = attack.end(process)

    assert ended.code == 0
    attack.judge(everybody(60))


@pytest.mark.parametrize("how", ["Ctrl-D", "a terminal that closes"])
def test_a_question_without_an_answer_is_declined(
    attack: Attack, terminal: Terminal, how: str
) -> None:
    number = plan(attack, 5)
    process = start_at(attack, terminal, *PROGRAM, "broadcast", "send", number)
    terminal.wait_for(b"[y/N]")
    if how == "Ctrl-D":
        terminal.type(b"\x04")
        ended = attack.end(process)
        assert ended.code == 1
        terminal.wait_for(b"nothing was sent")
    else:
        terminal.close()
        assert attack.end(process).code == 143
    assert b"Traceback" not in terminal.shown
    assert attack.run("broadcast", "show", number).data["status"] == "planned"
    assert attack.arrived() == []


def test_a_reader_that_does_not_read_delays_nothing(attack: Attack) -> None:
    number = plan(attack, 60)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4_096)
    process = start(
        attack, *PROGRAM, "broadcast", "send", number, "--yes", "-vv", stderr=writer, stdout=writer
    )
    os.close(writer)
    until_arrivals(attack, 60)
    with os.fdopen(reader, "rb") as late:
        late.read()
    ended = attack.end(process)

    assert ended.code == 0
    assert ("broadcast send", "stderr", 0) in notes(attack)
    attack.judge(everybody(60))


class Inbox(http.server.BaseHTTPRequestHandler):
    """Takes notices, and keeps where each was sent to."""

    paths: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[str]]]:
    paths: list[str] = []
    handler = type("Handler", (Inbox,), {"paths": paths})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}", paths
        server.shutdown()


@pytest.mark.parametrize(
    ("redirection", "status"),
    [(">/dev/full 2>&1", 1), (">&- 2>&-", 1), ("<&- >/dev/full 2>&-", 1), ("2>&1 | true", 0)],
)
def test_notices_leave_although_nothing_can_be_printed(
    attack: Attack, inbox: tuple[str, list[str]], redirection: str, status: int
) -> None:
    url, paths = inbox
    targets = " ".join(f"--to {url}/{name}" for name in ("phones", "owners", "office"))
    ended = shell(attack, f"wacoex reminder notify -v {targets} {redirection}")
    again = shell(attack, f"wacoex reminder notify -v {targets} {redirection}")

    assert ended.returncode == status
    assert sorted(paths) == sorted(["/phones", "/owners", "/office"] * 2)
    assert "Traceback" not in ended.stderr + again.stderr
    assert queried(attack, "SELECT exit_status, sent, failed FROM reminder_runs LIMIT 1") == [
        (0, 6, 0)
    ]
    demand_sound(attack)


STATUSES = {
    "wacoex status --offline >/dev/full": 3,
    "wacoex reminder check >&-": 3,
    "wacoex doctor --offline >/dev/full 2>&1": 3,
    "wacoex channel list >/dev/full": 1,
    "wacoex channel list --json >&- 2>&-": 1,
    "wacoex channel list | head -1": 0,
    "wacoex channel list <&-": 0,
    "wacoex --help >/dev/full": 1,
    "wacoex --version >&-": 1,
    "wacoex channel show nobody 2>/dev/full": 2,
    "wacoex channel add third --phone +6560000009 >/dev/full": 1,
    "wacoex channel show third": 0,
    "wacoex state export --show-numbers | head -1": 0,
}


def test_the_exit_status_is_that_of_the_work(attack: Attack) -> None:
    ended = {line: shell(attack, line) for line in STATUSES}

    assert {line: done.returncode for line, done in ended.items()} == STATUSES
    for done in ended.values():
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    demand_sound(attack)


def test_the_verdict_of_a_check_survives_a_reader_that_leaves(attack: Attack) -> None:
    whole = shell(attack, "wacoex status --offline")
    assert whole.returncode in {1, 2, 3}
    assert shell(attack, "wacoex status --offline | head -1").returncode == whole.returncode


def test_doctor_reports_lost_output_until_output_works_again(attack: Attack) -> None:
    def found() -> list[str]:
        seen = attack.run("doctor", "--offline").data["findings"]
        return [entry["id"] for entry in seen if entry["id"] == "WX712"]

    assert found() == []
    shell(attack, "wacoex channel list >/dev/full")
    assert found() == ["WX712"]
    shell(attack, "wacoex channel list")
    assert found() == []


@pytest.mark.parametrize("how", ["closed", "full", "unread"])
def test_deliveries_are_stored_although_nothing_can_be_printed(attack: Attack, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listen = (*PROGRAM, "events", "listen", "--insecure", "--json", "-vv", "--port", str(port))
    reader, writer = os.pipe()
    os.close(reader)
    where = {"closed": ">&- 2>&-", "full": ">/dev/full 2>&1", "unread": f">&{writer} 2>&1"}
    shell_line = f'exec "$@" {where[how]}'
    process = start(attack, "bash", "-c", shell_line, "bash", *listen, pass_fds=[writer])
    os.close(writer)
    address = f"http://127.0.0.1:{port}"
    wait_for_port(port)
    statuses = [
        httpx.post(f"{address}/webhooks/meta", json=delivery(place), trust_env=False).status_code
        for place in range(20)
    ]
    refused = httpx.post(f"{address}/webhooks/meta", content=b"no JSON", trust_env=False)
    stored = queried(attack, "SELECT COUNT(*) FROM payloads")
    process.send_signal(signal.SIGHUP)
    ended = attack.end(process)

    assert statuses == [200] * 20
    assert 400 <= refused.status_code < 500
    assert stored == [(20,)]
    assert ended.code == 143
    assert ("events listen", "stdout", int(how != "unread")) in notes(attack)
    demand_sound(attack)


def delivery(place: int) -> dict[str, Any]:
    change = {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT", "place": place}}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA_ID, "time": 1_700_000_000 + place, "changes": [change]}],
    }


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < until
        time.sleep(0.05)
