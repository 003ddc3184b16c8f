"""What events report of sent messages: any order, never backwards, nobody twice.

What Meta tells while a broadcast is sent, and which of it pauses the broadcast.
What `events pull` goes and asks about: people whose fate is unclear, messages without an end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli import app
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.contacts.store import list_optouts
from wacoex_cli.events import consumers
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.ledger.model import STATUS_STATES, Status, attempt_id
from wacoex_cli.ledger.projection import bring_up_to_date, interest, project_known
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Event, EventData, Kind, Payload, Source, Via
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.platforms.respondio import RespondIO
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.sending.providers import LAST_NEWS_SECONDS, Poller

numbers = itertools.count()


def tell(state, clock, *events):
    """Deliver events, each in a payload of its own, and let broadcasts learn them."""
    payloads = [
        Payload(Source.META, f"digest {next(numbers)}", 1, "{}", (event,)) for event in events
    ]
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
def test_a_read_message_never_goes_back_to_delivered(shop, late):
    broadcast = shop.planned(1)
    shop.send(broadcast)

    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, "read"))
    tell(shop.state, shop.clock, status(shop.state, broadcast, 1, late))

    assert shop.states(broadcast) == ["read"]


@given(words=st.permutations([*STATUS_STATES, "sent"]), data=st.data())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_of_statuses_does_not_matter(state, clock, plan_rows, words, data):
    answer = words[: data.draw(st.integers(1, len(words)))]
    forth, back = (
        _ends(state, clock, plan_rows, answer),
        _ends(state, clock, plan_rows, answer[::-1]),
    )

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


def test_a_row_marked_for_resending_is_left_alone_when_it_had_gone_out(shop, cli):
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
    assert [(optout.phone, optout.source) for optout in list_optouts(shop.state)] == [
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

    by_id, found = sorted(list_optouts(state), key=lambda optout: optout.phone, reverse=True)
    assert (found.phone, found.source) == ("+6591000001", "meta-user_preferences")
    assert (found.scope, found.note) == ("marketing", "said at 2026-11-05T09:00:00.000Z")
    assert by_id.phone == "user_id:SG.1"


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
            Kind.MESSAGE,
            Source.META,
            "2026-11-07T09:00:00.000Z",
            contact=shop.phone(200),
            data={"direction": "in", "stop": "word"},
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


def test_the_phone_of_a_channel_is_enough_to_match_it(shop):
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
def reported(shop, cli, running):
    """Let Meta tell something, import it, and give the broadcast as it is then."""

    def tell(kind, **values):
        at = values.pop("at", shop.clock.now().timestamp() + 60)
        payloads = emit(shop.world, kind, at=at, **values).payloads
        file = shop.directory / "reported.ndjson"
        file.write_text("".join(json.dumps(payload) + "\n" for payload in payloads))
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
def test_events_that_pause_a_broadcast(reported, kind, values, reason):
    paused = reported(kind, **values)

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
def test_events_that_do_not_pause_a_broadcast(reported, kind, values):
    assert reported(kind, **values).status is Status.SENDING


@pytest.mark.parametrize(("category", "status"), [("UTILITY", "paused"), ("MARKETING", "sending")])
def test_a_restriction_of_utility_templates_pauses_only_those(shop, reported, category, status):
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE broadcasts SET template = json_set(template, '$.category', ?)", [category]
        )

    details = restricted("RESTRICTED_UTILITY_TEMPLATES")

    assert reported("account_update", event="ACCOUNT_RESTRICTION", details=details).status == status


def test_an_event_from_before_the_run_pauses_nothing(shop, reported):
    before = shop.clock.now().timestamp() - 3_600

    assert reported("template_status", name=RUNNING, at=before).status is Status.SENDING


def test_unclear_rows_come_first_and_old_broadcasts_are_left_alone(state, clock):
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
    names = [projection.name for projection in consumers.projections()]

    assert names == [projection.name for projection in app.projections()]
    assert names == list(consumers.names)
    assert len(names) == len(set(names)) >= 4


BASE = "https://api.example/v2"
FIRST_ID = 1_762_516_800_000_000


class Limited:
    """The test's clock up to an end; a sleep beyond it never ends."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self.now, self.monotonic, self.boot_id = clock.now, clock.monotonic, clock.boot_id
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self.is_over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if self._clock.monotonic() + seconds > self._end:
            self.is_over.set()
            await asyncio.Event().wait()
        await self._clock.sleep(seconds)
        await asyncio.sleep(0)


