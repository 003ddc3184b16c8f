"""Who holds the WABA, which ids have drifted, and what Meta holds against the account."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.channels.facts import AppsSeen, Connection, ConnectionState, WorkspaceList
from wacoex_cli.channels.model import AccountEvent, Channel, FormerId
from wacoex_cli.errors import TemporaryError
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.checks import (
    check_account,
    check_currency,
    check_drift,
    check_override,
    check_partner,
    check_routing,
)
from wacoex_cli.partners.rule import Drift, DriftKind, Expected, Routed, at_meta
from wacoex_cli.platforms.answers import App, ListedNumber, User
from wacoex_cli.platforms.events import Event, EventData, Kind, Source, reported
from wacoex_cli.platforms.respondio import WorkspaceChannel

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SEEN_AT = to_text(NOW)
PARTNER, OWN = App("2", "respond.io WA BSP"), App("1", "our tool")
RIVAL = App("9", "Rival CRM")
HELD = Connection(ConnectionState.CONNECTED, to_text(NOW - timedelta(days=3)))
AGAIN = "connect the number again"


def seen(*apps: App) -> AppsSeen:
    return AppsSeen(SEEN_AT, apps)


def lost(age: timedelta, state: ConnectionState = ConnectionState.REMOVED) -> Connection:
    return Connection(state, to_text(NOW - age))


def partner_findings(
    shown: AppsSeen, connection: Connection = HELD, partner: Expected | None = None
) -> list[Finding]:
    return check_partner(partner or Expected(), shown, connection, "shop", NOW)


def test_the_partner_is_found_by_name_or_by_id() -> None:
    assert partner_findings(seen(OWN, PARTNER)) == []
    assert partner_findings(seen(RIVAL), partner=Expected("9")) == []
    assert partner_findings(seen(App(None, "Respond.IO staging"))) == []


def test_a_missing_partner_is_critical_and_the_way_back_leads_through_whatsapp_manager() -> None:
    [found] = partner_findings(seen(OWN, RIVAL))

    assert (found.id, found.severity) == ("WX202", Severity.CRITICAL)
    assert "Rival CRM (9)" in found.evidence[0].text
    assert "WhatsApp Manager" in found.remedy[0]
    assert AGAIN in found.remedy[1]


def test_an_app_that_looks_like_the_partner_is_offered_as_the_likely_one() -> None:
    [found] = partner_findings(seen(PARTNER), partner=Expected("7"))

    assert "channel edit shop --partner-app-id 2" in found.remedy[0]


@pytest.mark.parametrize(
    ("connection", "first"),
    [
        (lost(timedelta(minutes=10)), "wait until 2026-11-07T12:50:00.000Z"),
        (lost(timedelta(hours=5)), "first do what WX203 says"),
        (
            lost(timedelta(minutes=10), ConnectionState.RECONNECTING),
            "wait until 2026-11-07T12:50:00.000Z",
        ),
        (lost(timedelta(hours=5), ConnectionState.RECONNECTING), "first do what WX204 says"),
    ],
)
def test_the_remedy_is_to_wait_while_the_partner_may_come_back(
    connection: Connection, first: str
) -> None:
    [found] = partner_findings(seen(OWN), connection)

    assert found.remedy[0].startswith(first)
    assert AGAIN not in " ".join(found.remedy)


def test_right_after_connecting_it_is_information() -> None:
    [found] = partner_findings(seen(OWN), Connection(ConnectionState.SETTLING, SEEN_AT))

    assert found.severity is Severity.INFO
    assert AGAIN not in " ".join(found.remedy)


def test_an_answer_that_did_not_come_is_unknown_and_no_access_is_nothing() -> None:
    error = TemporaryError("Meta gives no answer", hint="check the network")

    [found] = partner_findings(AppsSeen(SEEN_AT, why=error.message, error=error))

    assert (found.id, found.severity) == ("WX202", Severity.UNKNOWN)
    assert found.remedy[0] == "check the network"
    assert partner_findings(AppsSeen(SEEN_AT, why="there is no token")) == []


def test_the_channel_decides_which_partner_is_expected() -> None:
    at_respondio = Channel("+6560000001", respondio_channel_id=7)

    assert rule.expected(Channel("+6560000001")).label == "respond.io"
    assert rule.expected(Channel("+6560000001", partner_app_id="5"), "1").label == "5"
    assert rule.expected(Channel("+6560000001"), "1").label == "1"
    assert rule.expected(at_respondio, "1").label == "respond.io"


def test_everything_that_hints_at_a_holder_is_evidence() -> None:
    shown = AppsSeen(
        SEEN_AT, (PARTNER, OWN), tuple(User(f"user {n}", ("MANAGE",)) for n in range(7))
    )
    values = {
        "token.app_id": "1",
        "waba.owner_business_info": {"id": "30", "name": "Bakery"},
        "waba.on_behalf_of_business_info": {"name": "respond.io", "status": "APPROVED"},
        "waba.is_shared_with_partners": True,
    }

    texts = [entry.text for entry in rule.evidence(Expected(), shown, values, SEEN_AT)]

    assert texts[:3] == [
        "respond.io WA BSP (2), the expected partner, gets the webhooks",
        "our tool (1), your own app, gets the webhooks",
        "assigned to user 0, tasks MANAGE",
    ]
    assert texts[-4:] == [
        "assigned to 2 more users",
        "the account belongs to Bakery (30)",
        "on_behalf_of_business_info names respond.io, APPROVED",
        "is_shared_with_partners is true",
    ]


def overrides(
    *apps: App, webhooks: Any = None, public_url: str | None = "https://hooks.shop.example/in"
) -> list[Finding]:
    values = {"webhook_configuration": webhooks} if webhooks is not None else {}
    return check_override(
        Expected(),
        seen(*apps),
        values,
        "shop",
        SEEN_AT,
        own_app_id="1",
        public_url=public_url,
    )


@pytest.mark.parametrize(
    ("app", "severity"),
    [
        (App("1", "our tool", "https://other.example/hook"), Severity.WARNING),
        (App("2", "respond.io WA BSP", "https://other.example/hook"), Severity.WARNING),
        (App("9", "Rival CRM", "https://rival.example/hook"), Severity.INFO),
        (App("1", "our tool", "not an address"), Severity.WARNING),
    ],
)
def test_an_override_that_leads_elsewhere_is_a_finding(app: App, severity: Severity) -> None:
    [found] = overrides(app)

    assert (found.id, found.severity) == ("WX205", severity)
    assert app.name is not None
    assert app.name in found.evidence[0].text
    assert "/hook" not in found.evidence[0].text


@pytest.mark.parametrize(
    "app",
    [
        PARTNER,
        App("2", "respond.io WA BSP", "https://webhooks.respond.io/whatsapp"),
        App("1", "our tool", "https://hooks.shop.example/other"),
    ],
)
def test_an_override_that_leads_home_causes_no_finding(app: App) -> None:
    assert overrides(app) == []


def test_an_address_that_only_looks_like_the_partner_is_elsewhere() -> None:
    fake = App("2", "respond.io WA BSP", "https://respond.io.evil.example/")

    assert [override.id for override in overrides(fake)] == ["WX205"]


def test_the_callback_of_the_number_overrides_that_of_the_account() -> None:
    webhooks = {
        "application": "https://app.bsp.example/a",
        "whatsapp_business_account": "https://account.example/a",
        "phone_number": "https://number.example/a",
    }

    [found] = overrides(PARTNER, webhooks=webhooks)

    assert [entry.text for entry in found.evidence] == [
        "messages, echoes, contact sync and history of the number go to number.example,"
        " by an override of the number"
    ]
    same_host = webhooks | {"phone_number": "https://app.bsp.example/b"}
    assert overrides(PARTNER, webhooks=same_host) == []


@pytest.mark.parametrize("webhooks", [{}, [], "text", {"phone_number": None}, {"phone_number": 7}])
def test_a_configuration_of_another_form_is_not_an_override(webhooks: Any) -> None:
    assert overrides(PARTNER, webhooks=webhooks) == []


def handover(days: float, old: str | None = None, new: str | None = None) -> Event:
    at = to_text(NOW - timedelta(days=days))
    data = reported(old=old, new=new)
    return Event(f"meta:handover:{at}", Kind.HANDOVER, Source.META, at, data=data)


def test_no_sign_of_another_responder_causes_no_finding() -> None:
    assert check_routing(Routed(), Expected(), "shop") == []


@pytest.mark.parametrize(
    ("country", "currency", "day", "severity"),
    [
        ("IN", "USD", "2026-11-28", Severity.WARNING),
        ("IN", "USD", "2026-10-30", Severity.INFO),
        ("IN", "USD", "2027-02-01", Severity.WARNING),
        ("BR", "USD", "2026-11-28", Severity.INFO),
        ("BR", "EUR", "2027-06-01", Severity.WARNING),
        ("IN", "INR", "2027-02-01", None),
        ("SG", "USD", "2027-02-01", None),
        ("IN", None, "2027-02-01", None),
        (None, "USD", "2027-02-01", None),
    ],
)
def test_the_currency_of_an_account_has_a_deadline_in_two_countries(
    country: str | None, currency: str | None, day: str, severity: Severity | None
) -> None:
    values = {"waba.country": country, "waba.currency": currency}
    now = datetime.fromisoformat(f"{day}T12:00:00+00:00")

    found = check_currency(values, Expected(), "shop", now, SEEN_AT)

    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_messages_that_another_responder_gets_are_a_warning() -> None:
    [found] = check_routing(Routed(38, SEEN_AT), Expected(), "shop")

    assert (found.id, found.severity) == ("WX211", Severity.WARNING)
    assert found.title == "another responder gets these messages"
    assert found.evidence[0].text == (
        "messages of contacts for another responder in 7 days: 38 (standby)"
    )
    assert "is respond.io the primary one" in found.remedy[0]
    assert not any("Business Agent had" in step for step in found.remedy)


def test_a_handover_alone_is_information_and_names_the_last_roles() -> None:
    routed = Routed(
        handovers=(
            handover(3, old="primary", new="escalation"),
            handover(1, old="meta_business_agent", new="escalation"),
        )
    )

    [found] = check_routing(routed, Expected("9"), "shop")

    assert (found.id, found.severity) == ("WX211", Severity.INFO)
    assert "changed their responder in 7 days: 2," in found.evidence[0].text
    assert "the last from meta_business_agent to escalation" in found.evidence[0].text
    assert any("Business Agent had" in step for step in found.remedy)
    [unnamed] = check_routing(Routed(handovers=(handover(1),)), Expected(), "shop")
    assert "the last without roles" in unnamed.evidence[0].text


AT = to_text(datetime(2026, 11, 7, 12, 0, tzinfo=UTC))
SHOP = Channel(
    "+6560000001",
    phone_number_id="106",
    waba_id="104",
    respondio_channel_id=7,
    name="shop",
    former_ids=(FormerId("respondio_channel_id", "5", AT),),
)
CONNECTED = Connection(ConnectionState.CONNECTED, AT)
WEBCHAT = WorkspaceChannel(8, "Website", "webchat")


def whatsapp(number: int) -> WorkspaceChannel:
    return WorkspaceChannel(number, "Bakery", "whatsapp_business")


def at_respondio(*channels: WorkspaceChannel, others: tuple[int, ...] = ()) -> list[Drift]:
    return rule.at_respondio(SHOP, WorkspaceList(AT, channels), others)


def found_for(drifts: list[Drift], connection: Connection = CONNECTED) -> Any:
    [found] = check_drift(None, drifts, connection, "shop")
    return found


def test_a_channel_that_is_there_is_no_finding() -> None:
    assert at_respondio(whatsapp(7), WEBCHAT) == []
    assert at_respondio(WorkspaceChannel(7, "Bakery", "")) == []
    assert check_drift(WorkspaceList(AT, (whatsapp(7),)), [], CONNECTED, "shop") == []


def test_a_channel_that_is_gone_is_critical() -> None:
    drifts = at_respondio(WEBCHAT, whatsapp(12), others=(12,))

    found = found_for(drifts)

    assert [drift.kind for drift in drifts] == [DriftKind.GONE]
    assert (found.id, found.severity) == ("WX207", Severity.CRITICAL)
    assert "auth status" in found.remedy[0]


@pytest.mark.parametrize(("number", "which"), [(9, "no channel of wacoex"), (5, "an earlier id")])
def test_the_only_possible_channel_is_offered(number: int, which: str) -> None:
    drifts = at_respondio(whatsapp(number), WEBCHAT)

    found = found_for(drifts)

    assert found.severity is Severity.WARNING
    assert which in found.evidence[0].text
    assert f"channel edit shop --respondio-channel-id {number}`" in found.remedy[0]


def test_of_several_channels_none_is_guessed() -> None:
    [first] = at_respondio(whatsapp(9), whatsapp(10))

    assert (first.kind, first.use) == (DriftKind.GONE, None)


def test_a_channel_of_another_kind_does_not_match() -> None:
    drifts = rule.at_respondio(SHOP, WorkspaceList(AT, (WorkspaceChannel(7, "Site", "webchat"),)))

    assert found_for(drifts).severity is Severity.WARNING


def test_an_earlier_channel_that_still_exists_is_shown_but_no_finding() -> None:
    drifts = at_respondio(whatsapp(7), whatsapp(5))

    assert [drift.kind for drift in drifts] == [DriftKind.FORMER]
    assert check_drift(None, drifts, CONNECTED, "shop") == []


def test_no_usable_list_is_unknown() -> None:
    error = TemporaryError("respond.io gives no answer")

    [found] = check_drift(WorkspaceList(AT, None, error.message, error), [], CONNECTED, "shop")

    assert (found.id, found.severity) == ("WX207", Severity.UNKNOWN)
    assert check_drift(None, [], CONNECTED, "shop") == []


def test_while_whatsapp_may_bring_it_back_the_ids_can_wait() -> None:
    reconnecting = Connection(ConnectionState.RECONNECTING, AT)

    found = found_for(at_respondio(), reconnecting)

    assert found.remedy == ("first do what WX204 says",)


def test_a_number_under_another_id_is_found_in_its_account() -> None:
    numbers = [ListedNumber("107", "+65 6000 0001")]

    [first] = at_meta(SHOP, {}, numbers, AT)

    assert (first.kind, first.name, first.use) == (DriftKind.ANOTHER, "phone_number_id", "107")
    assert "--phone-number-id 107`" in found_for([first]).remedy[0]


def test_a_number_that_its_account_does_not_list_is_gone() -> None:
    [first] = at_meta(SHOP, {}, [ListedNumber("108", "+1 555")], AT)

    assert found_for([first]).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("shown", "kinds"),
    [("+65 6000 0001", []), (None, []), ("6560000001", []), ("+65 6000 0077", ["another"])],
)
def test_the_number_behind_an_id_is_compared(shown: str | None, kinds: list[str]) -> None:
    found = at_meta(SHOP, {"display_phone_number": shown}, None, AT)

    assert [entry.kind.value for entry in found] == kinds
    assert all(found_for([entry]).severity is Severity.WARNING for entry in found)


BROADCASTS = "RESTRICTED_BIZ_INITIATED_MESSAGING"


def answered(event: str, *, days_ago: float = 1, **data: Any) -> AccountEvent:
    at = to_text(NOW - timedelta(days=days_ago))
    return AccountEvent(f"{event} {at} {data}", event, at, waba_id="104", data=json.dumps(data))


def restriction(name: str, days: float | None, **more: Any) -> AccountEvent:
    ends = {} if days is None else {"expiration": int((NOW + timedelta(days=days)).timestamp())}
    info = {"restriction_type": name, **ends}
    return answered("ACCOUNT_RESTRICTION", restriction_info=[info], **more)


def ban(state: str, **more: Any) -> AccountEvent:
    info = {"waba_ban_state": state, "waba_ban_date": "April 17, 2027"}
    return answered("DISABLED_UPDATE", ban_info=info, **more)


def template(event: str, *, days_ago: float = 1, reason: str | None = None) -> Event:
    data: EventData = {
        "event": event,
        "template_id": "40",
        "template_name": "promo",
        "template_language": "en",
        "reason": reason,
    }
    at = to_text(NOW - timedelta(days=days_ago))
    return Event(f"{event} {at}", Kind.TEMPLATE_STATUS, Source.META, at, waba_id="104", data=data)


def check(
    *events: AccountEvent, templates: tuple[Event, ...] = (), values: dict[str, Any] | None = None
) -> list[Finding]:
    return check_account(events, templates, values or {}, "shop", NOW, to_text(NOW))


def severity(*events: AccountEvent, **more: Any) -> Severity | None:
    found = check(*events, **more)
    assert all(entry.id == "WX209" for entry in found)
    return found[0].severity if found else None


def test_a_restriction_says_what_it_stops_and_until_when() -> None:
    [found] = check(restriction(BROADCASTS, 3), values={"status": "CONNECTED"})

    assert found.severity is Severity.CRITICAL
    assert "no broadcasts" in found.title
    assert "until 2026-11-10T12:00:00.000Z" in found.title
    assert found.remedy[0].startswith("send no broadcasts")
    assert found.evidence[-1].text == "status of the number is CONNECTED"


@pytest.mark.parametrize(
    ("name", "days", "expected"),
    [
        (BROADCASTS, -0.1, None),
        (BROADCASTS, None, Severity.CRITICAL),
        ("RESTRICTED_CUSTOMER_INITIATED_MESSAGING", 1, Severity.CRITICAL),
        ("RESTRICTED_UTILITY_TEMPLATES", 1, Severity.WARNING),
        ("RESTRICTED_ADD_PHONE_NUMBER_ACTION", 1, Severity.INFO),
        ("RESTRICTED_BUSINESS_INITIATED_CALLING", 1, Severity.INFO),
        ("RESTRICTED_SOMETHING_NEW", 1, Severity.UNKNOWN),
    ],
)
def test_each_restriction_is_as_bad_as_what_it_stops(
    name: str, days: float | None, expected: Severity | None
) -> None:
    assert severity(restriction(name, days)) is expected


def test_the_newest_event_about_a_restriction_counts() -> None:
    lifted = restriction(BROADCASTS, -0.5, days_ago=0.4)

    assert severity(restriction(BROADCASTS, 5), lifted) is None
    assert severity(restriction(BROADCASTS, None, days_ago=31)) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("DISABLE", Severity.CRITICAL),
        ("SCHEDULE_FOR_DISABLE", Severity.CRITICAL),
        ("REINSTATE", None),
        ("PONDER", Severity.UNKNOWN),
    ],
)
def test_a_disabled_account_is_critical_until_it_is_reinstated(
    state: str, expected: Severity | None
) -> None:
    assert severity(ban("DISABLE", days_ago=200), ban(state, days_ago=2)) is expected


def test_an_account_that_was_connected_later_is_no_longer_disabled() -> None:
    gone = [ban("DISABLE", days_ago=9), answered("ACCOUNT_DELETED", days_ago=8)]

    assert severity(*gone) is Severity.CRITICAL
    assert severity(*gone, answered("PARTNER_ADDED", days_ago=7)) is None


def test_a_violation_is_a_warning_for_30_days() -> None:
    [found] = check(answered("ACCOUNT_VIOLATION", violation_type="SPAM"))

    assert (found.severity, found.title.endswith("SPAM")) == (Severity.WARNING, True)
    assert severity(answered("ACCOUNT_VIOLATION", days_ago=31, violation_type="SPAM")) is None


@pytest.mark.parametrize(
    ("event", "reason", "expected"),
    [
        ("DISABLED", None, Severity.WARNING),
        ("FLAGGED", None, Severity.WARNING),
        ("PAUSED", None, Severity.INFO),
        ("REJECTED", "SCAM", Severity.WARNING),
        ("REJECTED", "INVALID_FORMAT", None),
        ("APPROVED", None, None),
        ("SOMETHING_NEW", None, None),
    ],
)
def test_a_template_that_meta_withdraws_is_a_finding(
    event: str, reason: str | None, expected: Severity | None
) -> None:
    assert severity(templates=(template(event, reason=reason),)) is expected


def test_a_template_that_is_back_causes_no_finding() -> None:
    back = template("REINSTATED", days_ago=0.5)

    assert severity(templates=(back, template("DISABLED"))) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"waba.status": "DISABLED"}, Severity.CRITICAL),
        ({"waba.account_review_status": "REJECTED"}, Severity.WARNING),
        ({"waba.status": "ACTIVE", "waba.account_review_status": "APPROVED"}, None),
        ({"waba.status": "DREAMING"}, None),
        ({"waba.status": {}, "waba.account_review_status": []}, None),
    ],
)
def test_the_status_of_the_account_itself_counts_too(
    values: dict[str, Any], expected: Severity | None
) -> None:
    assert severity(values=values) is expected


@pytest.mark.parametrize(
    "data",
    [
        {"restriction_info": None},
        {"restriction_info": "all"},
        {"restriction_info": [None, 7]},
        {"restriction_info": [{"restriction_type": 3, "expiration": "soon"}]},
        {"ban_info": []},
        {"ban_info": {"waba_ban_state": ["DISABLE"]}},
    ],
)
@pytest.mark.parametrize("event", ["ACCOUNT_RESTRICTION", "DISABLED_UPDATE"])
def test_unreadable_values_are_unknown_and_cause_no_crash(event: str, data: dict[str, Any]) -> None:
    assert severity(answered(event, **data)) is Severity.UNKNOWN


def test_the_order_of_the_events_does_not_matter() -> None:
    events = [ban("DISABLE", days_ago=3), ban("REINSTATE", days_ago=2), restriction(BROADCASTS, 1)]

    found = {str(check(*order)) for order in itertools.permutations(events)}

    assert len(found) == 1
