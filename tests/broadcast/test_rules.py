"""What an answer means, when a broadcast pauses, how it exits: decisions as tables.

Each of Meta's error codes, as it meets a broadcast that is being sent.
When a broadcast that goes wrong pauses by itself.
Nobody is written to in the night of the place their number is from.
"""

from __future__ import annotations

import asyncio
import json
import zoneinfo
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.meta_codes import AMBIGUOUS, RETRY, ROW, STOP
from wacoex_cli.broadcast import report
from wacoex_cli.contacts.quiet_hours import NEVER, QuietHours, held_until
from wacoex_cli.contacts.store import is_opted_out
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.phone_numbers import zones_of
from wacoex_cli.foundation.settings_model import ERROR_CLASSES
from wacoex_cli.ledger.model import Claim, Counts, RowState, Settled, Stop, exit_status
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.platforms.answers import NotSent, Refused, Taken, Unclear
from wacoex_cli.platforms.error_codes import classify, classify_open
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sending.guards import CLASSES, Breaker
from wacoex_cli.sending.providers import judge

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


def claim(tries: int = 1) -> Claim:
    return Claim(7, "+6591000007", "[]", attempt=3, tries_in_run=tries, first_try_in_run_at=NOW)


def after_refusal(code: int, *, tries: int = 1, **more):
    return judge(claim(tries), Refused(code, **more), NOW)


@pytest.mark.parametrize(
    ("word", "state", "detail"),
    [
        ("accepted", RowState.ACCEPTED, None),
        (None, RowState.ACCEPTED, None),
        ("held_for_quality_assessment", RowState.HELD_BY_META, None),
        ("paused", RowState.PAUSED_BY_META, None),
        ("looked_at_by_people", RowState.ACCEPTED, "Meta says: looked_at_by_people"),
    ],
)
def test_a_message_id_means_that_it_was_taken_and_a_word_beside_it_whether_it_waits(
    word, state, detail
):
    verdict = judge(claim(), Taken("wamid.1", word), NOW)

    assert verdict.settled == Settled(7, 3, state, message_id="wamid.1", detail=detail)
    assert (verdict.throttled, verdict.hold_seconds, verdict.stop) == (False, 0.0, None)


def test_no_usable_answer_means_ambiguous_and_says_nothing_about_the_rate():
    verdict = judge(claim(), Unclear("the answer took too long"), NOW)

    assert verdict.settled.state is RowState.AMBIGUOUS
    assert verdict.settled.detail == "the answer took too long"
    assert (verdict.throttled, verdict.stop) == (None, None)


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1), (2, 4), (3, 16), (4, 64)])
def test_a_connection_that_was_never_made_is_tried_again_ever_later(tries, seconds):
    settled = judge(claim(tries), NotSent("no connection"), NOW).settled

    assert settled.state is RowState.RETRY
    assert settled.not_before == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("code", RETRY)
def test_throttled_or_refused_before_it_was_taken_means_retry(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.RETRY
    assert verdict.settled.code == code
    assert verdict.settled.not_before is not None
    assert verdict.settled.not_before > NOW
    assert verdict.stop is None
    assert verdict.throttled is (code == 130429)


@pytest.mark.parametrize("code", AMBIGUOUS)
def test_a_code_that_may_hide_a_sent_message_means_ambiguous(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.AMBIGUOUS
    assert verdict.settled.code == code
    assert verdict.stop is None


@pytest.mark.parametrize("code", STOP)
def test_a_code_of_the_whole_account_stops_and_leaves_the_row_to_the_next_run(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.RETRY
    assert verdict.settled.not_before == NOW
    assert verdict.stop is not None
    assert verdict.stop.code == code
    assert f"code {code}" in verdict.stop.reason


def test_an_object_that_the_token_cannot_see_stops():
    stop = after_refusal(100, subcode=33).stop
    assert stop is not None
    assert stop.exit_status == 4


@pytest.mark.parametrize("code", [*ROW, 424242])
def test_a_code_of_one_person_or_an_unknown_one_rejects_the_row(code):
    verdict = after_refusal(code, details="why")

    assert verdict.settled.state is RowState.REJECTED
    assert (verdict.settled.code, verdict.settled.detail) == (code, "why")
    assert verdict.stop is None
    assert verdict.settled.opts_out is (code == 131050)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(0, 4), (3, 4), (10, 4), (102, 4), (190, 4), (200, 4), (299, 4), (131031, 5)],
)
def test_a_stop_for_the_token_exits_with_4_and_any_other_with_5(code, cause):
    stop = after_refusal(code).stop
    assert stop is not None
    assert stop.exit_status == cause


@pytest.mark.parametrize(
    ("code", "tries", "queried", "seconds"),
    [
        (131056, 1, {}, 1),
        (131056, 2, {}, 4),
        (131056, 4, {}, 64),
        (130429, 1, {"retry_after_seconds": 7.0}, 7),
        (130429, 3, {"retry_after_seconds": 7.0}, 16),
        (80007, 1, {"regain_minutes": 5.0}, 300),
        (80007, 1, {"regain_minutes": 5.0, "retry_after_seconds": 400.0}, 400),
    ],
)
def test_a_retry_waits_four_times_longer_each_time_and_never_shorter_than_asked(
    code, tries, queried, seconds
):
    settled = after_refusal(code, tries=tries, **queried).settled
    assert settled.not_before == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("code", "queried", "seconds"),
    [
        (131056, {}, 0),
        (130429, {}, 0),
        (130429, {"retry_after_seconds": 30.0}, 30),
        (130429, {"regain_minutes": 12.0}, 720),
        (4, {}, 60),
        (80007, {"regain_minutes": 2.0}, 120),
    ],
)
def test_the_whole_number_waits_when_meta_asks_for_it_or_the_code_is_of_the_number(
    code, queried, seconds
):
    assert after_refusal(code, **queried).hold_seconds == seconds


