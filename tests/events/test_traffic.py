"""What the log says about the unsupported messages of a channel, and about its echoes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import CHANNELS
from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.channels.store import Signs
from wacoex_cli.events.checks import TRAFFIC, EchoFlow, Summary, Unsupported, flows, summaries
from wacoex_cli.events.store import EventLog, Numbers, catch_up
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via

ANA, BEN = "+6591000001", "+6591000002"
NUMBER = "106540352242922"


class Log:
    """Tells things of the channel `shop`; `hours_ago` from now."""

    def __init__(self, state: State, clock: Any) -> None:
        self.state = state
        self.clock = clock
        ids = Details("+6560000001", phone_number_id=NUMBER, respondio_channel_id=301)
        registry.add_channel(state, "shop", ids, clock.now())
        registry.add_channel(state, "desk", Details("+6560000002"), clock.now())
        self.reported = 0

    @property
    def channels(self) -> list[Channel]:
        return [registry.known(self.state, name) for name in ("shop", "desk")]

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.state, Signs(self.state).addresses_by_channel(self.channels))

    def tell(self, kind: Kind, hours_ago: float = 1, **known: Any) -> None:
        self.reported += 1
        at = to_text(self.now - timedelta(hours=hours_ago))
        address = (
            {} if known.keys() & {"phone", "respondio_channel_id"} else {"phone_number_id": NUMBER}
        )
        source = known.pop("source", Source.META)
        event = Event(f"{self.reported}", kind, source, at, **{"contact": ANA, **address, **known})
        payload = Payload(source, f"{self.reported}", 1, "{}", (event,))
        with self.state.transaction():
            EventLog(self.state).store([payload], Via.LISTEN, self.now)

    @property
    def now(self) -> datetime:
        found: datetime = self.clock.now()
        return found

    def shop(self) -> Summary:
        catch_up(self.state, (CHANNELS,), self.clock)
        return summaries(self.state, self.channels, self.numbers, self.now)[1]

    def only(self) -> Unsupported:
        [found] = self.shop().messages
        return found


@pytest.fixture
def reported(state: State, clock: Any) -> Log:
    return Log(state, clock)


def test_a_log_without_any_has_an_empty_summary(reported: Log) -> None:
    reported.tell(Kind.MESSAGE)

    assert reported.shop() == Summary()


def test_an_event_is_read_with_all_its_parts(reported: Log) -> None:
    data = {"code": 131060, "unsupported_type": "media_placeholder", "from_ad": True}
    reported.tell(Kind.UNSUPPORTED, data=data)

    found = reported.only()

    assert (found.code, found.type, found.is_referred) == (131060, "media_placeholder", True)
    assert (found.is_first, found.quiet_days) == (None, None)  # the log knows too little


def test_only_the_last_seven_days_and_the_own_number_count(reported: Log) -> None:
    reported.tell(Kind.UNSUPPORTED, hours_ago=7 * 24 + 1)
    reported.tell(Kind.UNSUPPORTED, hours_ago=-1)
    reported.tell(Kind.UNSUPPORTED, phone="+6560000009")
    reported.tell(Kind.UNSUPPORTED, respondio_channel_id=301, source=Source.RESPONDIO)

    assert reported.only().source is Source.RESPONDIO


def test_a_message_that_two_platforms_report_is_one_message_in_metas_words(reported: Log) -> None:
    reported.tell(Kind.UNSUPPORTED, message_id="wamid.A", data={"code": 131051})
    reported.tell(
        Kind.UNSUPPORTED, message_id="wamid.A", respondio_channel_id=301, source=Source.RESPONDIO
    )

    assert reported.only().code == 131051
    assert reported.shop().in_all == 1


def test_a_message_that_arrived_after_all_is_resolved(reported: Log) -> None:
    reported.tell(Kind.UNSUPPORTED, message_id="wamid.A", data={"code": 131060})
    reported.tell(Kind.MESSAGE, message_id="wamid.A", data={"direction": "in"})

    assert reported.shop() == Summary(resolved=1)


@pytest.mark.parametrize(("known_since", "is_first"), [(8 * 24, True), (3 * 24, None)])
def test_a_contact_is_new_if_the_log_had_time_to_see_the_others(
    reported: Log, known_since: float, is_first: bool | None
) -> None:
    reported.tell(Kind.MESSAGE, hours_ago=known_since, contact=BEN)
    reported.tell(Kind.UNSUPPORTED)

    assert reported.only().is_first is is_first


def test_a_contact_that_wrote_before_is_not_new(reported: Log) -> None:
    reported.tell(Kind.MESSAGE, hours_ago=2)
    reported.tell(Kind.UNSUPPORTED)

    assert reported.only().is_first is False


@pytest.mark.parametrize(
    ("signs", "days"), [([13 * 24], 12.96), ([13 * 24, 5], 12.96), ([13 * 24, 30], 1.21)]
)
def test_a_silence_counts_also_when_it_ended_within_the_day_before(
    reported: Log, signs: list[float], days: float
) -> None:
    for hours_ago in signs:
        reported.tell(Kind.ECHO, hours_ago=hours_ago)
    reported.tell(Kind.UNSUPPORTED)

    assert reported.only().quiet_days == pytest.approx(days, abs=0.01)


def test_a_message_within_a_day_of_connecting_is_marked(reported: Log) -> None:
    data = {"event": "ACCOUNT_RECONNECTED"}
    reported.tell(Kind.ACCOUNT_UPDATE, hours_ago=20, phone="+6560000001", contact=None, data=data)
    reported.tell(Kind.UNSUPPORTED)

    assert reported.only().is_after_connecting is True


@pytest.mark.parametrize(("hours_ago", "is_edit"), [(1, True), (1.5, False)])
def test_an_edit_by_the_same_contact_at_that_moment_is_seen(
    reported: Log, hours_ago: float, is_edit: bool
) -> None:
    reported.tell(Kind.EDIT, hours_ago=hours_ago)
    reported.tell(Kind.EDIT, contact=BEN)
    reported.tell(Kind.UNSUPPORTED)

    assert reported.only().is_edit is is_edit


def test_a_flood_is_counted_whole_and_looked_at_in_part(reported: Log) -> None:
    for minutes in range(103):
        reported.tell(Kind.UNSUPPORTED, hours_ago=1 + minutes / 60)

    found = reported.shop()

    assert (found.in_all, len(found.messages)) == (103, 100)
    assert found.messages[0].at > found.messages[-1].at


def test_echoes_and_messages_of_contacts_are_counted_by_day_and_number(reported: Log) -> None:
    inbound = {"direction": "in"}
    for hours_ago in (1, 2, 26, 29 * 24):
        reported.tell(Kind.ECHO, hours_ago=hours_ago)
    reported.tell(Kind.ECHO, phone="+6560000002")
    for _ in range(2):
        reported.tell(Kind.MESSAGE, hours_ago=3, data=inbound)
    reported.tell(Kind.MESSAGE, hours_ago=3, respondio_channel_id=301, data=inbound)
    reported.tell(Kind.MESSAGE, hours_ago=3, data={"direction": "out"})
    # Contacts also write where another responder has the conversation.
    reported.tell(Kind.STANDBY, hours_ago=3, data=inbound)
    reported.tell(Kind.STANDBY, hours_ago=3, data={"direction": "out"})
    reported.tell(Kind.STANDBY, hours_ago=3, data={"status": "delivered"})

    catch_up(reported.state, (CHANNELS, TRAFFIC), reported.clock)
    found = flows(reported.state, reported.numbers, reported.now + timedelta(days=4))

    assert found[1].echo_days == ("2026-11-06", "2026-11-07")
    assert found[1].last_echo_at == "2026-11-07T11:00:00.000Z"
    assert found[1].inbound == (("2026-11-07", 3),)
    assert found[2].echo_days == ("2026-11-07",)


def test_with_a_recent_echo_older_days_are_not_read(reported: Log) -> None:
    for hours_ago in (1, 2, 6 * 24):
        reported.tell(Kind.ECHO, hours_ago=hours_ago)
    reported.tell(Kind.ECHO, hours_ago=6 * 24, phone="+6560000002")

    catch_up(reported.state, (CHANNELS, TRAFFIC), reported.clock)
    found = flows(reported.state, reported.numbers, reported.now)

    assert found[1] == EchoFlow(("2026-11-07",), "2026-11-07T11:00:00.000Z")
    assert found[2].echo_days == ("2026-11-01",)
