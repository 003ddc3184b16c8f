"""A mistyped `WACOEX_STATE` is visible at once, and reading leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from wacoex_cli.foundation.state import absent_state

READING = [
    "broadcast list",
    "broadcast report 1",
    "broadcast show 1",
    "channel list",
    "channel show shop",
    "device list",
    "doctor",
    "events list",
    "events subscribe --check",
    "mac",
    "optout list",
    "partner check",
    "reminder check",
    "status",
    "status shop",
    "template list",
]


@pytest.fixture
def mistyped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mistyped" / "wacoex.db"
    monkeypatch.setenv("WACOEX_STATE", str(path))
    return path


@pytest.mark.parametrize("arguments", READING)
def test_reading_creates_no_state_file_and_names_it(run, mistyped: Path, arguments: str) -> None:
    done = run(*arguments.split())

    assert f"there is no state file {mistyped}" in done.err
    assert not mistyped.parent.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "broadcast send 1 --yes",
        "broadcast report 1",
        "channel show shop",
        "channel use shop",
        "device remove 1 --yes",
        "reminder confirm shop",
        "reminder notify --to json://127.0.0.1",
        "status",
    ],
)
def test_a_missing_record_is_reported_with_the_name_of_the_file(
    run, mistyped: Path, arguments: str
) -> None:
    done = run(*arguments.split())

    assert done.code != 0
    missing = next(line for line in done.err.splitlines() if line.startswith("error: there is no"))
    assert f"in {mistyped}" in missing


def test_a_command_that_makes_the_file_names_it(run, mistyped: Path) -> None:
    add = ("channel", "add", "shop", "--phone", "+6560000001")

    assert f"a new state file: {mistyped}" in run(*add).err
    assert "a new state file" not in run("channel", "use", "shop").err


def test_an_answer_to_a_check_of_connect_is_kept(run, mistyped: Path) -> None:
    run("connect", "shop", "--check", tty=True, stdin="y\n+6560000001\n")

    assert mistyped.exists()


def test_a_missing_state_file_accepts_notes_and_forgets_them(
    tmp_path: Path,
) -> None:
    state = absent_state(tmp_path / "none.db")
    with state.transaction():
        state.execute("INSERT INTO about (key, value) VALUES ('a', 'b')")
    with pytest.raises(ZeroDivisionError), state.transaction():
        state.execute("DELETE FROM about")
        raise ZeroDivisionError

    assert state.value("SELECT value FROM about WHERE key = 'a'") == "b"
    assert state.checkpoint()
    assert not list(tmp_path.glob("none.db*"))