CREDENTIALS, REFUSED, TEMPORARY = (Stop("why", status) for status in (4, 5, 6))


@pytest.mark.parametrize(
    ("counts", "stop", "status"),
    [
        ({"accepted": 3}, None, 0),
        ({"accepted": 3, "skipped": 2}, None, 0),
        ({"sent": 1, "delivered": 1, "read": 1, "skipped": 1}, None, 0),
        ({"skipped": 2}, None, 0),
        ({"accepted": 3, "rejected": 1}, None, 7),
        ({"accepted": 3, "failed": 1}, None, 7),
        ({"accepted": 3, "pending": 9}, CREDENTIALS, 7),
        ({"accepted": 3, "retry": 1}, TEMPORARY, 7),
        ({"failed": 1}, None, 7),
        ({"ambiguous": 1}, None, 7),
        ({"ambiguous": 1, "pending": 9}, CREDENTIALS, 7),
        ({"pending": 9, "retry": 1}, CREDENTIALS, 4),
        ({"pending": 9, "retry": 1}, REFUSED, 5),
        ({"retry": 1}, TEMPORARY, 6),
        ({"retry": 1}, None, 6),
        ({"rejected": 4, "skipped": 1}, None, 5),
    ],
)
def test_the_exit_status_says_whether_all_some_or_nobody_was_sent_to(counts, stop, status):
    by_state = {RowState(name): n for name, n in counts.items()}
    assert exit_status(Counts(by_state), stop) == status


TOKEN_CODES = [
    *((code, None) for code in (0, 3, 10, 102, 104, 190, 200, 210, 299, 131005)),
    (100, 33),
]
REFUSALS = [33, 368, 131031, 131037, 131042, 131044, 131045, 131048, 131055, 131063]
REFUSALS += [131064, 132000, 132001, 132007, 132012, 132015, 132016, 132068, 133005, 133006]
REFUSALS += [133007, 133008, 133009, 133010, 134011, 134100, 134102]
STOP_CODES = [(*code, 4) for code in TOKEN_CODES] + [(code, None, 5) for code in REFUSALS]
ROW_CODES = [*ROW, 424242]
# The first wait, in seconds.
RETRY_CODES = {2: 5, 4: 60, 17: 60, 341: 60, 613: 60, 80007: 60, 80008: 60, 130429: 1, 131016: 5}
RETRY_CODES |= {131056: 1, 131057: 60, 2494100: 60, 132069: 60, 133004: 5, 133015: 300}


def shown(shop, broadcast):
    """What the program says about a broadcast."""
    current = shop.current(broadcast)
    counts = Rows(shop.state, current.broadcast_id).counts()
    return "\n".join(report.sentences(report.summary(shop.state, current, counts)))


def only(shop, row):
    return frozenset({shop.phone(row)})


