"""`wacoex state path | backup | restore`, with nobody sending."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.state_files import DRAFT
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.foundation.locks import Presence, acquire, presence_directory
from wacoex_cli.foundation.state import State
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
Cli = Callable[..., Any]


@pytest.fixture
def wacoex(run, state: State) -> Cli:
    """Run the program on this test's state file, which holds one planned broadcast of three."""
    registry.add_channel(state, "shop", Details(phone="+6560000001"), NOW)
    plan(state)

    def call(*arguments: object, **more: Any) -> Any:
        return run(*map(str, arguments), env={"WACOEX_STATE": str(state.path)}, **more)

    return call


def plan(state: State) -> int:
    with state.transaction():
        number = Broadcasts(state).start_draft(
            **DRAFT,
            now=NOW,
        )
    rows = [PlannedRow(n, n, f"+65910000{n:02}", "[]") for n in (1, 2, 3)]
    Rows(state, number).add(rows)
    with state.transaction():
        Rows(state, number).count_again()
        Broadcasts(state).set_status(number, Status.PLANNED)
    return number


def change(state: State, sql: str, *parameters: object) -> None:
    with state.transaction():
        state.execute(sql, parameters)


def error(outcome: Any) -> tuple[int, str]:
    return outcome.code, outcome.envelope["errors"][0]["code"]


def backed_up(wacoex: Cli, tmp_path: Path) -> Path:
    target = tmp_path / "backup.db"
    assert wacoex("state", "backup", target).code == 0
    return target


def test_path_shows_file_size_schema_and_locks(wacoex, state, clock):
    presence = Presence(state.path)
    with state.transaction():
        acquire(state, "broadcast 1", presence, clock)

    data = wacoex("state", "path", "--json").data
    presence.leave()

    assert data["path"] == str(state.path)
    assert data["bytes"] > 0
    assert data["schema"].startswith("m0")
    assert [lock["purpose"] for lock in data["locks"]] == ["broadcast 1"]
    assert wacoex("state", "path").out.splitlines()[0] == str(state.path)


def test_path_makes_no_file(run, tmp_path):
    missing = tmp_path / "none" / "wacoex.db"

    answer = run("state", "path", "--json", env={"WACOEX_STATE": str(missing)})

    assert (answer.code, answer.data["exists"], answer.data["schema"]) == (0, False, None)
    for command in (("backup",), ("check",), ("export",), ("prune", "--older-than", "9")):
        refused = run("state", *command, "--json", env={"WACOEX_STATE": str(missing)})
        assert error(refused) == (8, "no_state")
    assert not missing.parent.exists()


def test_path_names_a_file_that_is_not_a_state_file(run, tmp_path):
    wrong = tmp_path / "wrong.db"
    wrong.write_text("phone,name\n" * 500)

    answer = run("state", "path", "--json", env={"WACOEX_STATE": str(wrong)})

    assert error(answer) == (8, "state_not_sqlite")
    assert answer.data["path"] == str(wrong)


def test_a_backup_without_a_name_is_beside_the_state_with_the_time_in_its_name(wacoex, state):
    file = Path(wacoex("state", "backup", "--json").data["file"])

    assert file.parent == state.path.parent
    assert file.name.startswith("wacoex-backup-2")
    assert file.name.endswith("Z.db")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_backup_goes_into_a_directory_and_says_what_it_holds(wacoex, tmp_path):
    answer = wacoex("state", "backup", tmp_path)

    assert len(list(tmp_path.glob("wacoex-backup-*.db"))) == 1
    assert "it holds phone numbers and no secrets" in answer.out


def test_a_backup_never_overwrites(wacoex, tmp_path):
    target = tmp_path / "mine.db"
    target.write_text("mine")

    assert error(wacoex("state", "backup", target, "--json")) == (2, "file_exists")
    assert target.read_text() == "mine"
    assert wacoex("state", "backup", tmp_path / "no" / "such.db").code == 2


