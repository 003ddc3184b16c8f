"""A shop with all that a broadcast needs, and a way to demand how a command fails."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.state_files import make_empty
from wacoex_cli.foundation.settings import default_state_path
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World

LIST = "phone,first_name,city\n+6591000001,Ana,Ulm\n"


@pytest.fixture(autouse=True)
def shop(run, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A channel, a token and a list of one person, and the sandbox as its Meta."""
    world = default_world()
    with running(world) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
        make_empty(default_state_path())
        run("channel", "add", "shop", "--phone", PHONE, *ids)
        Path("list.csv").write_text(LIST, encoding="utf-8")
        yield world


@dataclass(frozen=True)
class Ended:
    """How a child process ended and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def child() -> Callable[..., Ended]:
    """Run the program as a child process, behind another program if one is named."""

    def run(*arguments: str, behind: tuple[str, ...] = ()) -> Ended:
        command = (*behind, sys.executable, "-m", "wacoex_cli", *arguments)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def fails(run) -> Callable[..., None]:
    """Run a command line for a person, then again as JSON, and look at how it fails.

    `again` is what to run as JSON where the command cannot run twice; `by` what runs it.
    """

    def check(
        command: str,
        exit_status: int,
        code: str,
        message: str,
        hint: str,
        *,
        again: str = "",
        by: Callable[..., Any] = run,
    ) -> None:
        answer = by(*shlex.split(command))
        answered = by(*shlex.split(again or command), "--json")

        assert (answer.code, answered.code) == (exit_status, exit_status), answer.err
        assert not any("Traceback" in text for text in (answer.out, answer.err, answered.err))
        envelope = json.loads(answered.out)
        [error] = envelope["errors"]
        assert envelope["status"] == ("partial" if exit_status == 7 else "error")
        assert envelope["exit_code"] == exit_status
        assert error["code"] == code
        assert message in error["message"]
        assert hint in error["hint"]
        # In the log of a long run, time and channel come before both.
        *_, said, hinted = [line for line in answer.err.splitlines() if line]
        assert said.endswith(f"error: {error['message']}")
        assert hinted.endswith(f"hint: {error['hint']}")

    return check