def write(state: Any, sql: str, *values: object) -> None:
    with state.transaction():
        state.execute(sql, list(values))


class Availability:
    """A broadcast whose rows were taken by respond.io, and its pretend answers."""

    def __init__(self, state: Any, clock: Any, broadcast_id: int) -> None:
        self.state, self.clock, self.broadcast_id = state, clock, broadcast_id
        self.times: Counter[int] = Counter()
        self.order: list[int] = []
        self.moments: list[float] = []
        self.statuses: dict[int, list[dict[str, Any]]] = {}
        self.answers: dict[int, httpx.Response] = {}

    def take(self, *rows: int) -> None:
        """Let respond.io have taken these rows now."""
        for row in rows:
            write(
                self.state,
                "UPDATE recipients SET state = 'accepted', message_id = ?, attempts = 1,"
                " claimed_at = ?, answered_at = ? WHERE row = ?",
                str(FIRST_ID + row),
                *[to_text(self.clock.now())] * 2,
                row,
            )

    def says(self, row: int, *values: str, text: str | None = None) -> None:
        """Let these be the statuses of a row's message."""
        said = {"message": text} if text else {}
        self.statuses[row] = [
            {"value": value, "timestamp": 1_762_516_801, **said} for value in values
        ]

    def poll(self, seconds: float) -> None:
        asyncio.run(self._poll(seconds))

    def row(self, row: int) -> Any:
        return self.state.row("SELECT * FROM recipients WHERE row = ?", [row])

    def events(self) -> list[Any]:
        return list(self.state.rows("SELECT * FROM events ORDER BY event_id"))

    async def _poll(self, seconds: float) -> None:
        clock = Limited(self.clock, seconds)
        http = Http(self.clock, log=lambda text: None, transport=httpx.MockTransport(self._answer))
        respondio = RespondIO(http, Secret("respondio-token", "test"), BASE, clock=self.clock)
        poller = Poller(self.state, respondio, self.broadcast_id, clock)
        task = asyncio.create_task(poller.ask_without_end())
        await clock.is_over.wait()
        task.cancel()
        await asyncio.wait([task])
        await http.aclose()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.path.rpartition("/")[2])
        row = number - FIRST_ID
        self.times[row] += 1
        self.order.append(row)
        self.moments.append(self.clock.monotonic())
        assert request.url.path == f"/v2/contact/phone:{self.row(row)['phone']}/message/{number}"
        item = {
            "messageId": number,
            "channelMessageId": f"wamid.{row}",
            "contactId": 7,
            "channelId": 12,
            "traffic": "outgoing",
            "message": {"type": "whatsapp_template", "template": {"name": "secret words"}},
            "status": self.statuses.get(row, [{"value": "pending", "timestamp": 1}]),
            "sender": {"source": "api"},
        }
        return self.answers.get(row) or httpx.Response(200, json=item)


@pytest.fixture
def queried(state, clock, plan_rows) -> Callable[[int], Availability]:
    def make(rows: int) -> Availability:
        broadcast_id = plan_rows(rows)
        write(state, "UPDATE broadcasts SET provider = 'respondio', status = 'sending'")
        return Availability(state, clock, broadcast_id)

    return make


def test_a_status_of_respondio_moves_the_row_and_is_in_the_log(queried) -> None:
    shop = queried(1)
    shop.take(1)
    shop.says(1, "pending", "sent", "delivered")

    shop.poll(2.0)

    assert shop.row(1)["state"] == "delivered"
    events = shop.events()
    assert {event["source"] for event in events} == {"respondio"}
    assert sorted(event["kind"] for event in events) == ["message", "status", "status", "status"]
    payloads = shop.state.rows("SELECT * FROM payloads")
    assert "secret words" not in str([list(payload.values()) for payload in payloads])


def test_a_failure_keeps_its_code_and_its_text_and_may_opt_a_person_out(queried, clock) -> None:
    shop = queried(2)
    shop.take(1, 2)
    shop.says(1, "failed", text="131050: user stopped marketing")
    shop.says(2, "failed", text="the number is odd")

    shop.poll(2.0)
    bring_up_to_date(shop.state, clock)

    first, second = shop.row(1), shop.row(2)
    assert (first["state"], first["code"]) == ("failed", 131050)
    assert (second["state"], second["code"], second["detail"]) == (
        "failed",
        None,
        "the number is odd",
    )
    assert shop.state.value("SELECT source FROM optouts") == "meta-131050"


