"""Progress: a bar for a person, few lines for a log, nothing for a script."""

from __future__ import annotations

import json
import sys

import pytest

from wacoex_cli.terminal.options import Invocation
from wacoex_cli.terminal.progress import open_progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, clock, make_stream):
    def run_through(invocation: Invocation, *, is_terminal: bool = False) -> str:
        err = make_stream(is_terminal=is_terminal)
        monkeypatch.setattr(sys, "stderr", err)
        with open_progress(invocation, "sending", 100, clock=clock) as progress:
            for done in range(0, 101, 20):
                progress.update(done, f"{done} accepted", {"counts": {"accepted": done}})
                clock.advance(25)
        return str(err.written())

    return run_through


def test_a_log_gets_a_line_at_the_start_each_minute_and_at_the_end(shown) -> None:
    assert shown(Invocation()) == (
        "sending: 0 of 100\nsending: 60 of 100, 60 accepted\nsending: 100 of 100, 100 accepted\n"
    )


@pytest.mark.parametrize("invocation", [Invocation(quiet=1), Invocation(json=True)])
def test_a_script_gets_nothing(shown, invocation: Invocation) -> None:
    assert shown(invocation) == ""


def test_a_person_gets_a_bar(shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    bar = shown(Invocation(color=False), is_terminal=True)

    assert "100/100" in bar
    assert "100 accepted" in bar


def test_a_program_gets_an_object_a_line_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, clock, make_stream
) -> None:
    out, invocation = make_stream(), Invocation()
    invocation.stream()
    monkeypatch.setattr(sys, "stdout", out)

    with open_progress(invocation, "broadcast 7", 100, clock=clock) as progress:
        progress.update(20, "20 accepted", {"counts": {"accepted": 20}})

    assert json.loads(out.written()) == {
        "event": "progress",
        "of": "broadcast 7",
        "done": 20,
        "total": 100,
        "counts": {"accepted": 20},
        "at": "2026-11-07T12:00:00.000Z",
    }