def test_a_damaged_state_file_is_not_backed_up_as_if_it_were_sound(wacoex, state, tmp_path):
    damage(state)

    assert error(wacoex("state", "backup", tmp_path / "b.db", "--json")) == (8, "state_damaged")
    assert not (tmp_path / "b.db").exists()


def damage(state: State) -> None:
    """Overwrite a page of an index, as a failing disk would."""
    page = state.value("SELECT rootpage FROM sqlite_master WHERE name = 'recipients_by_state'")
    state.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    state.close()
    with state.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def test_a_restored_backup_is_in_place_and_what_it_replaced_is_beside_it(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)

    restored = wacoex("state", "restore", target, "--yes", "--json")

    assert restored.code == 0
    kept = Path(restored.data["kept"])
    assert kept.parent == state.path.parent
    assert kept.name.startswith("wacoex-replaced-2")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert wacoex("state", "check").code == 0
    assert Broadcasts(state).get(1).recipients == 3


def test_a_backup_comes_back_on_a_machine_that_has_no_state_file(wacoex, run, tmp_path):
    target, elsewhere = backed_up(wacoex, tmp_path), tmp_path / "new" / "wacoex.db"
    env = {"WACOEX_STATE": str(elsewhere)}

    restored = run("state", "restore", str(target), "--yes", "--json", env=env)

    assert (restored.code, restored.data["kept"]) == (0, None)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert run("state", "check", env=env).code == 0
    assert run("broadcast", "show", "1", env=env).code in (0, 1)


@pytest.mark.parametrize(
    ("later", "what"),
    [
        ("UPDATE recipients SET attempts = 1, state = 'retry' WHERE row = 2", "attempts"),
        (
            "UPDATE recipients SET answered_at = '2026-11-08T00:00:00.000Z', attempts = 1",
            "attempts",
        ),
        ("UPDATE broadcasts SET status = 'cancelled'", "broadcasts"),
        (
            "INSERT INTO optouts VALUES ('+6591000001', 'person', NULL, '2026-11-08', 'all', '')",
            "optouts",
        ),
        (
            "INSERT INTO optouts_by_id VALUES ('SG.1', 'person', NULL, '2026-11-08', 'all', '')",
            "optouts",
        ),
        ("INSERT INTO decisions VALUES (1, 1, 1, '2026-11-08', 'ana', 'sent')", "decisions"),
    ],
)
def test_a_backup_that_lacks_something_is_refused_unless_forced(
    wacoex, state, tmp_path, later, what
):
    target = backed_up(wacoex, tmp_path)
    change(state, later)

    refused = wacoex("state", "restore", target, "--yes", "--json")
    tried = wacoex("state", "restore", target, "--force", "--dry-run", "--json")
    forced = wacoex("state", "restore", target, "--force", "--yes", "--json")

    assert error(refused) == (5, "older_state")
    lost = refused.envelope["errors"][0]["details"]["lost"]
    assert [name for name, n in lost.items() if n] == [what]
    assert (tried.code, tried.data["lost"]) == (0, lost)
    assert (forced.code, forced.data["lost"]) == (0, lost)
    assert Path(forced.data["kept"]).exists()


