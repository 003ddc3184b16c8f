"""Meta's webhooks become events. The payloads lie in `fixtures/`, named for what they tell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.platforms.events import Event, Kind, Source, text_hash
from wacoex_cli.platforms.payloads import payload_of, read_payload

FIXTURES = Path(__file__).parent / "fixtures"
KEY = b"k" * 32
RECEIVED = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)

WABA, PHONE_NUMBER_ID, PHONE, ANA = (
    "102290129340398",
    "106540352242922",
    "+6563210000",
    "+6591234567",
)


def fixture_events(name: str) -> tuple[Event, ...]:
    raw = (FIXTURES / f"meta_{name}.json").read_bytes()
    return read_payload(Source.META, raw, key=KEY, received_at=RECEIVED).events


def only(name: str) -> Event:
    (event,) = fixture_events(name)
    return event


def change(field: str, value: Any, **entry: Any) -> dict[str, Any]:
    answer = {"id": WABA, "time": 1793880060, "changes": [{"field": field, "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [{**answer, **entry}]}


def events_of(body: dict[str, Any]) -> tuple[Event, ...]:
    return payload_of(Source.META, body, 1, key=KEY, received_at=RECEIVED).events


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("message_text", Kind.MESSAGE, {"direction": "in", "type": "text"}),
        ("message_reply", Kind.MESSAGE, {"direction": "in", "type": "text"}),
        (
            "message_from_ad",
            Kind.MESSAGE,
            {"direction": "in", "type": "text", "has_referral": True, "from_ad": True},
        ),
        ("message_image", Kind.MESSAGE, {"direction": "in", "type": "image"}),
        ("message_unknown_type", Kind.MESSAGE, {"direction": "in", "type": "hologram"}),
        (
            "unsupported_131060",
            Kind.UNSUPPORTED,
            {
                "code": 131060,
                "unsupported_type": "media_placeholder",
                "has_referral": True,
                "from_ad": True,
            },
        ),
        (
            "unsupported_131051",
            Kind.UNSUPPORTED,
            {"code": 131051, "unsupported_type": "poll_creation"},
        ),
        ("unsupported_older", Kind.UNSUPPORTED, {"code": 131051}),
        (
            "edit",
            Kind.EDIT,
            {"original_message_id": "wamid.HBgKNjU5MTIzNDU2NxUCABIYAA01==", "type": "text"},
        ),
        (
            "revoke",
            Kind.REVOKE,
            {"original_message_id": "wamid.HBgKNjU5MTIzNDU2NxUCABIYAA02=="},
        ),
        (
            "status_sent",
            Kind.STATUS,
            {
                "status": "sent",
                "attempt_id": "wacoex-0a1b2c3d4e5f-7-42-1",
                "pricing": {"billable": True, "category": "marketing", "type": "regular"},
            },
        ),
        (
            "status_failed",
            Kind.STATUS,
            {"status": "failed", "attempt_id": "wacoex-0a1b2c3d4e5f-7-42-1", "code": 131049},
        ),
        (
            "status_played",
            Kind.STATUS,
            {"status": "played", "attempt_id": "wacoex-0a1b2c3d4e5f-7-42-1"},
        ),
        ("status_new_value", Kind.STATUS, {"status": "half_delivered"}),
        (
            "echo_text",
            Kind.ECHO,
            {"type": "text", "text_hash": text_hash("Tea time", KEY)},
        ),
        ("echo_long_text", Kind.ECHO, {"type": "text"}),
        ("echo_image", Kind.ECHO, {"type": "image"}),
        (
            "echo_edit",
            Kind.ECHO,
            {"type": "edit", "original_message_id": "wamid.HBgKNjU5MTIzNDU2NxUCABEYEC01=="},
        ),
        (
            "echo_revoke",
            Kind.ECHO,
            {"type": "revoke", "original_message_id": "wamid.HBgKNjU5MTIzNDU2NxUCABEYEC01=="},
        ),
        (
            "history_chunk_2_of_3",
            Kind.HISTORY,
            {"phase": 1, "chunk_order": 2, "progress": 55, "threads": 2, "messages": 6},
        ),
        ("history_declined", Kind.HISTORY, {"threads": 0, "messages": 0, "code": 2593109}),
        ("history_media", Kind.HISTORY, {"threads": 0, "messages": 2, "type": "media"}),
        (
            "account_partner_removed",
            Kind.ACCOUNT_UPDATE,
            {
                "event": "PARTNER_REMOVED",
                "reason": "PRIMARY_INACTIVITY",
                "initiated_by": "SYSTEM",
                "entry_id": WABA,
            },
        ),
        (
            "account_partner_added",
            Kind.ACCOUNT_UPDATE,
            {
                "event": "PARTNER_ADDED",
                "entry_id": "4802117373364598",
                "owner_business_id": "2329417887457253",
                "solution_id": "303610109049230",
                "solution_partner_business_ids": ["506914307656634", "520744086200222"],
            },
        ),
        (
            "account_partner_app_installed",
            Kind.ACCOUNT_UPDATE,
            {
                "event": "PARTNER_APP_INSTALLED",
                "entry_id": "4802117373364598",
                "owner_business_id": "2329417887457253",
                "partner_app_id": "670843887433847",
            },
        ),
        (
            "account_offboarded",
            Kind.ACCOUNT_UPDATE,
            {"event": "ACCOUNT_OFFBOARDED", "entry_id": WABA},
        ),
        (
            "account_reconnected",
            Kind.ACCOUNT_UPDATE,
            {"event": "ACCOUNT_RECONNECTED", "entry_id": WABA},
        ),
        (
            "account_restriction",
            Kind.ACCOUNT_UPDATE,
            {
                "event": "ACCOUNT_RESTRICTION",
                "entry_id": WABA,
                "restriction_info": [
                    {
                        "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING",
                        "expiration": 1793966400,
                    },
                    {
                        "restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION",
                        "expiration": "2026-11-19T13:59:20+0000",
                    },
                ],
            },
        ),
        (
            "account_ban",
            Kind.ACCOUNT_UPDATE,
            {
                "event": "DISABLED_UPDATE",
                "entry_id": WABA,
                "ban_info": {
                    "waba_ban_state": "SCHEDULE_FOR_DISABLE",
                    "waba_ban_date": "November 17, 2026",
                },
            },
        ),
        (
            "account_violation",
            Kind.ACCOUNT_UPDATE,
            {"event": "ACCOUNT_VIOLATION", "entry_id": WABA, "violation_type": "SCAM"},
        ),
        (
            "account_new_event",
            Kind.ACCOUNT_UPDATE,
            {"event": "MOON_PHASE_UPDATE", "entry_id": WABA, "look": True},
        ),
        (
            "template_paused",
            Kind.TEMPLATE_STATUS,
            {
                "event": "PAUSED",
                "template_id": "1689556908129832",
                "template_name": "autumn_offer",
                "template_language": "en_US",
                "title": "FIRST_PAUSE",
            },
        ),
        (
            "template_rejected",
            Kind.TEMPLATE_STATUS,
            {
                "event": "REJECTED",
                "template_id": "1689556908129835",
                "template_name": "order_confirmation",
                "template_language": "en-US",
                "reason": "INVALID_FORMAT",
            },
        ),
        (
            "template_disabled",
            Kind.TEMPLATE_STATUS,
            {
                "event": "DISABLED",
                "template_id": "1689556908129833",
                "template_name": "autumn_offer",
                "template_language": "de",
            },
        ),
        (
            "template_category",
            Kind.TEMPLATE_CATEGORY,
            {
                "template_id": "1689556908129832",
                "template_name": "autumn_offer",
                "template_language": "en_US",
                "old": "UTILITY",
                "new": "MARKETING",
                "look": True,
            },
        ),
        (
            "template_category_coming",
            Kind.TEMPLATE_CATEGORY,
            {
                "template_id": "1689556908129832",
                "template_name": "autumn_offer",
                "template_language": "en_US",
                "new": "UTILITY",
                "category": "MARKETING",
                "look": True,
            },
        ),
        (
            "template_edited",
            Kind.TEMPLATE_TEXT,
            {
                "template_id": "1689556908129832",
                "template_name": "autumn_offer",
                "template_language": "en_US",
            },
        ),
        (
            "quality",
            Kind.QUALITY,
            {"event": "ONBOARDING", "limit": "TIER_2K", "old_limit": "TIER_NOT_SET"},
        ),
        (
            "capability",
            Kind.CAPABILITY,
            {"max_daily_conversations_per_business": 2000, "max_phone_numbers_per_business": 2},
        ),
        (
            "capability_older",
            Kind.CAPABILITY,
            {
                "max_daily_conversation_per_phone": -1,
                "max_phone_numbers_per_waba": 25,
                "max_daily_conversations_per_business": "TIER_10K",
            },
        ),
        (
            "alert",
            Kind.ALERT,
            {
                "severity": "INFORMATIONAL",
                "status": "NONE",
                "type": "OBA_REJECTED",
                "entity_type": "PHONE_NUMBER",
                "entity_id": PHONE_NUMBER_ID,
            },
        ),
        (
            "alert_flat",
            Kind.ALERT,
            {
                "severity": "CRITICAL",
                "status": "ACTIVE",
                "type": "INCREASED_CAPABILITIES_ELIGIBILITY_FAILED",
                "entity_type": "BUSINESS",
                "entity_id": "2329417887457253",
            },
        ),
        (
            "user_preference_stop",
            Kind.USER_PREFERENCE,
            {"category": "marketing_messages", "value": "stop"},
        ),
        (
            "user_preference_resume",
            Kind.USER_PREFERENCE,
            {"category": "marketing_messages", "value": "resume"},
        ),
        (
            "unknown_field",
            Kind.OTHER,
            {
                "field": "coffee_machine_update",
                "type": "REFILLED",
                "keys": [
                    *("beans_id", "contents", "cups", "display_phone_number", "event", "id"),
                    *("machine_id", "messaging_product", "metadata", "note", "owner"),
                    *("phone_number_id", "taste"),
                ],
            },
        ),
        (
            "security",
            Kind.OTHER,
            {
                "field": "security",
                "type": "PIN_CHANGED",
                "keys": ["display_phone_number", "event", "requester"],
            },
        ),
        (
            "phone_number_name",
            Kind.OTHER,
            {
                "field": "phone_number_name_update",
                "decision": "APPROVED",
                "keys": [
                    *("decision", "display_phone_number", "rejection_reason"),
                    "requested_verified_name",
                ],
            },
        ),
        (
            "template_quality",
            Kind.QUALITY,
            {
                "old": "GREEN",
                "new": "YELLOW",
                "template_id": "1689556908129832",
                "template_name": "autumn_offer",
                "template_language": "en_US",
            },
        ),
        ("standby_message", Kind.STANDBY, {"direction": "in", "type": "text"}),
        ("standby_echo", Kind.STANDBY, {"direction": "out", "type": "text"}),
        ("standby_status", Kind.STANDBY, {"status": "delivered"}),
        (
            "handover_passed",
            Kind.HANDOVER,
            {"type": "control_passed", "old": "meta_business_agent", "new": "escalation"},
        ),
        (
            "handover_taken",
            Kind.HANDOVER,
            {"type": "control_taken", "old": "primary", "new": "escalation"},
        ),
        (
            "system_message",
            Kind.OTHER,
            {
                "field": "messages",
                "type": "system",
                "event": "user_changed_number",
                "new_phone": "+6598765432",
                "previous_user_id": "SG.13491208655302741918",
            },
        ),
        (
            "system_error",
            Kind.OTHER,
            {"field": "messages", "type": "system_error", "code": 130429},
        ),
    ],
)
def test_each_kind_keeps_what_is_needed_of_it(
    name: str, kind: Kind, data: dict[str, object]
) -> None:
    event = only(name)
    kept = {key: value for key, value in event.data.items() if key != "user_id"}
    assert (event.kind, kept) == (kind, data)


@pytest.mark.parametrize(
    ("name", "number", "user_id"),
    [
        ("message_text", "+6591234567", "SG.13491208655302741918"),
        ("edit", "+6591234567", "SG.13491208655302741918"),
        ("message_without_phone_number", "user_id:SG.13491208655302741918", None),
    ],
)
def test_the_id_beside_a_number_is_kept(name: str, number: str, user_id: str | None) -> None:
    event = only(name)
    assert (event.contact, event.data.get("user_id")) == (number, user_id)


def test_there_is_a_payload_of_every_kind() -> None:
    raws = [path.read_bytes() for path in FIXTURES.glob("meta_*.json")]
    payloads = [read_payload(Source.META, raw, key=KEY, received_at=RECEIVED) for raw in raws]
    assert {event.kind for payload in payloads for event in payload.events} == set(Kind)


@pytest.mark.parametrize(
    "name", ["standby_message", "standby_echo", "standby_status", "handover_passed"]
)
def test_a_standby_message_names_number_and_person_too(name: str) -> None:
    event = only(name)
    assert (event.phone_number_id, event.phone, event.contact) == (PHONE_NUMBER_ID, PHONE, ANA)
    assert event.at > "2026-11-05T12:00"
    assert "undated" not in event.data


@pytest.mark.parametrize("value", [{}, {"standby": []}, {"standby": {"messages": "?"}}])
def test_a_standby_webhook_of_another_shape_is_kept_under_its_field(value: Any) -> None:
    [event] = events_of(change("standby", value))
    assert (event.kind, event.data["field"]) == (Kind.OTHER, "standby")


def test_a_message_names_number_account_person_and_its_own_time() -> None:
    event = only("message_text")
    assert (event.phone_number_id, event.phone, event.waba_id) == (PHONE_NUMBER_ID, PHONE, WABA)
    assert (event.contact, event.at) == (ANA, "2026-11-05T12:00:00.000Z")
    assert event.message_id == "wamid.HBgKNjU5MTIzNDU2NxUCABIYAA01=="
    assert event.key == f"meta:message:{event.message_id}"


def test_an_echo_is_about_the_person_it_went_to() -> None:
    event = only("echo_image")
    assert (event.contact, event.phone, event.at) == (ANA, PHONE, "2026-11-05T12:00:20.000Z")


@pytest.mark.parametrize(
    ("name", "contact"),
    [
        ("message_without_phone_number", "user_id:SG.13491208655302741918"),
        ("message_contact_without_ids", "user_id:SG.777"),
        ("status_without_phone_number", "user_id:SG.777"),
        ("echo_without_phone_number", "user_id:SG.777"),
        ("contact_sync_without_phone_number", "user_id:SG.888"),
        ("user_preference_without_phone_number", "user_id:SG.777"),
    ],
)
def test_a_person_without_a_number_is_known_by_the_user_id(name: str, contact: str) -> None:
    assert only(name).contact == contact


def test_an_echo_names_our_number_when_the_metadata_does_not() -> None:
    assert only("echo_without_phone_number").phone == PHONE


def test_a_status_is_keyed_by_message_and_status() -> None:
    keys = {only(f"status_{status}").key for status in ("sent", "delivered", "read", "failed")}
    message_id = only("status_sent").message_id
    assert f"meta:status:{message_id}:read" in keys
    assert len(keys) == 4


def test_an_attempt_id_of_somebody_else_with_words_in_it_is_not_kept() -> None:
    data = only("status_without_phone_number").data
    assert (data["status"], "attempt_id" in data) == ("delivered", False)


def test_the_account_is_taken_from_waba_info_and_never_from_a_portfolio() -> None:
    event = only("account_partner_removed_with_waba_info")
    assert (event.waba_id, event.phone) == (WABA, None)
    assert event.data["entry_id"] == "4802117373364598"
    assert event.data["reason"] == "USER_RE_REGISTERED"


def test_without_waba_info_the_event_names_the_number_and_the_entry() -> None:
    event = only("account_partner_removed")
    assert (event.waba_id, event.phone, event.data["entry_id"]) == (None, PHONE, WABA)


def test_a_removal_may_come_without_a_reason() -> None:
    event = only("account_partner_removed_without_reason")
    assert (event.waba_id, event.phone) == (WABA, PHONE)
    assert not {"reason", "initiated_by"} & set(event.data)


def test_an_alert_about_a_number_belongs_to_that_number() -> None:
    assert only("alert").phone_number_id == PHONE_NUMBER_ID
    assert only("alert_flat").phone_number_id is None


def test_each_entry_of_the_phone_book_is_an_event() -> None:
    added, removed = fixture_events("contact_sync")
    assert (added.data, added.contact) == ({"action": "add"}, ANA)
    assert (removed.data, removed.contact) == ({"action": "remove"}, "+6581234567")
    assert added.key != removed.key


def test_shuffled_chunks_of_history_are_an_event_each() -> None:
    orders = [event.data["chunk_order"] for event in fixture_events("history_shuffled_in_one")]
    assert orders == [6, 4, 5]


def test_many_entries_and_changes_are_all_read() -> None:
    answer = fixture_events("several_entries")
    kinds = [event.kind for event in answer]
    assert kinds == [
        Kind.MESSAGE,
        Kind.MESSAGE,
        Kind.STATUS,
        Kind.ACCOUNT_UPDATE,
        Kind.ECHO,
    ]
    assert [event.contact for event in answer] == [ANA, "+6581234567", ANA, None, "+6581234567"]
    assert answer[-1].phone == "+6563210001"


def test_an_answer_of_the_message_history_becomes_statuses() -> None:
    delivered, sent = fixture_events("message_history")
    assert delivered.key == f"meta-history:status:{delivered.message_id}:delivered"
    assert (delivered.at, delivered.data) == ("2026-11-05T12:00:05.000Z", {"status": "delivered"})
    assert (sent.at, sent.data) == ("2026-11-05T12:00:03.000Z", {"status": "sent"})


@pytest.mark.parametrize(
    "time",
    [
        1793880000,
        "1793880000",
        1793880000000,
        "1793880000000",
        1793880000000000,
        1793880000.0,
        "2026-11-05T12:00:00Z",
        "2026-11-05T20:00:00+0800",
        "2026-11-05T12:00:00",
    ],
)
def test_times_are_read_in_any_unit(time: object) -> None:
    status = {"id": "wamid.X", "status": "read", "timestamp": time}
    (event,) = events_of(change("messages", {"statuses": [status]}))
    assert event.at == "2026-11-05T12:00:00.000Z"


@pytest.mark.parametrize("time", [None, "soon", -5, 0, True, 10**400, [], "9" * 30, "0001-01-01"])
def test_without_a_time_of_its_own_an_event_has_that_of_its_entry(time: object) -> None:
    status = {"id": "wamid.X", "status": "read", "timestamp": time}
    (event,) = events_of(change("messages", {"statuses": [status]}))
    assert event.at == "2026-11-05T12:01:00.000Z"


def test_without_any_time_an_event_is_from_when_it_was_received() -> None:
    (event,) = events_of(change("account_update", {"event": "ACCOUNT_OFFBOARDED"}, time="soon"))
    assert event.at == "2026-11-07T12:00:00.000Z"
    assert event.data["undated"] is True


def test_the_same_account_event_at_another_time_is_another_event() -> None:
    answer = {"event": "ACCOUNT_OFFBOARDED"}
    (first,) = events_of(change("account_update", answer))
    (again,) = events_of(change("account_update", dict(answer)))
    (later,) = events_of(change("account_update", answer, time=1793880061))
    assert first.key == again.key != later.key


def test_a_known_field_with_unknown_content_counts_as_other() -> None:
    bodies = [change("messages", {}), change("account_update", []), change("history", {"x": 1})]
    answer = [events_of(body) for body in bodies]
    assert [event.kind for events in answer for event in events] == [Kind.OTHER] * 3
