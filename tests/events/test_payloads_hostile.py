"""Whatever is delivered is read, or refused with a reason; nothing else happens."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.platforms.events import Kind, Payload, Source, UnreadablePayload
from wacoex_cli.platforms.payloads import payload_of, read_payload, source_of

FIXTURES = {
    path.stem: json.loads(path.read_bytes())
    for path in sorted((Path(__file__).parent / "fixtures").glob("*.json"))
}
KEY = b"k" * 32
RECEIVED = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
ENVELOPE = {"object": "whatsapp_business_account"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["messages", "history", "text", "1793880000", "wamid.A", "\ud800", "9" * 99])
)
jsons = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def read(raw: bytes, source: Source = Source.META) -> Payload:
    return read_payload(source, raw, key=KEY, received_at=RECEIVED)


def is_storable(payload: Payload) -> bool:
    """Whether the state file can hold it: text without lone surrogates, whole numbers of 64 bit."""
    (payload.body + repr(payload.events)).encode()
    json.loads(payload.body)
    channels = [event.respondio_channel_id or 0 for event in payload.events]
    return all(channel < 2**63 for channel in channels) and all(
        json.dumps(dict(event.data), allow_nan=False) and event.at.endswith("Z")
        for event in payload.events
    )


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"object": "whatsapp_business_account", "entry": [{"id": "1', "cut short"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"object": NaN}', "not JSON"),
        (b'{"object": %s}' % (b"9" * 5000), "not JSON"),
        (b"[]", "no object"),
        (b'"text"', "no object"),
        (b"{}", "`object`"),
        (b'{"object": "page", "entry": []}', "`object`"),
        (b'{"object": ["whatsapp_business_account"], "entry": []}', "`object`"),
        (b'{"object": "whatsapp_business_account"}', "no list `entry`"),
        (b'{"object": "whatsapp_business_account", "entry": {}}', "no list `entry`"),
        (b'{"object": "message_history"}', "no list `data`"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"entry":' * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_a_payload_is_refused_with_a_reason(raw: bytes, why: str) -> None:
    with pytest.raises(UnreadablePayload, match=why):
        read(raw)


def test_a_payload_cut_anywhere_is_refused() -> None:
    raw = json.dumps(FIXTURES["meta_message_text"]).encode()
    for end in range(1, len(raw), 37):
        with pytest.raises(UnreadablePayload):
            read(raw[:end])


def test_a_byte_order_mark_does_no_harm() -> None:
    raw = json.dumps(FIXTURES["meta_echo_text"]).encode()
    assert read(b"\xef\xbb\xbf" + raw).events == read(raw).events


def test_a_thousand_updates_in_one_payload_are_all_read() -> None:
    change = FIXTURES["meta_status_sent"]["entry"][0]["changes"][0]
    changes = [copy.deepcopy(change) for _ in range(1000)]
    for number, one in enumerate(changes):
        one["value"]["statuses"][0]["id"] = f"wamid.{number}"
    body = {**ENVELOPE, "entry": [{"id": "1", "time": 1793880000, "changes": changes}]}
    payload = read(json.dumps(body).encode())
    assert len({event.key for event in payload.events}) == 1000


def test_three_megabytes_in_one_payload_are_read() -> None:
    message = {"id": "wamid.F", "type": "text", "text": {"body": "old " * 40}, "timestamp": "1"}
    thread = {"id": "6591234567", "messages": [message] * 13_000}
    part = {"metadata": {"phase": 0, "chunk_order": 1, "progress": 10}, "threads": [thread]}
    change = {"field": "history", "value": {"history": [part]}}
    raw = json.dumps({**ENVELOPE, "entry": [{"id": "1", "changes": [change]}]}).encode()
    payload = read(raw)
    assert payload.size == len(raw) > 3_000_000
    assert payload.events[0].data["messages"] == 13_000
    assert len(payload.body) < payload.size / 2


def test_something_unknown_that_is_nested_deep_is_kept_as_other() -> None:
    value: Any = {"id": "1"}
    for _ in range(300):
        value = {"inner": value}
    entry = {"id": "1", "changes": [{"field": "deep", "value": value}]}
    payload = read(json.dumps({**ENVELOPE, "entry": [entry]}).encode())
    assert [event.kind for event in payload.events] == [Kind.OTHER]


@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(st.text(max_size=8), jsons, max_size=4))
def test_any_object_is_read_or_refused(body: dict[str, Any]) -> None:
    for told in (body, {**ENVELOPE, "entry": [body]}, {**ENVELOPE, "entry": list(body.values())}):
        for source in Source:
            try:
                assert is_storable(payload_of(source, told, 1, key=KEY, received_at=RECEIVED))
            except UnreadablePayload:
                assert source is Source.META


@settings(max_examples=150, deadline=None)
@given(field=st.text(max_size=30), value=jsons)
def test_any_field_with_any_value_is_read(field: str, value: Any) -> None:
    for name in (field, "messages", "history", "account_update", "user_preferences"):
        entry = {"id": "1", "changes": [{"field": name, "value": value}]}
        told = {**ENVELOPE, "entry": [entry]}
        payload = payload_of(Source.META, told, 1, key=KEY, received_at=RECEIVED)
        assert len(payload.events) >= 1
        assert is_storable(payload)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON with every key or index in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys if isinstance(one[key], dict | list)]
    return found


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(FIXTURES)), data=st.data())
def test_a_payload_with_parts_missing_or_of_another_type_is_read_or_refused(
    name: str, data: st.DataObject
) -> None:
    body = copy.deepcopy(FIXTURES[name])
    source = source_of(body)
    assert source
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(body) or [({"": 0}, "")]))
        if data.draw(st.booleans()):
            container[key] = data.draw(jsons)
        else:
            del container[key]
    try:
        assert is_storable(payload_of(source, body, 1, key=KEY, received_at=RECEIVED))
    except UnreadablePayload:
        assert source is Source.META
