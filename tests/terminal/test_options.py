"""Global options before and after the subcommand, help pages, and how failures are shown."""

import json
import os
import signal

import pytest

from wacoex_cli.errors import TemporaryError
from wacoex_cli.terminal.help import PlainGroup
from wacoex_cli.terminal.options import (
    Invocation,
    command,
    forget_running,
    group,
    report_failure,
)
from wacoex_cli.terminal.render import Result


@pytest.fixture
def seen() -> list[Invocation]:
    return []


@pytest.fixture
def app(seen: list[Invocation]) -> PlainGroup:
    """A program with one group, one command that answers and one check that cannot."""
    root, watch = group("", "A program."), group("watch", "Watching.")
    root.add(watch)

    @command(watch, "look", "wacoex watch look --far")
    def look(invocation: Invocation, far: bool = False) -> Result:
        """Look around."""
        seen.append(invocation)
        return Result({"far": far}, ["looked"], exit_code=7 if far else 0)

    @command(watch, "check", is_check=True)
    def check(invocation: Invocation) -> Result:
        """Check it."""
        raise TemporaryError("no network", hint="wait")

    return root


def start(app: PlainGroup, *arguments: str) -> int:
    forget_running()
    try:
        status = app.main(list(arguments), prog_name="wacoex", standalone_mode=False)
    except BaseException as error:
        return report_failure(error, arguments, app, debug=False)
    assert isinstance(status, int)
    return status


def test_global_options_count_before_within_and_after_the_subcommand(
    app: PlainGroup, seen: list[Invocation]
) -> None:
    start(app, "-q", "-c", "a", "watch", "--no-color", "look", "-q", "-c", "b", "--no-input")

    assert seen == [Invocation(channel="b", quiet=2, color=False, no_input=True)]


def test_the_result_is_shown_and_its_exit_code_ends_the_process(
    app: PlainGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(app, "watch", "look", "--far") == 7
    assert capsys.readouterr().out == "looked\n"


def test_help_shows_examples_first_and_names_the_global_options_in_one_line(
    app: PlainGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    start(app, "watch", "look", "-h")

    page = capsys.readouterr().out
    assert "Examples:\n  wacoex watch look --far\n\nOptions:\n  --far" in page
    assert page.endswith("\n\nAnd the global options: wacoex --help\n")
    assert "--no-input" not in page


def test_a_typo_is_answered_with_the_likely_word(
    app: PlainGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(app, "watch", "lok") == 2
    assert capsys.readouterr().err == "error: no such command `lok`\n\nhint: did you mean `look`?\n"


def test_an_unknown_option_is_named(app: PlainGroup, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(app, "watch", "look", "--xyz") == 2
    assert capsys.readouterr().err == (
        "error: no such option `--xyz`\n\nhint: see `wacoex watch look --help`\n"
    )


def test_a_bare_group_shows_its_help(app: PlainGroup, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(app, "watch") == 2
    assert "Look around." in capsys.readouterr().err


def test_a_usage_error_is_json_too(app: PlainGroup, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(app, "watch", "look", "--json", "--nope") == 2

    envelope = json.loads(capsys.readouterr().out)
    assert envelope["command"] == ["watch", "look"]
    assert (envelope["status"], envelope["exit_code"]) == ("error", 2)
    assert envelope["errors"][0]["code"] == "usage"


@pytest.mark.parametrize(
    "arguments",
    [["watch", "check"], ["watch", "check", "--nope"], ["-c", "look", "watch", "check", "-x"]],
)
def test_a_check_that_cannot_be_made_is_unknown(
    app: PlainGroup, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(app, *arguments) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_words_after_two_dashes_are_not_options(
    app: PlainGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(app, "watch", "look", "--", "--json") == 2
    assert capsys.readouterr().err.startswith("error: got unexpected extra argument")


def failing_with(error: BaseException) -> PlainGroup:
    root, things = group("", "A program."), group("do", "Things.")
    root.add(things)

    @command(things, "it")
    def do_it(invocation: Invocation) -> Result:
        """Do it."""
        raise error

    return root


def test_a_crash_is_one_line_and_quotes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(failing_with(KeyError("token-123")), "do", "it") == 1

    answer = capsys.readouterr().err
    assert answer.startswith("error: wacoex failed in a way it did not expect (KeyError)\n")
    assert "--debug" in answer
    assert "token-123" not in answer


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(failing_with(KeyError("x")), "do", "it", "--debug") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(failing_with(KeyboardInterrupt()), "do", "it") == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_sigterm_is_143_after_cleaning_up(
    run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = []

    def terminated(arguments: list[str]) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)
        return 0

    monkeypatch.setattr("wacoex_cli.app.run", terminated)
    before = signal.getsignal(signal.SIGTERM)

    assert run("channel", "list", "--json").envelope["exit_code"] == 143
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before