@pytest.mark.parametrize(("code", "subcode", "cause"), STOP_CODES)
def test_a_stop_pauses_the_broadcast_and_leaves_the_others_pending(shop, code, subcode, cause):
    shop.faults(Fault("refuse", code=code, subcode=subcode))
    broadcast = shop.planned(30)
    sent = shop.send(broadcast, rate=50.0)

    assert sent.exit_status == cause
    assert sent.broadcast.status.value == "paused"
    assert sent.broadcast.reason_code == code
    counts = shop.counts(broadcast)
    assert counts.keys() == {"retry", "pending"}
    assert counts["pending"] > 10
    answer = shown(shop, broadcast)
    assert f"refused with code {code}: {classify(code, subcode).meaning}" in answer
    assert classify_open(code).action in answer
    assert "wacoex broadcast resume 1" in answer


@pytest.mark.parametrize("code", [190, 131042])
def test_after_a_stop_resume_sends_to_everybody_once(shop, code):
    shop.faults(Fault("refuse", code=code, arrivals=frozenset({4})))
    broadcast = shop.planned(12)
    stopped = shop.send(broadcast, rate=50.0)
    assert stopped.exit_status == 7, "some were sent to already"
    assert shop.counts(broadcast)["retry"] == 1

    assert shop.resume(broadcast).exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 12}
    assert shop.taken_twice() == []


