"""One tick with the state file: results in, slots and claims out, for every process at once."""

from __future__ import annotations

from collections import deque

import pytest

from wacoex_cli.audience.ledger import add_optout, is_opted_out
from wacoex_cli.broadcast import throttle
from wacoex_cli.broadcast.engine import Exchange, Report
from wacoex_cli.broadcast.guards import Run, SendOrder
from wacoex_cli.broadcast.model import RowState, Settled, Status, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import Answered
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.state import open_state
from wacoex_cli.sandbox.world import PHONE

ROOM = Report(room=64)


@pytest.fixture
def join(state, clock):
    """Become the sender of a broadcast, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, rate=20.0):
        own = open_state(state.path)
        opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            locks.acquire(own, lock_purpose(broadcast_id), presence, clock)
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, rate, clock.now())
        return Exchange(
            own,
            presence,
            clock,
            Run(broadcast_id, PHONE, run_id, clock.monotonic(), SendOrder(rate)),
        )

    yield become_sender
    for one in opened:
        one.close()


def most_in_one_second(moments):
    window: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        window.append(moment)
        while window[0] <= moment - 1.0:
            window.popleft()
        most = max(most, len(window))
    return most


def test_what_is_granted_is_on_disk_as_claimed(state, clock, join, plan_rows):
    broadcast_id = plan_rows(100)
    granted = join(broadcast_id)(ROOM)

    assert len(granted.claims) == len(granted.slots) > 5
    assert Rows(state, broadcast_id).counts().of(RowState.SENDING) == len(granted.claims)
    assert min(granted.slots) > clock.monotonic()


def test_no_more_is_claimed_than_there_is_room_for(join, plan_rows):
    assert len(join(plan_rows(100))(Report(room=3)).claims) == 3


def test_a_sender_that_still_holds_claims_gets_slots_for_them_and_no_new_ones(join, plan_rows):
    granted = join(plan_rows(100))(Report(room=4, waiting_claims=4))

    assert (len(granted.slots), granted.claims) == (4, ())


def test_a_tick_with_no_room_grants_nothing(state, join, plan_rows):
    broadcast_id = plan_rows(9)
    granted = join(broadcast_id)(Report())

    assert (granted.claims, granted.slots) == ((), ())
    assert Rows(state, broadcast_id).counts().of(RowState.PENDING) == 9


def test_broadcasts_of_one_number_share_its_slots_and_keep_their_own_rates(clock, join, plan_rows):
    fast, slow = join(plan_rows(300), rate=20.0), join(plan_rows(300), rate=5.0)
    slots: dict[Exchange, list[float]] = {fast: [], slow: []}
    for _ in range(60):
        for sender in (slow, fast):
            granted = sender(ROOM)
            slots[sender] += granted.slots
        clock.advance(0.1)

    together = slots[fast] + slots[slow]
    assert most_in_one_second(together) == 20
    assert most_in_one_second(slots[slow]) == 5
    assert len(together) > 6 * 15, "and few slots are wasted"
    assert len(slots[slow]) > 6 * 4, "and the slow one is not starved"


def test_a_hold_is_a_hold_for_every_broadcast_of_the_number(clock, join, plan_rows):
    struck, other = join(plan_rows(9)), join(plan_rows(9))
    until = clock.monotonic() + 30.0
    struck(Report(hold_until=until))

    granted = other(ROOM)
    assert (granted.hold_until, granted.slots) == (until, ())
    clock.advance(29.9)
    assert other(ROOM).slots[0] == until


def test_refusals_slow_every_broadcast_of_the_number_down(clock, join, plan_rows):
    struck, other = join(plan_rows(99)), join(plan_rows(99))
    clock.advance(10)
    for _ in range(10):
        clock.advance(0.1)
        struck(Report(answers=(Answered(clock.monotonic(), was_throttled=True),)))
    clock.advance(2)

    slots = other(ROOM).slots
    assert slots[1] - slots[0] > throttle.slot_interval(20.0) * 1.2


def test_a_pause_by_another_process_is_seen_and_stops_the_claims(state, join, plan_rows):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    with state.transaction():
        Broadcasts(state).set_status(broadcast_id, Status.PAUSED)

    granted = sender(ROOM)
    assert (granted.status, granted.claims, granted.slots) == (Status.PAUSED, (), ())


def test_a_sender_whose_lock_was_taken_gets_nothing_and_records_nothing(
    state, clock, join, plan_rows
):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    claim = sender(Report(room=1)).claims[0]
    clock.boot = "boot-2"
    clock.advance(31)
    join(broadcast_id)
    accepted = Settled(claim.row, claim.attempt, RowState.ACCEPTED, message_id="wamid.1")
    with state.transaction():
        Rows(state, broadcast_id).take_over(None, "", clock.now())

    granted = sender(Report(settled=((accepted, claim.phone),), room=64))
    assert (granted.is_ours, granted.claims) == (False, ())
    assert Rows(state, broadcast_id).counts().by_state == {
        RowState.AMBIGUOUS: 1,
        RowState.PENDING: 8,
    }


def test_somebody_who_opts_out_by_their_answer_is_on_the_list_with_the_result(
    state, join, plan_rows
):
    sender = join(plan_rows(1))
    claim = sender(Report(room=1)).claims[0]
    gone = Settled(claim.row, claim.attempt, RowState.REJECTED, code=131050, opts_out=True)
    sender(Report(settled=((gone, claim.phone),)))

    assert is_opted_out(state, claim.phone)


def test_somebody_who_opts_out_while_a_broadcast_runs_is_not_sent_to(state, clock, join, plan_rows):
    broadcast_id = plan_rows(3)
    sender = join(broadcast_id)
    sender(Report(room=1))
    with state.transaction():
        add_optout(state, "+6591000002", "person", None, clock.now())
    clock.advance(1)

    granted = sender(ROOM)
    assert [one.row for one in granted.claims] == [3]
    clock.advance(1)
    assert not sender(ROOM).has_more
    assert Rows(state, broadcast_id).skip_reasons() == {"opted_out": 1}
    assert Broadcasts(state).get(broadcast_id).recipients == 2


def test_after_another_boot_a_broadcast_goes_on_within_two_seconds(clock, join, plan_rows):
    broadcast_id = plan_rows(99)
    join(broadcast_id)(ROOM)
    clock.boot = "boot-2"
    clock.seconds = 5.0
    clock.moment = clock.moment.replace(hour=18)
    sender = join(broadcast_id)
    slots = []
    for _ in range(20):
        slots += sender(ROOM).slots
        clock.advance(0.1)

    assert 6.0 <= min(slots) < 7.0


def test_counts_come_about_once_a_second(clock, join, plan_rows):
    sender = join(plan_rows(99))
    seen = []
    for _ in range(30):
        seen.append(sender(ROOM).snapshot)
        clock.advance(0.1)

    assert seen[0] is not None
    assert 2 <= sum(one is not None for one in seen) <= 4


def test_what_is_told_about_the_rate_comes_from_the_sender_and_the_last_minute(
    clock, join, plan_rows
):
    sender = join(plan_rows(2_000))
    for _ in range(90):
        claims = sender(Report(room=10)).claims
        taken = [Settled(one.row, one.attempt, RowState.ACCEPTED) for one in claims]
        sender(Report(settled=tuple((one, "") for one in taken)))
        clock.advance(1.0)
    told = sender(Report(last_second=7, peak=9, is_last=True)).snapshot

    assert (told.last_second, told.peak) == (7, 9)
    assert told.finished_rate == pytest.approx(told.counts.of(RowState.ACCEPTED) / 90, rel=0.1)
    assert told.seconds_left == pytest.approx(told.counts.open / told.finished_rate)


def test_a_sender_at_work_renews_its_heartbeat(state, clock, join, plan_rows):
    sender = join(plan_rows(99))
    for _ in range(120):
        sender(ROOM)
        clock.advance(0.5)

    beat = from_text(state.row("SELECT heartbeat_at FROM locks")["heartbeat_at"])
    assert (clock.now() - beat).total_seconds() <= 6


def test_a_run_notes_how_long_it_was_active_and_its_busiest_second(state, clock, join, plan_rows):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    for peak in (3, 7, 2):
        clock.advance(10)
        sender(Report(peak=peak))

    assert Broadcasts(state).active_seconds(broadcast_id) == 30
    assert Broadcasts(state).get(broadcast_id).peak_in_one_second == 7
