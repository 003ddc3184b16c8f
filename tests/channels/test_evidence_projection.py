"""What events leave behind about channels, in whatever order they come."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.channels.store import CHANNELS, AccountEvents, project
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Event, Kind, Source

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
TABLES = ("evidence", "account_events", "numbers_seen")


def event(kind: Kind, number: int = 1, **more: object) -> Event:
    told: dict[str, object] = {
        "key": f"meta:{kind}:{number}",
        "source": Source.META,
        "at": f"2026-11-07T12:00:{number:02}.000Z",
        "phone_number_id": "1001",
        "phone": "+6560000001",
        "waba_id": "2002",
    }
    return Event(kind=kind, **{**told, **more})  # type: ignore[arg-type]


REMOVED = event(
    Kind.ACCOUNT_UPDATE,
    phone_number_id=None,
    data={
        "event": "PARTNER_REMOVED",
        "reason": "PRIMARY_INACTIVITY",
        "initiated_by": "SYSTEM",
        "entry_id": "2002",
        "solution_id": "55",
    },
)
EVENTS = [
    event(Kind.ECHO),
    event(Kind.ECHO, 2, phone_number_id=None),
    event(Kind.ECHO, 3, source=Source.RESPONDIO, phone_number_id=None, phone=None,
          respondio_channel_id=7),
    event(Kind.CONTACT_SYNC, 4),
    event(Kind.MESSAGE, 5, phone_number_id="1009"),
    event(Kind.STATUS, 6),
    REMOVED,
]  # fmt: skip


def take(state: State, *events: Event) -> None:
    with state.transaction():
        project(state, events, NOW)


def content(state: State) -> dict[str, list[str]]:
    return {
        table: sorted(str(row) for row in state.rows(f"SELECT * FROM {table}")) for table in TABLES
    }


def test_echoes_and_phonebook_changes_are_evidence_and_nothing_else_is(state: State) -> None:
    take(state, *EVENTS)

    assert state.rows("SELECT address, kind, at, source, said_by FROM evidence ORDER BY at") == [
        {
            "address": address,
            "kind": kind,
            "at": f"2026-11-07T12:00:{second:02}.000Z",
            "source": source,
            "said_by": "",
        }
        for second, address, kind, source in [
            (1, "phone_number_id:1001", "echo", "meta"),
            (2, "phone:+6560000001", "echo", "meta"),
            (3, "respondio_channel_id:7", "echo", "respondio"),
            (4, "phone_number_id:1001", "phonebook", "meta"),
        ]
    ]


def test_an_echo_that_names_no_number_of_ours_is_no_evidence(state: State) -> None:
    take(state, event(Kind.ECHO, phone_number_id=None, phone=None))

    assert state.value("SELECT COUNT(*) FROM evidence") == 0


def test_an_echo_that_tells_no_time_is_no_evidence(state: State) -> None:
    take(state, event(Kind.ECHO, data={"undated": True}))

    assert content(state)["evidence"] == []


def test_an_account_event_is_kept_with_reason_and_initiator(state: State) -> None:
    take(state, REMOVED)

    assert AccountEvents(state).all_account_events() == [
        AccountEvent(
            event_key="meta:account_update:1",
            event="PARTNER_REMOVED",
            at="2026-11-07T12:00:01.000Z",
            waba_id="2002",
            phone="+6560000001",
            entry_id="2002",
            reason="PRIMARY_INACTIVITY",
            initiated_by="SYSTEM",
            data='{"solution_id": "55"}',
        )
    ]


def test_an_account_event_without_anything_known_is_kept_too(state: State) -> None:
    take(state, event(Kind.ACCOUNT_UPDATE, waba_id=None, phone=None, data={}))

    [kept] = AccountEvents(state).all_account_events()
    assert (kept.event, kept.reason) == ("", None)


def test_every_event_tells_which_id_meta_uses_for_a_number(state: State) -> None:
    take(state, *EVENTS)

    seen = state.rows("SELECT phone_number_id, phone FROM numbers_seen ORDER BY phone_number_id")
    assert [tuple(row.values()) for row in seen] == [
        ("1001", "+6560000001"),
        ("1009", "+6560000001"),
    ]


def test_the_kinds_are_kinds_of_events() -> None:
    assert CHANNELS.kinds >= {Kind.ECHO, Kind.CONTACT_SYNC, Kind.ACCOUNT_UPDATE}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    state = open_state(tmp_path_factory.mktemp("once") / "wacoex.db")
    take(state, *EVENTS)
    found = content(state)
    state.close()
    return found


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), pieces=st.integers(1, 4))
def test_order_repetition_and_pieces_come_to_the_same(
    state: State, expected: dict[str, list[str]], seed: int, pieces: int
) -> None:
    chance = random.Random(seed)
    order = EVENTS + chance.choices(EVENTS, k=5)
    chance.shuffle(order)
    with state.transaction():
        for table in TABLES:
            state.execute(f"DELETE FROM {table}")

    for start in range(pieces):
        take(state, *order[start::pieces])

    assert content(state) == expected
