"""`wacoex device probe`, as it is typed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via, text_hash

SHOP = "+6560000001"


@pytest.fixture(autouse=True)
def shop(run, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    run("channel", "add", "shop", "--phone", SHOP)
    run("device", "add", "web", "--name", "front desk")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[events]\nprobe_contact = "+6591234567"\n')
    monkeypatch.setenv("WACOEX_CONFIG_DIR", str(tmp_path))


def words(state: State) -> list[str]:
    rows = state.rows("SELECT word FROM probe_words ORDER BY probe_id, device_id")
    return [str(row["word"]) for row in rows]


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Path, Callable[[State, list[str]], None]], None]]:
    """Does something in another terminal as soon as the words are known."""
    threads: list[threading.Thread] = []

    def begin(path: Path, act: Callable[[State, list[str]], None]) -> None:
        def wait() -> None:
            other = open_state(path)
            try:
                while not words(other):
                    time.sleep(0.01)
                act(other, words(other))
            finally:
                other.close()

        threads.append(threading.Thread(target=wait))
        threads[0].start()

    yield begin
    for thread in threads:
        thread.join()


def hear(state: State, reported: list[str]) -> None:
    """Echoes with these words come in."""

    def silent(_: object) -> None:
        return None

    with open_workspace(warn=silent, log=silent, announce=silent) as workspace:
        key = workspace.secrets.local_key()
    now = SystemClock().now()
    events = tuple(
        Event(
            f"meta:echo:{word}",
            Kind.ECHO,
            Source.META,
            to_text(now),
            phone=SHOP,
            data={"text_hash": text_hash(word, key)},
        )
        for word in reported
    )
    with state.transaction():
        EventLog(state).store([Payload(Source.META, reported[0], 1, "{}", events)], Via.LISTEN, now)


def test_it_says_what_to_send_and_which_devices_are_visible(
    run, state: State, configured: None, meanwhile
) -> None:
    meanwhile(state.path, hear)

    done = run("device", "probe", "--json")

    phone, desk = words(state)
    assert done.code == 0
    assert f"send  {phone}  from the phone itself to +6591234567, exactly as written" in done.err
    assert f"send  {desk}  from companion 1 (web, front desk) to +6591234567" in done.err
    assert f"{desk} came back: companion 1 (web, front desk) is visible" in done.err
    [device] = done.data["devices"]
    assert (device["id"], device["visible"], device["outcome"]) == (1, True, "seen")
    assert done.data["phone"]["visible"] is True
    assert (done.data["heard"], done.data["findings"]) == (True, [])
    assert run("device", "list", "--json").data["devices"][0]["visible"] is True


def test_enter_ends_it_and_a_person_says_what_was_sent(run, state: State) -> None:
    done = run("device", "probe", tty=True, stdin="+65 9123 4567\n\ny\nn\n")

    phone, desk = words(state)
    assert done.code == 0
    assert "start `wacoex events listen` in another terminal" in " ".join(done.err.split())
    assert f"{phone}: did you send it from the phone itself? [y/N]" in done.err
    table = [line.split() for line in done.out.splitlines()[1:3]]
    assert table[0] == ["the", "phone", "itself", phone, "not", "seen"]
    assert table[1][-3:] == [desk, "not", "sent"]
    assert "no echo arrived at all" in done.out
    assert "warning WX304 (shop)" in done.out
    assert run("device", "list", "--json").data["findings"][0]["id"] == "WX304"


def test_an_interrupted_probe_continues(run, state: State, configured: None, meanwhile) -> None:
    def interrupt(other: State, reported: list[str]) -> None:
        hear(other, reported[:1])
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    meanwhile(state.path, interrupt)
    stopped = run("device", "probe")
    first = words(state)
    hear(state, first[1:])

    again = run("device", "probe", "--json")

    assert stopped.code == 130
    assert "continuing the probe that began at" not in stopped.err
    assert again.code == 0
    assert words(state) == first
    assert again.data["devices"][0]["visible"] is True


def test_a_missing_recipient_is_reported_first(run, state: State) -> None:
    for options in ([], ["--no-input"]):
        done = run("device", "probe", *options)
        assert done.code == 2
        assert "set `events.probe_contact` in config.toml" in done.err
    typed = run("device", "probe", tty=True, stdin="the tester\n")
    assert typed.code == 2
    assert "`the tester` is not a phone number" in typed.err
    assert words(state) == []


def test_a_dry_run_of_a_probe_gives_no_words(run, state: State) -> None:
    done = run("device", "probe", "--dry-run")

    assert done.out.splitlines() == [
        "the phone itself of channel shop would get a word",
        "companion 1 (web, front desk) of channel shop would get a word",
    ]
    assert run("device", "probe", "-n", "--json").data["devices"] == [{"id": 1, "kind": "web"}]
    assert words(state) == []


def test_a_companion_that_is_not_linked_is_left_out(run, state: State, configured: None) -> None:
    sign: Any = ("phone:" + SHOP, "connected", to_text(SystemClock().now()), "meta", "x")
    with state.transaction():
        state.execute("INSERT INTO evidence VALUES (?, ?, ?, ?, ?)", sign)

    done = run("device", "probe", "--dry-run")

    assert done.out.splitlines() == ["the phone itself of channel shop would get a word"]
    assert "companion 1 (web, front desk) is waiting, so wacoex leaves it out" in done.err
