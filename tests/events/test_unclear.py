"""About access or money, an event that cannot be read or judged is always a finding."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.app import projections
from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.facts import stored_facts
from wacoex_cli.channels.model import Details
from wacoex_cli.channels.store import Channels
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.events.unclear import check_understood, unclear_events
from wacoex_cli.events.unplaced import Places, check_placed, unplaced_events
from wacoex_cli.events.wrapping import read_delivery
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import State
from wacoex_cli.onboarding.sync import progress_of
from wacoex_cli.partners.checks import check_account
from wacoex_cli.platforms.events import Kind, Source, Via

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WABA, NUMBER_ID, PHONE = "104000000000001", "106000000000001", "+6560000001"
PORTFOLIO = "272900000000001"
AT = int((NOW - timedelta(hours=2)).timestamp())
NUMBER = {"display_phone_number": PHONE[1:], "phone_number_id": NUMBER_ID}
TEMPLATE = {
    "message_template_id": 40,
    "message_template_name": "renewal",
    "message_template_language": "en",
}


def webhook(field: Any, value: Any, entry_id: Any = WABA, hours: float = 0) -> dict[str, Any]:
    change = {"field": field, "value": value}
    entry = {"id": entry_id, "time": AT + int(3600 * hours), "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def removed(**more: Any) -> dict[str, Any]:
    info = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}
    return {"event": "PARTNER_REMOVED", "disconnection_info": info, **more}


def ban(state: Any) -> dict[str, Any]:
    info = {"waba_ban_state": state, "waba_ban_date": "April 17, 2027"}
    return {"event": "DISABLED_UPDATE", "ban_info": info}


RESTRICTION = {
    "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING",
    "expiration": AT + 86_400,
}
ALERT = {
    "alert_severity": "CRITICAL",
    "alert_status": "ACTIVE",
    "alert_type": "PAYMENT_METHOD_LOST",
}
DECLINED = {"errors": [{"code": 2593109, "title": "History sharing is turned off"}]}
PAYLOADS: dict[str, dict[str, Any]] = {
    "removed by number": webhook("account_update", removed(phone_number=PHONE[1:])),
    "removed by account": webhook(
        "account_update",
        removed(waba_info={"waba_id": WABA, "owner_business_id": PORTFOLIO}),
        PORTFOLIO,
    ),
    "offboarded": webhook("account_update", {"event": "ACCOUNT_OFFBOARDED"}),
    "offboarded in a field of its own": webhook("account_offboarded", {"event": "?"}),
    "disabled": webhook("account_update", ban("DISABLE")),
    "disabled soon": webhook("account_update", ban("SCHEDULE_FOR_DISABLE")),
    "restricted": webhook(
        "account_update", {"event": "ACCOUNT_RESTRICTION", "restriction_info": [RESTRICTION]}
    ),
    "violation": webhook(
        "account_update",
        {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}},
    ),
    "app uninstalled": webhook(
        "account_update", {"event": "PARTNER_APP_UNINSTALLED", "partner_app_id": "77"}
    ),
    "template": webhook("message_template_status_update", {"event": "DISABLED", **TEMPLATE}),
    "category": webhook(
        "template_category_update",
        {**TEMPLATE, "previous_category": "UTILITY", "new_category": "MARKETING"},
    ),
    "review": webhook("account_review_update", {"decision": "REJECTED"}),
    "display name": webhook(
        "phone_number_name_update",
        {"display_phone_number": PHONE[1:], "decision": "REJECTED", "rejection_reason": "NAME"},
    ),
    "compromised": webhook(
        "business_status_update", {"business_id": "9", "event": "COMPROMISED_NOTIFICATION"}
    ),
    "PIN reset": webhook(
        "security", {"display_phone_number": PHONE[1:], "event": "PIN_RESET_REQUEST"}
    ),
    "flow blocked": webhook(
        "flows",
        {
            "event": "FLOW_STATUS_CHANGE",
            "flow_id": "5",
            "old_status": "PUBLISHED",
            "new_status": "BLOCKED",
        },
    ),
    "payment": webhook(
        "payment_configuration_update", {"configuration_name": "upi", "status": "Needs_Testing"}
    ),
    "flagged": webhook(
        "phone_number_quality_update",
        {"display_phone_number": PHONE[1:], "event": "FLAGGED", "current_limit": "TIER_250"},
    ),
    "alert": webhook("account_alerts", {"entity_type": "BUSINESS", "alert_info": ALERT}),
    "alert, flat": webhook("account_alerts", {"entity_type": "BUSINESS", **ALERT}),
    "history declined": webhook("history", {"metadata": NUMBER, "history": [DECLINED]}),
    "history declined in the value": webhook("history", {"metadata": NUMBER, **DECLINED}),
}


@pytest.fixture
def shop(state: State) -> State:
    with state.transaction():
        Channels(state).insert("shop", Details(PHONE, NUMBER_ID, WABA), NOW)
    return state


def take(state: State, body: Any) -> None:
    payloads = read_delivery(
        Source.META, json.dumps(body).encode(), key=b"k", received_at=NOW - timedelta(hours=1)
    )
    with state.transaction():
        EventLog(state).store(payloads, Via.LISTEN, NOW)
    catch_up(state, projections(), SystemClock())


def found_in(state: State) -> list[Finding]:
    """Everything that the events alone say."""
    [channel] = Channels(state).all_channels()
    facts = stored_facts(state, [channel], NOW)[channel.channel_id]
    templates = list(EventLog(state).find(kinds=[Kind.TEMPLATE_STATUS]))
    places = Places(state)
    unclear = unclear_events(state, places, NOW)
    return [
        *check_connection(facts.connection, "shop", NOW),
        *check_account(facts.account_events, templates, {}, "shop", NOW, ""),
        *check_understood(unclear.get("shop", ()), "shop"),
        *check_understood(unclear.get(None, ()), None),
        *check_placed(unplaced_events(state, places, NOW)),
    ]


def ids(state: State) -> set[str]:
    [channel] = Channels(state).all_channels()
    declined = progress_of(state, channel, NOW - timedelta(days=2)).declined_at
    return {found.id for found in found_in(state)} | ({"declined"} if declined else set())


def forget(state: State) -> None:
    tables = ("events", "payloads", "cursors", "account_events", "numbers_seen", "evidence")
    with state.transaction():
        for table in (*tables, "unplaced_events", "unclear_events"):
            state.execute(f"DELETE FROM {table}")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for name, part in parts:
        yield (*path, name)
        yield from places(part, (*path, name))


def mutations(value: Any) -> Iterator[tuple[str, Any]]:
    yield from [
        ("in a list", [value]),
        ("in an object", {"value": value}),
        ("a list", []),
        ("two of them", [value, value]),
        ("an object", {}),
        ("a number", 7),
        ("a word", "SOMETHING_OF_TOMORROW"),
        ("a sentence", "It is so, for now."),
        ("null", None),
    ]
    if isinstance(value, str):
        yield from [("small letters", value.lower()), ("spaces", f" {value} ")]


def changed(body: Any, path: tuple[Any, ...], value: Any, *, missing: bool = False) -> Any:
    whole = copy.deepcopy(body)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    if missing:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


@pytest.mark.parametrize("name", PAYLOADS)
def test_any_spelling_of_a_part_gives_the_same_finding_or_one_that_asks_to_look(
    shop: State, name: str
) -> None:
    body = PAYLOADS[name]
    take(shop, body)
    expected = ids(shop)
    assert expected

    for path in places(body):
        value: Any = body
        for part in path:
            value = value[part]
        cases = [(what, changed(body, path, other)) for what, other in mutations(value)]
        for what, mutated in [*cases, ("missing", changed(body, path, None, missing=True))]:
            if what == "a word" and path[-1] in ("object", "field"):
                continue  # then it is about something else
            forget(shop)
            take(shop, mutated)
            found = ids(shop)
            assert expected <= found or found & {"WX212", "WX213"}, (path, what, found)


@pytest.mark.parametrize(
    "body",
    [
        webhook("history", {"metadata": NUMBER, "history": [DECLINED]}),
        webhook("history", {"metadata": NUMBER, "history": DECLINED}),
        webhook("history", {"metadata": NUMBER, **DECLINED}),
        webhook("history", {"metadata": NUMBER, "errors": {"code": "2593109"}}),
        webhook(
            "history", {"metadata": NUMBER, "errors": [{"code": 100, "error_subcode": 2593109}]}
        ),
        webhook("messages", {"metadata": NUMBER, **DECLINED}),
        webhook("messages", {"metadata": NUMBER, "messages": [{"id": "wamid.1", **DECLINED}]}),
        webhook(
            "messages",
            {"metadata": NUMBER, "statuses": [{"id": "wamid.2", "status": "failed", **DECLINED}]},
        ),
        webhook("smb_app_state_sync", {"metadata": NUMBER, **DECLINED}),
        {
            **webhook("history", {"metadata": NUMBER, "history": [{"metadata": {"phase": 0}}]}),
            **DECLINED,
        },
    ],
)
def test_a_declined_history_is_understood_in_each_place(shop: State, body: dict[str, Any]) -> None:
    [channel] = Channels(shop).all_channels()

    take(shop, body)
    take(shop, body)

    assert progress_of(shop, channel, NOW - timedelta(days=1)).declined_at
    declined = [
        event
        for event in EventLog(shop).find(kinds=[Kind.HISTORY])
        if event.data.get("code") == 2593109
    ]
    assert len(declined) == 1


@pytest.mark.parametrize("written", [["DISABLE"], "disable", {"state": "DISABLE"}, " DISABLE "])
def test_a_ban_is_critical_in_any_spelling(shop: State, written: Any) -> None:
    take(shop, webhook("account_update", ban(written)))

    [found] = found_in(shop)
    assert (found.id, found.severity) == ("WX209", Severity.CRITICAL)
    assert found.title == "Meta has disabled the account"


@pytest.mark.parametrize("written", [7, ["DISABLE", "REINSTATE"], {}, None, "It is disabled."])
def test_a_ban_that_cannot_be_read_is_always_a_finding(shop: State, written: Any) -> None:
    take(shop, webhook("account_update", ban(written)))

    found = {finding.id: finding for finding in found_in(shop)}
    assert found["WX209"].severity is Severity.UNKNOWN
    if written:
        assert found["WX213"].title == "not understood: look at account_update DISABLED_UPDATE"
        assert "ban_info.waba_ban_state could not be read" in found["WX213"].evidence[0].text


def test_an_unclear_event_is_named_with_field_word_part_time_and_channel(shop: State) -> None:
    take(shop, webhook("account_update", removed(phone_number={"digits": PHONE[1:]})))

    found = {finding.id: finding for finding in found_in(shop)}
    answer = found["WX213"]
    assert (answer.severity, answer.channel) == (Severity.UNKNOWN, "shop")
    assert answer.evidence[0].text == (
        "account_update PARTNER_REMOVED: phone_number could not be read"
    )
    assert answer.evidence[0].observed_at == "2026-11-28T10:00:00.000Z"


def test_newer_news_of_the_same_thing_that_is_understood_ends_it(shop: State) -> None:
    name = {"display_phone_number": PHONE[1:]}
    take(shop, webhook("phone_number_name_update", {**name, "decision": "REJECTED"}))
    take(shop, webhook("account_update", {"event": "ACCOUNT_MOON_PHASE"}))
    assert [found.id for found in found_in(shop)] == ["WX213"]
    assert len(found_in(shop)[0].evidence) == 2

    take(shop, webhook("phone_number_name_update", {**name, "decision": "APPROVED"}, hours=1))
    take(shop, webhook("account_update", {"event": "PARTNER_ADDED"}, hours=1))

    assert found_in(shop) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account_review_update", {"decision": "APPROVED"}),
        ("security", {"display_phone_number": PHONE[1:], "event": "PIN_CHANGED"}),
        ("flows", {"event": "FLOW_STATUS_CHANGE", "flow_id": "5", "new_status": "PUBLISHED"}),
        ("business_capability_update", {"max_daily_conversations_per_business": 2000}),
        ("account_alerts", {"alert_info": {**ALERT, "alert_type": "OBA_REJECTED"}}),
        ("message_template_status_update", {"event": "APPROVED", **TEMPLATE}),
        ("account_update", {"event": "MM_LITE_TERMS_SIGNED"}),
        ("calls", {"metadata": NUMBER, "calls": [{"id": "wacid.1", "event": "connect"}]}),
    ],
)
def test_good_news_causes_no_finding(shop: State, field: str, value: dict[str, Any]) -> None:
    take(shop, webhook(field, value))

    assert found_in(shop) == []


def test_an_unknown_field_with_a_word_of_loss_is_a_finding(
    shop: State,
) -> None:
    take(shop, webhook("access_update", {"event": "ACCESS_REVOKED"}))

    [found] = found_in(shop)
    assert (found.id, found.severity) == ("WX213", Severity.WARNING)
    assert found.title == "wacoex has no rule for it: look at access_update ACCESS_REVOKED"


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        ({"previous_category": "UTILITY", "new_category": "MARKETING"}, "UTILITY MARKETING"),
        ({"new_category": "UTILITY", "correct_category": "MARKETING"}, "UTILITY MARKETING"),
        ({"new_category": ["marketing"], "previous_category": "UTILITY"}, "UTILITY MARKETING"),
    ],
)
def test_a_template_with_a_new_category_is_a_finding(
    shop: State, categories: dict[str, Any], said: str
) -> None:
    take(shop, webhook("template_category_update", {**TEMPLATE, **categories}))

    [found] = found_in(shop)
    assert (found.id, found.severity) == ("WX213", Severity.WARNING)
    assert found.title.endswith(f"look at template_category_update renewal {said}")


def test_a_delivery_that_could_not_be_read_is_a_finding(shop: State) -> None:
    take(shop, {"object": "whatsapp_business_account", "entry": "?"})

    assert "WX213" in ids(shop)


@pytest.mark.parametrize("broken", [7, "?", [], None])
def test_a_part_that_is_not_an_object_is_a_finding(shop: State, broken: Any) -> None:
    body = webhook("account_update", {"event": "MM_LITE_TERMS_SIGNED"})
    take(shop, {**body, "entry": [*body["entry"], broken]})

    [found] = found_in(shop)
    assert (found.id, found.severity) == ("WX213", Severity.UNKNOWN)
    assert "entry could not be read" in found.evidence[0].text


def test_an_unclear_event_causes_no_finding_after_thirty_days(shop: State) -> None:
    take(shop, webhook("account_update", {"event": "ACCOUNT_MOON_PHASE"}))

    assert unclear_events(shop, Places(shop), NOW + timedelta(days=29))
    assert unclear_events(shop, Places(shop), NOW + timedelta(days=31)) == {}


@pytest.mark.parametrize("value", ["blocked", "STOP_ALL", 7, None])
def test_a_preference_that_is_neither_stop_nor_resume_is_a_finding(shop: State, value: Any) -> None:
    preference = {"wa_id": "6591234567", "category": "marketing_messages", "value": value}
    stop = {"wa_id": "6591234568", "category": "marketing_messages", "value": "STOP"}
    for said in (preference, stop):
        take(shop, webhook("user_preferences", {"metadata": NUMBER, "user_preferences": [said]}))

    [found] = found_in(shop)
    assert (found.id, found.severity) == ("WX213", Severity.WARNING)
    assert found.title.startswith("wacoex has no rule for it: look at user_preferences")
