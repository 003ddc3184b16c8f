"""`wacoex state check | prune | export`."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.state_files import DRAFT
from tests.support.statements import watched
from wacoex_cli.app import projections
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.contacts.store import add_optout
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via

Wacoex = Callable[..., Any]
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=500)
PERSON = "+6591234567"


@pytest.fixture
def wacoex(run, state: State) -> Wacoex:
    """Run the program on this test's state file, which knows one channel."""
    registry.add_channel(state, "shop", Details(phone="+6560000001"), NOW)

    def call(*arguments: object, **more: Any) -> Any:
        return run(*map(str, arguments), env={"WACOEX_STATE": str(state.path)}, **more)

    return call


@pytest.fixture
def broadcast(wacoex, state: State) -> Callable[..., int]:
    """Make a broadcast of one person, with everything set as it should be; gives its number."""

    def make(
        status: str = "completed",
        at: datetime = LONG_AGO,
        *,
        answered_at: datetime | None = None,
        row: str = "accepted",
        phone: str = PERSON,
        **columns: object,
    ) -> int:
        with state.transaction():
            number = Broadcasts(state).start_draft(
                **DRAFT,
                now=at,
            )
            values = {
                "broadcast_id": number,
                "row": 1,
                "line": 2,
                "phone": phone,
                "parameters": "[]",
                "state": row,
                "message_id": "wamid.HBgKNjU5MTIzNDU2NxUCABEYEjk=",
                "answered_at": to_text(answered_at or at),
                **columns,
            }
            marks = ", ".join("?" * len(values))
            names = ", ".join(values)
            state.execute(
                f"INSERT INTO recipients ({names}) VALUES ({marks})", list(values.values())
            )
            Rows(state, number).count_again()
            state.execute(
                "UPDATE broadcasts SET status = ?, finished_at = ? WHERE broadcast_id = ?",
                [status, to_text(at), number],
            )
        return number

    return make


def change(state: State, sql: str, *parameters: object) -> None:
    with state.transaction():
        state.execute(sql, parameters)


def left(state: State) -> list[int]:
    found = state.rows("SELECT broadcast_id FROM broadcasts ORDER BY broadcast_id")
    return [row["broadcast_id"] for row in found]


def test_a_sound_state_file_is_reported_as_sound(wacoex, broadcast, state):
    broadcast()
    broadcast("cancelled", row="pending", message_id=None)

    checked = wacoex("state", "check", "--json")

    assert (checked.code, checked.data["problems"]) == (0, [])
    assert wacoex("state", "check").out == f"{state.path} is sound\n"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("UPDATE broadcasts SET recipients = 7", "counts 7 recipients"),
        ("UPDATE broadcasts SET skipped = 1", "and 1 skipped"),
        ("UPDATE recipients SET message_id = NULL", "1 accepted rows without a message id"),
        (
            "UPDATE recipients SET state = 'pending'",
            "not all its rows are settled: 1",
        ),
        ("UPDATE recipients SET state = 'sending', holder = 'x'", "its sender died"),
    ],
)
def test_each_problem_is_reported_with_a_remedy(wacoex, broadcast, state, harm, words):
    broadcast()
    change(state, harm)

    checked = wacoex("state", "check", "--json")

    assert checked.code == 8
    assert checked.envelope["errors"][0]["code"] == "state_unsound"
    answer = [problem for problem in checked.data["problems"] if words in problem["problem"]]
    assert len(answer) == 1
    assert answer[0]["remedy"]


def test_a_person_twice_in_one_broadcast_is_found(wacoex, broadcast, state):
    broadcast()
    change(state, "DROP INDEX one_row_per_person")
    change(
        state,
        "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, message_id)"
        " VALUES (1, 2, 3, ?, '[]', 'accepted', 'wamid.y')",
        PERSON,
    )
    change(state, "UPDATE broadcasts SET recipients = 2")

    [problem] = wacoex("state", "check", "--json").data["problems"]

    assert problem["problem"] == "broadcast 1 has 1 person more than once"


def test_a_row_settled_as_sent_by_a_person_needs_no_message_id(wacoex, broadcast, state):
    broadcast(row="ambiguous", message_id=None)
    wacoex("broadcast", "reconcile", 1, "--as", "sent", "--yes")

    assert wacoex("state", "check").code == 0