@pytest.mark.parametrize("code", ROW_CODES)
def test_a_code_of_one_person_rejects_that_row_and_the_others_continue(shop, code):
    shop.faults(Fault("refuse", code=code, details="because", recipients=only(shop, 2)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert shop.states(broadcast) == ["accepted", "rejected", "accepted", "accepted"]
    row = shop.rows(broadcast)[2]
    assert (row["code"], row["detail"], row["attempts"]) == (code, "because", 1)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert f"code {code} (1 rejected): {classify(code).meaning}" in shown(shop, broadcast)
    assert is_opted_out(shop.state, shop.phone(2)) is (code == 131050)


def test_somebody_who_stopped_marketing_is_left_out_of_it_and_still_gets_the_rest(shop):
    people = shop.file("people.csv", [(shop.phone(n), "Ana") for n in (1, 2, 3)], ("phone", "name"))
    shop.faults(Fault("refuse", code=131050, recipients=only(shop, 2)))
    shop.send(shop.planned(people))

    sale = shop.plan(people, template="spring_sale", parameters={"first_name": "name"})
    assert sale.skipped == {"opted_out": 1}
    assert shop.plan(people).skipped == {}


@pytest.mark.parametrize("code", [1, 131000])
def test_a_row_with_a_code_that_may_hide_a_sent_message_is_never_tried_again(shop, code):
    shop.faults(Fault("refuse", code=code, recipients=only(shop, 2)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert shop.states(broadcast) == ["accepted", "ambiguous", "accepted", "accepted"]
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert [arrival.recipient for arrival in shop.world.log.arrivals].count(shop.phone(2)) == 1
    assert "wacoex broadcast reconcile 1" in shown(shop, broadcast)


@pytest.mark.parametrize("code", RETRY_CODES)
def test_a_row_refused_for_now_waits_and_is_then_accepted(shop, eventually, code):
    shop.faults(Fault("refuse", code=code, recipients=only(shop, 2), count=1))
    broadcast = shop.planned(3)

    async def wait_and_leap():
        await eventually(lambda: shop.states(broadcast)[1] == "retry")
        row = shop.rows(broadcast)[2]
        waits = from_text(row["not_before"]) - from_text(row["answered_at"])
        assert RETRY_CODES[code] - 1 <= waits.total_seconds() <= RETRY_CODES[code]
        shop.clock.leap(RETRY_CODES[code])

    sent = shop.send(broadcast, during=wait_and_leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (0, "completed")
    assert shop.states(broadcast) == ["accepted"] * 3
    assert shop.rows(broadcast)[2]["attempts"] == 2
    assert shop.taken_twice() == []


def test_a_wait_of_ten_minutes_is_for_the_next_run(shop, eventually):
    shop.faults(Fault("refuse", code=134101, recipients=only(shop, 2), count=1))
    broadcast = shop.planned(3)

    async def wait_and_leap():
        await eventually(lambda: shop.states(broadcast)[1] == "retry")
        shop.clock.leap(600)

    sent = shop.send(broadcast, during=wait_and_leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert "1 row used all tries of this run" in str(sent.broadcast.reason)
    assert shop.resume(broadcast).exit_status == 0


def test_five_tries_are_enough_for_one_run_and_the_next_has_five_more(shop, eventually):
    shop.faults(Fault("refuse", code=131056, recipients=only(shop, 2)))
    broadcast = shop.planned(3)

    async def leap():
        while shop.current(broadcast).status.value in ("planned", "sending"):
            shop.clock.leap(10)
            await asyncio.sleep(0.1)

    sent = shop.send(broadcast, during=leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert shop.rows(broadcast)[2]["attempts"] == 5

    shop.faults()
    shop.clock.leap(4**4)
    assert shop.resume(broadcast).exit_status == 0
    assert shop.rows(broadcast)[2]["attempts"] == 6


REGAIN = "X-Business-Use-Case-Usage"


def regain(minutes):
    usage = {"104": [{"type": "whatsapp", "estimated_time_to_regain_access": minutes}]}
    return {REGAIN: json.dumps(usage)}


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (130429, {"Retry-After": "30"}, 30),
        (80007, regain(5), 300),
        (4, {}, 60),
    ],
)
def test_nothing_leaves_for_as_long_as_meta_asks(shop, eventually, code, headers, seconds):
    shop.faults(Fault("refuse", code=code, headers=headers, count=1))
    broadcast = shop.planned(60)
    arrivals = shop.world.log.arrivals

    async def watch():
        await eventually(lambda: shop.states(broadcast)[0] == "retry")
        await asyncio.sleep(0.2)
        before = len(arrivals)
        await asyncio.sleep(0.7)
        shop.clock.leap(seconds - 8)
        await asyncio.sleep(0.2)
        assert len(arrivals) == before < 60
        shop.clock.leap(8)

    sent = shop.send(broadcast, rate=100.0, during=watch)
    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 60}


@pytest.mark.parametrize("headers", [{"Retry-After": "601"}, regain(11)])
def test_a_wait_above_ten_minutes_pauses(shop, headers):
    shop.faults(Fault("refuse", code=80007, headers=headers))
    broadcast = shop.planned(30)
    sent = shop.send(broadcast, rate=50.0)

    assert (sent.exit_status, sent.broadcast.status.value) == (6, "paused")
    assert "Meta asks to wait 1" in str(sent.broadcast.reason)
    assert shop.counts(broadcast).keys() == {"retry", "pending"}
    assert sent.broadcast.reason_code == 80007

    shop.faults()
    arrived = len(shop.world.log.arrivals)
    assert shop.resume(broadcast).exit_status == 6, "it is too early"
    assert len(shop.world.log.arrivals) == arrived
    shop.clock.leap(700)
    assert shop.resume(broadcast).exit_status == 0


def test_a_broadcast_that_mostly_fails_pauses_and_names_the_codes(shop):
    rows = range(1, 120, 2)
    shop.faults(
        Fault("refuse", code=131026, recipients=frozenset(shop.phone(row) for row in rows)),
    )
    broadcast = shop.planned(120)
    sent = shop.send(broadcast, rate=60.0)

    counts = shop.counts(broadcast)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert counts["rejected"] >= 6
    assert counts["pending"] > 30
    assert "code 131026 (" in str(sent.broadcast.reason)


def test_a_breaker_with_other_settings_lets_it_continue(shop):
    shop.faults(Fault("refuse", code=131026))
    broadcast = shop.planned(40)
    sent = shop.send(broadcast, breaker_rows=100)

    assert (sent.exit_status, sent.broadcast.status.value) == (5, "completed")
    assert shop.counts(broadcast) == {"rejected": 40}


def outcome(state: RowState, code: int | None = None) -> Settled:
    return Settled(1, 1, state, code=code)


GOOD = outcome(RowState.ACCEPTED)
BAD = outcome(RowState.REJECTED, 131026)


def opened(outcomes: list[Settled], breaker: Breaker | None = None) -> Stop | None:
    breaker = breaker or Breaker()
    for entry in outcomes:
        breaker.saw(entry)
    return breaker.verdict()


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([], False),
        ([BAD] * 19, False),
        ([BAD] * 20, True),
        ([BAD] * 5 + [GOOD] * 15, False),
        ([BAD] * 6 + [GOOD] * 14, True),
        ([GOOD] * 1000 + [BAD] * 29, False),
        ([GOOD] * 1000 + [BAD] * 30, True),
        ([BAD] * 6 + [GOOD] * 100, False),
        ([outcome(RowState.FAILED, 131026)] * 20, True),
        ([outcome(RowState.AMBIGUOUS)] * 20, True),
        ([outcome(RowState.RETRY, 130429)] * 500, False),
        ([outcome(RowState.RETRY, 130429)] * 19 + [BAD], False),
    ],
)
def test_the_breaker_opens_at_20_rows_of_which_30_in_100_went_wrong(outcomes, opens):
    assert (opened(outcomes) is not None) is opens


def test_the_breaker_names_the_codes_and_how_often_they_came():
    faults = [BAD] * 12 + [outcome(RowState.REJECTED, 4242)] * 6 + [outcome(RowState.AMBIGUOUS)] * 2
    stop = opened(faults)

    assert stop is not None
    assert stop.exit_status == 5
    assert "code 131026 (12 times), code 4242 (6 times), no usable answer (2 times)" in stop.reason


def test_the_breaker_can_be_set():
    assert opened([BAD] * 2 + [GOOD] * 2, Breaker(least_rows=4, share=0.5))
    assert not opened([BAD] * 2 + [GOOD] * 3, Breaker(least_rows=4, share=0.5))


def test_messages_that_fail_later_open_it_too():
    breaker = Breaker()
    breaker.saw_statuses({131026: 50}, well=0)
    breaker.saw_statuses({131026: 55, 131049: 2}, well=30)
    assert breaker.verdict() is None

    breaker.saw_statuses({131026: 62, 131049: 2}, well=30)

    stop = breaker.verdict()
    assert stop is not None
    assert stop.exit_status == 5
    assert stop.reason == (
        "14 of the last 44 messages failed after they were accepted:"
        " code 131026 (12 times), code 131049 (2 times)"
    )


def test_of_many_statuses_at_once_the_last_hundred_count():
    breaker = Breaker()
    breaker.saw_statuses({}, well=0)
    breaker.saw_statuses({None: 200}, well=800)
    assert breaker.verdict() is None

    breaker.saw_statuses({None: 600}, well=1_400)

    stop = breaker.verdict()
    assert stop is not None
    assert stop.reason.startswith("40 of the last 100 messages failed")


def test_a_failure_that_turns_out_to_have_arrived_undoes_nothing():
    breaker = Breaker(least_rows=2)
    breaker.saw_statuses({131026: 5}, well=5)
    breaker.saw_statuses({131026: 4}, well=6)

    assert breaker.verdict() is None


@pytest.mark.parametrize(
    ("limits", "outcomes", "reason"),
    [
        ({"131049": 3}, [outcome(RowState.REJECTED, 131049)] * 2, None),
        (
            {"131049": 3},
            [outcome(RowState.REJECTED, 131049)] * 3,
            "code 131049 came 3 times; the limit is 3",
        ),
        ({"ambiguous": 2}, [outcome(RowState.AMBIGUOUS)], None),
        (
            {"ambiguous": 2},
            [outcome(RowState.AMBIGUOUS), outcome(RowState.AMBIGUOUS, 131000)],
            "ambiguous came 2 times; the limit is 2",
        ),
        (
            {"unknown": 1},
            [outcome(RowState.REJECTED, 999_999)],
            "unknown came 1 times; the limit is 1",
        ),
        ({"unknown": 1}, [BAD] * 3, None),
        (
            {"retry": 2},
            [outcome(RowState.RETRY, 130429)] * 2,
            "retry came 2 times; the limit is 2",
        ),
        ({"row": 0.2}, [BAD] * 3 + [GOOD] * 16, None),
        ({"row": 0.2}, [BAD] * 3 + [GOOD] * 17, None),
        (
            {"row": 0.2},
            [BAD] * 4 + [GOOD] * 16,
            "row came 4 times in the last 20; the limit is 20%",
        ),
    ],
)
def test_an_error_can_have_a_limit_of_its_own(limits, outcomes, reason):
    stop = opened(outcomes, Breaker(limits=limits))

    assert (stop and stop.reason) == reason


def test_a_limit_counts_late_failures_as_well():
    breaker = Breaker(limits={"131026": 0.1}, share=1.0)
    breaker.saw_statuses({}, well=0)
    breaker.saw_statuses({131026: 2}, well=18)

    stop = breaker.verdict()

    assert stop is not None
    assert stop.reason == "code 131026 came 2 times in the last 20; the limit is 10%"


def test_the_setting_knows_the_same_classes():
    assert ERROR_CLASSES == CLASSES


NIGHT = QuietHours(time(21), time(8))
ZONES = (
    "Asia/Singapore",
    "America/New_York",
    "Europe/London",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Pago_Pago",
    "Pacific/Kiritimati",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("21:00-08:00", "21:00-08:00"),
        (" 9:30-17:15 ", "09:30-17:15"),
        ("00:00-6:00", "00:00-06:00"),
    ],
)
def test_hours_are_read_as_people_type_them(text, shown):
    assert str(QuietHours.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "21-8", "21:00", "24:00-08:00", "21:60-08:00", "nights"])
