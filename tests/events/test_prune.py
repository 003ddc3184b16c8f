"""`wacoex state prune | check | export` and the log: old events go, what counts today stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.app import projections
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import Signs
from wacoex_cli.events import ledger
from wacoex_cli.events.model import Event, Kind, Payload, Source, Via
from wacoex_cli.events.projection import catch_up
from wacoex_cli.foundation.clock import SystemClock, to_text

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ADDRESS = "phone_number_id:106"


@pytest.fixture
def told(state):
    """An echo that came in some days ago, as an event in a payload of its own."""

    def call(days_ago: float, contact: str = "+6591000001", *, projected: bool = True) -> None:
        at = NOW - timedelta(days=days_ago)
        name = f"{days_ago}-{contact[-2:]}"
        echo = Event(
            f"meta:echo:wamid.{name}",
            Kind.ECHO,
            Source.META,
            to_text(at),
            phone_number_id="106",
            contact=contact,
            message_id=f"wamid.{name}",
        )
        body = json.dumps({"from": "6560000001", "to": contact[1:]})
        with state.transaction():
            ledger.store(state, [Payload(Source.META, name, 9, body, (echo,))], Via.LISTEN, at)
        if projected:
            catch_up(state, projections(), SystemClock())

    return call


@pytest.fixture
def wacoex(run, state):
    def call(*arguments: object, **more: Any):
        with freeze_time(NOW):
            env = {"WACOEX_STATE": str(state.path)}
            return run("state", *map(str, arguments), env=env, **more)

    return call


def test_old_events_go_and_newer_ones_stay(wacoex, told, state):
    for days in (400, 200, 10):
        told(days)

    tried = wacoex("prune", "--older-than", 100, "--dry-run", "--json")
    before = len(list(ledger.find_events(state)))
    pruned = wacoex("prune", "--older-than", 100, "--yes", "--json")

    removed = {"payloads": 2, "events": 2, "active_contacts": 2}
    assert tried.data["removed_events"] == pruned.data["removed_events"] == removed
    assert before == 3
    assert [one.event_id for one in ledger.find_events(state)] == [3]
    assert state.value("SELECT COUNT(*) FROM payloads") == 1
    assert state.value("SELECT COUNT(*) FROM active_contacts") == 1
    assert wacoex("check").code == 0


def test_when_the_app_was_opened_is_not_forgotten(wacoex, told, state):
    for days in (400, 399.9, 399.8, 300, 5):
        told(days)

    wacoex("prune", "--older-than", 1, "--yes")

    newest = Signs(state).newest([ADDRESS], EvidenceKind.ECHO, until=to_text(NOW))
    assert newest is not None
    assert newest.at == to_text(NOW - timedelta(days=5))
    assert state.value("SELECT COUNT(*) FROM evidence") == 3


def test_what_nobody_has_read_yet_stays(wacoex, told, state):
    told(400)
    told(399, projected=False)
    told(398, projected=False)

    pruned = wacoex("prune", "--older-than", 100, "--yes", "--json")

    assert pruned.data["removed_events"]["events"] == 1
    assert catch_up(state, projections(), SystemClock()) > 0


def test_the_newest_event_stays_so_that_readers_see_the_next_one(wacoex, told, state):
    told(400)
    told(399)

    wacoex("prune", "--older-than", 100, "--yes")
    told(1)

    assert [one.event_id for one in ledger.find_events(state)] == [3, 2]
    assert state.value("SELECT COUNT(*) FROM evidence") == 3
    assert wacoex("check").code == 0


def test_a_person_is_asked_before_events_go(wacoex, told, state):
    told(400)
    told(1)

    declined = wacoex("prune", "--older-than", 100, stdin="n\n", tty=True)

    assert declined.code == 1
    assert "remove 1 events in 1 payloads and 1 active contacts of old months for good?" in (
        declined.err
    )
    assert len(list(ledger.find_events(state))) == 2


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("DELETE FROM payloads", "1 events belong to no payload"),
        ("UPDATE cursors SET event_id = 9 WHERE consumer = 'mac'", "`mac` has read events up to 9"),
    ],
)
def test_a_log_that_lost_something_is_told(wacoex, told, state, harm, words):
    told(1)
    with state.transaction():
        state.execute(harm)

    checked = wacoex("check", "--json")

    assert checked.code == 8
    [problem] = checked.data["problems"]
    assert words in problem["problem"]
    assert problem["remedy"]


def test_an_export_gives_no_number_and_no_body_away(wacoex, told):
    told(1)

    shared, whole = wacoex("export").out, wacoex("export", "--show-numbers").out

    assert {"events", "payloads", "evidence", "active_contacts", "cursors"} <= {
        json.loads(line)["table"] for line in shared.splitlines()
    }
    assert "91000001" not in shared
    assert "60000001" not in shared
    assert "6591000001" in whole
    assert "6560000001" in whole
