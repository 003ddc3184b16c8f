"""Payloads of Meta and respond.io: read or refused whatever comes, and kept without content."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.platforms.events import Kind, Payload, Source, UnreadablePayload, text_hash
from wacoex_cli.platforms.payloads import payload_of, read_payload, source_of
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.webhooks import META_KINDS, RESPONDIO_KINDS, emit
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID

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
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"entry":' * 100_000, "nested too deep"),
    ],
)
def test_a_text_that_is_not_a_payload_is_refused_with_a_reason(raw: bytes, why: str) -> None:
    with pytest.raises(UnreadablePayload, match=why):
        read(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"object": %s}' % (b"9" * 5000), "`object`"),
        (b"{}", "`object`"),
        (b'{"object": "page", "entry": []}', "`object`"),
        (b'{"object": ["whatsapp_business_account"], "entry": []}', "`object`"),
        (b'{"object": "whatsapp_business_account"}', "no list `entry`"),
        (b'{"object": "whatsapp_business_account", "entry": {}}', "nothing in it"),
        (b'{"object": "whatsapp_business_account", "entry": "?"}', "no list `entry`"),
        (b'{"object": "whatsapp_business_account", "entry": []}', "nothing in it"),
        (b'{"object": "whatsapp_business_account", "entry": [1, {"changes": 5}]}', "nothing in it"),
        (b'{"object": "message_history"}', "no list `data`"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
    ],
)
def test_an_unread_object_is_kept_as_other(raw: bytes, why: str) -> None:
    for store_bodies in (False, True):
        payload = read_payload(
            Source.META, raw, key=KEY, received_at=RECEIVED, store_bodies=store_bodies
        )
        assert [event.kind for event in payload.events] == [Kind.OTHER]
        assert why in (payload.unread or "")
        assert payload.size == len(raw)
        assert is_storable(payload)


def test_an_unread_object_keeps_its_ids_times_codes_and_key_names() -> None:
    answer = {
        "object": "page",
        "time": 1793880000,
        "code": 131026,
        "field": "feed",
        "said": f"{MARKER} is lovely",
        "entry": [{"id": "77", "messaging": [{"mid": "m", "text": MARKER}], "a key": MARKER}],
    }
    payload = read(json.dumps(answer).encode())
    (event,) = payload.events

    assert event.at == "2026-11-05T12:00:00.000Z"
    assert event.data == {
        "field": "feed",
        "code": 131026,
        "keys": [
            *("code", "entry", "field", "id", "messaging", "mid", "object", "said", "text", "time")
        ],
    }
    assert json.loads(payload.body)["entry"] == [{"id": "77"}]
    assert MARKER not in kept_of(payload)
    with_content = payload_of(
        Source.META, answer, 1, key=KEY, received_at=RECEIVED, store_bodies=True
    )
    assert json.loads(with_content.body) == answer
    assert with_content.events == payload.events


def test_two_unread_objects_are_two_events_and_the_same_object_is_one() -> None:
    first, again, other = (read(raw) for raw in (b'{"a": "x"}', b'{ "a":"x" }', b'{"a": "y"}'))
    assert first.digest == again.digest != other.digest
    assert first.events[0].key == again.events[0].key != other.events[0].key
    guess = hashlib.sha256(b'{"a":"x"}').hexdigest()
    assert guess not in kept_of(first) + first.digest


def test_a_delivery_whose_object_was_dropped_on_the_way_is_read() -> None:
    for path in FILES:
        body = json.loads(path.read_bytes())
        if body.get("object") == "whatsapp_business_account":
            without = {name: part for name, part in body.items() if name != "object"}
            assert source_of(without) is Source.META
            assert read_any(without).events == read_any(body).events


@pytest.mark.parametrize(
    "reported", [{}, None, {"event": 5}, {"phone_number": "6591234567", "x": 1}]
)
@pytest.mark.parametrize("field", ["account_offboarded", "account_reconnected"])
def test_offboarding_and_return_in_fields_of_their_own_are_account_events(
    field: str, reported: Any
) -> None:
    entry = {"id": WABA_ID, "time": 1793880000, "changes": [{"field": field, "value": reported}]}
    (event,) = read_any({**ENVELOPE, "entry": [entry]}).events

    assert event.kind is Kind.ACCOUNT_UPDATE
    assert (event.data["event"], event.data["entry_id"]) == (field.upper(), WABA_ID)


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
    for number, entry in enumerate(changes):
        entry["value"]["statuses"][0]["id"] = f"wamid.{number}"
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
def test_any_object_is_read(body: dict[str, Any]) -> None:
    for entry in (body, {**ENVELOPE, "entry": [body]}, {**ENVELOPE, "entry": list(body.values())}):
        for source in Source:
            payload = payload_of(source, entry, 1, key=KEY, received_at=RECEIVED)
            assert is_storable(payload)
            assert payload.events


@settings(max_examples=150, deadline=None)
@given(field=st.text(max_size=30), value=jsons)
def test_any_field_with_any_value_is_read(field: str, value: Any) -> None:
    for name in (field, "messages", "history", "account_update", "user_preferences"):
        entry = {"id": "1", "changes": [{"field": name, "value": value}]}
        answer = {**ENVELOPE, "entry": [entry]}
        payload = payload_of(Source.META, answer, 1, key=KEY, received_at=RECEIVED)
        assert len(payload.events) >= 1
        assert is_storable(payload)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON with every key or index in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        first = waiting.pop()
        keys = list(first) if isinstance(first, dict) else range(len(first))
        found += [(first, key) for key in keys]
        waiting += [first[key] for key in keys if isinstance(first[key], dict | list)]
    return found


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(FIXTURES)), data=st.data())
def test_a_payload_with_parts_missing_or_of_another_type_is_read(
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
    assert is_storable(payload_of(source, body, 1, key=KEY, received_at=RECEIVED))


FILES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))
MARKER = "zanzibar"

CONTENT = """
    body text caption name first_name last_name full_name formatted_name firstName lastName
    email emoji address company username title description details message headline source_url
    image_url url link href payload detail alert_description filename fileName profilePic summary
    requested_verified_name note taste owner scene sha256 mime_type mimeType ctwa_clid tags
    recommendation remediation requester webhook_uri error_description currency
    product_retailer_id
