"""A broadcast that keeps to a canary, the hours of its people, and the clock.

The result of the first few messages decides about the rest.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time as real_time
import zoneinfo
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.broadcast import send
from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts.quiet_hours import QuietHours, demand_opening
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger.model import Counts, RowState, Status, Stop, attempt_id
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID
from wacoex_cli.sending.guards import (
    Canary,
    Go,
    Guards,
    Wait,
    guard_options,
    judge_canary,
)

NIGHT = QuietHours(time(21), time(8))
SINGAPORE = zoneinfo.ZoneInfo("Asia/Singapore")
numbers = itertools.count()


def tell(shop, broadcast, rows, word, code=None):
    """A listener stores the statuses of rows; the sender reads them by itself."""
    this_file = Broadcasts(shop.state).state_id
    events = tuple(
        Event(
            key=f"meta:status:{row}:{word}:{next(numbers)}",
            kind=Kind.STATUS,
            source=Source.META,
            at=to_text(shop.clock.now()),
            phone_number_id=PHONE_NUMBER_ID,
            data={
                "status": word,
                "attempt_id": attempt_id(this_file, broadcast.broadcast_id, row, 1),
                "code": code,
            },
        )
        for row in rows
    )
    payload = Payload(Source.META, f"digest {next(numbers)}", 1, "{}", events)
    with shop.state.transaction():
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())


def go_to(shop, hour, minute=0, zone=SINGAPORE):
    """Let time pass until the clocks of a zone show that."""
    now = shop.clock.now()
    there = now.astimezone(zone).replace(hour=hour, minute=minute, second=0, microsecond=0)
    shop.clock.leap(((there - now).total_seconds()) % 86_400)


def canary_of(rows, **how):
    return Guards(canary=Canary(rows, **how))


def taken(shop):
    return len(shop.world.log.accepted())


# The canary


def test_the_rest_follows_a_good_canary(shop, eventually):
    broadcast = shop.planned(30)

    async def arrive():
        await eventually(lambda: taken(shop) == 5)
        await asyncio.sleep(0.6)
        assert taken(shop) == 5
        tell(shop, broadcast, range(1, 6), "delivered")

    sent = shop.send(broadcast, during=arrive, guards=canary_of(5))

    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 25, "delivered": 5}
    (decision,) = shop.state.rows("SELECT row, decided_by, decision FROM decisions")
    assert decision == {
        "row": None,
        "decided_by": "wacoex",
        "decision": "canary: 5 of 5 confirmed, 0 failed",
    }


def test_the_rest_stays_after_a_failed_canary_until_a_person_sends_it(shop, eventually):
    broadcast = shop.planned(30)

    async def fail():
        await eventually(lambda: taken(shop) == 5)
        tell(shop, broadcast, [2], "failed", code=131026)

    sent = shop.send(broadcast, during=fail, guards=canary_of(5))

    assert (sent.exit_status, sent.broadcast.status) == (7, Status.PAUSED)
    assert sent.broadcast.reason.startswith("the canary of 5 went wrong: 1 failed")
    assert shop.counts(broadcast) == {"pending": 25, "accepted": 4, "failed": 1}

    # Nothing has changed, so a plain resume ends in the same way.
    assert shop.resume(broadcast).broadcast.reason == sent.broadcast.reason
    assert taken(shop) == 5

    shop.resume(broadcast, guards=Guards())
    assert taken(shop) == 30


def test_the_rest_stays_when_no_statuses_come(shop, eventually):
    broadcast = shop.planned(12)

    async def pass_ten_minutes():
        await eventually(lambda: shop.counts(broadcast).get("accepted") == 4)
        shop.clock.leap(601)

    sent = shop.send(broadcast, during=pass_ten_minutes, guards=canary_of(4))

    assert sent.broadcast.status is Status.PAUSED
    assert "no status came for 4 of 4 rows" in sent.broadcast.reason
    assert taken(shop) == 4


def test_refused_rows_are_part_of_the_canary_and_throttled_ones_are_not(shop):
    broadcast = shop.planned(20)
    shop.faults(
        Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})),
        Fault("throttled", arrivals=frozenset({3})),
    )

    sent = shop.send(broadcast, guards=canary_of(4, limit=0.25))

    assert "1 rejected" in sent.broadcast.reason
    assert taken(shop) <= 3


def test_another_process_pauses_a_waiting_canary_and_resume_waits_on(shop, eventually):
    broadcast = shop.planned(20)

    async def pause():
        await eventually(lambda: shop.counts(broadcast).get("accepted") == 5)
        began = real_time.monotonic()
        await send.pause(shop.state, shop.current(broadcast), "ana", shop.clock)
        assert real_time.monotonic() - began < 5

    assert shop.send(broadcast, during=pause, guards=canary_of(5)).broadcast.reason == (
        "paused by ana"
    )

    async def arrive():
        await asyncio.sleep(0.6)
        assert taken(shop) == 5
        tell(shop, broadcast, range(1, 6), "read")

    assert shop.resume(broadcast, during=arrive).exit_status == 0
    assert taken(shop) == 20

    # It has been decided: a row that must be sent again waits for nothing.
    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET state = 'pending' WHERE row = 20")
        shop.state.execute("UPDATE broadcasts SET status = 'paused'")
    assert shop.resume(broadcast).exit_status == 0


def test_a_list_that_is_shorter_than_its_canary_is_just_sent(shop):
    broadcast = shop.planned(3)

    assert shop.send(broadcast, guards=canary_of(10)).exit_status == 0


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_through_respondio_its_statuses_are_asked_for_meanwhile(shop, provider, eventually):
    broadcast = shop.planned(8, create_contacts=True)

    async def pass_seconds():
        await eventually(lambda: shop.counts(broadcast).get("accepted") == 3)
        while shop.current(broadcast).status is not Status.COMPLETED:
            await asyncio.sleep(0.1)
            shop.clock.leap(1.0)

    sent = shop.send(broadcast, during=pass_seconds, guards=canary_of(3))

    assert sent.exit_status == 0
    assert (
        shop.state.value("SELECT decision FROM decisions") == "canary: 3 of 3 confirmed, 0 failed"
    )


# Quiet hours


def test_rows_wait_for_the_morning_of_their_people(shop, eventually, cli):
    go_to(shop, 23)
    london = [(f"+4479111234{n:02}",) for n in range(5)]
    people = [(shop.phone(n),) for n in range(1, 6)]
    broadcast = shop.planned(shop.file("mixed.csv", [*people, *london]))
    answer = []

    async def pass_the_night():
        await eventually(lambda: shop.counts(broadcast) == {"retry": 5, "accepted": 5})
        answer.append(cli("broadcast", "show", broadcast.broadcast_id, "--json").data)
        rows = shop.rows(broadcast)
        assert {rows[n]["reason"] for n in range(1, 6)} == {"quiet_hours"}
        assert {rows[n]["attempts"] for n in range(1, 6)} == {0}
        await asyncio.sleep(0.6)
        go_to(shop, 8, 1)

    sent = shop.send(broadcast, during=pass_the_night, guards=Guards(quiet_hours=NIGHT))

    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 10}
    assert {row["attempts"] for row in shop.rows(broadcast).values()} == {1}
    assert {row["reason"] for row in shop.rows(broadcast).values()} == {None}
    morning = (
        shop.clock.now().astimezone(SINGAPORE).replace(hour=8, minute=0, second=0, microsecond=0)
    )
    assert answer[0]["held"] == {"rows": 5, "at_no_hour": 0, "until": to_text(morning)}
    assert answer[0]["counts"]["retry"] == 5
    # The night is not part of the time that sending took.
    assert cli("broadcast", "show", 1, "--json").data["rate"]["achieved"] > 1
    assert shop.taken_twice() == []


def test_the_live_view_shows_who_waits_until_when(shop, eventually):
    go_to(shop, 22)
    broadcast = shop.planned(3)

    async def stop_it():
        await eventually(lambda: shop.counts(broadcast) == {"retry": 3})
        await eventually(lambda: any(shot.held for shot in shop.shots))
        await send.pause(shop.state, shop.current(broadcast), "ana", shop.clock)

    shop.send(broadcast, during=stop_it, guards=Guards(quiet_hours=NIGHT))

    (held,) = next(shot.held for shot in shop.shots if shot.held)
    assert (held.rows, held.zone) == (3, "Asia/Singapore")
    assert held.until.astimezone(SINGAPORE).time() == time(8)


def test_while_all_are_held_back_until_and_other_hours_are_obeyed(shop, eventually):
    go_to(shop, 22)
    broadcast = shop.planned(4)
    until = shop.clock.now() + timedelta(hours=1)

    async def pass_an_hour():
        await eventually(lambda: shop.counts(broadcast) == {"retry": 4})
        shop.clock.leap(3_600)

    sent = shop.send(
        broadcast,
        during=pass_an_hour,
        guards=Guards(quiet_hours=NIGHT),
        until=until,
        zone="Asia/Singapore",
    )

    assert (sent.exit_status, sent.broadcast.status) == (6, Status.PAUSED)
    local = until.astimezone(SINGAPORE)
    assert sent.broadcast.reason == f"`--until {local:%Y-%m-%d %H:%M} Asia/Singapore` is reached"
    assert taken(shop) == 0

    # The hours stay with the broadcast, `--until` does not.
    async def pause():
        await asyncio.sleep(0.7)
        assert taken(shop) == 0
        await send.pause(shop.state, shop.current(broadcast), "ana", shop.clock)

    shop.resume(broadcast, during=pause)

    assert shop.resume(broadcast, guards=Guards()).exit_status == 0
    assert taken(shop) == 4


def test_a_number_without_a_zone_goes_by_the_clocks_of_the_channel(shop, eventually):
    go_to(shop, 23)
    broadcast = shop.planned(shop.file("ships.csv", [("+870773123456",)]))

    async def pass_the_night():
        await eventually(lambda: shop.counts(broadcast) == {"retry": 1})
        go_to(shop, 8, 1)

    sent = shop.send(
        broadcast,
        during=pass_the_night,
        guards=Guards(quiet_hours=NIGHT),
        zone="Asia/Singapore",
    )

    assert sent.exit_status == 0


def test_people_without_a_permitted_hour_are_not_sent_to_and_named(shop, cli):
    broadcast = shop.planned(shop.file("wide.csv", [("+79161234567",)]))

    sent = shop.send(broadcast, guards=Guards(quiet_hours=QuietHours(time(12), time(8))))

    assert (sent.exit_status, sent.broadcast.status) == (5, Status.PAUSED)
    assert sent.broadcast.reason.startswith("1 row can leave at no hour")
    assert cli("broadcast", "show", 1, "--json").data["held"]["at_no_hour"] == 1

    assert shop.resume(broadcast, guards=Guards()).exit_status == 0


def test_a_person_who_opts_out_while_held_back_is_not_sent_to(shop, eventually, cli):
    go_to(shop, 23)
    broadcast = shop.planned(2)

    async def opt_out():
        await eventually(lambda: shop.counts(broadcast) == {"retry": 2})
        assert cli("optout", "add", shop.phone(1)).code == 0
        go_to(shop, 8, 1)

    shop.send(broadcast, during=opt_out, guards=Guards(quiet_hours=NIGHT))

    assert shop.states(broadcast) == ["skipped", "accepted"]


# Late failures


def test_it_pauses_when_messages_fail_after_they_were_accepted(shop, eventually):
    broadcast = shop.planned(300)

    async def fail():
        await eventually(lambda: shop.counts(broadcast).get("accepted", 0) >= 40)
        tell(shop, broadcast, range(1, 26), "failed", code=131026)

    sent = shop.send(broadcast, during=fail, rate=30.0)

    assert sent.broadcast.status is Status.PAUSED
    assert sent.broadcast.reason == (
        "25 of the last 25 messages failed after they were accepted: code 131026 (25 times)"
    )


def test_it_pauses_at_the_limit_of_one_error(shop):
    broadcast = shop.planned(60)
    shop.faults(Fault("refuse", code=131049, count=3))

    sent = shop.send(broadcast, rate=50.0, breaker_limits={"131049": 3})

    assert sent.broadcast.reason == "code 131049 came 3 times; the limit is 3"


# The commands


def moment(seconds):
    return to_text(datetime.now(UTC) + timedelta(seconds=seconds))


def test_a_canary_is_shown_until_it_has_decided(shop, cli, eventually):
    broadcast = shop.planned(12)
    hint = "guards: canary of 5 (waits up to 10 min, fewer than 10% may fail)"

    async def arrive_and_pause():
        await eventually(lambda: shop.counts(broadcast).get("accepted") == 5)
        await send.pause(shop.state, shop.current(broadcast), "ana", shop.clock)
        tell(shop, broadcast, range(1, 6), "delivered")

    shop.send(broadcast, during=arrive_and_pause, guards=canary_of(5))

    done = cli("broadcast", "resume", 1, "--yes")
    assert done.code == 0
    assert hint in done.err

    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET state = 'pending' WHERE row = 12")
        shop.state.execute("UPDATE broadcasts SET status = 'paused'")
    assert "guards:" not in cli("broadcast", "resume", 1, "--yes").err


def test_a_broadcast_waits_until_it_may_begin(shop, cli):
    shop.planned(2)
    begins = datetime.now(UTC) + timedelta(seconds=1.5)

    done = cli("broadcast", "send", "--not-before", to_text(begins), "--yes")

    assert done.code == 0
    assert "waiting until" in done.err
    assert shop.current(Broadcasts(shop.state).get(1)).started_at >= to_text(begins)


@pytest.mark.parametrize("option", ["--not-before", "--until"])
def test_a_time_that_is_over_is_refused(shop, cli, option):
    shop.planned(2)

    done = cli("broadcast", "send", option, moment(-60), "--yes")

    assert done.code == 2
    assert f"the time of `{option}` is in the past" in done.err
    assert taken(shop) == 0


def test_a_new_broadcast_is_not_planned_with_a_time_that_is_over(shop, cli):
    people = shop.people(2)
    plan = ("--to", people, "--template", "opening_hours", "--lang", "en_US", "--yes")

    assert cli("broadcast", "send", *plan, "--until", moment(-60)).code == 2
    assert cli("broadcast", "send", *plan, "--canary-wait", "10m").code == 2
    assert cli("broadcast", "list", "--json").data["broadcasts"] == []


def test_it_can_be_interrupted_while_it_waits_and_stays_planned(shop, eventually):
    broadcast = shop.planned(2)
    waiting = shop.start(
        "-m", "wacoex_cli", "broadcast", "send", 1, "--not-before", moment(600), "--yes"
    )
    assert "waiting until" in _line_with(waiting.stderr, "waiting")

    waiting.send_signal(signal.SIGINT)

    waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert shop.current(broadcast).status is Status.PLANNED


def test_it_ends_when_it_is_cancelled_while_it_waits(shop, cli):
    shop.planned(2)
    waiting = shop.start(
        "-m", "wacoex_cli", "broadcast", "send", 1, "--not-before", moment(600), "--yes"
    )
    _line_with(waiting.stderr, "waiting")

    assert cli("broadcast", "cancel", 1, "--yes").code == 0

    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 2
    assert "cancelled" in errors
    assert taken(shop) == 0


def _line_with(stream, word):
    return next(line for line in stream if word in line)


def test_the_command_keeps_to_the_hours_and_shows_them(shop, cli, eventually):
    in_lisbon = "+351912345678"
    shop.planned(shop.file("people.csv", [*((shop.phone(n),) for n in (1, 2, 3)), (in_lisbon,)]))
    now = datetime.now(SINGAPORE)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"

    done = cli("broadcast", "send", "--quiet-hours", hours, "--until", moment(2), "--yes", "--json")

    assert done.code == 7
    assert done.data["held"]["rows"] == 3

    assert taken(shop) == 1

    # Who is left is in Singapore: nothing could leave.
    done = cli("broadcast", "resume", 1, "--until", moment(1), "--yes")
    assert done.code == 2
    assert "nothing could be sent before `--until`" in done.err

    done = cli("broadcast", "resume", 1, "--quiet-hours", "none", "--yes")
    assert done.code == 0
    assert "guards:" not in done.err
    assert taken(shop) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"canary": -1},
        {"canary_wait": "soon"},
        {"canary_limit": "0%"},
        {"canary_limit": "101%"},
        {"quiet_hours": "night"},
    ],
)
def test_a_guard_that_cannot_be_read_is_refused(options):
    with pytest.raises(UsageError):
        guard_options(**options)


def test_guards_are_kept_and_changed_one_by_one():
    requests = guard_options(
        canary=10, canary_wait="2h", canary_limit="25%", quiet_hours="21:00-08:00"
    ).applied_to(Guards())
    kept = Guards.from_json(requests.to_json())

    assert kept == requests == Guards(Canary(10, 7_200.0, 0.25), None, NIGHT)
    later = guard_options(canary_wait="90s", quiet_hours="none").applied_to(kept)
    assert later == Guards(Canary(10, 90.0, 0.25))
    assert guard_options(canary=0).applied_to(kept) == Guards(quiet_hours=NIGHT)
    assert Guards.from_json("{}") == Guards()


TEN = Canary(10, wait_seconds=600)


def seen(**counts: int) -> Counts:
    return Counts({RowState(state): n for state, n in counts.items()})


@pytest.mark.parametrize(
    ("counts", "quiet_seconds", "expected"),
    [
        ({}, 0.0, Wait(10)),
        ({"accepted": 3, "sending": 2}, 0.0, Wait(5)),
        ({"accepted": 9, "sending": 1}, 900.0, Wait(0)),
        ({"accepted": 10}, 0.0, Wait(0)),
        ({"sent": 10}, 599.0, Wait(0)),
        ({"delivered": 9, "accepted": 1}, 599.0, Wait(0)),
        ({"delivered": 9, "ambiguous": 1}, 10.0, Wait(0)),
        # Once all are settled nothing is waited for.
        ({"delivered": 6, "read": 4}, 1.0, Go("canary: 10 of 10 confirmed, 0 failed")),
        ({"sent": 5, "accepted": 5}, 600.0, Go("canary: 5 of 10 confirmed, 0 failed")),
    ],
)
def test_the_canary_waits_for_statuses_and_then_continues(counts, quiet_seconds, expected):
    assert judge_canary(TEN, seen(**counts), quiet_seconds) == expected


@pytest.mark.parametrize(
    ("counts", "quiet_seconds", "reported"),
    [
        ({"failed": 1, "accepted": 2, "sending": 1}, 0.0, "1 failed"),
        ({"rejected": 1, "delivered": 9}, 0.0, "1 rejected"),
        ({"ambiguous": 1, "delivered": 9}, 600.0, "1 ambiguous"),
    ],
)
def test_the_canary_stops_when_too_many_failed(counts, quiet_seconds, reported):
    stop = judge_canary(TEN, seen(**counts), quiet_seconds)

    assert isinstance(stop, Stop)
    assert stop.exit_status == 5
    assert stop.reason == (
        f"the canary of 10 went wrong: {reported}; the limit is 10%; `--canary 0` continues anyway"
    )


def test_without_statuses_the_canary_does_not_continue():
    stop = judge_canary(TEN, seen(accepted=8, delivered=2), 600.0)

    assert isinstance(stop, Stop)
    assert stop.reason == (
        "no status came for 8 of 10 rows of the canary within 10 min: is"
        " anything listening? `--canary 0` continues anyway"
    )


@pytest.mark.parametrize(
    ("counts", "reported"),
    [
        ({"held_by_meta": 6, "delivered": 4}, "held by Meta for a quality check: 6 of 10"),
        (
            {"held_by_meta": 2, "paused_by_meta": 2, "accepted": 2, "delivered": 4},
            "held by Meta for a quality check: 2 of 10, paused by Meta: 2 of 10",
        ),
    ],
)
def test_held_messages_do_not_count_as_good(counts, reported):
    assert judge_canary(TEN, seen(**counts), 599.0) == Wait(0)
    stop = judge_canary(TEN, seen(**counts), 600.0)

    assert isinstance(stop, Stop)
    assert stop.reason == (
        f"most of the canary has not arrived ({reported}); `resume` looks at it again,"
        " `--canary 0` continues anyway"
    )


def test_a_few_held_messages_do_not_stop_the_rest_and_are_named():
    found = judge_canary(TEN, seen(paused_by_meta=1, delivered=9), 600.0)

    assert found == Go("canary: 9 of 10 confirmed, 0 failed, paused by Meta: 1")


def test_a_higher_limit_lets_some_fail():
    canary = Canary(10, limit=0.3)

    assert isinstance(judge_canary(canary, seen(delivered=8, failed=2), 1.0), Go)
    assert isinstance(judge_canary(canary, seen(delivered=7, failed=3), 1.0), Stop)


@given(
    counts=st.dictionaries(
        st.sampled_from(
            [entry for entry in RowState if entry not in ("pending", "skipped", "retry")]
        ),
        st.integers(0, 10),
    ),
    quiet_seconds=st.floats(0, 1_000),
    limit=st.floats(0.01, 1.0),
)
def test_the_canary_never_continues_over_its_limit_or_without_statuses(
    counts, quiet_seconds, limit
):
    found = judge_canary(Canary(10, limit=limit), Counts(counts), quiet_seconds)

    left = sum(counts.values())
    bad = sum(counts.get(RowState(entry), 0) for entry in ("failed", "rejected", "ambiguous"))
    unheard = sum(counts.get(RowState(entry), 0) for entry in ("accepted", "ambiguous"))
    if isinstance(found, Go):
        assert left >= 10
        assert bad < limit * left
        assert 2 * unheard <= left
    if isinstance(found, Wait):
        assert left + found.room <= max(left, 10)


IN_SINGAPORE, IN_LISBON = ("Asia/Singapore",), ("Europe/Lisbon",)
NIGHT = QuietHours.parse("21:00-08:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-07T{text}:00+00:00")


@pytest.mark.parametrize(
    ("people", "until"),
    [
        ([IN_SINGAPORE], None),
        ([IN_SINGAPORE], at("23:59")),
        ([IN_SINGAPORE, IN_LISBON], at("18:00")),
        ([], at("18:00")),
    ],
)
def test_a_run_begins_when_somebody_can_be_reached_before_its_end(people, until) -> None:
    # 14:00 UTC is 22:00 in Singapore, and an afternoon in Lisbon.
    demand_opening(people, NIGHT, at("14:00"), until and until + timedelta(hours=1))


def test_quiet_hours_up_to_the_end_are_refused_with_the_moment_of_each_zone() -> None:
    with pytest.raises(UsageError) as refused:
        demand_opening([IN_SINGAPORE, IN_SINGAPORE, IN_LISBON], NIGHT, at("22:30"), at("23:30"))

    assert refused.value.code == "never_open"
    assert "2 people from 2026-11-08 08:00 Asia/Singapore on" in refused.value.message
    assert "1 person from 2026-11-08 08:00 Europe/Lisbon on" in refused.value.message


def test_hours_that_are_quiet_somewhere_all_day_are_refused_without_an_end_too() -> None:
    both = (*IN_SINGAPORE, "America/New_York")

    with pytest.raises(UsageError, match="at no hour"):
        demand_opening([both], QuietHours.parse("19:00-18:00"), at("14:00"), None)


def test_the_command_refuses_hours_in_which_nothing_can_leave_and_keeps_no_plan(shop, cli) -> None:
    now = datetime.now(UTC)
    clocks = [(now + timedelta(hours=8 + hours)).strftime("%H:%M") for hours in (-1, 3)]
    end = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%MZ")
    people = shop.people(2)

    refused = cli(
        *("broadcast", "send", "--to", people, "--template", "opening_hours", "--lang", "en_US"),
        *("--yes", "--overrule", "WX104", "--quiet-hours", "-".join(clocks), "--until", end),
    )

    assert refused.code == 2
    assert "nothing could be sent before `--until`" in refused.err
    assert f"{clocks[1]} Asia/Singapore on" in refused.err
    assert cli("broadcast", "list", "--json").data["broadcasts"] == []
    assert shop.world.log.accepted() == []
