"""What events tell about messages that were sent: any order, never backwards, nobody twice.

What Meta tells while a broadcast is sent, and which of it pauses the broadcast.
What `events pull` goes and asks about: people whose fate is unclear, messages without an end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import timedelta
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli import app
from wacoex_cli.broadcast.model import Status, attempt_id
from wacoex_cli.broadcast.projection import bring_up_to_date, interest
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.contacts.store import list_optouts
from wacoex_cli.events import consumers
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Event, EventData, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID

numbers = itertools.count()


def tell(state, clock, *events):
    """Deliver events, each in a payload of its own, and let broadcasts learn them."""
    payloads = [Payload(Source.META, f"digest {next(numbers)}", 1, "{}", (one,)) for one in events]
    with state.transaction():
        EventLog(state).store(payloads, Via.LISTEN, clock.now())
    bring_up_to_date(state, clock)


def status(state, broadcast, row, word, *, attempt=1, code=None):
    """A status webhook about one row."""
    name = attempt_id(Broadcasts(state).state_id, broadcast.broadcast_id, row, attempt)
    return Event(
        key=f"meta:status:wamid.{row}:{word}:{next(numbers)}",
        kind=Kind.STATUS,
        source=Source.META,
        at="2026-11-07T12:00:00.000Z",
        phone_number_id=PHONE_NUMBER_ID,
        message_id=f"wamid.{row}",
        data={"status": word, "attempt_id": name, "code": code},
    )


def account(event, at, **more):
    """An account_update webhook about the account of the sandbox."""
    return Event(
        key=f"meta:account_update:{next(numbers)}",
        kind=Kind.ACCOUNT_UPDATE,
        source=Source.META,
        at=to_text(at),
        waba_id=WABA_ID,
        data=cast(EventData, {"event": event, "entry_id": WABA_ID, **more}),
    )


def test_a_message_is_sent_then_delivered_then_read(shop):
    broadcast = shop.planned(3)
    shop.send(broadcast)

    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "sent"))
    assert shop.states(broadcast) == ["sent", "accepted", "accepted"]

    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "delivered"))
    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "read"))
    assert shop.states(broadcast) == ["read", "accepted", "accepted"]


@pytest.mark.parametrize("late", ["sent", "delivered", "failed"])
def test_what_was_read_does_not_become_less(shop, late):
    broadcast = shop.planned(1)
    shop.send(broadcast)

    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "read"))
    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, late))

    assert shop.states(broadcast) == ["read"]


@given(
    words=st.permutations(["sent", "failed", "delivered", "read", "played", "sent"]), data=st.data()
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_of_statuses_does_not_matter(state, clock, plan_rows, words, data):
    told = words[: data.draw(st.integers(1, len(words)))]
    forth, back = _ends(state, clock, plan_rows, told), _ends(state, clock, plan_rows, told[::-1])

    assert forth == back


def _ends(state, clock, plan_rows, words):
    broadcast = Broadcasts(state).get(plan_rows(1))
    with state.transaction():
        state.execute("UPDATE recipients SET state = 'accepted', attempts = 1")
    for word in words:
        tell(state, clock, status(state, broadcast, 1, word, code=131026))
    sql = "SELECT state, code, message_id, answered_at FROM recipients WHERE broadcast_id = ?"
    return state.row(sql, [broadcast.broadcast_id])


def test_an_ambiguous_row_is_resolved_by_a_status_that_carries_its_attempt(shop, cli):
    broadcast = shop.planned(3)
    shop.faults(Fault("reset_after", recipients=frozenset({shop.phone(2)})))
    shop.send(broadcast)
    assert shop.states(broadcast) == ["accepted", "ambiguous", "accepted"]

    tell(shop.state, shop.clock, status(shop.state, broadcast, 2, "delivered"))

    assert shop.states(broadcast) == ["accepted", "delivered", "accepted"]
    assert shop.rows(broadcast)[2]["message_id"] == "wamid.2"
    assert cli("broadcast", "reconcile", 1, "--json").data["ambiguous"] == 0
    assert cli("state", "check").code == 0


def test_a_row_that_is_to_be_sent_again_but_had_gone_out_is_left_alone(shop, cli):
    broadcast = shop.planned(1)
    shop.faults(Fault("reset_after", recipients=frozenset({shop.phone(1)})))
    shop.send(broadcast)
    shop.faults()
    cli("broadcast", "reconcile", 1, "--resend", "--expect", "1")
    assert shop.states(broadcast) == ["pending"]

    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "sent"))
    shop.resume(broadcast)

    assert shop.states(broadcast) == ["sent"]
    assert shop.taken_twice() == []


def test_a_failed_message_keeps_its_code_and_131050_puts_the_person_on_the_list(shop):
    broadcast = shop.planned(2)
    shop.send(broadcast)

    tell(
        shop.state,
        shop.clock,
        status(shop.state, broadcast, 1, "failed", code=131050),
        status(shop.state, broadcast, 2, "failed", code=131026),
    )

    assert [row["code"] for row in shop.rows(broadcast).values()] == [131050, 131026]
    assert [(one.phone, one.source) for one in list_optouts(shop.state)] == [
        (shop.phone(1), "meta-131050")
    ]


def test_a_status_of_another_state_file_or_of_nobody_changes_nothing(shop):
    broadcast = shop.planned(1)
    shop.send(broadcast)
    foreign = status(shop.state, broadcast, 1, "read")
    names = ["wacoex-0123456789ab-1-1-1", "run7:row42", None, 7]

    tell(
        shop.state,
        shop.clock,
        *(
            Event(
                f"k{n}",
                Kind.STATUS,
                Source.META,
                foreign.at,
                data={"status": "read", "attempt_id": str(name)},
            )
            for n, name in enumerate(names)
        ),
        status(shop.state, broadcast, 99, "read"),
        status(shop.state, broadcast, 1, "no such word"),
    )

    assert shop.states(broadcast) == ["accepted"]


def test_a_stop_of_marketing_messages_puts_the_person_on_the_list_once(state, clock):
    stops = [
        Event(
            f"s{n}",
            Kind.USER_PREFERENCE,
            Source.META,
            at,
            contact="+6591000001",
            data={"value": "stop"},
        )
        for n, at in enumerate(["2026-11-07T09:00:00.000Z", "2026-11-05T09:00:00.000Z"])
    ]
    others = [
        Event(
            "r",
            Kind.USER_PREFERENCE,
            Source.META,
            "2026-11-07T10:00:00.000Z",
            contact="+6591000001",
            data={"value": "resume"},
        ),
        Event(
            "u",
            Kind.USER_PREFERENCE,
            Source.META,
            "2026-11-07T10:00:00.000Z",
            contact="user_id:SG.1",
            data={"value": "stop"},
        ),
    ]

    tell(state, clock, *stops, *others)

    (found,) = list_optouts(state)
    assert (found.phone, found.source) == ("+6591000001", "meta-user_preferences")
    assert found.note == "stopped marketing messages at 2026-11-05T09:00:00.000Z"


@pytest.mark.parametrize("event", ["PARTNER_REMOVED", "ACCOUNT_OFFBOARDED"])
def test_a_running_broadcast_pauses_when_its_channel_is_removed(shop, eventually, event):
    broadcast = shop.planned(400)
    removed = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}

    async def remove():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        payload = Payload(
            Source.META, event, 1, "{}", (account(event, shop.clock.now(), **removed),)
        )
        with shop.state.transaction():
            EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())

    sent = shop.send(broadcast, during=remove, rate=50.0)

    assert sent.broadcast.status is Status.PAUSED
    assert f"Meta says {event} (PRIMARY_INACTIVITY, SYSTEM)" in sent.broadcast.reason
    assert sent.stop.reason == sent.broadcast.reason
    assert sent.counts.open > 0
    assert sent.exit_status == 7


def test_a_removal_from_before_the_run_or_of_another_account_pauses_nothing(shop):
    broadcast = shop.planned(1)
    shop.send(broadcast)
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET status = 'sending'")
    started = shop.clock.now()
    old = account("PARTNER_REMOVED", started.replace(year=started.year - 1))
    foreign = Event(
        "f",
        Kind.ACCOUNT_UPDATE,
        Source.META,
        to_text(started),
        waba_id="104000000000077",
        data={"event": "PARTNER_REMOVED", "entry_id": "104000000000077"},
    )
    reconnected = account("ACCOUNT_RECONNECTED", started)

    tell(shop.state, shop.clock, old, foreign, reconnected)

    assert shop.current(broadcast).status is Status.SENDING


def test_somebody_who_says_stop_while_it_runs_is_not_sent_to(shop, eventually):
    broadcast = shop.planned(200)

    async def say_stop():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        stop = Event(
            "stop",
            Kind.USER_PREFERENCE,
            Source.META,
            "2026-11-07T09:00:00.000Z",
            contact=shop.phone(200),
            data={"value": "stop"},
        )
        with shop.state.transaction():
            EventLog(shop.state).store(
                [Payload(Source.META, "d", 1, "{}", (stop,))],
                Via.LISTEN,
                shop.clock.now(),
            )
        await asyncio.sleep(0)

    shop.send(broadcast, during=say_stop, rate=60.0)

    assert shop.counts(broadcast) == {"accepted": 199, "skipped": 1}
    assert json.dumps(shop.world.log.summary()["accepted"]) == "199"


def test_the_phone_of_a_channel_is_enough_for_it_to_be_meant(shop):
    broadcast = shop.planned(1)
    shop.send(broadcast)
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET status = 'sending'")
        shop.state.execute("UPDATE channels SET waba_id = NULL")
    by_phone = Event(
        "p",
        Kind.ACCOUNT_UPDATE,
        Source.META,
        to_text(shop.clock.now()),
        phone=PHONE,
        data={"event": "PARTNER_REMOVED", "entry_id": "1"},
    )

    tell(shop.state, shop.clock, by_phone)

    assert shop.current(broadcast).status is Status.PAUSED


RUNNING = "opening_hours"


@pytest.fixture
def running(shop):
    """A broadcast of template opening_hours (en_US) that is being sent."""
    broadcast = shop.planned(1)
    shop.send(broadcast)
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET status = 'sending'")
    return broadcast


@pytest.fixture
def told(shop, cli, running):
    """Let Meta tell something, import it, and give the broadcast as it is then."""

    def tell(kind, **values):
        at = values.pop("at", shop.clock.now().timestamp() + 60)
        payloads = emit(shop.world, kind, at=at, **values).payloads
        file = shop.directory / "told.ndjson"
        file.write_text("".join(json.dumps(one) + "\n" for one in payloads))
        assert payloads
        assert cli("events", "import", file).code == 0
        return shop.current(running)

    return tell


def restricted(word, expiration=1_900_000_000):
    return {"restriction_info": [{"restriction_type": word, "expiration": expiration}]}


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        (
            "template_status",
            {"event": "PAUSED", "name": RUNNING},
            "template opening_hours (en_US) is PAUSED (FIRST_PAUSE)",
        ),
        (
            "template_status",
            {"event": "REJECTED", "name": RUNNING, "language": "en-US", "reason": "SCAM"},
            "template opening_hours (en_US) is REJECTED (SCAM)",
        ),
        (
            "template_quality",
            {"name": RUNNING, "before": "GREEN", "now": "YELLOW"},
            "the quality of template opening_hours (en_US) is YELLOW",
        ),
        (
            "template_quality",
            {"name": RUNNING, "before": "UNKNOWN", "now": "RED"},
            "the quality of template opening_hours (en_US) is RED",
        ),
        ("quality", {"event": "FLAGGED"}, "the quality of the number is lower (FLAGGED)"),
        (
            "quality",
            {"event": "ONBOARDING", "old_limit": "TIER_2K", "limit": "TIER_250"},
            "the messaging limit fell from TIER_2K to TIER_250",
        ),
        (
            "account_update",
            {"event": "ACCOUNT_RESTRICTION"},
            "ACCOUNT_RESTRICTION (RESTRICTED_BIZ_INITIATED_MESSAGING)",
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_CUSTOMER_INITIATED_MESSAGING"),
            },
            "ACCOUNT_RESTRICTION (RESTRICTED_CUSTOMER_INITIATED_MESSAGING)",
        ),
        ("account_update", {"event": "DISABLED_UPDATE"}, "DISABLED_UPDATE (DISABLE)"),
        ("account_update", {"event": "ACCOUNT_VIOLATION"}, "ACCOUNT_VIOLATION (SPAM)"),
        ("account_update", {"event": "ACCOUNT_DELETED"}, "ACCOUNT_DELETED"),
        (
            "account_update",
            {"event": "PARTNER_REMOVED", "reason": "CHANGE_NUMBER"},
            "PARTNER_REMOVED (CHANGE_NUMBER, SYSTEM)",
        ),
        (
            "alert",
            {"severity": "CRITICAL", "type": "SOMETHING_NEW"},
            "there is a critical alert (SOMETHING_NEW)",
        ),
    ],
)
def test_it_pauses_what_is_sent(told, kind, values, reason):
    paused = told(kind, **values)

    assert paused.status is Status.PAUSED
    assert paused.reason.startswith(f"Meta says {reason} at 20")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("template_status", {"event": "APPROVED", "name": RUNNING}),
        ("template_status", {"event": "PAUSED", "name": "another"}),
        ("template_status", {"event": "PAUSED", "name": RUNNING, "language": "ms"}),
        ("template_quality", {"name": RUNNING, "before": "YELLOW", "now": "GREEN"}),
        ("template_quality", {"name": RUNNING, "before": "GREEN", "now": "UNKNOWN"}),
        ("template_quality", {"name": "another", "now": "RED"}),
        ("quality", {"event": "THROUGHPUT_UPGRADE"}),
        ("quality", {"old_limit": "TIER_250", "limit": "TIER_2K"}),
        ("account_update", {"event": "ACCOUNT_RECONNECTED"}),
        ("account_update", {"event": "PARTNER_ADDED"}),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "details": {"ban_info": {"waba_ban_state": "REINSTATE"}}},
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_ADD_PHONE_NUMBER_ACTION"),
            },
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_BIZ_INITIATED_MESSAGING", 1_700_000_000),
            },
        ),
        ("alert", {"severity": "CRITICAL", "type": "OBA_REJECTED"}),
        ("alert", {"severity": "WARNING", "type": "SOMETHING_NEW"}),
        ("alert", {"severity": "CRITICAL", "status": "NONE", "type": "SOMETHING_NEW"}),
        ("capability", {}),
    ],
)
def test_it_lets_go_on_what_is_sent(told, kind, values):
    assert told(kind, **values).status is Status.SENDING


@pytest.mark.parametrize(("category", "status"), [("UTILITY", "paused"), ("MARKETING", "sending")])
def test_a_restriction_of_utility_templates_pauses_only_those(shop, told, category, status):
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE broadcasts SET template = json_set(template, '$.category', ?)", [category]
        )

    details = restricted("RESTRICTED_UTILITY_TEMPLATES")

    assert told("account_update", event="ACCOUNT_RESTRICTION", details=details).status == status


def test_what_happened_before_the_run_pauses_nothing(shop, told):
    before = shop.clock.now().timestamp() - 3_600

    assert told("template_status", name=RUNNING, at=before).status is Status.SENDING


def test_who_is_unclear_comes_first_and_what_is_long_over_is_left_alone(state, clock):
    channel = registry.add_channel(state, "shop", Details(phone="+6560000001"), clock.now())
    lately, long_ago = (to_text(clock.now() - timedelta(days=days)) for days in (2, 30))
    rows = [
        (1, "+6591000001", "read", "wamid.1", lately),
        (2, "+6591000002", "ambiguous", None, long_ago),
        (3, "+6591000003", "sent", "wamid.3", lately),
        (4, "+6591000004", "sent", "wamid.4", long_ago),
        (5, "+6591000005", "skipped", None, None),
    ]
    with state.transaction():
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at)"
            " VALUES (9, ?, 'completed', '{}', '{}', '', '', 20, '')",
            [channel.channel_id],
        )
        state.execute_many(
            "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, attempts, state,"
            " message_id, answered_at) VALUES (9, ?, 1, ?, '[]', 1, ?, ?, ?)",
            rows,
        )

    found = interest(state, channel, clock.now())

    assert found.phones == ("+6591000002", "+6591000001", "+6591000003")
    assert found.message_ids == {"wamid.3": f"wacoex-{Broadcasts(state).state_id}-9-3-1"}
    assert consumers.interest(state, channel, clock.now()) == found


def test_the_program_hands_every_projection_over_under_a_name_of_its_own():
    names = [one.name for one in consumers.projections()]

    assert names == [one.name for one in app.projections()]
    assert len(names) == len(set(names)) >= 4
