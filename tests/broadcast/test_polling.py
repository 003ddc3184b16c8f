"""Asking respond.io what became of messages: who is asked about when, and what is made of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from wacoex_cli.broadcast.projection import bring_up_to_date, interest, project_known
from wacoex_cli.broadcast.providers import LAST_NEWS_SECONDS, Poller
from wacoex_cli.channels import registry
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.platforms.respondio import RespondIO

BASE = "https://api.example/v2"
FIRST_ID = 1_762_516_800_000_000


class Limited:
    """The test's clock up to an end; whoever sleeps beyond it never wakes."""

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
        self.statuses[row] = [{"value": one, "timestamp": 1_762_516_801, **said} for one in values]

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
        task = asyncio.create_task(poller.ask_for_ever())
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
def asked(state, clock, plan_rows) -> Callable[[int], Availability]:
    def make(rows: int) -> Availability:
        broadcast_id = plan_rows(rows)
        write(state, "UPDATE broadcasts SET provider = 'respondio', status = 'sending'")
        return Availability(state, clock, broadcast_id)

    return make


def test_what_respondio_tells_moves_the_row_and_stands_in_the_log(asked) -> None:
    shop = asked(1)
    shop.take(1)
    shop.says(1, "pending", "sent", "delivered")

    shop.poll(2.0)

    assert shop.row(1)["state"] == "delivered"
    events = shop.events()
    assert {event["source"] for event in events} == {"respondio"}
    assert sorted(event["kind"] for event in events) == ["message", "status", "status", "status"]
    payloads = shop.state.rows("SELECT * FROM payloads")
    assert "secret words" not in str([list(one.values()) for one in payloads])


def test_a_failure_keeps_its_code_and_its_text_and_may_opt_a_person_out(asked, clock) -> None:
    shop = asked(2)
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


def test_what_has_come_to_an_end_is_asked_about_no_more(asked) -> None:
    shop = asked(3)
    shop.take(1, 2, 3)
    shop.says(1, "read")
    shop.says(2, "delivered")
    shop.says(3, "failed")

    shop.poll(60.0)

    assert shop.times == {1: 1, 2: 1, 3: 1}


def test_a_message_without_news_is_asked_about_ever_more_seldom(asked, clock) -> None:
    shop = asked(1)
    shop.take(1)

    shop.poll(1_500.0)

    gaps = [later - earlier for earlier, later in zip(shop.moments, shop.moments[1:], strict=False)]
    assert gaps == pytest.approx([10, 20, 40, 80, 160, 300, 300, 300], abs=0.6)


def test_new_messages_come_first_and_the_newest_of_them(asked, clock) -> None:
    shop = asked(12)
    shop.take(*range(1, 7))
    shop.poll(12.0)
    shop.order.clear()
    shop.take(*range(7, 13))
    clock.advance(30.0)

    shop.poll(3.0)

    assert sorted(shop.order[:5]) == [8, 9, 10, 11, 12]
    assert 7 in shop.order[5:10]
    assert set(shop.order) == set(range(1, 13))


def test_the_limit_of_the_endpoint_is_kept(asked) -> None:
    shop = asked(40)
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
def test_an_unusable_answer_changes_nothing_and_the_others_go_on(asked, answer) -> None:
    shop = asked(2)
    shop.take(1, 2)
    shop.answers[2] = answer
    shop.says(1, "delivered")

    shop.poll(5.0)

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["delivered", "accepted"]


def test_the_last_news_is_waited_for_but_not_for_ever(asked, clock) -> None:
    shop = asked(1)
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


def test_statuses_that_somebody_pulled_move_the_row_by_its_message_id(asked) -> None:
    shop = asked(2)
    shop.take(1, 2)

    pulled(shop, 2, "read")

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["accepted", "read"]


def test_a_status_that_came_before_the_answer_counts_once_the_message_is_known(asked) -> None:
    shop = asked(2)
    pulled(shop, 1, "delivered")
    assert shop.row(1)["state"] == "pending"

    shop.take(1, 2)
    with shop.state.transaction():
        project_known(shop.state, [str(FIRST_ID + row) for row in (1, 2)], shop.clock.now())

    assert [shop.row(1)["state"], shop.row(2)["state"]] == ["delivered", "accepted"]


def test_a_pull_asks_about_people_of_respondio_first_and_about_no_message_of_metas(
    asked, clock
) -> None:
    shop = asked(3)
    shop.take(1, 2, 3)
    write(shop.state, "UPDATE recipients SET state = 'read' WHERE row = 1")
    channel = registry.known(shop.state, "shop")

    wanted = interest(shop.state, channel, clock.now() + timedelta(hours=1))

    assert list(wanted.phones) == [shop.row(row)["phone"] for row in (2, 3, 1)]
    assert wanted.message_ids == {}
