"""`wacoex mac`: who was active in a month, counted from events, and what it does not know."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.events.store import EventLog
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via

_numbers = itertools.count()
ANA, BEN, CAI = "+6591000001", "+6591000002", "+6591000003"


def happening(kind: Kind, contact: str | None, at: str = "2026-11-07T12:00:00.000Z", **more):
    number = next(_numbers)
    result = {"phone_number_id": "106", "phone": "+6560000001", **more}
    return Event(f"meta:{kind}:{number}", kind, Source.META, at, contact=contact, **result)


@pytest.fixture
def happened(state):
    def call(*events: Event) -> None:
        payload = Payload(Source.META, str(next(_numbers)), 1, "{}", events)
        with state.transaction():
            EventLog(state).store([payload], Via.LISTEN, datetime(2026, 11, 8, tzinfo=UTC))

    return call


@pytest.fixture
def wacoex(run, state):
    def call(*arguments, **more):
        with freeze_time("2026-11-20T12:00:00Z"):
            return run(*arguments, env={"WACOEX_STATE": str(state.path)}, **more)

    return call


@pytest.fixture
def mac(wacoex):
    return lambda *arguments: wacoex("mac", "--json", *arguments).data


def test_contacts_count_once_and_those_of_echoes_alone_are_counted_apart(mac, happened):
    happened(
        happening(Kind.MESSAGE, ANA),
        happening(Kind.MESSAGE, ANA, data={"direction": "out"}),
        happening(Kind.ECHO, ANA),
        happening(Kind.ECHO, BEN),
        happening(Kind.ECHO, BEN, "2026-11-30T23:59:59.999Z"),
        happening(Kind.UNSUPPORTED, CAI),
    )

    result = mac()

    assert (result["month"], result["contacts"], result["echo_only"]) == ("2026-11", 3, 1)


@pytest.mark.parametrize(
    ("status", "counts"), [("sent", 1), ("delivered", 1), ("read", 0), ("failed", 0)]
)
def test_a_sent_or_delivered_status_makes_a_contact_active_and_others_do_not(
    mac, happened, status, counts
):
    happened(happening(Kind.STATUS, ANA, data={"status": status}))

    assert mac()["contacts"] == counts


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        ({"direction": "in", "type": "text"}, 1),
        ({"direction": "out", "type": "text"}, 1),
        ({"status": "delivered"}, 1),
        ({"status": "read"}, 0),
    ],
)
def test_a_message_handled_by_another_responder_counts_too(mac, happened, data, counts):
    happened(happening(Kind.STANDBY, ANA, data=data))

    assert (mac()["contacts"], mac()["echo_only"]) == (counts, 0)


@pytest.mark.parametrize("kind", [Kind.EDIT, Kind.REVOKE, Kind.CONTACT_SYNC, Kind.HISTORY])
def test_kinds_that_no_source_counts_are_not_counted(mac, happened, kind):
    happened(happening(kind, ANA))

    assert mac()["contacts"] == 0


def test_a_message_without_a_known_person_is_left_out(mac, happened):
    happened(happening(Kind.MESSAGE, None), happening(Kind.MESSAGE, "user_id:SG.1"))

    assert mac()["contacts"] == 1


def test_months_are_those_of_utc(mac, happened):
    happened(
        happening(Kind.MESSAGE, ANA, "2026-10-31T23:59:59.999Z"),
        happening(Kind.MESSAGE, BEN, "2026-11-01T00:00:00.000Z"),
    )

    assert (mac("--month", "2026-10")["contacts"], mac()["contacts"]) == (1, 1)
    assert mac("--month", "2026-09")["contacts"] == 0


def test_each_channel_is_shown_and_a_shared_contact_counts_once_in_the_total(wacoex, mac, happened):
    wacoex("channel", "add", "shop", "--phone", "+6560000001", "--respondio-channel-id", "7")
    wacoex("channel", "add", "cafe", "--phone", "+6560000002")
    cafe: dict[str, Any] = {"phone_number_id": None, "phone": "+6560000002"}
    elsewhere: dict[str, Any] = {"phone_number_id": "999", "phone": None}
    respondio: dict[str, Any] = {"phone_number_id": None, "phone": None, "respondio_channel_id": 7}
    happened(
        happening(Kind.MESSAGE, ANA),
        happening(Kind.ECHO, ANA, **respondio),
        happening(Kind.ECHO, BEN, **respondio),
        happening(Kind.ECHO, ANA, **cafe),
        happening(Kind.MESSAGE, CAI, **elsewhere),
    )

    result = mac()

    assert (result["contacts"], result["echo_only"]) == (3, 1)
    assert result["by_channel"] == [
        {"channel": "cafe", "contacts": 1, "echo_only": 1},
        {"channel": "shop", "contacts": 2, "echo_only": 1},
        {"channel": None, "contacts": 1, "echo_only": 0},
    ]
    only = mac("--channel", "cafe")
    assert (only["contacts"], only["echo_only"], len(only["by_channel"])) == (1, 1, 1)


def test_it_says_since_when_it_counts_and_where_the_real_figure_is(wacoex, happened):
    empty = wacoex("mac").out
    happened(happening(Kind.ECHO, ANA, "2026-11-03T12:00:00.000Z"))

    shown = wacoex("mac", tty=True).out

    assert "there is no event to count yet" in empty
    assert "counted from events since 2026-11-03" in shown
    assert "Billing & Usage" in shown
    assert "active contacts: 1, through echoes only: 1" in shown


@pytest.mark.parametrize("month", ["2026-13", "november", "2026-1", "2026-12", "0000"])
def test_a_month_must_be_one_that_has_begun(wacoex, month):
    done = wacoex("mac", "--month", month)

    assert done.code == 2
    assert "--month" in done.err


def answer(status: str, kind: str, at: str = "2026-11-07T12:00:00.000Z", **more):
    pricing = {"billable": kind == "regular", "category": "service", "type": kind}
    return happening(Kind.STATUS, ANA, at, data={"status": status, "pricing": pricing}, **more)


def test_answers_are_counted_as_meta_prices_them(wacoex, mac, happened):
    happened(
        answer("delivered", "free_customer_service"),
        answer("delivered", "free_customer_service", "2026-11-30T23:59:59.999Z"),
        answer("sent", "free_customer_service"),
        answer("delivered", "free_entry_point"),
        answer("delivered", "free_customer_service", "2026-10-31T23:59:59.999Z"),
        answer("delivered", "regular"),
        answer("delivered", "regular", phone="+6560000009", phone_number_id="109"),
        happening(
            Kind.STATUS,
            BEN,
            data={"status": "delivered", "pricing": {"category": "marketing", "type": "regular"}},
        ),
    )
    wacoex("channel", "add", "shop", "--phone", "+6560000001")

    assert mac()["answers"] == [
        {"channel": "shop", "free": 2, "charged": 1},
        {"channel": None, "free": 0, "charged": 1},
    ]
    assert mac("--channel", "shop")["answers"] == [{"channel": "shop", "free": 2, "charged": 1}]
    shown = wacoex("mac").out
    assert "shop: 2 of the 1,000 that are free each month, 1 charged" in shown
