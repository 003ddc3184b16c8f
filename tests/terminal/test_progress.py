"""Progress: a bar for a person, few lines for a log, nothing for a script."""

from __future__ import annotations

import json
import re
import sys

import pytest

from wacoex_cli.terminal.options import Invocation
from wacoex_cli.terminal.progress import ProgressUpdate, open_progress
from wacoex_cli.terminal.render import Messages


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, clock, make_stream):
    def run_through(invocation: Invocation, *, is_terminal: bool = False) -> str:
        err = make_stream(is_terminal=is_terminal)
        monkeypatch.setattr(sys, "stderr", err)
        with open_progress(invocation, "sending", 100, clock=clock) as progress:
            for done in range(0, 101, 20):
                counts = {"counts": {"accepted": done}}
                progress.update(ProgressUpdate(done, f"{done} accepted", counts))
                clock.advance(25)
        return str(err.written())

    return run_through


def test_a_log_gets_a_line_at_the_start_each_minute_and_at_the_end(shown) -> None:
    assert shown(Invocation(channel="shop")) == (
        "2026-11-07T12:00:00.000Z shop info: sending: 0 of 100\n"
        "2026-11-07T12:01:15.000Z shop info: sending: 60 of 100, 60 accepted\n"
        "2026-11-07T12:02:30.000Z shop info: sending: 100 of 100, 100 accepted\n"
    )


@pytest.mark.parametrize("invocation", [Invocation(quiet=1), Invocation(json=True)])
def test_a_script_gets_nothing(shown, invocation: Invocation) -> None:
    assert shown(invocation) == ""


def test_a_person_gets_a_bar(shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    bar = shown(Invocation(color=False), is_terminal=True)

    assert "100/100" in bar
    assert "100 accepted" in bar


LINES = (
    "19/s now, most in one second: 20, about 3 min left",
    "1204 held until 08:00 in Asia/Singapore, in the zone of each of the people",
)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch, make_stream):
    """The last picture of a display with lines, on a terminal this many columns wide."""

    def draw(columns: int, color: bool | None = False, lines: tuple[str, ...] = LINES) -> list[str]:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        err = make_stream(is_terminal=True)
        monkeypatch.setattr(sys, "stderr", err)
        with open_progress(Invocation(color=color), "broadcast 7", 5_000) as progress:
            progress.update(ProgressUpdate(1_204, "beside the bar", {}, lines))
        picture = err.written().split("\r")[-1].removeprefix("\x1b[2K").split("\x1b[?25h")[0]
        return [line.rstrip() for line in picture.splitlines()]

    return draw


def test_lines_below_the_bar_replace_the_text_beside_it(display) -> None:
    bar, *below = display(100)

    assert bar.startswith("broadcast 7 ━")
    assert bar.endswith("1204/5000")
    assert below == [f"  {line}" for line in LINES]


@pytest.mark.parametrize("columns", [24, 30, 50, 79])
def test_a_narrow_terminal_loses_no_word(display, columns: int) -> None:
    shown = display(columns)

    assert max(len(line) for line in shown) <= columns
    assert "1204/5000" in shown[0]
    assert " ".join(" ".join(shown[1:]).split()) == " ".join(LINES)


def test_without_colour_nothing_is_coloured(display) -> None:
    assert "\x1b[" not in "".join(display(100))
    assert "\x1b[" in "".join(display(100, color=True))


def test_lines_cannot_play_tricks_on_the_terminal(display) -> None:
    assert display(100, lines=("a\x1b[2Jb \u202edc [bold]e",))[1:] == ["  a?[2Jb ?dc [bold]e"]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_like_a_log(shown) -> None:
    # TERM is `dumb` in every test that says nothing else.
    assert shown(Invocation(), is_terminal=True) == (
        "sending: 0 of 100\nsending: 60 of 100, 60 accepted\nsending: 100 of 100, 100 accepted\n"
    )


def test_a_program_gets_an_object_a_line_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, clock, make_stream
) -> None:
    out, invocation = make_stream(), Invocation()
    invocation.stream()
    monkeypatch.setattr(sys, "stdout", out)

    with open_progress(invocation, "broadcast 7", 100, clock=clock) as progress:
        progress.update(ProgressUpdate(20, "20 accepted", {"counts": {"accepted": 20}}))

    assert json.loads(out.written()) == {
        "event": "progress",
        "of": "broadcast 7",
        "done": 20,
        "total": 100,
        "counts": {"accepted": 20},
        "at": "2026-11-07T12:00:00.000Z",
    }


@pytest.mark.parametrize(("is_well", "color"), [(True, "32"), (False, "33")])
def test_the_bar_is_green_while_all_is_well_and_yellow_after_an_error(
    monkeypatch: pytest.MonkeyPatch, make_stream, is_well: bool, color: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    err = make_stream(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", err)

    with open_progress(Invocation(color=True), "broadcast 7", 100) as progress:
        progress.update(ProgressUpdate(50, "", {}, is_well=is_well))

    assert f"\x1b[{color}m━" in err.written().split("\r")[-1]


def test_in_a_log_warnings_and_errors_have_time_and_channel_too(
    monkeypatch: pytest.MonkeyPatch, make_stream, clock
) -> None:
    invocation, err = Invocation(), make_stream()
    monkeypatch.setattr(sys, "stderr", err)

    with open_progress(invocation, "sending", 1, clock=clock, channel="shop"):
        Messages(invocation).warn("it is slow")

    [line] = [line for line in err.written().splitlines() if "slow" in line]
    assert re.fullmatch(r"[\dT:.-]+Z shop warning: it is slow", line)
