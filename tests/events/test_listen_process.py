"""`events listen` as people run it: it refuses, it starts, it is stopped, it is killed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import APP_SECRET

SECRET = "app-secret-0123456789"
VERIFY = {"WACOEX_WEBHOOK_VERIFY_TOKEN": "verify-0123456789"}
SIGNED = {"WACOEX_META_APP_SECRET": SECRET}


class Child:
    """A listener in a process of its own; `url` is where it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.first = json.loads(process.stdout.readline())
        self.url: str = self.first["url"]

    def deliver(self, name: str) -> int:
        """Deliver a signed message as Meta does; returns the HTTP status."""
        body = webhook(name)
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}"}
        url = f"{self.url}/webhooks/meta"
        return httpx.post(
            url, content=body, headers=headers, trust_env=False, timeout=20
        ).status_code

    def stop(self, number: signal.Signals) -> tuple[int, list[dict[str, Any]], str]:
        """Send a signal; returns the exit status, the objects on stdout and stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


def webhook(name: str) -> bytes:
    message = {"from": "6591234567", "id": name, "timestamp": "1790000000", "type": "text"}
    value = {
        "metadata": {"display_phone_number": "6560000001", "phone_number_id": "106"},
        "messages": [{**message, "text": {"body": "MARK"}}],
    }
    entry = {"id": "104", "time": 1_790_000_000, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def stored(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return {key for (key,) in db.execute("SELECT event_key FROM events")}


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def listening(state_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Child]]:
    """Start a listener with a free port."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **environ: str) -> Child:
        with monkeypatch.context() as patch:
            for name, value in {"WACOEX_STATE": str(state_path), **environ}.items():
                patch.setenv(name, value)
            words = ("-m", "wacoex_cli", "events", "listen", "--port", "0", "--json", *options)
            process = subprocess.Popen(
                [sys.executable, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        started.append(process)
        return Child(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_stores_streams_and_ends_with_the_envelope(listening, state_path: Path) -> None:
    child = listening(**SIGNED)
    assert [child.deliver("wamid.A"), child.deliver("wamid.A")] == [200, 200]
    refused = httpx.post(f"{child.url}/webhooks/meta", content=b"{}", trust_env=False)
    assert refused.status_code == 401

    code, (first, second, third, envelope), err = child.stop(signal.SIGTERM)

    assert code == 143
    assert child.first["event"] == "ready"
    assert (first["event"], first["source"], first["events"]) == ("stored", "meta", {"message": 1})
    assert (second["event"], second["events"]) == ("duplicate", {})
    assert (third["event"], third["status"]) == ("refused", 401)
    assert all(entry["at"].endswith("Z") for entry in (first, second, third))
    assert (envelope["exit_code"], envelope["command"]) == (143, ["events", "listen"])
    data = envelope["data"]
    assert (data["stored"], data["duplicates"], data["refused"]) == (1, 1, 1)
    assert data["by_kind"]["message"] == 1
    assert "401" in err
    assert "MARK" not in err
    assert stored(state_path) == {"meta:message:wamid.A"}


def test_the_pretend_meta_delivers_packed_and_wrapped_to_an_address_with_a_slash(
    listening, state_path: Path
) -> None:
    child = listening(WACOEX_META_APP_SECRET=APP_SECRET)
    world = default_world()
    with (
        running(world) as base_url,
        httpx.Client(base_url=f"{base_url}/_sandbox/", trust_env=False) as control,
    ):
        target = {"meta_url": f"{child.url}/webhooks/meta/", "gzip": True, "wrapper": "n8n"}
        assert control.post("webhooks", json=target).status_code == 200
        control.post("emit", json={"kind": "history", "declined": True, "declined_in": "value"})
        for _ in range(1_000):
            answer = control.get("webhooks").json()
            if not answer["waiting"]:
                break
            time.sleep(0.02)

    assert [delivery["status"] for delivery in answer["deliveries"]] == [200]
    child.stop(signal.SIGTERM)
    with contextlib.closing(sqlite3.connect(state_path)) as db:
        [(kind, data)] = db.execute("SELECT kind, data FROM events").fetchall()
    assert (kind, json.loads(data)["code"]) == ("history", 2593109)


def test_ctrl_c_is_130_and_the_projections_have_read_what_came_in(
    listening, state_path: Path
) -> None:
    child = listening(**SIGNED)
    child.deliver("wamid.A")

    assert child.stop(signal.SIGINT)[0] == 130

    with contextlib.closing(sqlite3.connect(state_path)) as db:
        newest = db.execute("SELECT MAX(event_id) FROM events").fetchone()
        behind = db.execute("SELECT consumer FROM cursors WHERE event_id < ?", newest).fetchall()
        months = db.execute("SELECT COUNT(*) FROM active_contacts").fetchone()
    assert (behind, months) == ([], (1,))


def test_two_listeners_share_a_state_file(listening, state_path: Path) -> None:
    first, second = listening(**SIGNED), listening(**SIGNED)

    assert [first.deliver("wamid.A"), second.deliver("wamid.B"), second.deliver("wamid.A")] == [
        200
    ] * 3
    assert stored(state_path) == {"meta:message:wamid.A", "meta:message:wamid.B"}
    assert first.stop(signal.SIGTERM)[1][-1]["data"]["stored"] == 1
    assert second.stop(signal.SIGTERM)[1][-1]["data"]["duplicates"] == 1


def test_an_acknowledged_delivery_survives_a_kill_and_is_processed_later(
    listening, state_path: Path
) -> None:
    child = listening(**SIGNED)
    names = [f"wamid.{number}" for number in range(20)]
    assert {child.deliver(name) for name in names} == {200}
    child.process.kill()
    child.process.wait()

    assert stored(state_path) == {f"meta:message:{name}" for name in names}

    again = listening(**SIGNED)
    end = time.monotonic() + 20
    while True:
        with contextlib.closing(sqlite3.connect(state_path)) as db:
            (seen,) = db.execute("SELECT COUNT(*) FROM active_contacts").fetchone()
        if seen:
            break
        assert time.monotonic() < end, "nobody worked on it"
        time.sleep(0.05)
    again.stop(signal.SIGTERM)


def test_the_first_lines_name_the_addresses_and_keys(
    state_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**SIGNED, **VERIFY, "WACOEX_PUBLIC_URL": "https://shop.example/wa"}
    for name, value in {"WACOEX_STATE": str(state_path), **environ}.items():
        monkeypatch.setenv(name, value)
    words = ("-m", "wacoex_cli", "events", "listen", "--port", "0")
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(6)]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)

    said = "".join(lines)
    assert "a new state file:" in lines[0]
    assert "listening at http://127.0.0.1:" in lines[1]
    assert "https://shop.example/wa/webhooks/meta" in said
    assert "respond.io: closed, there is no respondio-signing-key" in said
    assert SECRET not in said + out + err
    assert out == "deliveries: 0 stored, 0 known before, 0 refused\n"


def test_it_does_not_start_without_a_key(run) -> None:
    done = run("events", "listen", "--json")

    assert (done.code, done.envelope["errors"][0]["code"]) == (4, "credentials_missing")
    assert "--insecure" in done.envelope["errors"][0]["hint"]


@pytest.mark.parametrize("environ", [{}, SIGNED])
def test_insecure_is_only_for_this_machine(run, environ: dict[str, str]) -> None:
    done = run("events", "listen", "--insecure", "--host", "192.0.2.1", env=environ)

    assert done.code == 2
    assert "--insecure" in done.err


def test_a_taken_port_is_reported(run, listening) -> None:
    port = listening(**SIGNED).url.rpartition(":")[2]

    done = run("events", "listen", "--port", port, env=SIGNED)

    assert done.code == 6
    assert "--port" in done.err


def test_keys_of_single_channels_open_it_too(run, listening, state_path: Path) -> None:
    env = {"WACOEX_STATE": str(state_path)}
    run("channel", "add", "shop-2", "--phone", "+6560000001", env=env)

    child = listening(WACOEX_META_APP_SECRET_SHOP_2=SECRET)

    assert child.deliver("wamid.A") == 200


def test_a_key_that_cannot_be_used_is_refused_before_the_port_opens(run) -> None:
    done = run("events", "listen", env={"WACOEX_META_APP_SECRET": "with a space"})

    assert done.code == 4
    assert "with a space" not in done.err
