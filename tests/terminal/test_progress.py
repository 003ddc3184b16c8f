"""Progress: a bar for a person, few lines for a log, nothing for a script."""

from __future__ import annotations

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
                progress.update(done, f"{done} accepted")
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