def test_messages_with_a_final_status_are_not_asked_about_again(queried) -> None:
    shop = queried(3)
    shop.take(1, 2, 3)
    shop.says(1, "read")
    shop.says(2, "delivered")
    shop.says(3, "failed")

    shop.poll(60.0)

    assert shop.times == {1: 1, 2: 1, 3: 1}


def test_a_message_without_news_is_asked_about_less_and_less(queried, clock) -> None:
    shop = queried(1)
    shop.take(1)

    shop.poll(1_500.0)

    gaps = [later - earlier for earlier, later in zip(shop.moments, shop.moments[1:], strict=False)]
    assert gaps == pytest.approx([10, 20, 40, 80, 160, 300, 300, 300], abs=0.6)


def test_new_messages_come_first_and_the_newest_of_them(queried, clock) -> None:
    shop = queried(12)
    shop.take(*range(1, 7))
    shop.poll(12.0)
    shop.order.clear()
    shop.take(*range(7, 13))
    clock.advance(30.0)

    shop.poll(3.0)

    assert sorted(shop.order[:5]) == [8, 9, 10, 11, 12]
    assert 7 in shop.order[5:10]
    assert set(shop.order) == set(range(1, 13))


def test_the_limit_of_the_endpoint_is_kept(queried) -> None:
    shop = queried(40)
    shop.take(*range(1, 41))

    shop.poll(5.0)

    assert len(shop.order) == 40
    assert shop.moments[-1] - shop.moments[0] >= 39 / 5 - 1e-6


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"code": 404, "message": "Message not found"}),
        httpx.Response(403, text="<html>"),
        httpx.Response(200, json={"messageId": 1, "status": [{"value": "read"}]}),
        httpx.Response(200, json={"messageId": "x", "status": "read"}),
    ],
)
def test_an_unusable_answer_changes_nothing_and_the_others_continue(queried, answer) -> None:
    shop = queried(2)
    shop.take(1, 2)
    shop.answers[2] = answer
    shop.says(1, "delivered")

    shop.poll(5.0)

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["delivered", "accepted"]


def test_the_last_statuses_are_waited_for_within_a_limit(queried, clock) -> None:
    shop = queried(1)
    shop.take(1)
    poller = Poller(shop.state, object(), shop.broadcast_id, clock)  # type: ignore[arg-type]

    asyncio.run(poller.wait_for_last_news(lambda: True))
    assert sum(clock.slept) == pytest.approx(LAST_NEWS_SECONDS, abs=0.5)

    clock.slept.clear()
    asyncio.run(poller.wait_for_last_news(lambda: False))
    write(shop.state, "UPDATE recipients SET state = 'delivered'")
    asyncio.run(poller.wait_for_last_news(lambda: True))
    assert clock.slept == []


def pulled(shop: Availability, row: int, status: str) -> None:
    """Somebody reads what respond.io has of a row's message into the log."""
    body = {
        "event_type": "message.sent",
        "contact": {"id": 7, "phone": shop.row(row)["phone"]},
        "channel": {"id": 12},
        "message": {
            "messageId": FIRST_ID + row,
            "traffic": "outgoing",
            "status": [{"value": status, "timestamp": 1_762_516_801}],
        },
    }
    now = shop.clock.now()
    payload = payload_of(Source.RESPONDIO, body, 9, key=b"k", received_at=now)
    with shop.state.transaction():
        EventLog(shop.state).store([payload], Via.PULL, now)
    bring_up_to_date(shop.state, shop.clock)


def test_statuses_that_somebody_pulled_move_the_row_by_its_message_id(queried) -> None:
    shop = queried(2)
    shop.take(1, 2)

    pulled(shop, 2, "read")

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["accepted", "read"]


def test_a_status_that_came_before_the_answer_counts_once_the_message_is_known(queried) -> None:
    shop = queried(2)
    pulled(shop, 1, "delivered")
    assert shop.row(1)["state"] == "pending"

    shop.take(1, 2)
    with shop.state.transaction():
        project_known(shop.state, [str(FIRST_ID + row) for row in (1, 2)], shop.clock.now())

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["delivered", "accepted"]


def test_a_pull_asks_about_people_of_respondio_first_and_about_no_message_of_metas(
    queried, clock
) -> None:
    shop = queried(3)
    shop.take(1, 2, 3)
    write(shop.state, "UPDATE recipients SET state = 'read' WHERE row = 1")
    channel = registry.known(shop.state, "shop")

    wanted = interest(shop.state, channel, clock.now() + timedelta(hours=1))

    assert list(wanted.phones) == [shop.row(row)["phone"] for row in (2, 3, 1)]
    assert wanted.message_ids == {}
