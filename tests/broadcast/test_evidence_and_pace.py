"""Two rules as tables: what lists of messages prove about a row in doubt, and the pace.

What a list leaves unknown stays unknown. The pace is tried against a number of a given limit.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import most_in_a_second
from tests.support.trading import Trader
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
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import Claim, Doubt, Fate, RowState, Settled, lock_purpose
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.respondio import SENDING
from wacoex_cli.sandbox.respondio_world import RespondIOWorld
from wacoex_cli.sandbox.world import PHONE
from wacoex_cli.sending.exchange import Report
from wacoex_cli.sending.guards import Run, SendOrder
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.throttle import (
    GUARD,
    Answered,
    SendingPace,
    book,
    fresh,
    learn,
    slot_interval,
    with_limit,
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


def judged(reported: History, *, now: datetime = LATER, doubt: Doubt = DOUBT) -> tuple[Fate, str]:
    found = by_history(doubt, reported, now)
    return found.fate, found.why


def test_a_history_that_works_and_lacks_a_message_of_that_moment_proves_that_it_did_not_go_out():
    fate, why = judged(history())

    assert fate is Fate.DID_NOT
    assert "holds our other messages of that time" in why


def test_a_message_of_that_moment_without_our_id_may_be_the_lost_one():
    fate, why = judged(history(Listed("wamid.X", sent_at=after(1))))

    assert (fate, why) == (
        Fate.UNKNOWN,
        "1 message of that moment is not ours by id: it may have gone out",
    )


@pytest.mark.parametrize("seconds", [-600, -6, 121, 900])
def test_messages_of_another_moment_prove_nothing(seconds):
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
def test_a_message_without_a_sending_time_may_be_the_lost_one(other):
    assert judged(history(other))[0] is Fate.UNKNOWN


def test_a_difference_to_metas_clock_widens_the_moment():
    slow, fast = Listed("wamid.X", sent_at=after(-40)), Listed("wamid.X", sent_at=after(150))

    assert judged(history(slow))[0] is Fate.DID_NOT
    assert judged(history(slow, ahead=-60.0))[0] is Fate.UNKNOWN
    assert judged(history(fast, ahead=60.0))[0] is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("reported", "why"),
    [
        (History([], True, OWN), "does not reach back"),
        (History([Listed("wamid.1", after(1))], False, OWN), "does not reach back"),
        (history(own={"wamid.1": CLAIMED}), "1 of our own messages of that time"),
        (History([Listed("wamid.old", after(-3600))], False, {}), "none of our messages"),
    ],
)
def test_a_history_that_is_short_or_not_known_to_work_proves_nothing(reported, why):
    fate, said = judged(reported)

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
    again = DOUBT._replace(attempt=2, since=after(-600))
    first_try = Listed("wamid.X", sent_at=after(-590))

    assert judged(history(first_try))[0] is Fate.DID_NOT
    assert judged(history(first_try), doubt=again)[0] is Fate.UNKNOWN


def test_a_row_whose_sender_slept_is_looked_for_until_it_gave_up():
    slept = DOUBT._replace(until=after(1000))
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
def test_the_history_never_denies_a_message_that_went_out(others, delay, went_out, minutes, lists):
    found = [
        Listed(
            f"wamid.other{number}",
            sent_at=after(offset) if other == "sent" else None,
            first_event_at=after(offset) if other != "none" else None,
        )
        for number, (offset, other) in enumerate(others)
    ]
    if went_out:
        found.append(Listed("wamid.it", sent_at=after(delay)))
    answer = history(*found, own=OWN if lists else {})

    fate, _ = judged(answer, now=CLAIMED + timedelta(minutes=minutes))

    assert fate is not Fate.WENT_OUT
    assert not (went_out and fate is Fate.DID_NOT)
    assert not (fate is Fate.DID_NOT and (minutes < 10 or not lists))


# respond.io


def message(seconds: float, number: int = 0, **more: Any) -> Candidate:
    at = after(seconds)
    message_id = int(at.timestamp() * 1_000_000) + number
    return Candidate(message_id, at, **{"is_sure": True, **more})


def reported(*candidates: Candidate, **more: Any) -> Conversation:
    return Conversation(candidates, **{"reaches_back": True, **more})


def test_the_only_message_with_this_template_at_that_moment_is_the_lost_one():
    found = by_conversation(DOUBT, reported(message(2, reached=RowState.DELIVERED)), after(60))

    assert (found.fate, found.reached) == (Fate.WENT_OUT, RowState.DELIVERED)
    assert found.message_id == str(message(2).message_id)
    assert found.source == "respond.io's message list"


def test_a_list_without_such_a_message_proves_that_it_did_not_go_out_after_ten_minutes():
    assert by_conversation(DOUBT, reported(), LATER).fate is Fate.DID_NOT
    assert by_conversation(DOUBT, reported(message(-700)), LATER).fate is Fate.DID_NOT
    assert by_conversation(DOUBT, reported(), after(60)).why.startswith("too early")
    assert by_conversation(DOUBT, reported(reaches_back=False), LATER).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("list_of_it", "why"),
    [
        (reported(message(1), message(9)), "2 messages to this person could be it"),
        (reported(message(1, is_sure=False)), "the list does not show enough to prove"),
        (reported(message(400)), "at another moment"),
        (reported(message(-400)), "at another moment"),
        (reported(Candidate(None, None, is_sure=False)), "at another moment"),
        (reported(message(1), rivals=[after(-300)]), "another row for this person is in doubt too"),
    ],
)
def test_a_doubtful_message_leaves_the_row_unknown(list_of_it, why):
    found = by_conversation(DOUBT, list_of_it, LATER)

    assert found.fate is Fate.UNKNOWN
    assert why in found.why


def test_a_message_of_another_row_is_not_the_lost_one():
    first = message(1)

    found = by_conversation(DOUBT, reported(first, taken={str(first.message_id)}), LATER)

    assert found.fate is Fate.DID_NOT


def test_rows_in_doubt_for_one_person_on_different_days_do_not_rival():
    yesterday = CLAIMED - timedelta(days=1)

    assert (
        by_conversation(DOUBT, reported(message(1), rivals=[yesterday]), LATER).fate
        is Fate.WENT_OUT
    )


@given(
    others=st.lists(st.tuples(OFFSETS, st.booleans()), max_size=4),
    delay=st.floats(0, 100),
    went_out=st.booleans(),
    minutes=st.integers(0, 60),
    reaches_back=st.booleans(),
)
def test_the_list_never_denies_a_sent_message_and_never_confuses_it_with_another(
    others, delay, went_out, minutes, reaches_back
):
    of_others = [
        message(seconds, number, is_sure=is_sure)
        for number, (seconds, is_sure) in enumerate(others, start=1)
        if not -5 <= seconds <= 120 or went_out
    ]
    it = [message(delay)] if went_out else []
    conversation = reported(*of_others, *it, reaches_back=reaches_back)

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
    return candidate(item(**changes), 4242, "spring_offer", ["en_US"])


def test_a_complete_item_of_the_list_is_sure():
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
def test_a_message_that_contradicts_the_row_is_not_a_candidate(changes):
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
def test_an_item_with_a_missing_part_is_possible_but_not_sure(changes):
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


LIMIT = 20.0


def accepted(pace: SendingPace, times: int, now: float = 100.0) -> SendingPace:
    for _ in range(times):
        pace = learn(pace, Answered(left_at=now, was_throttled=False), LIMIT, now)
    return pace


def refused(pace: SendingPace, now: float) -> SendingPace:
    return learn(pace, Answered(left_at=now, was_throttled=True), LIMIT, now)


def test_slots_are_spaced_evenly_a_guard_wider_than_the_limit():
    _, _, slots = book(fresh(20, 0.0), [fresh(20, 0.0)], 0.0, 0.2, 10)
    assert slots == pytest.approx((0.0, 0.05125, 0.1025, 0.15375))


def test_a_broadcast_with_a_lower_rate_goes_at_its_own():
    number: SendingPace = fresh(20, 0.0)
    own: tuple[SendingPace, ...] = (fresh(2, 0.0),)
    slots: list[float] = []
    for tick in range(16):
        number, own, booked = book(number, own, tick * 0.1, tick * 0.1 + 0.6, 10)
        slots += booked
    assert slots == pytest.approx([0.0, 0.5125, 1.025, 1.5375])


def test_two_broadcasts_of_one_number_share_its_slots():
    number = fresh(20, 0.0)
    number, _, first = book(number, [fresh(20, 0.0)], 0.0, 0.5, 3)
    _, _, second = book(number, [fresh(20, 0.0)], 0.0, 0.5, 3)
    assert [*first, *second] == pytest.approx([n * 0.05125 for n in range(6)])


def test_a_pause_is_not_made_up_by_a_burst():
    number, own, _ = book(fresh(20, 0.0), [fresh(20, 0.0)], 0.0, 0.2, 10)
    _, _, slots = book(number, own, 3600.0, 3600.2, 10)
    assert slots[0] == 3600.0
    assert len(slots) == 4


def test_after_another_boot_the_pace_starts_again_one_second_later():
    old = SendingPace(next_slot=9e9, interval=0.2, anchor=0.2, hold_until=9e9)
    pace = throttle.after_boot(old, 10.0)
    assert pace.next_slot == 11.0
    assert pace.hold_until == 10.0
    assert pace.interval == 0.2, "what was learned about the limit stays"


def test_nothing_leaves_during_a_hold():
    number = throttle.hold(fresh(20, 0.0), 5.0)
    assert book(number, [fresh(20, 0.0)], 0.0, 4.9, 10)[2] == ()
    assert book(number, [fresh(20, 0.0)], 4.5, 5.02, 10)[2] == (5.0,)


def test_a_slot_is_late_after_ten_milliseconds():
    assert not throttle.is_late(1.0, 1.009)
    assert throttle.is_late(1.0, 1.011)


def test_a_stray_refusal_costs_three_percent_at_most_and_the_pace_recovers():
    pace = refused(fresh(20, 0.0), 1.0)
    assert 0.05125 < pace.interval <= 0.05125 * 1.03
    assert accepted(pace, 100).interval == pytest.approx(0.05125)


def test_several_refusals_in_one_round_trip_count_once():
    pace = refused(fresh(20, 0.0), 1.0)
    again = learn(pace, Answered(left_at=0.9, was_throttled=True), LIMIT, 1.1)
    assert again.interval == pace.interval


def test_a_crowd_of_refusals_cuts_the_rate_and_cools_down_for_a_second():
    pace = fresh(20, 0.0)
    for step in range(10):
        pace = refused(pace, step * 0.05)
        if pace.hold_until:
            break
    assert pace.interval > 0.05125 * 1.25
    assert pace.hold_until == pytest.approx(step * 0.05 + 1.0)


def test_a_cut_rate_recovers_when_refusals_end():
    slow = SendingPace(next_slot=0.0, interval=0.205, anchor=0.205)
    seconds, pace = 0.0, slow
    while pace.interval > 1 / 18:
        pace = accepted(pace, 1)
        seconds += pace.interval
    assert seconds < 110


def test_strays_alone_never_bring_the_rate_below_fifteen():
    pace = fresh(20, 0.0)
    for step in range(3000):
        was_throttled = step % 50 == 49
        now = float(step)
        pace = learn(pace, Answered(now, was_throttled), LIMIT, now)
        assert pace.interval < 1 / 15


@given(
    steps=st.lists(
        st.tuples(
            st.floats(min_value=0.0, max_value=5.0),
            st.integers(min_value=0, max_value=30),
            st.sampled_from(["accepted", "refused", "hold", "nothing"]),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_no_order_of_events_puts_more_than_twenty_slots_into_one_second(steps):
    """Two broadcasts book by turns, time leaps, answers come: the number keeps its limit."""
    now, number = 0.0, fresh(20, 0.0)
    own = [fresh(20, 0.0), fresh(7, 0.0)]
    slots: list[list[float]] = [[], []]
    for leap, most, answer, which in steps:
        now += leap
        if answer == "hold":
            number = throttle.hold(number, now + 1.0)
        elif answer != "nothing":
            number = learn(number, Answered(now, answer == "refused"), LIMIT, now)
        number, (own[which],), booked = book(number, [own[which]], now, now + 0.6, most)
        assert all(slot >= number.hold_until or slot < now for slot in booked)
        slots[which] += booked
    both = sorted([*slots[0], *slots[1]])
    late = [slot + throttle.LATE_SECONDS * (n % 2) for n, slot in enumerate(both)]
    assert most_in_a_second(late) <= 20
    assert most_in_a_second(slots[1]) <= 7


@given(
    answers=st.lists(st.booleans(), max_size=300),
    limit=st.floats(min_value=0.5, max_value=10_000),
)
def test_the_pace_never_exceeds_the_limit_and_never_stops(answers, limit):
    pace = fresh(limit, 0.0)
    for step, was_throttled in enumerate(answers):
        pace = learn(pace, Answered(float(step), was_throttled), limit, float(step))
        assert pace.interval >= (1 + GUARD) / limit * 0.999999
        assert pace.interval <= max(5.0, (1 + GUARD) / limit) * 1.26
        assert 0.0 <= pace.refused_share <= 1.0
        pace = pace._replace(hold_until=0.0, changed_at=min(pace.changed_at, float(step)))


def test_a_slow_broadcast_takes_no_slot_that_a_fast_one_beside_it_could_use():
    number, slow, fast = fresh(20, 0.0), fresh(5, 0.0), fresh(20, 0.0)
    slots: list[float] = []
    for tick in range(100):
        now = tick * 0.1
        for which in ("slow", "fast"):
            own = slow if which == "slow" else fast
            number, (own,), booked = book(number, [own], now, now + 0.6, 10)
            slow, fast = (own, fast) if which == "slow" else (slow, own)
            slots += booked
    assert len(slots) / 10 > 19.0


TICK_SECONDS = 0.1
ANSWER_SECONDS = 0.3
ACCOUNT = "an account"


@dataclass
class Account:
    """The sandbox's limit of one account, with a clock that follows the arrivals."""

    limit: int
    now: float = 0.0
    arrived: list[float] = field(default_factory=list)
    refused: int = 0
    reported: float | None = None
    is_silent: bool = False

    def __post_init__(self) -> None:
        self._world = RespondIOWorld(lambda: self.now, lambda: self.now)
        self.allow(self.limit)

    def allow(self, limit: int) -> None:
        """Take this many a second from now on."""
        self._world.set_limit(SENDING, limit)

    def take(self, at: float) -> bool:
        """Whether a message that arrives at that moment is taken."""
        self.now = at
        is_taken, headers = self._world.admit(SENDING)
        self.arrived += [at] if is_taken else []
        self.refused += not is_taken
        if not self.is_silent:
            self.reported = float(headers["X-RateLimit-Limit"])
        return is_taken


