"""WX207: the stored ids against those of respond.io and Meta."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from wacoex_cli.channels.connection import Connection, ConnectionState
from wacoex_cli.channels.facts import WorkspaceList
from wacoex_cli.channels.model import Channel, FormerId
from wacoex_cli.errors import TemporaryError
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.checks import check_drift
from wacoex_cli.partners.model import Drift, DriftKind
from wacoex_cli.partners.rule import at_meta
from wacoex_cli.platforms.meta_answers import ListedNumber
from wacoex_cli.platforms.respondio_replies import WorkspaceChannel

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

    assert [one.kind for one in drifts] == [DriftKind.GONE]
    assert (found.id, found.severity) == ("WX207", Severity.CRITICAL)
    assert "auth status" in found.remedy[0]


@pytest.mark.parametrize(("number", "which"), [(9, "no channel of wacoex"), (5, "an earlier id")])
def test_the_one_channel_that_may_be_it_is_offered(number: int, which: str) -> None:
    drifts = at_respondio(whatsapp(number), WEBCHAT)

    found = found_for(drifts)

    assert found.severity is Severity.WARNING
    assert which in found.evidence[0].text
    assert f"channel edit shop --respondio-channel-id {number}`" in found.remedy[0]


def test_of_several_none_is_guessed() -> None:
    [one] = at_respondio(whatsapp(9), whatsapp(10))

    assert (one.kind, one.use) == (DriftKind.GONE, None)


def test_a_channel_of_another_kind_is_another_one() -> None:
    drifts = rule.at_respondio(SHOP, WorkspaceList(AT, (WorkspaceChannel(7, "Site", "webchat"),)))

    assert found_for(drifts).severity is Severity.WARNING


def test_an_earlier_channel_that_is_still_there_is_told_and_no_finding() -> None:
    drifts = at_respondio(whatsapp(7), whatsapp(5))

    assert [one.kind for one in drifts] == [DriftKind.FORMER]
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

    [one] = at_meta(SHOP, {}, numbers, AT)

    assert (one.kind, one.name, one.use) == (DriftKind.ANOTHER, "phone_number_id", "107")
    assert "--phone-number-id 107`" in found_for([one]).remedy[0]


def test_a_number_that_its_account_does_not_list_is_gone() -> None:
    [one] = at_meta(SHOP, {}, [ListedNumber("108", "+1 555")], AT)

    assert found_for([one]).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("shown", "kinds"),
    [("+65 6000 0001", []), (None, []), ("6560000001", []), ("+65 6000 0077", ["another"])],
)
def test_the_number_behind_an_id_is_compared(shown: str | None, kinds: list[str]) -> None:
    found = at_meta(SHOP, {"display_phone_number": shown}, None, AT)

    assert [one.kind.value for one in found] == kinds
    assert all(found_for([one]).severity is Severity.WARNING for one in found)
