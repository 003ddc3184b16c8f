"""`wacoex sandbox`: the files to practise with, and the commands that let things happen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wacoex_cli
from wacoex_cli.foundation.secrets import write_secret
from wacoex_cli.sandbox import defaults
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

ADD = ("channel", "add", "shop", "--phone", PHONE, "--phone-number-id", PHONE_NUMBER_ID)
TEMPLATE = ("--template", "spring_sale", "--lang", "en_US")
PLAN = ("broadcast", "plan", "messy.csv", *TEMPLATE, "--country", "SG")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """A running sandbox, with the settings that `sandbox start` writes, in a directory."""
    world = defaults.practice_world()
    world.callbacks = Callbacks()  # nobody listens here
    monkeypatch.chdir(tmp_path)
    with running(world) as base_url:
        for name, value in defaults.settings(base_url, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        for name, content in defaults.practice_files().items():
            (tmp_path / name).write_bytes(content)
        yield world


@pytest.fixture
def shop(world: World, run) -> World:
    assert run(*ADD, "--waba-id", WABA_ID).code == 0
    assert run("status", "shop").code == 0
    return world


def stage(run) -> str:
    return str(run("reminder", "check", "shop").out.split("\t")[0])


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    program = [sys.executable, "-m", "wacoex_cli", "sandbox", "start", "--port", port]
    process = subprocess.Popen(
        program,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(wacoex_cli.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "wacoex sandbox --help" in line:
            break
    yield process, tmp_path
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_start_writes_what_is_needed_to_practise(started) -> None:
    _, directory = started
    script = f". ./sandbox.env && {sys.executable} -m wacoex_cli"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(Path(wacoex_cli.__file__).parents[1]),
    }

    def typed(arguments: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", f"{script} {arguments}"],
            cwd=directory,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    typed(" ".join((*ADD, "--waba-id", WABA_ID)))
    plan = typed("broadcast plan messy.csv --template spring_sale --lang en_US --country SG")
    assert "broadcast 1 planned on shop: 3 recipients" in plan
    assert "12 stored" in typed("events import webhooks.ndjson")
    assert "webhook-verify-token" in typed("config show")
    assert oct((directory / "sandbox.env").stat().st_mode)[-3:] == "600"
    assert len((directory / "customers.csv").read_text().splitlines()) == defaults.PEOPLE + 1


def test_start_overwrites_no_file_of_others(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "sandbox.env"
    mine.write_text("WACOEX_META_TOKEN=mine\n")

    done = run("sandbox", "start")

    assert (done.code, mine.read_text()) == (2, "WACOEX_META_TOKEN=mine\n")
    assert "the sandbox did not write it" in done.err
    assert run("sandbox", "start", "--env", "nowhere/sandbox.env").code == 2


def test_time_that_passes_brings_the_deadline(shop: World, run) -> None:
    assert stage(run) == "ok"

    assert run("sandbox", "time", "+10d").code == 0
    assert stage(run) == "warning"

    run("sandbox", "time", "+36h")
    assert stage(run) == "critical"

    done = run("sandbox", "time", "+2d")
    assert "Meta disconnected number" in done.out
    assert shop.suspended == {PHONE_NUMBER_ID}


def test_a_confirmation_ages_with_the_sandbox_time(shop: World, run) -> None:
    run("sandbox", "phone", "opened")
    run("reminder", "confirm", "shop", "--by", "Ana")

    run("sandbox", "time", "+12d")

    assert stage(run) == "critical"


def test_a_state_file_that_is_not_the_sandboxs_keeps_its_dates(
    shop: World, run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(tmp_path / "own.db"))
    run(*ADD, "--waba-id", WABA_ID)
    run("status", "shop")

    done = run("sandbox", "time", "+12d")

    assert "keeps its dates" in done.out
    assert stage(run) == "ok"


def test_people_get_what_was_sent(shop: World, run) -> None:
    run(*PLAN)
    run("broadcast", "send", "--yes")

    rows = [line.split("\t") for line in run("sandbox", "inbox").out.splitlines()]

    texts = {to: text for _, to, text in rows}
    assert texts["+6591000001"] == "Hello Ana, our spring sale is on."
    assert sorted(texts) == ["+6591000001", "+6591000002", "+6591000004"]


def test_a_message_that_breaks_before_it_arrives_is_in_no_inbox(shop: World, run) -> None:
    shop.faults.replace([Fault("reset_before", recipients=frozenset({"+6591000002"}))])
    run(*PLAN)
    run("broadcast", "send", "--yes")

    assert "+6591000002" not in run("sandbox", "inbox").out


def test_a_notice_arrives_in_the_inbox(shop: World, run) -> None:
    run("sandbox", "time", "+12d")

    assert run("reminder", "notify").code in (0, 2)

    assert "notice: shop: open the WhatsApp Business app" in run("sandbox", "inbox").out


def test_a_person_answers_what_they_got(shop: World, run) -> None:
    early = run("sandbox", "inbox", "--reply", "STOP")
    assert (early.code, "nobody got a message" in early.err) == (2, True)

    run(*PLAN)
    run("broadcast", "send", "--yes")
    assert run("sandbox", "inbox", "--reply", "STOP").out.startswith("+6591000004 wrote `STOP`")
    assert run("sandbox", "inbox", "--reply", "STOP", "--person", "+6591000001").code == 0

    [last, first] = [
        message["from"]
        for payload in shop.outbox.emitted(shop.monotonic())
        for change in payload["entry"][0]["changes"]
        for message in change["value"].get("messages", [])
    ]
    assert (last, first) == ("6591000004", "6591000001")


def test_the_limit_and_the_share_that_breaks(shop: World, run) -> None:
    assert run("sandbox", "limit", "1").out.endswith("1 message per second\n")
    assert run("sandbox", "break", "100%").code == 0
    run(*PLAN)

    sent = run("broadcast", "send", "--yes")

    assert "ambiguous" in sent.out
    assert run("sandbox", "break", "0%").out == "connections no longer break\n"


def test_a_partner_is_removed_and_added_and_a_number_may_be_named(shop: World, run) -> None:
    run("sandbox", "partner", "remove")
    run("sandbox", "partner", "remove", "--phone", "+65 6000 0002")
    assert shop.suspended == {PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID}

    run("sandbox", "partner", "add")
    assert shop.suspended == {SECOND_PHONE_NUMBER_ID}
    assert run("sandbox", "partner", "add", "--phone", "+6512345678").code == 2


@pytest.mark.parametrize(
    "arguments", [("time", "12"), ("time", "soon"), ("break", "2"), ("break", "101%")]
)
def test_a_wrong_command_changes_nothing(shop: World, run, arguments) -> None:
    done = run("sandbox", *arguments)

    assert (done.code, "hint: give" in done.err) == (2, True)
    assert stage(run) == "ok"


def test_without_a_sandbox_the_error_says_how_to_start_one(run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "WACOEX_META_BASE_URL" in run("sandbox", "inbox").err

    monkeypatch.setenv("WACOEX_META_BASE_URL", "http://127.0.0.1:9")
    done = run("sandbox", "inbox")
    assert (done.code, "run `wacoex sandbox start`" in done.err) == (6, True)


def test_the_env_file_of_the_directory_names_the_sandbox(
    world: World, run, tmp_path: Path, monkeypatch
) -> None:
    base_url = os.environ["WACOEX_META_BASE_URL"]
    env = tmp_path / "sandbox.env"
    env.write_text(defaults.env_text(defaults.settings(base_url, tmp_path)))
    env.chmod(0o600)
    for name in defaults.settings(base_url, tmp_path):
        monkeypatch.delenv(name, raising=False)

    assert run("sandbox", "limit", "5").code == 0


def test_a_signup_can_begin_with_the_settings_as_they_are_written(
    shop: World, run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("WACOEX_META_TOKEN")
    write_secret(tmp_path / "sandbox-config" / "secrets" / "meta-token", DEFAULT_TOKEN)

    done = run("connect", "shop", "--via", "signup", tty=True, stdin="2.26.10\n")

    assert "which version of the WhatsApp Business app" in done.err
