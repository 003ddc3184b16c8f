"""What lists of messages prove about a row in doubt, and what they leave unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.broadcast.model import Doubt, Fate, RowState
from wacoex_cli.broadcast.reconcile import (
    Candidate,
    Conversation,
    History,
    Listed,
    by_conversation,
    by_history,
    candidate,
    listed,
)

CLAIMED = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
LATER = CLAIMED + timedelta(minutes=30)
DOUBT = Doubt(2, 3, "+6591000002", attempt=1, claimed_at=CLAIMED, since=CLAIMED, until=CLAIMED)
OWN = {"wamid.1": CLAIMED - timedelta(seconds=1), "wamid.3": CLAIMED + timedelta(seconds=1)}


def after(seconds: float) -> datetime:
    return CLAIMED + timedelta(seconds=seconds)


def history(*others: Listed, own: Any = OWN, is_whole: bool = False, ahead: float = 0.0) -> History:
    """Our own messages as Meta lists them, those of somebody else, and one of an hour before."""
    messages = [
        *(
            Listed(message_id, sent_at=at + timedelta(seconds=0.2))
            for message_id, at in own.items()
        ),
        *others,
        Listed("wamid.old", sent_at=after(-3600)),
    ]
    return History(messages, is_whole, OWN, ahead)


def judged(told: History, *, now: datetime = LATER, doubt: Doubt = DOUBT) -> tuple[Fate, str]:
    found = by_history(doubt, told, now)
    return found.fate, found.why


def test_a_history_that_works_and_lacks_a_message_of_that_moment_proves_that_it_did_not_go_out():
    fate, why = judged(history())

    assert fate is Fate.DID_NOT
    assert "holds our other messages of that time" in why


def test_a_message_of_that_moment_that_is_not_ours_by_id_may_be_it():
    fate, why = judged(history(Listed("wamid.X", sent_at=after(1))))

    assert (fate, why) == (
        Fate.UNKNOWN,
        "1 message of that moment is not ours by id: it may have gone out",
    )


@pytest.mark.parametrize("seconds", [-600, -6, 121, 900])
def test_messages_of_another_moment_say_nothing(seconds):
    assert judged(history(Listed("wamid.X", sent_at=after(seconds))))[0] is Fate.DID_NOT


@pytest.mark.parametrize(
    "other",
    [
        Listed("wamid.X"),
        Listed("wamid.X", first_event_at=after(3)),
        Listed("wamid.X", first_event_at=after(1500)),
    ],
    ids=["undated", "only delivered, soon", "only delivered, when the phone was on again"],
)
def test_a_message_whose_sending_is_not_dated_may_be_it(other):
    assert judged(history(other))[0] is Fate.UNKNOWN


def test_a_clock_of_metas_that_differs_widens_the_moment():
    slow, fast = Listed("wamid.X", sent_at=after(-40)), Listed("wamid.X", sent_at=after(150))

    assert judged(history(slow))[0] is Fate.DID_NOT
    assert judged(history(slow, ahead=-60.0))[0] is Fate.UNKNOWN
    assert judged(history(fast, ahead=60.0))[0] is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (History([], True, OWN), "does not reach back"),
        (History([Listed("wamid.1", after(1))], False, OWN), "does not reach back"),
        (history(own={"wamid.1": CLAIMED}), "1 of our own messages of that time"),
        (History([Listed("wamid.old", after(-3600))], False, {}), "no message of ours"),
    ],
)
def test_a_history_that_is_short_or_not_known_to_work_proves_nothing(told, why):
    fate, said = judged(told)

    assert fate is Fate.UNKNOWN
    assert why in said


def test_a_history_read_to_its_end_need_not_hold_anything_that_is_much_older():
    own = [Listed("wamid.1", sent_at=after(-1)), Listed("wamid.3", sent_at=after(1))]

    assert judged(History(own, True, OWN))[0] is Fate.DID_NOT
    assert judged(History(own, False, OWN))[0] is Fate.UNKNOWN


def test_it_is_too_early_before_ten_minutes_have_passed():
    fate, why = judged(history(), now=after(599))

    assert (fate, why[:9]) == (Fate.UNKNOWN, "too early")
    assert judged(history(), now=after(-3600))[1][:9] == "too early", "the clock was set back"


def test_a_row_that_was_tried_before_is_looked_for_since_the_broadcast_began():
    again = replace(DOUBT, attempt=2, since=after(-600))
    first_try = Listed("wamid.X", sent_at=after(-590))

    assert judged(history(first_try))[0] is Fate.DID_NOT
    assert judged(history(first_try), doubt=again)[0] is Fate.UNKNOWN


def test_a_row_whose_sender_slept_is_looked_for_until_it_gave_up():
    slept = replace(DOUBT, until=after(1000))
    when_it_woke = Listed("wamid.X", sent_at=after(990))

    assert judged(history(when_it_woke), now=after(3600))[0] is Fate.DID_NOT
    assert judged(history(when_it_woke), now=after(3600), doubt=slept)[0] is Fate.UNKNOWN
    assert judged(history(), now=after(1500), doubt=slept)[1][:9] == "too early"


OFFSETS = st.floats(-1800, 1800, allow_nan=False)


@given(
    others=st.lists(st.tuples(OFFSETS, st.sampled_from(["sent", "delivered", "none"]))),
    delay=st.floats(0, 100),
    went_out=st.booleans(),
    minutes=st.integers(0, 60),
    lists=st.booleans(),
)
def test_whatever_else_was_sent_the_history_never_says_of_a_message_that_it_did_not_go_out(
    others, delay, went_out, minutes, lists
):
    found = [
        Listed(
            f"wamid.other{number}",
            sent_at=after(offset) if told == "sent" else None,
            first_event_at=after(offset) if told != "none" else None,
        )
        for number, (offset, told) in enumerate(others)
    ]
    if went_out:
        found.append(Listed("wamid.it", sent_at=after(delay)))
    told = history(*found, own=OWN if lists else {})

    fate, _ = judged(told, now=CLAIMED + timedelta(minutes=minutes))

    assert fate is not Fate.WENT_OUT
    assert not (went_out and fate is Fate.DID_NOT)
    assert not (fate is Fate.DID_NOT and (minutes < 10 or not lists))


# respond.io


def message(seconds: float, number: int = 0, **more: Any) -> Candidate:
    at = after(seconds)
    message_id = int(at.timestamp() * 1_000_000) + number
    return Candidate(message_id, at, **{"is_sure": True, **more})


def told(*candidates: Candidate, **more: Any) -> Conversation:
    return Conversation(candidates, **{"reaches_back": True, **more})


def test_the_one_message_with_this_template_of_that_moment_is_it():
    found = by_conversation(DOUBT, told(message(2, reached=RowState.DELIVERED)), after(60))

    assert (found.fate, found.reached) == (Fate.WENT_OUT, RowState.DELIVERED)
    assert found.message_id == str(message(2).message_id)
    assert found.source == "respond.io's message list"


def test_a_list_without_such_a_message_proves_that_it_did_not_go_out_after_ten_minutes():
    assert by_conversation(DOUBT, told(), LATER).fate is Fate.DID_NOT
    assert by_conversation(DOUBT, told(message(-700)), LATER).fate is Fate.DID_NOT
    assert by_conversation(DOUBT, told(), after(60)).why.startswith("too early")
    assert by_conversation(DOUBT, told(reaches_back=False), LATER).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("list_of_it", "why"),
    [
        (told(message(1), message(9)), "2 messages to this person could be it"),
        (told(message(1, is_sure=False)), "not all that would prove it is told"),
        (told(message(400)), "at another moment"),
        (told(message(-400)), "at another moment"),
        (told(Candidate(None, None, is_sure=False)), "at another moment"),
        (told(message(1), rivals=[after(-300)]), "another row for this person is in doubt too"),
    ],
)
def test_anything_that_may_or_may_not_be_it_leaves_the_row_unknown(list_of_it, why):
    found = by_conversation(DOUBT, list_of_it, LATER)

    assert found.fate is Fate.UNKNOWN
    assert why in found.why


def test_a_message_that_is_another_rows_is_not_it():
    one = message(1)

    found = by_conversation(DOUBT, told(one, taken={str(one.message_id)}), LATER)

    assert found.fate is Fate.DID_NOT


def test_rows_in_doubt_for_one_person_on_different_days_do_not_rival():
    yesterday = CLAIMED - timedelta(days=1)

    assert by_conversation(DOUBT, told(message(1), rivals=[yesterday]), LATER).fate is Fate.WENT_OUT


@given(
    others=st.lists(st.tuples(OFFSETS, st.booleans()), max_size=4),
    delay=st.floats(0, 100),
    went_out=st.booleans(),
    minutes=st.integers(0, 60),
    reaches_back=st.booleans(),
)
def test_whatever_else_is_listed_the_list_never_denies_a_message_and_never_takes_another_for_it(
    others, delay, went_out, minutes, reaches_back
):
    of_others = [
        message(seconds, number, is_sure=is_sure)
        for number, (seconds, is_sure) in enumerate(others, start=1)
        if not -5 <= seconds <= 120 or went_out
    ]
    it = [message(delay)] if went_out else []
    conversation = told(*of_others, *it, reaches_back=reaches_back)

    found = by_conversation(DOUBT, conversation, CLAIMED + timedelta(minutes=minutes))

    if found.fate is Fate.WENT_OUT:
        assert went_out
        assert found.message_id == str(it[0].message_id)
    if found.fate is Fate.DID_NOT:
        assert not went_out
        assert reaches_back
        assert minutes >= 10


# Reading the lists


def test_an_entry_of_the_history_is_dated_by_its_status_sent():
    found = listed(
        {
            "id": "1",
            "message_id": "wamid.A",
            "events": {
                "data": [
                    {"delivery_status": "DELIVERED", "timestamp": 1762516805},
                    {"delivery_status": "SENT", "timestamp": "1762516801"},
                    {"delivery_status": "READ", "timestamp": "soon"},
                ]
            },
        }
    )

    assert found == Listed(
        "wamid.A",
        sent_at=datetime.fromtimestamp(1762516801, UTC),
        first_event_at=datetime.fromtimestamp(1762516801, UTC),
    )
    assert listed({"message_id": "wamid.A", "events": "none"}) == Listed("wamid.A")
    assert listed({"id": "1"}) is None


def item(**changes: Any) -> dict[str, Any]:
    return {
        "messageId": int(CLAIMED.timestamp()) * 1_000_000 + 250_000,
        "channelId": 4242,
        "traffic": "outgoing",
        "sender": {"source": "api"},
        "message": {
            "type": "whatsapp_template",
            "template": {"name": "spring_offer", "languageCode": "en_US"},
        },
        "status": [{"value": "pending", "timestamp": 1}, {"value": "sent", "timestamp": 2}],
        **changes,
    }


def read(**changes: Any) -> Candidate | None:
    return candidate(item(**changes), 4242, "spring_offer", "en_US")


def test_an_item_of_the_list_that_is_told_whole_is_sure():
    found = read()

    assert found is not None
    assert (found.is_sure, found.sent_at, found.reached) == (True, after(0.25), RowState.SENT)


@pytest.mark.parametrize(
    "changes",
    [
        {"traffic": "incoming"},
        {"channelId": 9},
        {"channelId": "9"},
        {"sender": {"source": "echo"}},
        {"sender": {"source": "broadcast"}},
        {"message": {"type": "text", "text": "hi"}},
        {"message": {"type": "whatsapp_template", "template": {"name": "other"}}},
        {
            "message": {
                "type": "whatsapp_template",
                "template": {"name": "spring_offer", "languageCode": "de"},
            }
        },
    ],
)
def test_what_contradicts_the_row_is_no_candidate(changes):
    assert read(**changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": None},
        {"sender": {"source": "something_new"}},
        {"channelId": None},
        {"message": {"type": "whatsapp_template"}},
        {"message": None},
        {"messageId": "x"},
    ],
)
def test_what_is_not_told_leaves_it_possible_but_not_sure(changes):
    found = read(**changes)

    assert found is not None
    assert not found.is_sure


def test_the_furthest_status_counts_and_a_failure_keeps_its_text():
    failed = read(status=[{"value": "failed", "message": "Re-engagement message"}])
    late = read(status=[{"value": "read"}, {"value": "failed", "message": "x"}, {"value": "new"}])

    assert failed is not None
    assert (failed.reached, failed.failure) == (RowState.FAILED, "Re-engagement message")
    assert late is not None
    assert (late.reached, late.failure) == (RowState.READ, None)
