"""WX202 and WX205: is the partner there, and where do messages go?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.channels.connection import Connection, ConnectionState
from wacoex_cli.channels.facts import AppsSeen
from wacoex_cli.channels.model import Channel
from wacoex_cli.errors import TemporaryError
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.checks import check_override, check_partner
from wacoex_cli.partners.model import Expected
from wacoex_cli.platforms.meta_answers import App, User

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SEEN_AT = to_text(NOW)
PARTNER, OWN = App("2", "respond.io WA BSP"), App("1", "our tool")
RIVAL = App("9", "Rival CRM")
CONNECTED = Connection(ConnectionState.CONNECTED, to_text(NOW - timedelta(days=3)))
AGAIN = "connect the number again"


def seen(*apps: App) -> AppsSeen:
    return AppsSeen(SEEN_AT, apps)


def lost(age: timedelta, state: ConnectionState = ConnectionState.REMOVED) -> Connection:
    return Connection(state, to_text(NOW - age))


def partner_findings(
    shown: AppsSeen, connection: Connection = CONNECTED, partner: Expected | None = None
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


def test_an_app_that_looks_like_the_partner_is_offered_as_the_one_that_is_meant() -> None:
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
def test_nobody_is_told_to_connect_again_while_the_partner_may_come_back(
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


def test_who_is_expected_follows_from_the_channel() -> None:
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

    texts = [one.text for one in rule.evidence(Expected(), shown, values, SEEN_AT)]

    assert texts[:3] == [
        "respond.io WA BSP (2), the expected partner, gets the webhooks",
        "our tool (1), our own app, gets the webhooks",
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
def test_an_override_that_leads_elsewhere_is_told(app: App, severity: Severity) -> None:
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
def test_an_override_that_leads_home_is_none(app: App) -> None:
    assert overrides(app) == []


def test_an_address_that_only_looks_like_the_partner_is_elsewhere() -> None:
    fake = App("2", "respond.io WA BSP", "https://respond.io.evil.example/")

    assert [one.id for one in overrides(fake)] == ["WX205"]


def test_the_callback_of_the_number_goes_before_the_one_of_the_account() -> None:
    webhooks = {
        "application": "https://app.bsp.example/a",
        "whatsapp_business_account": "https://account.example/a",
        "phone_number": "https://number.example/a",
    }

    [found] = overrides(PARTNER, webhooks=webhooks)

    assert [one.text for one in found.evidence] == [
        "messages of the number go to number.example, by an override of the number"
    ]
    same_host = webhooks | {"phone_number": "https://app.bsp.example/b"}
    assert overrides(PARTNER, webhooks=same_host) == []


@pytest.mark.parametrize("webhooks", [{}, [], "text", {"phone_number": None}, {"phone_number": 7}])
def test_a_configuration_of_another_form_is_no_override(webhooks: Any) -> None:
    assert overrides(PARTNER, webhooks=webhooks) == []
