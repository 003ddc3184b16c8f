"""The state file: private, durable, migrated once, and never somebody else's."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.state_files import make_newer
from wacoex_cli.errors import StateError, TemporaryError
from wacoex_cli.foundation.state import glimpse, look_at_file, open_state, write_queue
from wacoex_cli.schema import migrations

OPENER = "import sys; from pathlib import Path;"
OPENER += (
    "from wacoex_cli.foundation.state import open_state; open_state(Path(sys.argv[1])).close()"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def add_channel(state, name="shop", phone="+6560000001"):
    state.execute(
        "INSERT INTO channels (name, phone, provider, created_at) VALUES (?, ?, 'meta', 'now')",
        [name, phone],
    )


def test_the_file_and_its_directory_are_private(tmp_path):
    path = tmp_path / "new" / "wacoex.db"
    with closing(open_state(path)) as state, state.transaction():
        add_channel(state)

    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert {mode(beside) for beside in path.parent.iterdir()} == {0o600}


def test_it_is_durable_and_checks_references(state):
    assert state.value("PRAGMA journal_mode") == "wal"
    assert state.value("PRAGMA synchronous") == 2, "FULL"
    with pytest.raises(StateError, match="FOREIGN KEY"), state.transaction():
        state.execute(
            "INSERT INTO decisions (broadcast_id, decided_at, decided_by, decision)"
            " VALUES (7, 'now', 'ana', 'sent')"
        )


def test_a_transaction_is_all_or_nothing(state):
    with pytest.raises(ZeroDivisionError), state.transaction():
        add_channel(state)
        raise ZeroDivisionError
    assert state.value("SELECT COUNT(*) FROM channels") == 0


def test_a_write_outside_a_transaction_is_a_programming_error(state):
    with pytest.raises(RuntimeError, match=r"belong inside State\.transaction"):
        add_channel(state)


def test_a_file_says_whether_another_connection_has_written(state):
    state.others_wrote()
    with state.transaction():
        add_channel(state)
    assert not state.others_wrote()

    with closing(open_state(state.path)) as other, other.transaction():
        other.execute("DELETE FROM channels")
    assert state.others_wrote()
    assert not state.others_wrote()


def test_transactions_do_not_nest(state):
    with (
        pytest.raises(RuntimeError, match="do not nest"),
        state.transaction(),
        state.transaction(),
    ):
        pass


def test_four_programs_that_start_together_migrate_once(tmp_path):
    path = tmp_path / "wacoex.db"
    starting = [
        subprocess.Popen([sys.executable, "-c", OPENER, str(path)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    answer = [child.communicate()[1].decode() for child in starting]

    assert [child.returncode for child in starting] == [0, 0, 0, 0], answer
    with closing(open_state(path)) as state:
        names = state.rows("SELECT name FROM _sqlite_migrations ORDER BY id")
    assert [row["name"] for row in names] == [step.__name__ for step in migrations.STEPS]


def test_a_new_file_that_another_program_is_setting_up_is_waited_for(tmp_path):
    path = tmp_path / "wacoex.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
        contextlib.ExitStack() as setting_up,
    ):
        setting_up.enter_context(write_queue(path))
        other.execute("BEGIN IMMEDIATE")
        setting_up.callback(other.rollback)
        done = threading.Timer(0.05, setting_up.close)
        done.start()
        with closing(open_state(path)) as state:
            assert state.value("PRAGMA journal_mode") == "wal"
        done.join()


def await_waiting(path, number):
    """Wait until as many wait for the write lock of a file, or for their turn, in the kernel."""
    files = [Path(f"{path}{ending}") for ending in (".lock", ".turn")]

    def waiting():
        names = {f":{file.stat().st_ino} " for file in files if file.exists()}
        lines = Path("/proc/locks").read_text().splitlines()
        return sum(" -> " in line and any(name in line for name in names) for line in lines)

    while waiting() < number:
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system lists no locks")
def test_no_writer_is_passed_over_repeatedly(tmp_path):
    path, order = tmp_path / "wacoex.db", []

    def write(name):
        with write_queue(path):
            order.append(name)
            time.sleep(0.02)  # about a commit

    waiting = [threading.Thread(target=write, args=(name,)) for name in ("first", "second")]
    with write_queue(path):
        for number, thread in enumerate(waiting, start=1):
            thread.start()
            await_waiting(path, number)
    for _ in range(5):
        write("again and again")
    for thread in waiting:
        thread.join()

    # The kernel wakes who waits; a writer that comes in that instant may be quicker, once.
    assert order[0] == "first"
    assert order.index("second") <= 2


def test_a_lock_that_comes_too_late_is_given_back(tmp_path, monkeypatch):
    path = tmp_path / "wacoex.db"
    monkeypatch.setattr("wacoex_cli.foundation.state._PATIENCE_SECONDS", 0.05)
    with (
        write_queue(path),
        pytest.raises(TemporaryError, match="locked by another"),
        write_queue(path),
    ):
        pass

    monkeypatch.undo()
    with write_queue(path):
        pass


@pytest.mark.parametrize("known", range(1, len(migrations.STEPS)))
def test_an_older_schema_with_data_is_brought_up_to_date(tmp_path, monkeypatch, known):
    path = tmp_path / "wacoex.db"
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", migrations.STEPS[:known])
        with closing(open_state(path)) as state, state.transaction():
            add_channel(state)

    with closing(open_state(path)) as state:
        assert state.value("SELECT name FROM channels") == "shop"
        assert state.value("SELECT COUNT(*) FROM recipients") == 0
        assert state.value("SELECT COUNT(*) FROM facts") == 0


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "wacoex.db"
    open_state(path).close()
    make_newer(path)

    with pytest.raises(StateError, match="newer wacoex") as refused:
        open_state(path)
    assert refused.value.code == "state_newer"
    assert refused.value.details == {"unknown_migrations": ["m999_from_the_future"]}


def test_the_database_of_another_program_is_not_touched(tmp_path):
    path = tmp_path / "addresses.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE addresses (name TEXT)")
    before = path.read_bytes()

    with pytest.raises(StateError, match="another program"):
        open_state(path)
    assert path.read_bytes() == before
    assert not path.with_name("addresses.db-wal").exists()


def test_a_glimpse_does_not_follow_a_dotenv_that_others_may_write(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    open_state(theirs).close()
    path = Path(".env")
    path.write_text(f"WACOEX_STATE={theirs}\n")
    assert glimpse("SELECT 1", environ={}) == [(1,)]

    path.chmod(0o666)

    assert glimpse("SELECT 1", environ={}) == []


@pytest.mark.parametrize("path", ["~no-such-user-here/x", "a\0b"])
def test_a_glimpse_of_a_wrong_path_finds_nothing(path: str) -> None:
    assert glimpse("SELECT 1", environ={"WACOEX_STATE": path}) == []


@pytest.mark.parametrize("name", [b"\0\xff", None])
def test_a_migration_that_is_not_text_is_named_as_such(tmp_path: Path, name: bytes | None) -> None:
    path = tmp_path / "odd.db"
    open_state(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE _sqlite_migrations SET name = ? WHERE rowid = 1", [name])

    with pytest.raises(StateError, match="a migration that is not text") as raised:
        open_state(path)
    seen = look_at_file(path)

    assert raised.value.code == "state_foreign"
    assert seen.problem is not None
    assert seen.problem.code == "state_foreign"