class Sender:
    """One process that sends through the account; a request travels up to `jitter` seconds."""

    def __init__(self, exchange: Trader, account: Account, jitter: float) -> None:
        self._exchange = exchange
        self._account = account
        self._random = random.Random(1)
        self._jitter = jitter
        self._claims: deque[Claim] = deque()
        self._slots: deque[float] = deque()
        self._on_the_way: list[tuple[float, float, int, Claim]] = []
        self._answers: list[tuple[float, float, Claim, bool]] = []

    def tick(self, now: float) -> None:
        """What has arrived by now, then one trade with the ledger."""
        self._until(now)
        due = [answer for answer in self._answers if answer[0] <= now]
        self._answers = [answer for answer in self._answers if answer[0] > now]
        hold = max((at + 1.0 for at, _, _, is_taken in due if not is_taken), default=0.0)
        if hold:
            self._slots.clear()
        granted = self._exchange(
            Report(
                settled=tuple((_settled(claim, is_taken), "") for _, _, claim, is_taken in due),
                answers=tuple(Answered(left, not is_taken) for _, left, _, is_taken in due),
                hold_until=hold,
                waiting_claims=len(self._claims),
                waiting_slots=len(self._slots),
                room=64,
            )
        )
        self._claims.extend(granted.claims)
        self._slots.extend(granted.slots)

    def _until(self, now: float) -> None:
        while self._slots and self._slots[0] < now and self._claims:
            left, claim = self._slots.popleft(), self._claims.popleft()
            at = left + self._random.uniform(0.0, self._jitter)
            heapq.heappush(self._on_the_way, (at, left, claim.row, claim))
        while self._on_the_way and self._on_the_way[0][0] < now:
            at, left, _, claim = heapq.heappop(self._on_the_way)
            self._answers.append((at + ANSWER_SECONDS, left, claim, self._account.take(at)))


