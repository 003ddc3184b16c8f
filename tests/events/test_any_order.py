"""Whatever the order in which payloads come in, and however often, the end is the same."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli.app import projections
from wacoex_cli.broadcast.model import attempt_id
from wacoex_cli.events import import_file
from wacoex_cli.events.import_file import Item, import_items, reader, storing
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import Row, State, open_state

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIXTURES = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "fixtures").glob("*.json"))
]
PROJECTED = ("active_contacts", "evidence", "account_events", "numbers_seen", "optouts")
PHONE, PHONE_NUMBER_ID, WABA = "6563210000", "106540352242922", "102290129340398"
STATE_ID = "abc123"
PEOPLE = [f"65910000{number:02}" for number in range(4)]
# From the edge of one month to that of the next, so that ties and months both come up.
TIMES = st.sampled_from([1793491199, 1793491200, 1793880000, 1793880000, 1796083199, 1796083200])


def webhook(field: str, **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": PHONE, "phone_number_id": PHONE_NUMBER_ID}
    change = {"field": field, "value": {"metadata": metadata, **value}}
    entry = {"id": WABA, "time": 1793880000, "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


@st.composite
def statuses(draw: st.DrawFn) -> dict[str, Any]:
    """What became of one of three messages of ours; each word of it has one time."""
    row = draw(st.integers(0, 2))
    word = draw(st.sampled_from(["sent", "delivered", "read", "failed", "played"]))
    told: dict[str, Any] = {
        "id": f"wamid.OURS{row}",
        "status": word,
        "timestamp": str(1793880000 + len(word) * 100_000 + row),
        "recipient_id": PEOPLE[row],
        "biz_opaque_callback_data": attempt_id(STATE_ID, 1, row, 1),
    }
    if word == "failed":
        told["errors"] = [{"code": (131026, 131050, 131049)[row], "title": "-"}]
    return webhook("messages", statuses=[told])


@st.composite
def echoes(draw: st.DrawFn) -> dict[str, Any]:
    at, person = draw(TIMES), draw(st.sampled_from(PEOPLE))
    told = {"from": PHONE, "to": person, "id": f"wamid.E{at}{person}", "timestamp": str(at)}
    return webhook("smb_message_echoes", message_echoes=[{**told, "type": "image"}])


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    at, person = draw(TIMES), draw(st.sampled_from(PEOPLE))
    told = {"from": person, "id": f"wamid.M{at}{person}", "timestamp": str(at), "type": "text"}
    return webhook("messages", messages=[{**told, "text": {"body": "hello"}}])


@st.composite
def preferences(draw: st.DrawFn) -> dict[str, Any]:
    told = {
        "wa_id": draw(st.sampled_from(PEOPLE)),
        "category": "marketing_messages",
        "value": draw(st.sampled_from(["stop", "resume"])),
        "timestamp": draw(TIMES),
    }
    return webhook("user_preferences", user_preferences=[told])


PAYLOADS = st.lists(
    st.one_of(st.sampled_from(FIXTURES), statuses(), echoes(), messages(), preferences()),
    min_size=1,
    max_size=12,
)


def end_of(deliveries: Sequence[Iterable[dict[str, Any]]]) -> dict[str, list[str]]:
    """Everything there is after the deliveries, each of them projected before the next comes."""
    with tempfile.TemporaryDirectory() as directory:
        state = open_state(Path(directory) / "wacoex.db")
        with contextlib.closing(state):
            plan_three_rows(state)
            for bodies in deliveries:
                items = (Item(line, 1, body) for line, body in enumerate(bodies))
                import_items(
                    items,
                    reader(b"key", NOW, store_bodies=False),
                    storing(state, NOW),
                    on_invalid=lambda line, reason: None,
                    on_batch=lambda done: None,
                )
                catch_up(state, projections(), SystemClock(), events_at_once=3)
            return everything(state)


def plan_three_rows(state: State) -> None:
    with state.transaction():
        state.execute("UPDATE about SET value = ? WHERE key = 'state_id'", [STATE_ID])
        state.execute(
            "INSERT INTO channels (channel_id, name, phone, waba_id, provider, created_at)"
            " VALUES (1, 'shop', ?, ?, 'meta', '')",
            [f"+{PHONE}", WABA],
        )
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at, recipients)"
            " VALUES (1, 1, 'completed', '{}', '{}', '', '', 20, '', 3)"
        )
        for row, found in enumerate(("ambiguous", "accepted", "accepted")):
            state.execute(
                "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state,"
                " attempts, claimed_at) VALUES (1, ?, ?, ?, '[]', ?, 1, ?)",
                [row, row, f"+{PEOPLE[row]}", found, "2026-11-01T00:00:00.000Z"],
            )


def everything(state: State) -> dict[str, list[str]]:
    tables = {table: state.rows(f"SELECT * FROM {table}") for table in PROJECTED}
    tables["events"] = state.rows("SELECT event_key, kind, at, contact, data FROM events")
    tables["recipients"] = state.rows("SELECT row, state, code, message_id FROM recipients")
    return {name: sorted(map(comparable, rows)) for name, rows in tables.items()}


def comparable(row: Row) -> str:
    # When somebody was noted is not what was noted.
    return json.dumps({name: value for name, value in row.items() if name != "added_at"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAYLOADS, st.data())
def test_any_order_and_any_number_of_deliveries_end_the_same(
    payloads: list[dict[str, Any]], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(payloads), max_size=6))
    shuffled = data.draw(st.permutations([*payloads, *again]))
    cut = data.draw(st.integers(0, len(shuffled)))

    assert end_of([shuffled[:cut], shuffled[cut:]]) == end_of([payloads])


def status(word: str, *codes: int) -> dict[str, Any]:
    told = {
        "id": "wamid.OURS1",
        "status": word,
        "timestamp": "1793880000",
        "recipient_id": PEOPLE[1],
        "biz_opaque_callback_data": attempt_id(STATE_ID, 1, 1, 1),
        "errors": [{"code": code, "title": "-"} for code in codes],
    }
    return webhook("messages", statuses=[told])


STOP = webhook(
    "user_preferences",
    user_preferences=[{"wa_id": PEOPLE[1], "value": "stop", "timestamp": 1793880000}],
)


@pytest.mark.parametrize("other", [status("delivered"), STOP], ids=["delivered", "stop"])
def test_who_refused_a_message_is_opted_out_whatever_else_came_first(other) -> None:
    refused = status("failed", 131050)

    one, another = end_of([[refused], [other]]), end_of([[other], [refused]])

    assert one == another
    assert PEOPLE[1] in str(one["optouts"])


def test_all_fixtures_backwards_twice_and_one_by_one_end_the_same() -> None:
    forwards = end_of([FIXTURES])

    assert end_of([[*reversed(FIXTURES), *FIXTURES]]) == forwards
    assert end_of([[one] for one in reversed(FIXTURES)]) == forwards
    assert len(forwards["events"]) > len(FIXTURES)


def test_batches_have_no_say_in_it(monkeypatch) -> None:
    forwards = end_of([FIXTURES])
    monkeypatch.setattr(import_file, "_PAYLOADS_AT_ONCE", 1)

    assert end_of([FIXTURES]) == forwards