"""
CONTENT_NAMES = frozenset(CONTENT.split())


def changed(value: Any, name: str, change: Callable[[str, Any], Any]) -> Any:
    """The same JSON with each value that is not a container changed by its name."""
    if isinstance(value, dict):
        return {key: changed(part, key, change) for key, part in value.items()}
    if isinstance(value, list):
        return [changed(part, name, change) for part in value]
    return change(name, value)


def marked(name: str, value: Any) -> Any:
    return MARKER if name in CONTENT_NAMES and isinstance(value, str) else value


def read_any(body: dict[str, Any], *, store_bodies: bool = False) -> Payload:
    source = source_of(body)
    assert source
    return payload_of(source, body, 1, key=KEY, received_at=RECEIVED, store_bodies=store_bodies)


def kept_of(payload: Payload) -> str:
    return (payload.body + repr(payload.events)).lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_content_is_kept_from_any_place(path: Path) -> None:
    body = changed(json.loads(path.read_bytes()), "", marked)
    assert MARKER not in kept_of(read_any(body))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_sentence_is_kept_from_any_place(path: Path) -> None:
    def with_a_sentence(name: str, value: Any) -> Any:
        return f"{MARKER} and its harbour" if isinstance(value, str) else value

    body = json.loads(path.read_bytes())
    body = {**changed(body, "", with_a_sentence), "object": body.get("object")}
    if body["object"] is None:
        body["event_type"] = "message.sent"
    assert MARKER not in kept_of(read_any(body))


sentences = st.text(min_size=1, max_size=20).map(lambda text: f"{MARKER} {text}")
values_of_words = st.recursive(
    sentences | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "code", "time", "ids", "status", "text", "a b", "field"])
            | st.text(max_size=6)
            | sentences,
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(
    body=st.dictionaries(
        st.sampled_from(["object", "field", "id", "x"]) | sentences, values_of_words
    ),
    field=st.sampled_from(["messages", "history", "account_offboarded", "new", "security"]),
)
def test_no_sentence_of_any_object_is_kept(body: dict[str, Any], field: str) -> None:
    change = {"field": field, "value": body}
    for entry in (
        body,
        {**ENVELOPE, "entry": [{"id": "1", "changes": [change]}]},
        {"entry": [body]},
    ):
        for source in Source:
            payload = payload_of(source, entry, 1, key=KEY, received_at=RECEIVED)
            assert MARKER not in kept_of(payload)


def test_places_and_other_people_that_were_sent_are_not_kept() -> None:
    (path,) = (path for path in FILES if path.stem == "meta_message_location_and_contacts")
    kept = kept_of(read_any(json.loads(path.read_bytes())))
    assert not [entry for entry in ("1.3048", "103.8318", "81234567", "7.5") if entry in kept]


def test_the_marker_is_put_where_the_content_is() -> None:
    marks = [
        json.dumps(changed(json.loads(path.read_bytes()), "", marked)).count(MARKER)
        for path in FILES
    ]
    assert sum(marks) > 200


def test_content_in_a_field_or_message_of_tomorrow_is_not_kept() -> None:
    value = {
        "id": "77",
        "poem": MARKER,
        "verses": [{"line": MARKER, "line_id": "1", "type": "rhyme"}],
        "status": f"{MARKER} is lovely",
    }
    entry = {"id": "1", "changes": [{"field": "poems", "value": value}]}
    payload = read_any({"object": "whatsapp_business_account", "entry": [entry]})
    kept = json.loads(payload.body)["entry"][0]["changes"][0]["value"]
    assert kept == {"id": "77", "verses": [{"line_id": "1", "type": "rhyme"}]}


def test_a_short_text_of_an_echo_is_kept_as_a_keyed_hash_only() -> None:
    assert text_hash("  Straße 5 ", KEY) == text_hash("STRASSE 5", KEY)
    assert text_hash("word", KEY) != text_hash("word", b"another key")
    assert len(text_hash("word", KEY)) == 64


@pytest.mark.parametrize(("length", "is_hashed"), [(0, False), (1, True), (40, True), (41, False)])
def test_texts_of_up_to_40_characters_are_hashed(length: int, is_hashed: bool) -> None:
    echo = {"id": "wamid.E", "type": "text", "text": {"body": f"  {'x' * length} \n"}}
    change = {"field": "smb_message_echoes", "value": {"message_echoes": [echo]}}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    (event,) = read_any(body).events
    assert ("text_hash" in event.data) is is_hashed


def test_a_text_of_a_contact_is_not_even_hashed() -> None:
    for name in ("meta_message_text", "respondio_message_received"):
        (path,) = (path for path in FILES if path.stem == name)
        assert "hash" not in kept_of(read_any(json.loads(path.read_bytes())))


def test_content_is_kept_when_that_is_asked_for_and_the_digest_stays_the_same() -> None:
    (path,) = (path for path in FILES if path.stem == "meta_message_text")
    body = json.loads(path.read_bytes())
    with_content, without = read_any(body, store_bodies=True), read_any(body)
    assert json.loads(with_content.body) == body
    assert with_content.digest == without.digest
    assert with_content.events == without.events


def test_the_digest_does_not_depend_on_the_layout_of_the_json() -> None:
    for path in FILES:
        body = json.loads(path.read_bytes())
        turned = dict(reversed(list(body.items())))
        assert read_any(body).digest == read_any(turned).digest


def test_two_payloads_that_differ_have_two_digests() -> None:
    digests = {read_any(json.loads(path.read_bytes())).digest for path in FILES}
    assert len(digests) == len(FILES)


SINCE_THEN = (
    *("meta_standby_", "meta_handover_", "meta_system_message"),
    *("meta_template_category", "meta_template_edited"),
)
"""Kinds that 0.1.0 kept without knowing them."""
SAYS_STOP = ("meta_message_location_and_contacts",)
"""Something in it says "no more messages", which 0.1.0 did not keep."""


def test_a_payload_from_before_the_update_is_known_when_it_is_delivered_again() -> None:
    """What is stored of a payload, the keys and the data of its events are those of 0.1.0."""
    lines = []
    for path in FILES:
        if path.stem.startswith((*SINCE_THEN, *SAYS_STOP)):
            continue
        payload = read_any(json.loads(path.read_bytes()))
        # What names the person twice, the keys of what is unknown, and what a person has to look
        # at came later; no key is made of them.
        later = ("keys", "user_id", "decision", "unclear", "look")
        events = [
            [
                *(event.key, event.at, event.contact),
                {name: v for name, v in event.data.items() if name not in later},
            ]
            for event in payload.events
        ]
        lines.append(json.dumps([path.stem, payload.digest, payload.body, events], sort_keys=True))
    whole = "\n".join(lines).encode()
    assert hashlib.sha256(whole).hexdigest() == (
        "0f0c576610eb4b99e60f49e081da695e89b92ca82859c303e93b9ff2ae31e275"
    )


def test_the_source_is_kept_with_the_payload() -> None:
    payload = read_any({"event_type": "contact.created"})
    assert (payload.source, payload.size) == (Source.RESPONDIO, 1)


SANDBOX_NOW = datetime.fromtimestamp(1_790_000_000, UTC)


def events_of(kind: str, **values: Any) -> list[Any]:
    world = default_world(now=SANDBOX_NOW.timestamp)
    payloads = emit(world, kind, **values).payloads
    found: list[Any] = []
    for body in payloads:
        source = source_of(json.loads(json.dumps(body)))
        assert source is not None
        assert source == values.get("source", "meta")
        found += payload_of(source, body, 0, key=b"key", received_at=SANDBOX_NOW).events
    return found


@pytest.mark.parametrize("kind", META_KINDS)
def test_meta_kinds(kind: str) -> None:
    events = events_of(kind, days_ago=1)

    assert events
    expected = Kind.QUALITY if kind == "template_quality" else Kind(kind)
    assert {event.kind for event in events} == {expected}


@pytest.mark.parametrize("kind", RESPONDIO_KINDS)
def test_respond_io_kinds(kind: str) -> None:
    events = events_of(kind, source="respondio")

    expected = Kind.MESSAGE if kind == "outgoing" else Kind(kind)
    assert expected in {event.kind for event in events}
    assert {event.source for event in events} == {Source.RESPONDIO}


def test_an_echo_comes_with_its_number_and_its_time() -> None:
    [event] = events_of("echo", days_ago=1)

    assert (event.phone_number_id, event.phone) == (PHONE_NUMBER_ID, PHONE)
    assert event.at == "2026-09-20T14:13:20.000Z"


def test_a_removal_comes_with_reason_and_initiator() -> None:
    values = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM", "shape": "reference"}
    [event] = events_of("account_update", **values)

    assert event.waba_id == WABA_ID
    assert event.data["reason"] == "PRIMARY_INACTIVITY"
    assert event.data["initiated_by"] == "SYSTEM"