def _settled(claim: Claim, is_taken: bool) -> Settled:
    state = RowState.ACCEPTED if is_taken else RowState.REJECTED
    return Settled(claim.row, claim.attempt, state)


@pytest.fixture
def join(state, clock):
    """Become a sender, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, account, jitter=0.0):
        own = open_state(state.path)
        opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            locks.acquire(own, lock_purpose(broadcast_id), presence, clock)
            Rows(own, broadcast_id).renew_tries(clock.now())
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, 20.0, clock.now())
        run = Run(
            broadcast_id=broadcast_id,
            phone=PHONE,
            run_id=run_id,
            started_at=clock.monotonic(),
            order=SendOrder(20.0),
            endpoint=ACCOUNT,
            stated_limit=lambda: account.reported,
        )
        return Sender(Trader(own, presence, clock, run), account, jitter)

    yield become_sender
    for entry in opened:
        entry.close()


def pass_time(clock, seconds: float, *senders: Sender) -> None:
    for _ in range(round(seconds / TICK_SECONDS)):
        for sender in senders:
            sender.tick(clock.monotonic())
        clock.advance(TICK_SECONDS)


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("limit", [5, 10, 20])
def test_the_sender_settles_at_the_limit_and_is_hardly_ever_refused(
    clock, join, plan_rows, limit, jitter
):
    account = Account(limit)
    pass_time(clock, 60.0, join(plan_rows(1_300), account, jitter))

    taken = len(account.arrived)
    assert account.refused * 200 < taken + account.refused
    assert taken >= 0.94 * 60 * limit


def test_processes_that_use_one_account_share_its_limit(clock, join, plan_rows):
    account = Account(10)
    pass_time(clock, 30.0, join(plan_rows(400), account), join(plan_rows(400), account))

    assert account.refused == 0
    assert len(account.arrived) >= 0.94 * 30 * 10


def test_five_messages_a_second_are_sent_until_a_limit_is_stated(clock, join, plan_rows):
    account = Account(20)
    account.is_silent = True
    pass_time(clock, 10.0, join(plan_rows(100), account))

    assert 45 <= len(account.arrived) <= 50


def test_a_limit_that_falls_and_rises_is_followed(clock, join, plan_rows):
    account = Account(10)
    sender = join(plan_rows(1_000), account)
    pass_time(clock, 20.0, sender)
    account.allow(5)
    pass_time(clock, 20.0, sender)
    fallen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]
    refused = account.refused
    account.allow(10)
    pass_time(clock, 20.0, sender)
    risen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]

    assert refused <= 5, "those that were on their way when it fell"
    assert account.refused == refused
    assert 46 <= len(fallen) <= 50
    assert 92 <= len(risen) <= 100


def test_a_limit_that_is_stated_again_keeps_what_refusals_taught():
    pace = with_limit(fresh(5.0, 0.0), 10.0, 1.0)
    assert pace.interval == slot_interval(10.0)

    widened = throttle.learn(pace, Answered(2.0, was_throttled=True), 10.0, 2.0)
    assert with_limit(widened, 10.0, 3.0) == widened
    assert with_limit(widened, 8.0, 3.0).interval == slot_interval(8.0)
