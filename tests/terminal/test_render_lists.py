"""Lists too long for memory are written into the JSON envelope while they are read."""

from __future__ import annotations

import json

from wacoex_cli.terminal.options import Invocation
from wacoex_cli.terminal.render import Result, emit


def test_long_lists_stand_in_data_like_any_other_entry(capsys) -> None:
    rows = ({"row": number} for number in range(2_500))
    result = Result({"zebra": 1, "about": "x"}, lists={"rows": rows, "empty": iter(())})

    emit(result, Invocation(json=True), ("broadcast", "report"))

    data = json.loads(capsys.readouterr().out)["data"]
    assert list(data) == ["about", "empty", "rows", "zebra"]
    assert data["rows"] == [{"row": number} for number in range(2_500)]
    assert data["empty"] == []


def test_a_person_is_not_shown_long_lists(capsys) -> None:
    emit(Result({}, ("done",), lists={"rows": iter([1])}), Invocation(), ())

    assert capsys.readouterr().out == "done\n"


def test_a_person_is_told_that_a_list_is_empty_and_a_pipe_gets_nothing(run) -> None:
    assert run("channel", "list").out == ""
    assert run("channel", "list", tty=True).out == (
        "there is no channel; add one: wacoex channel add NAME --phone +65...\n"
    )
