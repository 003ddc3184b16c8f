"""The program as a whole: version, crashes, signals, odd arguments."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--json", "--version"]])
def test_version_is_one_line(run, arguments: list[str]) -> None:
    ended = run(*arguments)

    assert (ended.code, ended.out, ended.err) == (0, "wacoex 0.1.0\n", "")


def test_help_lists_the_groups_in_the_order_of_use(run) -> None:
    page = run("--help").out

    headings = ["Set up:", "Watch:", "Send:", "State:", "Read:", "Try it:", "Global options:"]
    assert [line for line in page.splitlines() if line in headings] == headings
    assert page.index("Examples:") < page.index("Set up:")
    assert "--install-completion" not in page


def test_a_bare_call_with_json_is_an_envelope_too(run) -> None:
    ended = run("channel", "--json")

    assert ended.code == 2
    assert ended.envelope["status"] == "error"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status", "shop"], 3),
        (["reminder", "check"], 3),
        (["partner", "check"], 3),
        (["reminder", "schedule", "show"], 2),
        (["explain", "WX206"], 2),
        (["chanel", "list"], 2),
    ],
)
def test_a_mistake_before_the_command_is_known_counts_as_one_of_that_command(
    run, words: list[str], code: int
) -> None:
    ended = run("--nope", *words, "--json").envelope

    arguments = {"shop", "WX206", "chanel", "list"}
    assert ended["command"] == [word for word in words if word not in arguments]
    assert (ended["exit_code"], ended["status"]) == (code, "error")


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: list[str]) -> int:
        raise ZeroDivisionError("token-123")

    monkeypatch.setattr("wacoex_cli.app.run", run)


@pytest.mark.usefixtures("crash")
def test_a_crash_shows_a_traceback_only_when_asked(run) -> None:
    quiet = run("channel", "list")
    requests = run("channel", "list", env={"WACOEX_DEBUG": "1"})

    assert (quiet.code, requests.code) == (1, 1)
    assert "token-123" not in quiet.err
    assert "Traceback" not in quiet.err
    assert "Traceback" in requests.err


def test_an_argument_that_is_not_text_is_a_usage_error(run) -> None:
    ended = run("channel", "add", "shop", "--phone", "+6560000001", "--owner", "Zo\udcc3")

    assert ended.code == 2
    assert ended.err.startswith("error: an argument is not text")


def test_wrong_settings_are_reported_as_json_when_asked(run) -> None:
    ended = run("channel", "list", "--json", env={"WACOEX_TIMEZONE": "Mars/Base"})

    assert ended.code == 2
    assert ended.envelope["command"] == ["channel", "list"]
    assert ended.envelope["errors"][0]["code"] == "config_invalid"


def test_a_damaged_state_file_is_8(run, tmp_path) -> None:
    (tmp_path / "x.db").write_text("this is not a database, however long it may be " * 50)

    assert run("channel", "list", env={"WACOEX_STATE": str(tmp_path / "x.db")}).code == 8