def test_a_wrong_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="not a valid time") as refused:
        QuietHours.parse(text)
    assert "21:00-08:00" in str(refused.value.hint)


def test_quiet_hours_without_an_end_are_refused():
    with pytest.raises(UsageError, match="nothing could ever be sent"):
        QuietHours.parse("08:00-8:00")


@pytest.mark.parametrize(
    ("clock_time", "is_quiet"),
    [("20:59", False), ("21:00", True), ("00:00", True), ("07:59", True), ("08:00", False)],
)
def test_a_night_goes_over_midnight(clock_time, is_quiet):
    assert NIGHT.includes(time.fromisoformat(clock_time)) is is_quiet


def test_during_the_day_nobody_is_held_back():
    assert held_until(("Asia/Singapore",), NIGHT, at("2026-11-20T12:00:00+08:00")) is None


def test_at_night_a_row_is_held_until_the_morning_there():
    held = held_until(("Asia/Singapore",), NIGHT, at("2026-11-20T23:10:05+08:00"))
    assert held == at("2026-11-21T08:00:00+08:00")


def test_of_several_zones_the_strictest_counts():
    zones = ("America/New_York", "America/Los_Angeles")
    held = held_until(zones, NIGHT, at("2026-11-20T09:00:00-05:00"))
    assert held == at("2026-11-20T08:00:00-08:00")