def test_an_opted_out_person_may_be_in_a_plan_but_is_never_sent_to(wacoex, broadcast, state):
    broadcast("planned", row="pending", message_id=None)
    with state.transaction():
        add_optout(state, PERSON, "person", None, LONG_AGO)
    assert wacoex("state", "check").code == 0

    change(
        state,
        "UPDATE recipients SET state = 'accepted', message_id = 'wamid.1',"
        " claimed_at = '2026-11-07T12:00:00.000Z'",
    )
    problems = wacoex("state", "check", "--json").data["problems"]

    assert any(
        problem["problem"] == "broadcast 1 was sent to 1 person after they opted out"
        for problem in problems
    )


def test_files_that_others_may_read_are_reported_with_the_command_that_closes_them(wacoex, state):
    state.path.chmod(0o644)

    checked = wacoex("state", "check", "--json")

    assert checked.code == 8
    assert checked.data["problems"][0]["remedy"] == f"chmod 600 {state.path}"


def test_a_row_that_refers_to_nothing_is_damage(wacoex, broadcast, state):
    broadcast()
    with sqlite3.connect(state.path) as connection:  # foreign keys are off here
        connection.execute("DELETE FROM broadcasts")
    connection.close()

    [problem] = wacoex("state", "check", "--json").data["problems"]

    assert "refers to no broadcasts" in problem["problem"]
    assert "wacoex state restore" in problem["remedy"]


def test_old_finished_broadcasts_go_and_opt_outs_stay(wacoex, broadcast, state):
    broadcast("completed")
    broadcast("cancelled")
    broadcast("completed", NOW - timedelta(days=30))
    with state.transaction():
        add_optout(state, PERSON, "person", None, LONG_AGO)

    pruned = wacoex("state", "prune", "--older-than", 400, "--yes", "--json")

    assert pruned.code == 0
    assert [entry["broadcast_id"] for entry in pruned.data["removed"]] == [1, 2]
    assert pruned.data["removed"][0]["rows"] == 1
    assert left(state) == [3]
    assert state.value("SELECT COUNT(*) FROM recipients") == 1
    assert state.value("SELECT COUNT(*) FROM optouts") == 1
    assert wacoex("state", "check").code == 0


@pytest.mark.parametrize(
    ("reason", "made"),
    [
        ("open", {"status": "planned", "row": "pending"}),
        ("open", {"status": "paused", "row": "retry"}),
        ("open", {"status": "sending", "row": "accepted"}),
        ("ambiguous", {"row": "ambiguous"}),
        ("ambiguous", {"status": "cancelled", "row": "sending"}),
    ],
)
def test_broadcasts_that_may_still_matter_are_kept_at_any_age(
    wacoex, broadcast, state, reason, made
):
    broadcast(**made)
    broadcast(at=NOW)

    pruned = wacoex("state", "prune", "--older-than", 1, "--yes", "--json")

    assert (pruned.data["removed"], pruned.data["kept"]) == ([], {reason: 1})
    assert left(state) == [1, 2]


@pytest.mark.parametrize(("code", "reason"), [(131049, "cooling_down"), (131026, "recent")])
def test_a_row_that_was_tried_within_a_day_is_kept(wacoex, broadcast, state, code, reason):
    broadcast(row="rejected", code=code, answered_at=NOW - timedelta(hours=20))
    broadcast(at=NOW)

    before = to_text(NOW - timedelta(hours=1))
    pruned = wacoex("state", "prune", "--before", before, "--yes", "--json")

    assert pruned.data["kept"] == {reason: 1}


def test_the_newest_broadcast_stays_so_that_its_number_is_not_given_out_again(
    wacoex, broadcast, state
):
    broadcast()
    broadcast()

    pruned = wacoex("state", "prune", "--before", "2026-11-01", "--yes", "--json")

    assert pruned.data["kept"] == {"newest": 1}
    assert left(state) == [2]
    assert broadcast() == 3


def test_a_dry_run_removes_nothing_and_a_no_neither(wacoex, broadcast, state):
    broadcast()
    broadcast()

    tried = wacoex("state", "prune", "--older-than", 400, "--dry-run")
    declined = wacoex("state", "prune", "--older-than", 400, stdin="n\n", tty=True)
    unasked = wacoex("state", "prune", "--older-than", 400)

    assert (tried.code, declined.code, unasked.code) == (0, 1, 2)
    assert "1 broadcast would be removed" in tried.out
    assert "remove 1 broadcast with 1 row for good?" in declined.err
    assert left(state) == [1, 2]