def test_a_backup_lacks_a_broadcast_that_was_planned_since(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    plan(state)

    assert error(wacoex("state", "restore", target, "--yes", "--json")) == (5, "older_state")


def test_another_broadcast_of_the_same_number_is_not_taken_for_the_same(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    change(state, "UPDATE broadcasts SET planned_at = '2026-11-08T00:00:00.000Z'")

    assert error(wacoex("state", "restore", target, "--yes", "--json")) == (5, "older_state")


def test_forcing_asks_for_the_number_of_people(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    change(state, "UPDATE recipients SET attempts = 1, state = 'accepted', message_id = 'wamid.x'")

    for typed, code in (("2\n", 1), ("y\n", 1), ("3\n", 0)):
        requests = wacoex("state", "restore", target, "--force", stdin=typed, tty=True)
        assert requests.code == code
        assert "type 3 to restore" in requests.err
    assert wacoex("state", "restore", target).code == 2


def test_restoring_asks_and_a_no_changes_nothing(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    before = sorted(state.path.parent.iterdir())

    declined = wacoex("state", "restore", target, stdin="n\n", tty=True)

    assert declined.code == 1
    assert wacoex("state", "restore", target, "--dry-run").code == 0
    assert sorted(state.path.parent.iterdir()) == before


def test_rows_being_sent_when_the_backup_was_made_become_ambiguous(wacoex, state, tmp_path):
    change(state, "UPDATE recipients SET state = 'sending', holder = 'gone' WHERE row = 1")
    target = backed_up(wacoex, tmp_path)

    assert wacoex("state", "restore", target, "--yes", "--json").data["ambiguous"] == 1

    states = state.rows("SELECT state FROM recipients ORDER BY row")
    assert [row["state"] for row in states] == ["ambiguous", "pending", "pending"]


def test_the_notes_of_dead_senders_go_with_the_state_they_belong_to(wacoex, state, clock, tmp_path):
    dead = Presence(state.path)
    with state.transaction():
        acquire(state, "broadcast 1", dead, clock)
    dead.note("wacoex-x-1-1-1")
    dead.abandon()
    change(state, "UPDATE recipients SET state = 'sending', holder = ?", dead.holder)
    target = backed_up(wacoex, tmp_path)

    assert wacoex("state", "restore", target, "--yes").code == 0

    assert list(presence_directory(state.path).iterdir()) == []


def test_nothing_is_restored_while_a_process_uses_the_state_file(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    living = Presence(state.path)

    refused = wacoex("state", "restore", target, "--force", "--yes", "--json")
    living.leave()

    assert error(refused) == (6, "locked")
    assert wacoex("state", "restore", target, "--yes").code == 0


def test_a_broken_or_wrong_state_file_is_refused(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    text, other, empty = tmp_path / "a.csv", tmp_path / "other.db", tmp_path / "empty.db"
    newer, broken = tmp_path / "newer.db", tmp_path / "broken.db"
    text.write_text("phone\n+6591234567\n" * 100)
    empty.touch()
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipients (phone)")
    connection.close()
    newer.write_bytes(target.read_bytes())
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE _sqlite_migrations SET name = 'm999_x' WHERE id = 1")
    connection.close()
    broken.write_bytes(target.read_bytes()[:20_000])

    expected = {
        tmp_path / "missing.db": (2, "no_backup"),
        tmp_path: (2, "no_backup"),
        text: (2, "not_a_state"),
        other: (2, "not_a_state"),
        empty: (2, "not_a_state"),
        state.path: (2, "same_file"),
        newer: (8, "state_newer"),
        broken: (2, "damaged_backup"),
    }
    for file, refusal in expected.items():
        outcome = wacoex("state", "restore", file, "--force", "--yes", "--json")
        assert error(outcome) == refusal, file
        assert outcome.envelope["errors"][0]["hint"]
    assert not list(state.path.parent.glob("*replaced*"))
    assert not list(state.path.parent.glob(".wacoex-restore-*"))


def test_a_damaged_state_file_is_replaced_only_by_force_and_kept(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    damage(state)

    refused = wacoex("state", "restore", target, "--yes", "--json")
    forced = wacoex("state", "restore", target, "--force", "--yes", "--json")

    assert error(refused) == (5, "state_unreadable")
    assert forced.code == 0
    assert Path(forced.data["kept"]).exists()
    assert wacoex("state", "check").code == 0


def test_a_state_file_that_is_not_a_database_is_replaced_only_by_force(wacoex, state, tmp_path):
    target = backed_up(wacoex, tmp_path)
    state.close()
    for file in state.path.parent.glob("wacoex.db-*"):
        file.unlink()
    state.path.write_text("overwritten by mistake\n" * 100)

    assert error(wacoex("state", "restore", target, "--yes", "--json")) == (5, "state_unreadable")
    assert wacoex("state", "restore", target, "--force", "--yes").code == 0
    assert wacoex("state", "check").code == 0
