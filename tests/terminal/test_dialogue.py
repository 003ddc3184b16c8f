"""Asking only where a person can answer, and telling no more than was asked for."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys

import pytest

from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch, make_stream):
    def typed(text: str, *, is_terminal: bool = True) -> None:
        monkeypatch.setattr(sys, "stdin", make_stream(text.encode(), is_terminal=is_terminal))

    return typed


@pytest.mark.parametrize(
    ("answer", "meant"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False), ("yep\n", False)],
)
def test_only_yes_is_yes(typing, capsys, answer: str, meant: bool) -> None:
    typing(answer)

    assert TerminalDialogue(Invocation()).confirm("Send?", flag="--yes") is meant
    assert capsys.readouterr().err.startswith("Send? [y/N] ")


@pytest.mark.parametrize("kind", ["confirm", "ask"])
def test_ctrl_d_declines_any_question(typing, capsys, kind: str) -> None:
    typing("")
    dialogue = TerminalDialogue(Invocation())

    with pytest.raises(DeclinedError, match="no answer was given"):
        getattr(dialogue, kind)("Linked?", flag="a person")
    assert capsys.readouterr().err.endswith("\n")


def test_a_terminal_that_closes_declines_too(monkeypatch, capsys) -> None:
    class Closed:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stdin", Closed())
    with pytest.raises(DeclinedError, match="no answer was given"):
        TerminalDialogue(Invocation()).confirm("Linked?", flag="a person")


def test_ctrl_c_ends_a_question_at_once_inside_an_event_loop(monkeypatch, capsys) -> None:
    class Interrupted:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            signal.raise_signal(signal.SIGINT)
            return "y\n"

    async def ask() -> None:
        answered.append(TerminalDialogue(Invocation()).confirm("Send?", flag="--yes"))

    answered: list[bool] = []
    monkeypatch.setattr(sys, "stdin", Interrupted())

    with asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt):
        runner.run(ask())
    assert answered == []
    assert capsys.readouterr().err == "Send? [y/N] \n", "what is said next begins its own line"


def test_without_a_terminal_the_flag_that_answers_is_named(typing, capsys) -> None:
    typing("y\n", is_terminal=False)

    with pytest.raises(UsageError, match="without a terminal this needs `--yes`"):
        TerminalDialogue(Invocation()).confirm("Send?", flag="--yes")
    assert capsys.readouterr().err == ""


def test_no_input_forbids_asking_even_on_a_terminal(typing) -> None:
    typing("y\n")

    with pytest.raises(UsageError, match="with `--no-input` this needs `--name`"):
        TerminalDialogue(Invocation(no_input=True)).ask("Name", flag="--name")


def test_the_setting_forbids_asking_too(typing) -> None:
    typing("y\n")
    invocation = Invocation()
    invocation.learnt.no_input = True

    with pytest.raises(UsageError):
        TerminalDialogue(invocation).secret("Token")


def test_a_secret_is_the_first_line_of_a_pipe_even_when_asking_is_forbidden(typing) -> None:
    typing("token\r\nmore\n", is_terminal=False)

    assert TerminalDialogue(Invocation(no_input=True)).secret("Token") == "token"


def test_a_pipe_that_is_not_text_is_refused(monkeypatch, make_stream) -> None:
    monkeypatch.setattr(sys, "stdin", make_stream(b"\xff\xfe\n"))

    with pytest.raises(UsageError, match="standard input is not plain text"):
        TerminalDialogue(Invocation()).secret("Token")


def test_an_answer_comes_without_its_outer_spaces(typing, capsys) -> None:
    typing("  shop \n")

    assert TerminalDialogue(Invocation()).ask("Name", flag="--name") == "shop"


@pytest.mark.parametrize(
    ("invocation", "reported"),
    [
        (Invocation(), "n\nwarning: w\n"),
        (Invocation(quiet=1), "warning: w\n"),
        (Invocation(json=True), "warning: w\n"),
        (Invocation(quiet=2), ""),
        (Invocation(verbose=1), "n\nwarning: w\nd\n"),
        (Invocation(verbose=2), "n\nwarning: w\nd\ndd\n"),
    ],
    ids=["plain", "-q", "--json", "-qq", "-v", "-vv"],
)
def test_each_verbosity_shows_its_notes(capsys, invocation: Invocation, reported: str) -> None:
    dialogue = TerminalDialogue(invocation)

    dialogue.note("n")
    dialogue.warn("w")
    dialogue.detail("d")
    dialogue.detail("dd", 2)

    assert capsys.readouterr().err == reported


def test_enter_is_noticed_without_waiting_for_it(typing, capsys) -> None:
    typing("\n")
    dialogue = TerminalDialogue(Invocation())

    assert dialogue.can_ask()
    assert dialogue.is_enter_pressed()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("invocation", "is_terminal"), [(Invocation(no_input=True), True), (Invocation(), False)]
)
def test_enter_is_not_waited_for_where_questions_are_off(
    typing, invocation: Invocation, is_terminal: bool
) -> None:
    typing("\n", is_terminal=is_terminal)

    assert not TerminalDialogue(invocation).can_ask()
    assert not TerminalDialogue(invocation).is_enter_pressed()


def test_a_terminal_without_typing_is_not_waited_for(monkeypatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, encoding="utf-8") as terminal, os.fdopen(ours, "wb", 0) as keyboard:
        monkeypatch.setattr(sys, "stdin", terminal)
        dialogue = TerminalDialogue(Invocation())

        assert not dialogue.is_enter_pressed()
        keyboard.write(b"\n")
        assert dialogue.is_enter_pressed()
        assert not dialogue.is_enter_pressed()