def test_zones_that_are_never_awake_together_leave_no_moment():
    assert (
        held_until(
            ("Europe/London", "Pacific/Auckland"),
            QuietHours(time(17), time(9)),
            at("2026-06-20T12:00:00Z"),
        )
        is NEVER
    )


def test_a_night_in_which_the_clocks_go_forward_is_an_hour_shorter():
    hours = QuietHours(time(22), time(2, 30))
    # At 2:00 it is 3:00: the end is skipped, and is over at once.
    held = held_until(("America/New_York",), hours, at("2026-03-07T23:00:00-05:00"))
    assert held == at("2026-03-08T03:00:00-04:00")


def test_a_night_in_which_the_clocks_go_back_begins_again():
    hours = QuietHours(time(22), time(1, 30))
    zone = ("America/New_York",)
    # From 1:30 to 2:00 it is over, then it is 1:00 once more.
    assert held_until(zone, hours, at("2026-11-01T05:40:00Z")) is None
    assert held_until(zone, hours, at("2026-11-01T06:10:00Z")) == at("2026-11-01T06:30:00Z")


@given(
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(tuple),
    start=st.times(),
    minutes=st.integers(1, 24 * 60 - 1),
    passed=st.timedeltas(timedelta(), timedelta(days=270)),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_first_minute_at_which_nobody_sleeps(zones, start, minutes, passed):
    start = start.replace(second=0, microsecond=0)
    first = at("2026-03-01T00:00:00Z")
    end = (datetime.combine(first, start) + timedelta(minutes=minutes)).time()
    hours, now = QuietHours(start, end), first + passed
    known = [zoneinfo.ZoneInfo(zone) for zone in zones]

    def is_quiet(moment: datetime) -> bool:
        return any(hours.includes(moment.astimezone(zone).time()) for zone in known)

    held = held_until(zones, hours, now)

    if held is None:
        assert not is_quiet(now)
        return
    last = min(held, now + timedelta(hours=47))
    moment = now.replace(second=0, microsecond=0)
    while moment < last:
        assert is_quiet(moment)
        moment += timedelta(minutes=1)
    assert held is NEVER or not is_quiet(held)


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        ("+6591234567", ("Asia/Singapore",)),
        ("+8801712345678", ("Asia/Dhaka",)),
        ("+12125550100", ("America/New_York",)),
        ("+14155550100", ("America/Los_Angeles",)),
        ("+870773123456", ()),
    ],
)
def test_a_number_shows_where_its_owner_may_be(phone, zones):
    assert zones_of(phone) == zones


@pytest.mark.parametrize(
    ("phone", "some"),
    [
        ("+79161234567", {"Europe/Moscow", "Asia/Vladivostok"}),
        ("+61412345678", {"Australia/Sydney", "Australia/Perth"}),
        # A range that the numbering plans, as far as they are known, do not have.
        ("+5210000000000", {"America/Mexico_City", "America/Tijuana"}),
    ],
)
def test_a_mobile_number_of_a_wide_country_may_be_anywhere_in_it(phone, some):
    assert some <= set(zones_of(phone))