@pytest.fixture
def large_broadcast(broadcast, state: State) -> None:
    """Make an old broadcast of thousands of people, which can be removed, and a newer one."""
    number = broadcast()
    rows = [
        PlannedRow(n, n, f"+65{n:08}", "[]" * 50, "skipped", "excluded") for n in range(2, 5_000)
    ]
    Rows(state, number).add(rows)
    with state.transaction():
        Rows(state, number).count_again()
    broadcast()
    state.checkpoint()


def made_by_an_earlier_version(state: State) -> None:
    """Let a state file give back no space a little at a time, as those of before."""
    with contextlib.closing(sqlite3.connect(state.path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")


def test_the_space_is_given_back_a_little_at_a_time(wacoex, large_broadcast, state):
    before = state.path.stat().st_size

    pruned = wacoex("state", "prune", "--older-than", 400, "--yes", "--json")

    after = state.path.stat().st_size
    assert (pruned.code, pruned.data["vacuumed"]) == (0, False)
    assert after < before / 2
    assert (pruned.data["returned_bytes"], pruned.data["unused_bytes"]) == (before - after, 0)
    assert wacoex("state", "check").code == 0


def test_a_file_that_somebody_reads_gets_smaller_later(wacoex, large_broadcast, state):
    before = state.path.stat().st_size
    with contextlib.closing(sqlite3.connect(state.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM broadcasts").fetchone()

        pruned = wacoex("state", "prune", "--older-than", 400, "--yes")

    assert (pruned.code, left(state)) == (0, [2])
    assert "the file gets smaller as soon as no other command reads it" in pruned.out
    state.checkpoint()
    assert state.path.stat().st_size < before / 2


def test_a_step_gives_back_hundreds_of_pages(wacoex, large_broadcast, state, monkeypatch):
    """With one page a step, a large file would take hours."""
    pages = state.path.stat().st_size / state.value("PRAGMA page_size")
    statements = watched(monkeypatch).statements

    wacoex("state", "prune", "--older-than", 400, "--yes")

    steps = [sql for sql in statements if "incremental_vacuum" in sql]
    assert 1 <= len(steps) <= pages / 100


def test_others_write_while_the_space_is_given_back(wacoex, large_broadcast, state):
    """Each step is a transaction of its own, so that a sender gets its turn in between."""
    numbers: list[int] = []

    def write() -> None:
        with contextlib.closing(open_state(state.path)) as other:
            while not ended.wait(0.001):
                with other.transaction():
                    other.execute("UPDATE about SET value = value WHERE key = 'state_id'")
                numbers.append(other.unused_bytes())

    ended = threading.Event()
    sender = threading.Thread(target=write)
    sender.start()
    wacoex("state", "prune", "--older-than", 400, "--yes")
    ended.set()
    sender.join()

    assert len(set(numbers)) > 5


@pytest.fixture
def old_events(state: State) -> None:
    """Keep thousands of events of long ago, which every reader has read, and one of today."""
    log = EventLog(state)
    for at, names in ((LONG_AGO, range(4_000)), (NOW, range(4_000, 4_001))):
        events = [
            Event(f"event {n}", Kind.MESSAGE, Source.META, to_text(at), contact=f"+65{n:08}")
            for n in names
        ]
        payloads = [Payload(Source.META, event.key, 9, "{}", (event,)) for event in events]
        with state.transaction():
            log.store(payloads, Via.IMPORT, at)
    catch_up(state, projections(), SystemClock())
    state.checkpoint()


def size_of(state: State) -> int:
    return sum(state.value(f"SELECT COUNT(*) FROM {table}") for table in ("recipients", "events"))


def test_a_killed_prune_loses_nothing_and_continues_next_time(
    wacoex, large_broadcast, old_events, state
):
    words = ("state", "prune", "--older-than", "400", "--yes")
    before, most = state.path.stat().st_size, size_of(state)
    killed = subprocess.Popen(
        [sys.executable, "-m", "wacoex_cli", *words],
        env={**os.environ, "WACOEX_STATE": str(state.path)},
        stdout=subprocess.DEVNULL,
    )
    while size_of(state) == most:
        time.sleep(0.001)
    with state.transaction():  # it waits for its turn now, with most of its work before it
        killed.kill()
        killed.wait()
    assert 2 < size_of(state) < most
    assert wacoex("state", "check").code == 0

    pruned = wacoex(*words)

    assert (pruned.code, size_of(state), left(state)) == (0, 2, [2])
    assert state.path.stat().st_size < before / 2
    assert wacoex("state", "check").code == 0


def test_a_file_of_an_earlier_version_needs_one_vacuum(wacoex, large_broadcast, state):
    made_by_an_earlier_version(state)
    before = state.path.stat().st_size

    pruned = wacoex("state", "prune", "--older-than", 400, "--yes")

    assert state.path.stat().st_size == before
    assert "1 MB of the file are unused" in pruned.out
    assert "with `--vacuum` when nothing is being sent: nothing can write" in pruned.out
    assert "about a second for each 50 MB" in pruned.out
    wacoex("state", "prune", "--older-than", 400, "--vacuum", "--yes")
    assert state.path.stat().st_size < before / 2
    with contextlib.closing(open_state(state.path)) as compacted:
        assert compacted.gives_back()


def test_the_space_is_given_back_at_once_when_asked(wacoex, large_broadcast, state):
    before = state.path.stat().st_size

    pruned = wacoex("state", "prune", "--older-than", 400, "--vacuum", "--yes", "--json")

    assert (pruned.code, pruned.data["vacuumed"]) == (0, True)
    assert state.path.stat().st_size < before / 2
    assert wacoex("state", "check").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--before", "2020-01-01", "--older-than", "9"),
        ("--before", "soon"),
        ("--before", "2999-01-01"),
        ("--older-than", "0"),
        ("--older-than", "999999999"),
    ],
)
def test_an_age_is_needed_and_must_make_sense(wacoex, arguments):
    assert wacoex("state", "prune", *arguments, "--yes").code == 2


def exported(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_export_has_every_row_of_every_table_with_numbers_masked(wacoex, broadcast, state):
    broadcast(detail=f"sent to {PERSON} and +65 9123 4567", phone=PERSON)
    change(
        state,
        "INSERT INTO paces (pace_key, boot_id, next_slot, slot_interval, anchor_interval,"
        " refused_share, quiet_answers, changed_at, hold_until)"
        " VALUES ('+6560000001', 'b', 1, 1, 1, 0, 0, 0, 0)",
    )

    shown = wacoex("state", "export")

    lines = exported(shown.out)
    tables = {line["table"] for line in lines}
    assert {"about", "broadcasts", "channels", "paces", "recipients"} <= tables
    assert "91234567" not in shown.out
    assert "9123 4567" not in shown.out
    assert "60000001" not in shown.out
    [recipient] = [line for line in lines if line["table"] == "recipients"]
    assert recipient["phone"] == "+65****4567"
    assert recipient["message_id"] == "wamid.*CABEYEjk"
    assert recipient["detail"] == "sent to +65****4567 and +65****4567"


def test_an_export_masks_numbers_in_any_text(wacoex, broadcast, masked_texts):
    for text in masked_texts:
        broadcast(detail=text, parameters=json.dumps([text]))

    lines = exported(wacoex("state", "export").out)

    rows = [line for line in lines if line["table"] == "recipients"]
    assert [row["detail"] for row in rows] == list(masked_texts.values())
    assert [json.loads(row["parameters"]) for row in rows] == [[t] for t in masked_texts.values()]


def test_an_export_can_show_the_numbers(wacoex, broadcast):
    broadcast()

    lines = exported(wacoex("state", "export", "--show-numbers").out)

    [recipient] = [line for line in lines if line["table"] == "recipients"]
    assert recipient["phone"] == PERSON
    assert recipient["message_id"].startswith("wamid.HBgK")


def test_an_export_into_a_file_is_new_and_private(wacoex, broadcast, tmp_path):
    broadcast()
    target = tmp_path / "all.ndjson"

    written = wacoex("state", "export", "--out", target, "--json")

    assert written.data["lines"] == len(exported(target.read_text()))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert wacoex("state", "export", "--out", target).code == 2


def test_with_json_the_envelope_is_the_last_line_of_the_stream(wacoex, broadcast):
    broadcast()

    *lines, envelope = exported(wacoex("state", "export", "--json").out)

    assert all("table" in line for line in lines)
    assert envelope["command"] == ["state", "export"]
