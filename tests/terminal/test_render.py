"""What a person, a pipe and a program get to see."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.errors import CredentialError, WacoexError
from wacoex_cli.terminal.options import Invocation
from wacoex_cli.terminal.render import Result, Table, emit, relative


def emit_error(error: WacoexError, invocation: Invocation) -> int:
    return emit(Result({}, exit_code=error.exit_status, errors=[error]), invocation, PATH)


NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
PATH = ("channel", "list")
TABLE = Table(
    ("channel", "state", "seen", "on", "note"),
    [
        ("shop", "ok", NOW, True, None),
        ("caf\u00e9 \u5e97", "critical", NOW, False, "two\nlines\tand a tab"),
    ],
)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch, make_stream):
    def attach(*, is_terminal: bool = False):
        pair = make_stream(is_terminal=is_terminal), make_stream(is_terminal=is_terminal)
        monkeypatch.setattr(sys, "stdout", pair[0])
        monkeypatch.setattr(sys, "stderr", pair[1])
        return pair

    return attach


def test_a_pipe_gets_tab_separated_values_and_nothing_else(streams) -> None:
    out, err = streams()

    emit(Result({}, [TABLE]), Invocation(), PATH)

    assert out.written() == (
        "shop\tok\t2026-11-07T12:00:00.000Z\tyes\t\n"
        "caf\u00e9 \u5e97\tcritical\t2026-11-07T12:00:00.000Z\tno\ttwo lines and a tab\n"
    )
    assert err.written() == ""


def test_a_person_gets_a_header_and_aligned_columns(streams) -> None:
    out, _ = streams(is_terminal=True)
    table = Table(("name", "n"), [("\u5e97", 1), ("shop", 1234567), (None, True)])

    emit(Result({}, [table, "done"]), Invocation(), PATH)

    assert out.written() == "NAME  N\n\u5e97    1\nshop  1234567\n-     yes\ndone\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (59, "in 59 seconds"),
        (-60, "1 minute ago"),
        (7300, "in 2 hours"),
        (-86400 * 12.5, "12 days ago"),
    ],
)
def test_times_are_shown_relative_to_now(seconds: float, text: str) -> None:
    assert relative(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("is_terminal", "color", "environ", "colored"),
    [
        (True, None, {"TERM": "xterm"}, True),
        (True, None, {"TERM": "dumb"}, False),
        (True, None, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, None, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (False, None, {"TERM": "xterm"}, False),
        (False, None, {"FORCE_COLOR": "1"}, True),
        (False, True, {"NO_COLOR": "1"}, True),
        (True, False, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_only_where_it_is_wanted(
    streams,
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    color: bool | None,
    environ: dict[str, str],
    colored: bool,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    _, err = streams(is_terminal=is_terminal)

    emit_error(WacoexError("no"), Invocation(color=color))

    assert err.written() == ("\x1b[31merror\x1b[0m: no\n" if colored else "error: no\n")


def test_a_coloured_cell_keeps_its_column(streams) -> None:
    out, _ = streams(is_terminal=True)

    emit(Result({}, [Table(("a", "b"), [("ok", 1)])]), Invocation(color=True), PATH)

    assert out.written() == "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[32mok\x1b[0m  1\n"


def test_json_is_one_sorted_object_with_an_envelope(streams) -> None:
    out, _ = streams(is_terminal=True)

    code = emit(Result({"b": 1, "a": NOW}, ["text"]), Invocation(json=True, color=True), PATH)

    assert code == 0
    assert out.written() == (
        '{"command": ["channel", "list"], "data": {"a": "2026-11-07T12:00:00.000Z", "b": 1},'
        ' "errors": [], "exit_code": 0, "status": "ok", "wacoex_json": 1}\n'
    )


@pytest.mark.parametrize(
    ("exit_code", "errors", "status"),
    [
        (0, [], "ok"),
        (2, [], "ok"),
        (7, [], "partial"),
        (5, [WacoexError("x")], "error"),
        (7, [WacoexError("x")], "partial"),
    ],
)
def test_status_says_how_it_ended(exit_code: int, errors: list[WacoexError], status: str) -> None:
    assert Result({}, exit_code=exit_code, errors=errors).status == status


def test_the_sandbox_shows_in_the_envelope(streams) -> None:
    out, _ = streams()
    invocation = Invocation(json=True)
    invocation.learnt.sandbox_url = "http://127.0.0.1:4555"

    emit(Result({}), invocation, PATH)

    assert json.loads(out.written())["sandbox"] is True


def test_an_error_is_shown_with_its_hint_and_at_v_with_its_facts(streams) -> None:
    error = CredentialError("no entry", hint="knock", details={"fbtrace_id": "Abc", "code": 190})
    _, err = streams()
    assert emit_error(error, Invocation()) == 4
    assert err.written() == "error: no entry\n\nhint: knock\n"

    _, err = streams()
    emit_error(error, Invocation(verbose=1))
    assert err.written() == "error: no entry\ndetail: code 190, fbtrace_id Abc\n\nhint: knock\n"


def test_an_error_in_json_has_code_message_hint_and_details(streams) -> None:
    out, err = streams()

    emit_error(CredentialError("no", details={"code": 190}), Invocation(json=True))

    assert json.loads(out.written())["errors"] == [
        {"code": "credentials", "message": "no", "hint": None, "details": {"code": 190}}
    ]
    assert err.written() == ""


@pytest.mark.parametrize(("quiet", "shown"), [(0, "text\n"), (1, "text\n"), (2, "")])
def test_quiet_keeps_results_and_twice_quiet_only_errors(streams, quiet: int, shown: str) -> None:
    out, err = streams()

    emit(Result({}, ["text"], errors=[WacoexError("e")]), Invocation(quiet=quiet), PATH)

    assert (out.written(), err.written()) == (shown, "error: e\n")


def test_names_from_outside_cannot_play_with_the_terminal(streams) -> None:
    out, _ = streams(is_terminal=True)

    emit(Result({}, ["a\x1b[2Jb\u202ec", Table(("x",), [("\x1b]0;t\x07",)])]), Invocation(), PATH)

    assert out.written() == "a?[2Jb?c\nX\n?]0;t?\n"


def test_long_lists_are_in_data_like_any_other_entry(capsys) -> None:
    rows = (f'{{"row": {number}}}, {{"row": {number + 1}}}' for number in range(0, 2_500, 2))
    result = Result({"zebra": 1, "about": "x"}, lists={"rows": rows, "empty": iter(())})

    emit(result, Invocation(json=True), ("broadcast", "report"))

    data = json.loads(capsys.readouterr().out)["data"]
    assert list(data) == ["about", "empty", "rows", "zebra"]
    assert data["rows"] == [{"row": number} for number in range(2_500)]
    assert data["empty"] == []


def test_a_person_is_not_shown_long_lists(capsys) -> None:
    emit(Result({}, ("done",), lists={"rows": iter(["1"])}), Invocation(), ())

    assert capsys.readouterr().out == "done\n"


def test_a_person_reads_that_a_list_is_empty_and_a_pipe_gets_nothing(run) -> None:
    assert run("channel", "list").out == ""
    shown = " ".join(run("channel", "list", tty=True).out.split())
    assert re.fullmatch(
        r"there is no channel in \S+; add one: wacoex channel add NAME --phone \+65\.\.\.", shown
    )
